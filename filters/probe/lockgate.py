#!/usr/bin/env python3
"""Becomes a Lockgate edge with one filter, for `envoy.py --command` and `../foreign/run.py --command`.

    envoy.py --command 'lockgate.py BINARY {listen} {backend} {dead} {wasm}' --wasm W --log FILE --out FILE
    run.py --command 'lockgate.py BINARY {listen} {backend} {dead} {wasm} --name {module} --root-id={root_id} …' …

Without options the filter is configured as the probe needs it. Writes its configuration beside the module's copy in
`--folder`, or in a new directory below the system's own for temporary files. Ends only by being ended: it is the
proxy's process.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

CONFIG = """workers = 1
data_dir = "{folder}/data"

[listen]
https = "127.0.0.1:0"
http = "{listen}"

[log]
access = false
format = "human"
level = "{level}"

[[app]]
name = "probe"
external_url = "http://{host}/"
internal_url = "http://{backend}/"
group = "local"
translate_urls_in_headers = false
filters = ["{name}"]

[filter.{name}]
module = "{folder}/{name}.wasm"
root_id = {root_id}
configuration = {configuration}
vm_configuration = "vm configuration"
request_body = "stream"
response_body = "stream"
headers_pause = "{pause}"
header_bytes = "raw"
log_level = "{level}"
upstreams = {{ {upstream} = "http://{backend}", dead = "http://{dead}" }}

[filter.{name}.limits]
log_lines_per_second = 100000
header_deadline = "1s"
body_deadline = "1s"

[filter.{name}.capabilities]
shared_data = true
queues = true
protected_headers = ["authorization", "cookie", "set-cookie", "x-forwarded-for", "x-forwarded-proto"]
"""


def main():
    """Writes the configuration and becomes the edge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for word in ("binary", "listen", "backend", "dead", "wasm"):
        parser.add_argument(word)
    parser.add_argument("--folder", help="for configuration and data; it is not removed")
    parser.add_argument("--name", default="probe", help="the filter's; `_` becomes `-`")
    parser.add_argument("--host", default="probe.example", help="of the requests")
    parser.add_argument("--root-id", default="probe_root")
    parser.add_argument("--configuration", default="plugin configuration")
    parser.add_argument("--upstream", default="callout", help="under which name the filter may call the backend")
    parser.add_argument("--level", default="info", help="of log lines")
    parser.add_argument("--hold", action="store_true", help='headers_pause = "hold"')
    options = vars(parser.parse_args())
    folder = options["folder"] or tempfile.mkdtemp(prefix="lockgate-probe-")
    name = options["name"].replace("_", "-")
    shutil.copy(options["wasm"], pathlib.Path(folder, f"{name}.wasm"))
    # A JSON string is a TOML string.
    quoted = {word: json.dumps(options[word]) for word in ("root_id", "configuration")}
    text = CONFIG.format(**{**options, **quoted, "folder": folder, "name": name,
                            "pause": "hold" if options["hold"] else "stop"})
    pathlib.Path(folder, "lockgate.toml").write_text(text)
    os.execvp(options["binary"], [options["binary"], "edge", "--config", f"{folder}/lockgate.toml"])


if __name__ == "__main__":
    main()
