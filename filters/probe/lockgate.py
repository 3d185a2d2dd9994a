#!/usr/bin/env python3
"""Becomes a Lockgate edge with the probe as its one filter, for `envoy.py --command`.

    envoy.py --command 'lockgate.py BINARY {listen} {backend} {dead} {wasm}' --wasm W --log FILE --out FILE

`hold` as a fifth word sets `headers_pause = "hold"`. Writes its configuration beside the module's copy in a new
directory below the system's own for temporary files. Ends only by being ended: it is the proxy's process.
"""

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

[[app]]
name = "probe"
external_url = "http://probe.example/"
internal_url = "http://{backend}/"
group = "local"
translate_urls_in_headers = false
filters = ["probe"]

[filter.probe]
module = "{folder}/probe.wasm"
root_id = "probe_root"
configuration = "plugin configuration"
vm_configuration = "vm configuration"
request_body = "stream"
response_body = "stream"
headers_pause = "{pause}"
header_bytes = "raw"
upstreams = {{ callout = "http://{backend}", dead = "http://{dead}" }}

[filter.probe.limits]
log_lines_per_second = 100000
header_deadline = "1s"
body_deadline = "1s"

[filter.probe.capabilities]
shared_data = true
queues = true
protected_headers = ["authorization", "cookie", "set-cookie", "x-forwarded-for", "x-forwarded-proto"]
"""


def main():
    """Writes the configuration and becomes the edge."""
    binary, listen, backend, dead, wasm, *rest = sys.argv[1:]
    folder = tempfile.mkdtemp(prefix="lockgate-probe-")
    shutil.copy(wasm, pathlib.Path(folder, "probe.wasm"))
    pause = "hold" if "hold" in rest else "stop"
    text = CONFIG.format(folder=folder, listen=listen, backend=backend, dead=dead, pause=pause)
    pathlib.Path(folder, "lockgate.toml").write_text(text)
    arguments = [binary, "edge", "--config", f"{folder}/lockgate.toml"]
    os.execvp(binary, arguments)


if __name__ == "__main__":
    main()
