"""A small backend that minds no crowd: GET /N answers N bytes, any other request is read and answered.

Argument: its port. One task for each connection, so attackers cost it no threads.
"""

import asyncio
import re
import sys


BODY = b"x" * 65536


async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            left = int(length[1]) if length else 0
            while left and (data := await reader.read(min(left, 65536))):
                left -= len(data)
            size = re.match(rb"GET /(\d+) ", head)
            rest = int(size[1]) if size else 3
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % rest)
            while rest:
                writer.write(BODY[:rest])
                rest -= min(rest, len(BODY))
                await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    async with server:
        await server.serve_forever()


asyncio.run(main())
