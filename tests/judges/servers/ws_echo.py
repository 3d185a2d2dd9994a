"""The WebSocket backend: sends back what it gets. Argument: its port."""

import asyncio
import logging
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(socket):
    try:
        async for message in socket:
            await socket.send(message)
    except ConnectionClosed:
        pass  # what the cases are about


async def main():
    logging.disable(logging.ERROR)
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None, ping_interval=None, close_timeout=5) as server:
        await server.serve_forever()


asyncio.run(main())
