#!/usr/bin/env python3
"""Runs the ABI probe in Envoy, or in any proxy, and compares two such runs.

    envoy.py --wasm probe.wasm --out envoy-1.40.log              in Envoy: `envoy` on the PATH, or $ENVOY
    envoy.py --target ADDRESS --log FILE --backend ADDRESS --out FILE     in a proxy that runs already
    envoy.py --command 'proxy … {listen} {backend} {dead} {wasm}' --wasm W --log FILE --out FILE     in one it starts
    envoy.py --diff A B --deviations FILE                        exit code 1 if they differ in an undocumented way

A proxy needs the upstreams `callout` (the backend) and `dead` (nothing listens there), the configuration
"plugin configuration" and "vm configuration", the root id "probe_root", and an unlimited log. Of the log file only
what follows `PROBE ` in a line counts, or what `--mark` captures.

Ends only the process it started. Needs Python 3.10, nothing else; downloads nothing.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import compare  # noqa: E402
import conduct  # noqa: E402

HERE = pathlib.Path(__file__).parent


def free_port():
    """A port nobody listens on, now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def string_value(text):
    """A protobuf string as Envoy's configuration writes it."""
    return {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text}


def wasm_filter(wasm, options):
    """Envoy's filter entry for a module."""
    plugin = {
        "name": options.get("name", "probe"),
        "root_id": options.get("root_id", "probe_root"),
        "failure_policy": "FAIL_RELOAD",
        "allow_on_headers_stop_iteration": options.get("hold", False),
        "configuration": string_value(options.get("configuration", "plugin configuration")),
        "vm_config": {
            "vm_id": "probe_vm",
            "runtime": "envoy.wasm.runtime.v8",
            "configuration": string_value("vm configuration"),
            "code": {"local": {"filename": str(wasm)}},
        },
    }
    kind = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
    return {"name": "wasm", "typed_config": {"@type": kind, "config": plugin}}


def cluster(name, address):
    """An upstream."""
    host, port = address.rsplit(":", 1)
    endpoint = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {options: {
            "@type": f"type.googleapis.com/{options}",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }},
    }


def envoy_config(port, backend, dead, wasm, options):
    """A whole configuration: one listener, one route, one filter."""
    router = "envoy.extensions.filters.http.router.v3.Router"
    manager = {
        "@type": "type.googleapis.com/"
                 "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "probe",
        "http_protocol_options": {"enable_trailers": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"name": "routes", "virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"name": "main", "match": {"prefix": "/"}, "route": {"cluster": "main", "timeout": "3s"}}],
        }]},
        "http_filters": [wasm_filter(wasm, options), {"name": "router", "typed_config": {
            "@type": f"type.googleapis.com/{router}", "suppress_envoy_headers": True}}],
    }
    return {"static_resources": {
        "listeners": [{
            "name": "main", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }],
        "clusters": [cluster(name, backend) for name in ("main", "callout", "httpbin")] + [cluster("dead", dead)],
    }}


def await_listener(address, process, seconds=20):
    """Waits until something listens; an error if the process ends first."""
    host, port = address.rsplit(":", 1)
    for _ in range(seconds * 20):
        if process is not None and process.poll() is not None:
            raise SystemExit(f"the proxy ended with code {process.returncode}")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on {address}")


class Running:
    """A proxy that was there before."""

    def __init__(self, address):
        self.address = address
        await_listener(address, None)

    def revived(self):
        """Nothing is started again that was not started here."""
        return False

    def stop(self):
        """Nor ended."""


class Started:
    """A proxy started here, and again if it dies, and ended by its process id."""

    def __init__(self, address, arguments, log):
        self.address, self.arguments, self.log = address, arguments, log
        pathlib.Path(log).write_bytes(b"")
        self.start()

    def start(self):
        """Starts it and waits until it listens."""
        with open(self.log, "ab") as sink:
            self.process = subprocess.Popen(self.arguments, stdout=sink, stderr=sink)
        try:
            await_listener(self.address, self.process)
        except BaseException:
            self.stop()
            raise

    def revived(self):
        """Whether it had died."""
        if self.process.poll() is None:
            return False
        self.start()
        return True

    def stop(self):
        """Ends it."""
        self.process.terminate()
        self.process.wait(20)


def envoy(folder, wasm, backend, options):
    """An Envoy with the filter."""
    binary = os.environ.get("ENVOY") or shutil.which("envoy") or sys.exit("no envoy on the PATH, and ENVOY is not set")
    port, dead = free_port(), f"127.0.0.1:{free_port()}"
    config = pathlib.Path(folder, "envoy.json")
    config.write_text(json.dumps(envoy_config(port, backend.address, dead, pathlib.Path(wasm).resolve(), options)))
    arguments = [binary, "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "-l", "warning",
                 "--component-log-level", f"wasm:{options.get('log_level', 'info')}", "--log-format", "%v"]
    return Started(f"127.0.0.1:{port}", arguments, pathlib.Path(folder, "log"))


def target(arguments, backend):
    """A proxy that runs already, or that a command starts."""
    if arguments.target:
        return Running(arguments.target)
    places = {"listen": f"127.0.0.1:{free_port()}", "backend": backend.address, "dead": f"127.0.0.1:{free_port()}",
              "wasm": arguments.wasm, "log": arguments.log}
    return Started(places["listen"], shlex.split(arguments.command.format(**places)), arguments.log)


def conducted(wasm, requests, mark, options, backend=("127.0.0.1", 0)):
    """The log of the requests in an Envoy of our own."""
    server = conduct.Backend(backend)
    with tempfile.TemporaryDirectory() as folder:
        proxy = envoy(folder, wasm, server, options)
        try:
            return conduct.run(proxy, requests, conduct.Log(proxy.log, mark), server)
        finally:
            proxy.stop()
            if options.get("keep"):
                shutil.copy(proxy.log, options["keep"])


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wasm", help="the module")
    parser.add_argument("--requests", default=HERE / "requests.txt", help="default: requests.txt beside this file")
    parser.add_argument("--only", help="only the requests whose name this regular expression finds")
    parser.add_argument("--out", help="where the log goes (default: standard output)")
    parser.add_argument("--target", help="address of a running proxy")
    parser.add_argument("--command", help="starts a proxy; {listen} {backend} {dead} {wasm} {log} are filled in")
    parser.add_argument("--log", help="the log file of the proxy")
    parser.add_argument("--backend", default="127.0.0.1:0", help="where the backend listens (default: any port)")
    parser.add_argument("--mark", default=r"PROBE (.*?)\s*$", help="captures the filter's part of a log line")
    parser.add_argument("--hold", action="store_true", help="Envoy: allow_on_headers_stop_iteration")
    parser.add_argument("--keep", help="Envoy: copy its whole log to this file")
    parser.add_argument("--configuration", default="plugin configuration", help="Envoy: the plugin configuration")
    parser.add_argument("--root-id", default="probe_root", help="Envoy: the root id")
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"), help="compare two logs")
    parser.add_argument("--deviations", help="the documented deviations")
    arguments = parser.parse_args()
    if arguments.diff:
        sys.exit(compare.report(*arguments.diff, arguments.deviations))
    requests = [request for request in conduct.parse_requests(arguments.requests)
                if not arguments.only or re.search(arguments.only, request["name"])]
    host, port = arguments.backend.rsplit(":", 1)
    if arguments.target or arguments.command:
        backend = conduct.Backend((host, int(port)))
        proxy = target(arguments, backend)
        try:
            text = conduct.run(proxy, requests, conduct.Log(arguments.log, arguments.mark), backend)
        finally:
            proxy.stop()
    else:
        options = {"hold": arguments.hold, "keep": arguments.keep, "root_id": arguments.root_id,
                   "configuration": arguments.configuration}
        text = conducted(arguments.wasm, requests, arguments.mark, options, (host, int(port)))
    pathlib.Path(arguments.out).write_text(text) if arguments.out else print(text, end="")


if __name__ == "__main__":
    main()
