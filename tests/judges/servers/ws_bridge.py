"""Lets a WebSocket client that speaks only ws:// over HTTP/1.1 reach the edge over TLS.

Arguments: how, the port to listen on, the edge's port, a PEM file to trust. How is one of
  tls  every connection becomes a TLS connection (wss://), nothing is read or changed
  h2   every WebSocket becomes an extended CONNECT (RFC 8441) on an HTTP/2 connection of its own
A stream that ends becomes a connection that ends, one that is reset becomes one that is reset.
"""

import asyncio
import base64
import hashlib
import ssl
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

HOW, LISTEN, EDGE, TRUST = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
HANDSHAKE = ("sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions", "origin", "user-agent")
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def dial(protocol):
    trust = ssl.create_default_context(cafile=TRUST)
    trust.set_alpn_protocols([protocol])
    reader, writer = await asyncio.open_connection("127.0.0.1", EDGE, ssl=trust, server_hostname="127.0.0.1")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == protocol
    return reader, writer


def abort(writer):
    writer.transport.abort()


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        abort(writer)


async def tls(reader, writer):
    far_reader, far_writer = await dial("http/1.1")
    up = asyncio.create_task(pump(reader, far_writer))
    await pump(far_reader, writer)
    writer.close()
    up.cancel()
    abort(far_writer)


class Stream:
    """One WebSocket on one HTTP/2 connection."""

    def __init__(self, near, far):
        self.near, (self.far_reader, self.far) = near, far
        config = h2.config.H2Configuration(validate_outbound_headers=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.news = asyncio.Condition()
        self.allowed = self.answered = self.over = False
        self.key = b""
        self.refusal = b""
        self.status = ""

    async def flush(self):
        self.far.write(self.h2.data_to_send())
        await self.far.drain()

    async def until(self, done):
        async with self.news:
            await self.news.wait_for(lambda: self.over or done())

    async def listen(self):
        """What comes from the edge, until the stream is over."""
        try:
            while not self.over and (data := await self.far_reader.read(65536)):
                for event in self.h2.receive_data(data):
                    await self.on(event)
                await self.flush()
        except OSError:
            abort(self.near)
        self.over = True
        async with self.news:
            self.news.notify_all()

    async def on(self, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.allowed |= self.h2.remote_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL, 0) == 1
        elif isinstance(event, h2.events.ResponseReceived):
            self.answer(dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self.near.write(event.data)
            await self.near.drain()
            if event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, h2.events.StreamEnded):
            self.over = True
            self.near.close()
        elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            self.over = True
            abort(self.near)
        async with self.news:
            self.news.notify_all()

    def answer(self, fields):
        """The response as HTTP/1.1 has it."""
        self.answered = True
        kept = [f"{name}: {value}" for name, value in fields.items() if name.startswith("sec-websocket-")]
        if fields[":status"] == "200":
            accept = base64.b64encode(hashlib.sha1(self.key + MAGIC).digest()).decode()
            kept += ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}"]
            start = "HTTP/1.1 101 Switching Protocols"
        else:
            start = f"HTTP/1.1 {fields[':status']} Refused"
        self.near.write("\r\n".join([start, *kept, "", ""]).encode())

    async def send(self, data):
        while data:
            await self.until(lambda: self.h2.local_flow_control_window(1) > 0)
            if self.over:
                return
            room = min(self.h2.local_flow_control_window(1), self.h2.max_outbound_frame_size)
            self.h2.send_data(1, data[:room])
            data = data[room:]
            await self.flush()


async def over_h2(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    path = head[0].split(" ")[1]
    fields = [line.split(":", 1) for line in head[1:] if ":" in line]
    fields = {name.lower(): value.strip() for name, value in fields}
    stream = Stream(writer, await dial("h2"))
    stream.key = fields["sec-websocket-key"].encode()
    await stream.flush()
    listener = asyncio.create_task(stream.listen())
    await asyncio.wait_for(stream.until(lambda: stream.allowed), 10)
    request = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", path),
               (":authority", f"127.0.0.1:{EDGE}")]
    request += [(name, fields[name]) for name in HANDSHAKE if name in fields]
    stream.h2.send_headers(1, request)
    await stream.flush()
    try:
        while data := await reader.read(65536):
            await stream.send(data)
        if not stream.over:
            stream.h2.end_stream(1)
            await stream.flush()
            await asyncio.wait_for(stream.until(lambda: False), 20)
    except OSError:
        pass
    except asyncio.TimeoutError:
        pass
    listener.cancel()
    abort(stream.far)
    writer.close()


async def main():
    serve = {"tls": tls, "h2": over_h2}[HOW]

    async def guarded(reader, writer):
        try:
            await serve(reader, writer)
        except Exception as failure:  # one connection's end is no reason to end the others
            print(f"{type(failure).__name__}: {failure}", flush=True)
            abort(writer)

    server = await asyncio.start_server(guarded, "127.0.0.1", LISTEN)
    async with server:
        await server.serve_forever()


asyncio.run(main())
