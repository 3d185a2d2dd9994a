"""litmus, the usual WebDAV test suite, against WsgiDAV behind the path.

What breaks behind proxies is the absolute `Destination:` of COPY and MOVE, `If:` with URLs, locks, and
bodies after 100-continue: a plain nginx keeps 7 of the 13 cases of `copymove`.
"""

import re

from place import ADDRESS, HERE, Way, listening, port
from verdict import Result

WHAT = "litmus, WebDAV's test suite: basic, copymove, props, locks, http"
EXCEPTIONS = {("https", "http 2 expect100"): "litmus itself leaves this case out over TLS"}
PACKAGES = ["wsgidav", "cheroot"]
# "13. put_no_segment...... FAIL (text)", also after a line of warnings.
LINE = re.compile(r"^\s*(\d+)\. (\w+)\.* (pass|FAIL|SKIPPED|WARNING)", re.MULTILINE)
WORDS = {"pass": "pass", "FAIL": "failed", "SKIPPED": "skipped", "WARNING": "pass"}


def run(place, effort):
    litmus = place.tool("litmus", "litmus")
    python = place.python("webdav", PACKAGES)
    backend, root = port(), place.dir / "root"
    root.mkdir()
    argv = [python, str(HERE / "servers" / "webdav.py"), str(backend), str(root)]
    listening(backend, place.spawn("webdav", argv, 400))
    way = Way(place, f"http://{ADDRESS}:{backend}", 400)
    base = verdicts(place, litmus, "direct", f"http://{ADDRESS}:{backend}/")
    ways = {name: verdicts(place, litmus, name, url) for name, url in (("http", way.plain), ("https", way.named))}
    versions = {"litmus": place.package_version("litmus"), **place.versions(python, *PACKAGES)}
    return Result(base, ways, versions=versions)


def verdicts(place, litmus, name, url):
    _, said = place.run(f"litmus-{name}", [litmus, "-k", url], 150, accept=(0, 1))
    found = {}
    for part in re.split(r"^-> running ", said, flags=re.MULTILINE)[1:]:
        suite = re.match(r"`?(\w+)", part)[1]
        for number, case, word in LINE.findall(part.replace("\r", "\n")):
            found[f"{suite} {number} {case}"] = WORDS[word]
    return found
