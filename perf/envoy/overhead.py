#!/usr/bin/env python3
"""What one header filter costs in Envoy: CPU per request with and without it, in interleaved pairs.

    ENVOY=path/to/envoy overhead.py --wasm target/wasm32-wasip1/release/set_remove.wasm [--pairs 5] [--seconds 5] [--markdown FILE]

    core 1: wrk -c 64 ──► core 0: Envoy (plain, or with the filter), one worker ──► core 1: Envoy that answers directly

Counted is the time all threads of the measured Envoy ran, from the scheduler, divided by the responses wrk saw. Both live
through all pairs; the next pair goes in reverse. Refuses to report a run in which wrk saw an error. Needs Linux, two cores,
`taskset` and `wrk`; ends only what it started, by process id.
"""

import argparse
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TEMPLATE = pathlib.Path(__file__).parent / "envoy.yaml.in"

# A request of 12 headers, `host` among them, and what the filter removes from it.
REQUEST_HEADERS = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "en-GB,en;q=0.5",
    "accept-encoding": "gzip, deflate, br, zstd",
    "referer": "http://shop.example/catalogue?page=2",
    "cookie": "session=0123456789abcdef0123456789abcdef; theme=dark",
    "upgrade-insecure-requests": "1",
    "sec-fetch-dest": "document",
    "sec-fetch-mode": "navigate",
    "sec-fetch-site": "same-origin",
    "x-filter-remove": "request",
}

# A response of 10 headers with what Envoy adds itself.
RESPONSE_HEADERS = {
    "cache-control": "private, max-age=0",
    "etag": 'W/"0123456789abcdef"',
    "last-modified": "Sat, 21 Nov 2026 12:00:00 GMT",
    "vary": "accept-encoding",
    "x-frame-options": "DENY",
    "x-filter-remove": "response",
}

FILTER = """- name: wasm
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: filter
                vm_config: {{ runtime: envoy.wasm.runtime.v8, code: {{ local: {{ filename: "{wasm}" }} }} }}"""


def answer():
    """The route of the backend: a response without a further hop."""
    headers = ", ".join('{ header: { key: "%s", value: "%s" } }' % (name, value.replace('"', '\\"'))
                        for name, value in RESPONSE_HEADERS.items())
    return ('direct_response: { status: 200, body: { inline_string: "hello, world\\n" } }\n'
            f"                response_headers_to_add: [{headers}]")


def free_port():
    """A port nobody listens on, now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def start(folder, name, core, listen, backend, action, wasm):
    """An Envoy on one core."""
    config = pathlib.Path(folder, f"{name}.yaml")
    wasm_filter = FILTER.format(wasm=wasm) if wasm else ""
    config.write_text(TEMPLATE.read_text().format(listen=listen, backend=backend, action=action, filter=wasm_filter))
    binary = os.environ.get("ENVOY") or shutil.which("envoy") or sys.exit("no envoy on the PATH, and ENVOY is not set")
    process = subprocess.Popen(["taskset", "-c", str(core), binary, "-c", str(config), "--concurrency", "1",
                                "--use-dynamic-base-id", "-l", "error"])
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", listen), timeout=1).close()
            return process
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    process.terminate()
    raise SystemExit(f"{name} does not listen")


def cpu_us(pid):
    """Time all threads of a process ran, in µs."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            pass
    return total / 1000


def load(port, seconds, connections, core):
    """Responses wrk saw, and per second."""
    headers = [part for name, value in REQUEST_HEADERS.items() for part in ("-H", f"{name}: {value}")]
    out = subprocess.run(["taskset", "-c", str(core), "wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", *headers,
                          f"http://127.0.0.1:{port}/product/42?colour=blue"], capture_output=True, text=True, check=True).stdout
    if "Socket errors" in out or "Non-2xx" in out:
        raise SystemExit(f"wrk saw errors:\n{out}")
    return int(re.search(r"(\d+) requests in", out)[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def measure(process, port, seconds, connections, core):
    """CPU µs per request, and requests per second."""
    load(port, 1, connections, core)
    before = cpu_us(process.pid)
    requests, rate = load(port, seconds, connections, core)
    return (cpu_us(process.pid) - before) / requests, rate


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wasm", required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--direct", action="store_true", help="no backend: the measured Envoy answers itself")
    parser.add_argument("--load-core", type=int, default=1, help="where wrk and the backend run (0: with the measured Envoy)")
    parser.add_argument("--markdown", help="write the table there too")
    arguments = parser.parse_args()
    wasm, processes = pathlib.Path(arguments.wasm).resolve(strict=True), []
    backend, ports = free_port(), {"plain": free_port(), "filter": free_port()}
    with tempfile.TemporaryDirectory() as folder:
        try:
            processes.append(start(folder, "backend", arguments.load_core, backend, backend, answer(), None))
            action = answer() if arguments.direct else "route: { cluster: backend }"
            running = {}
            for name, port in ports.items():
                running[name] = start(folder, name, 0, port, backend, action, wasm if name == "filter" else None)
                processes.append(running[name])
            rows = []
            for pair in range(arguments.pairs):
                row = {}
                for name in (["plain", "filter"], ["filter", "plain"])[pair % 2]:
                    row[name] = measure(running[name], ports[name], arguments.seconds, arguments.connections,
                                        arguments.load_core)
                rows.append(row)
                print(pair + 1, row, file=sys.stderr)
        finally:
            for process in processes:
                process.terminate()
                process.wait(20)
    lines = ["| Pair | plain µs/request | with filter | overhead µs | plain req/s | with filter |", "|---|---|---|---|---|---|"]
    for number, row in enumerate(rows, 1):
        (plain, plain_rate), (filtered, filter_rate) = row["plain"], row["filter"]
        lines.append(f"| {number} | {plain:.2f} | {filtered:.2f} | {filtered - plain:.2f} | {plain_rate:.0f} | {filter_rate:.0f} |")
    medians = [statistics.median(row["plain"][0] for row in rows), statistics.median(row["filter"][0] for row in rows),
               statistics.median(row["filter"][0] - row["plain"][0] for row in rows)]
    lines.append(f"| median | {medians[0]:.2f} | {medians[1]:.2f} | {medians[2]:.2f} | | |")
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.markdown:
        pathlib.Path(arguments.markdown).write_text(text)


if __name__ == "__main__":
    main()
