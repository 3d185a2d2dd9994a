"""varnishtest, the language that Varnish's and HAProxy's own tests are written in.

Its client and its server stand at the two ends: each script in vtc/ must hold when they are connected
directly, and again with the path between them.
"""

from place import ADDRESS, HERE, Way, port
from verdict import Result

WHAT = "varnishtest scripts: HTTP/1 between its client and its server"
EXCEPTIONS = {}


def run(place, effort):
    varnishtest = place.tool("varnishtest", "varnish")
    backend = port()
    way = Way(place, f"http://{ADDRESS}:{backend}", 300)
    scripts = sorted((HERE / "vtc").glob("*.vtc"))

    def verdicts(name, number):
        found = {}
        for script in scripts:
            macros = {"listen": f"{ADDRESS}:{backend}", "connect": f"{ADDRESS}:{number}", "host": f"{ADDRESS}:{number}"}
            words = [word for key, value in macros.items() for word in ("-D", f"{key}={value}")]
            code, _ = place.run(name, [varnishtest, "-t", "15", *words, str(script)], 30, accept=None)
            found[script.stem] = "pass" if code == 0 else "failed"
        return found

    base = verdicts("direct", backend)
    return Result(base, {"http": verdicts("http", way.http)}, versions={"varnish": place.package_version("varnish")})
