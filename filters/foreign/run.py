#!/usr/bin/env python3
"""Runs the foreign modules in Envoy, or in a proxy a command starts, and writes down what was observed.

    run.py --modules DIR --out FILE                       Envoy: on the PATH or $ENVOY
    run.py --modules DIR --out FILE --command '… {listen} {backend} {dead} {wasm} {module} {root_id} {configuration}
           {log} {folder}' --mark REGEX                   REGEX captures what the module logged
    run.py --diff A B --deviations FILE

One section per module and request, as `../probe/envoy.py` writes them: what the module logged, what arrived at the
backend, what came back. The upstream `httpbin` is the backend. Refuses to guess: a module that is not in DIR is an error.
"""

import argparse
import pathlib
import re
import shlex
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "probe"))
import compare  # noqa: E402
import conduct  # noqa: E402
import envoy  # noqa: E402

# Module, root id, configuration, requests: a path, or (path, extra header lines, settle in ms).
MODULES = [
    ("c_header", "", "", ["/hello?x=1", ("/", ["x-t-latin: caf\\xe9"], 60), ("/", ["x-t-c: from the client"], 60)]),
    ("as_header", "header", "from the configuration",
     ["/hello?x=1", ("/", ["x-t-latin: caf\\xe9"], 60), ("/", ["x-t-as: from the client"], 60)]),
    ("hello_world", "", "", ["/", ("/", [], 5500)]),
    ("http_auth_random", "", "", ["/", "/", "/chunks"]),
    ("http_body", "", "", ["/", "/secret", "/chunks", "/204"]),
    ("http_config", "", "from the configuration", ["/", "/trailers"]),
    # The last two: this module uses the string functions of the SDK, which end it on a byte that is not UTF-8.
    ("http_headers", "", "", ["/hello", "/", ("/", ["x-t-latin: caf\\xe9"], 1500), "/"]),
]

# What differs by run or is a proxy's own header, in the modules' log lines.
MASKS = [
    (r"It's .*, your lucky number is \d+\.", "It's <time>, your lucky number is <number>."),
    (r"#\d+ ", "# "),
    (r"(panicked at )\S*/(src/\w+\.rs)", r"\1…/\2"),
    # The message stands on a line of its own, which some logs fold into this one.
    (r"(panicked at \S+:\d+:\d+:).*", r"\1"),
]
OWN_HEADERS = re.compile(r"# (->|<-) (?!:|x-t-|host|content-)")


def requests_of(entries):
    """The requests of a module, as `conduct` takes them."""
    for entry in entries:
        path, headers, settle = entry if isinstance(entry, tuple) else (entry, [], 60)
        yield {"name": "", "settle": settle, "close": None, "trap": False, "body": None,
               "head": [f"GET {path} HTTP/1.1", "host: foreign.example", *headers]}


class ModuleLog(conduct.Log):
    """Lines of a module, masked."""

    def read(self):
        lines = []
        for line in super().read():
            for pattern, mask in MASKS:
                line = re.sub(pattern, mask, line)
            if not OWN_HEADERS.match(line):
                lines.append(line)
        return lines


def observe(module, root_id, configuration, entries, folder, arguments):
    """The sections of one module."""
    wasm = pathlib.Path(arguments.modules, f"{module}.wasm").resolve(strict=True)
    backend = conduct.Backend()
    if arguments.command:
        log = pathlib.Path(folder, "log")
        places = {"listen": f"127.0.0.1:{envoy.free_port()}", "backend": backend.address, "wasm": wasm, "log": log,
                  "dead": f"127.0.0.1:{envoy.free_port()}", "root_id": root_id, "configuration": configuration,
                  "folder": folder, "module": module}
        command = [part.format(**places) for part in shlex.split(arguments.command)]
        proxy = envoy.Started(places["listen"], command, log)
    else:
        options = {"name": module, "root_id": root_id, "configuration": configuration, "log_level": "trace"}
        proxy = envoy.envoy(folder, wasm, backend, options)
    sections = []
    try:
        log = ModuleLog(proxy.log, arguments.mark)
        # Started several times by some proxies: what it said at start is noted once.
        started = list(dict.fromkeys(log.read()))
        sections.append((f"{module} start", [f"log {line}" for line in started]))
        for number, request in enumerate(requests_of(entries), 1):
            backend.lines.clear()
            client = conduct.send(proxy.address, request)
            settle = max(request["settle"], arguments.settle)
            lines = conduct.await_lines(log, {**request, "trap": True, "settle": settle})
            died = ["the proxy died"] if proxy.revived() else []
            name = f"{module} {number} {request['head'][0]} {' '.join(request['head'][2:])}".strip()
            sections.append((name, [f"log {line}" for line in lines] + died + list(backend.lines) + [client]))
    finally:
        proxy.stop()
    return sections


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", help="where build.sh put the modules")
    parser.add_argument("--only", default="", help="only the modules whose name this regular expression finds")
    parser.add_argument("--out", help="default: standard output")
    parser.add_argument("--settle", type=int, default=0, help="waits at least so many ms for the log lines of a request")
    parser.add_argument("--command", help="starts another proxy than Envoy")
    parser.add_argument("--mark", default=r"wasm log[^:]*: (.*?)\s*$", help="captures what a module logged")
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"))
    parser.add_argument("--deviations")
    arguments = parser.parse_args()
    if arguments.diff:
        sys.exit(compare.report(*arguments.diff, arguments.deviations))
    text = ""
    for module, root_id, configuration, entries in MODULES:
        if re.search(arguments.only, module):
            with tempfile.TemporaryDirectory() as folder:
                for name, lines in observe(module, root_id, configuration, entries, folder, arguments):
                    text += f"=== {name}\n" + "".join(f"{line}\n" for line in lines)
    pathlib.Path(arguments.out).write_text(text) if arguments.out else print(text, end="")


if __name__ == "__main__":
    main()
