"""promtool's check of /metrics, of the edge and of the connector, after requests of several kinds.

The base is what is asked for: no finding at all.
"""

import http.client
import http.server
import threading
import urllib.error
import urllib.request

from place import ADDRESS, Way, listening, port
from verdict import Result

WHAT = "promtool check metrics on the edge's and the connector's /metrics"
EXCEPTIONS = {}


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status = int(self.path.strip("/") or 200)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def run(place, effort):
    promtool = place.tool("promtool", "prometheus")
    server = http.server.ThreadingHTTPServer((ADDRESS, 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    inside = port()
    way = Way(place, f"http://{ADDRESS}:{server.server_port}", 120, connector=f'admin = "{ADDRESS}:{inside}"')
    listening(inside, way.connector)
    for status in (200, 204, 301, 404, 500) * 4:
        connection = http.client.HTTPConnection(ADDRESS, way.http, timeout=10)
        connection.request("GET", f"/{status}")
        assert connection.getresponse().status == status
        connection.close()
    connection = http.client.HTTPConnection(ADDRESS, way.http, timeout=10)
    connection.request("GET", "/", headers={"Host": "nowhere.example"})
    assert connection.getresponse().status == 404
    connection.close()
    server.shutdown()
    server.server_close()
    found, notes = {}, []
    for name, number in (("edge", way.admin), ("connector", inside)):
        with urllib.request.urlopen(f"http://{ADDRESS}:{number}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        code, said = place.run(f"promtool-{name}", [promtool, "check", "metrics"], 30, accept=None, text=text)
        found[f"{name}'s /metrics"] = "pass" if code == 0 and not said.strip() else "failed"
        samples = [line for line in text.splitlines() if line and not line.startswith("#")]
        families = text.count("# TYPE ")
        notes.append(f"{name}: {families} metrics, {len(samples)} samples. {' '.join(said.split())[:400]}".strip())
    return Result(dict.fromkeys(found, "pass"), {"scraped": found}, "asked for", {"promtool": place.package_version("prometheus")}, notes)
