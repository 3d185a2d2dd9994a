"""Sends a fixed list of requests through a proxy and notes what the filter, the backend and the client saw.

    requests file ──► client ──► proxy with the filter ──► backend
                        │              │ log file             │
                        └──── "client …" ── "PROBE …" ── "backend …" ────► one section per request

Speaks HTTP/1.1 byte by byte, because the requests are odd on purpose. Refuses to interpret: it normalises what
differs by run, and nothing else.

The requests file: `=== name` begins a request; `> settle MS`, `> close MS` (the client leaves after that time) and
`> trap` (the stream will not be deleted) are about the conduct; then the request line and headers as they are sent, an
empty line, and directives: `data TEXT`, `repeat N TEXT`, `chunk TEXT`, `last` (the final chunk; the lines after it
are trailers), `pause MS`. `\\xNN`, `\\r`, `\\n` are escapes. `connection: close` is added unless the request upgrades.
"""

import pathlib
import re
import socket
import threading
import time

SHOWN = {"content-type", "content-length", "host", "user-agent", "trailer", "x-probe", "www-authenticate",
         "hello", "powered-by", "custom-header", "retry-after"}


def unescape(text):
    """The bytes a line of the requests file stands for."""
    return re.sub(rb"\\x([0-9a-fA-F]{2})|\\([rn])", lambda m: bytes([int(m[1], 16)]) if m[1] else
                  {b"r": b"\r", b"n": b"\n"}[m[2]], text.encode())


def quoted(data):
    """As the probe quotes: unprintable bytes as \\xNN, long text cut."""
    text = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else ("\\" + chr(b) if b in b'"\\' else f"\\x{b:02x}")
                   for b in data[:96])
    return f'"{text}"' + (f"…{len(data)}" if len(data) > 96 else "")


def parse_requests(path):
    """The requests of a file, in order."""
    requests = []
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith("=== "):
            requests.append({"name": line[4:].strip(), "settle": 60, "close": None, "trap": False,
                             "head": [], "body": None})
        elif not requests or (line.startswith("#") and requests[-1]["body"] is None):
            continue
        elif line.startswith("> "):
            word, *value = line[2:].split()
            requests[-1][word] = int(value[0]) if value else True
        elif requests[-1]["body"] is not None:
            requests[-1]["body"].append(line)
        elif line == "":
            requests[-1]["body"] = []
        else:
            requests[-1]["head"].append(line)
    return requests


class Message:
    """Reads one HTTP message from a socket."""

    def __init__(self, sock):
        self.sock, self.data, self.end = sock, b"", "eof"

    def more(self):
        """Reads on; false at the end of the stream."""
        try:
            piece = self.sock.recv(65536)
        except TimeoutError:
            self.end = "timeout"
            return False
        except OSError:
            self.end = "reset"
            return False
        self.data += piece
        return bool(piece)

    def until(self, mark):
        """The bytes before a mark, which is consumed; `None` at the end."""
        while mark not in self.data:
            if not self.more():
                return None
        part, self.data = self.data.split(mark, 1)
        return part

    def exactly(self, count):
        """`count` bytes, or what there was."""
        while len(self.data) < count and self.more():
            pass
        part, self.data = self.data[:count], self.data[count:]
        return part

    def read(self, response_to=None):
        """First line, headers, body and trailers; `None` if not even a head came."""
        head = self.until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.split(b"\r\n")
        headers = [tuple(part.strip() for part in line.split(b":", 1)) for line in lines if b":" in line]
        named = {name.lower(): value for name, value in headers}
        status = first.split(b" ")[1] if response_to else b""
        body, trailers, whole = b"", [], True
        if response_to == "HEAD" or status in (b"204", b"304", b"101"):
            pass
        elif b"chunked" in named.get(b"transfer-encoding", b""):
            while True:
                size = self.until(b"\r\n")
                if size is None or not re.fullmatch(rb"[0-9a-fA-F]+.*", size):
                    whole = False
                    break
                if int(size.split(b";")[0], 16) == 0:
                    while (line := self.until(b"\r\n")):
                        trailers.append(tuple(part.strip() for part in line.split(b":", 1)))
                    break
                body += self.exactly(int(size.split(b";")[0], 16))
                self.exactly(2)
        elif b"content-length" in named:
            length = int(named[b"content-length"])
            body = self.exactly(length)
            whole = len(body) == length
        elif response_to:
            while self.more():
                pass
            body, self.data = self.data, b""
        return first, headers, body, trailers, whole


def shown(pairs):
    """The headers worth showing, in their order, lower case."""
    return "{" + ", ".join(f"{name.decode('latin-1').lower()}: {quoted(value)}" for name, value in pairs
                           if name.lower().startswith(b"x-t-") or name.lower().decode("latin-1") in SHOWN) + "}"


class Backend:
    """Answers by path, notes what it was asked."""

    def __init__(self, address=("127.0.0.1", 0)):
        self.listener = socket.create_server(address)
        self.address = "%s:%d" % self.listener.getsockname()[:2]
        self.lines, self.byte = [], 1
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        """One request per connection."""
        sock.settimeout(3)
        with sock:
            reader = Message(sock)
            message = reader.read()
            if message is None:
                return
            first, headers, body, trailers, whole = message
            method, target, _ = first.decode("latin-1").split(" ")
            seen = f"{shown(headers)} body {quoted(body)} trailers {shown(trailers)}"
            self.lines.append(f"backend {method} {target} {seen}" + ("" if whole else " incomplete"))
            try:
                self.answer(sock, reader, method, target.split("?")[0], body)
            except OSError:
                pass

    def answer(self, sock, reader, method, path, body):
        """The response to a path."""
        common = b"content-type: text/plain\r\nx-t-up: 1\r\nx-t-up: 2\r\nconnection: close\r\n"
        if path == "/slow":
            time.sleep(0.6)
        if path == "/reset":
            return
        if path == "/204":
            sock.sendall(b"HTTP/1.1 204 No Content\r\nx-t-up: 1\r\nconnection: close\r\n\r\n")
        elif path == "/upgrade":
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                         b"x-t-up: 1\r\n\r\n")
            while (piece := reader.exactly(4)):
                sock.sendall(b"echo " + piece)
        elif path in ("/trailers", "/chunks"):
            sock.sendall(b"HTTP/1.1 200 OK\r\n" + common + b"trailer: x-t-trailer\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in [b"one ", b"two ", b"three\n"]:
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                time.sleep(0.06)
            sock.sendall(b"0\r\n" + (b"x-t-trailer: from the backend\r\n" if path == "/trailers" else b"") + b"\r\n")
        else:
            latin = b"x-t-latin: caf\xe9\r\n" if path == "/latin" else b""
            self.byte += path == "/bytes/1"  # even and odd in turn
            bodies = {"/echo": body, "/bytes/1": bytes([64 + self.byte]), "/secret": b"this is secret\n",
                      "/call": b"answer\n"}
            body = bodies.get(path, b"hello from the backend\n")
            sock.sendall(b"HTTP/1.1 200 OK\r\n" + common + latin + b"content-length: %d\r\n\r\n" % len(body)
                         + (b"" if method == "HEAD" else body))


def send(address, request):
    """Sends one request, byte by byte as written, and returns the client's line."""
    host, port = address.rsplit(":", 1)
    upgrade = any(line.lower().startswith("upgrade:") for line in request["head"])
    head = b"\r\n".join(unescape(line) for line in request["head"]) + b"\r\nx-t-name: " + request["name"].encode()
    head += b"\r\n\r\n" if upgrade else b"\r\nconnection: close\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=4) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(head)
            send_body(sock, request["body"] or [])
        except OSError:
            pass
        if request["close"] is not None:
            time.sleep(request["close"] / 1000)
            return f"client left after {request['close']} ms"
        reader = Message(sock)
        message = reader.read(response_to=request["head"][0].split(" ")[0])
        if message is None:
            return "client no response, " + ("timeout" if reader.end == "timeout" else "closed")
        first, headers, body, trailers, whole = message
        if upgrade:
            sock.settimeout(0.4)
            for piece in (b"ping", b"pong"):
                sock.sendall(piece)
                body += reader.exactly(9)
        status = first.split(b" ")[1].decode()
        return (f"client {status} {shown(headers)} body {quoted(body)} trailers {shown(trailers)}"
                + ("" if whole else " incomplete"))


def send_body(sock, directives):
    """The directives after the head of a request."""
    last = False
    for line in directives:
        word, _, rest = line.partition(" ")
        if last:
            sock.sendall(unescape(line) + b"\r\n")
        elif word == "pause":
            time.sleep(int(rest) / 1000)
        elif word == "data":
            sock.sendall(unescape(rest))
        elif word == "repeat":
            count, _, text = rest.partition(" ")
            sock.sendall(unescape(text) * int(count))
        elif word == "chunk":
            sock.sendall(b"%x\r\n%s\r\n" % (len(unescape(rest)), unescape(rest)))
        elif word == "last":
            sock.sendall(b"0\r\n")
            last = True
            # a blank line of the file after `last` is the end of the trailers
    if last and (not directives or directives[-1] != ""):
        sock.sendall(b"\r\n")


class Log:
    """The filter's lines in a log file that is being written."""

    def __init__(self, path, mark):
        self.path, self.mark, self.at = pathlib.Path(path), re.compile(mark), 0

    def read(self):
        """The lines since the last call, as captured by the mark."""
        with self.path.open("rb") as file:
            file.seek(self.at)
            data = file.read()
        data = data[:data.rfind(b"\n") + 1]
        self.at += len(data)
        found = (self.mark.search(line.decode("utf-8", "replace")) for line in data.split(b"\n"))
        return [match[1] for match in found if match]


def start_section(lines):
    """A proxy starts the filter several times (canary, spare, each worker): one of the blocks, and whether all agree."""
    blocks, current = [], None
    for line in lines:
        if line.startswith("start context_create"):
            current = []
            blocks.append(current)
        if current is not None:
            current.append(line)
    if not blocks:
        return lines
    differing = [block for block in blocks if block != blocks[0]]
    return blocks[0] + [f"start {len(differing)} other starts differ" for _ in differing[:1]]


def await_lines(log, request):
    """The filter's lines for a request: until its stream is deleted, and a moment longer."""
    lines, deadline = log.read(), time.monotonic() + 2
    while not request["trap"] and "delete(stream)" not in lines and time.monotonic() < deadline:
        time.sleep(0.02)
        lines += log.read()
    time.sleep(request["settle"] / 1000)
    lines += log.read()
    # A proxy may start a spare at any time, which is not part of the request.
    return [line for line in lines if not line.startswith("start") and "line on standard output" not in line]


def run(proxy, requests, log, backend):
    """All requests, and the text of the log. `proxy` has an `address` and `revived()`: whether it had died, and had to be
    started again."""
    time.sleep(0.3)
    sections = [("start", start_section(log.read()))]
    for request in requests:
        backend.lines.clear()
        client = send(proxy.address, request)
        lines = await_lines(log, request)
        if proxy.revived():
            lines = lines[:12] + ["the proxy died"]
            time.sleep(0.3)
            log.read()
        sections.append((request["name"], lines + list(backend.lines) + [client]))
    return "".join(f"=== {name}\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections)
