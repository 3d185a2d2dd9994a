"""slowhttptest: hundreds of clients that send or read as slowly as they can.

Asked for: the service answers all the while, to slowhttptest's own probe and to a client of ours whose
slow answers are counted; and the edge closes the attackers' connections before the test ends. That is
read from the kernel's table of sockets: a slow reader does not notice a reset before it has read what
had come, and slowhttptest goes on to call it connected.
"""

import csv
import http.client
import sys
import threading
import time

from place import ADDRESS, HERE, Way, listening, port
from verdict import Result

WHAT = "slowhttptest: slow heads, slow bodies, slow reading, ranges"
EXCEPTIONS = {}
CROWD, SECONDS = 300, 28
# Sockets of the link, of probes and of our own client.
OTHERS = 10
LIMITS = '[limits]\nhead_timeout = "5s"\nbody_idle_timeout = "5s"\nidle_timeout = "10s"'
ATTACKS = {
    # -i is longer than the limit of silence, so that a body is cut; heads are cut however often they go on.
    "slow heads": ["-H", "-i", "2"],
    "slow bodies": ["-B", "-i", "9", "-s", "8192"],
    "slow reading": ["-X", "-w", "1", "-y", "16", "-n", "9", "-z", "1"],
    "ranges": ["-R", "-t", "HEAD", "-a", "5", "-b", "500"],
}


def run(place, effort):
    tool = place.tool("slowhttptest", "slowhttptest")
    backend = port()
    listening(backend, place.spawn("backend", [sys.executable, str(HERE / "servers" / "quick.py"), str(backend)], 400))
    way = Way(place, f"http://{ADDRESS}:{backend}", 400, edge=LIMITS)
    found, notes = {}, []
    for name, words in ATTACKS.items():
        for scheme, url in (("http", way.plain), ("https", way.named)):
            if scheme == "https" and name != "slow heads":
                continue
            title = f"{name}, {scheme}"
            out = title.replace(", ", "-").replace(" ", "-")
            size = "2000000" if name == "slow reading" else ""
            argv = [tool, *words, "-c", str(CROWD), "-r", "200", "-l", str(SECONDS), "-p", "3", "-g", "-o", out, "-u", url + size]
            with Client(way.http, way.https) as client:
                _, said = place.run(out, argv, SECONDS + 20, accept=None)
            with open(place.dir / f"{out}.csv") as rows:
                rows = list(csv.DictReader(rows, skipinitialspace=True))
            down = [row for row in rows if int(row["Service Available"]) == 0]
            most = max(int(row["Connected"]) for row in rows)
            found[f"{title}: the service is there"] = "pass" if rows and not down else "failed"
            found[f"{title}: others are served"] = "pass" if client.failed == 0 and client.asked > 10 else "failed"
            over = len(rows) - 1
            gone = over if "No open connections left" in said else client.gone(over)
            found[f"{title}: attackers are closed"] = "failed" if gone is None else "pass"
            notes.append(f"{title}: at most {most} of {CROWD} at once, the last closed after {gone or '?'} s; our client asked "
                         f"{client.asked} times, {client.failed} failed, slowest {client.slowest * 1000:.0f} ms.")
    notes.append("The edge ran with head_timeout, body_idle_timeout 5 s and idle_timeout 10 s instead of 10, 60 and 75 s, to end sooner.")
    version = {"slowhttptest": place.package_version("slowhttptest")}
    return Result(dict.fromkeys(found, "pass"), {"path": found}, "asked for", version, notes)


class Client:
    """Somebody else, who asks ten times a second on connections of its own."""

    def __init__(self, number, *more):
        self.number, self.asked, self.failed, self.slowest = number, 0, 0, 0.0
        self.ports = {f"{one:04X}" for one in (number, *more)}
        self.held = []
        self.began = time.monotonic()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.ask, daemon=True)

    def ask(self):
        while not self.over.wait(0.1):
            began = time.monotonic()
            self.held.append((began - self.began, self.sockets()))
            self.asked += 1
            try:
                connection = http.client.HTTPConnection(ADDRESS, self.number, timeout=5)
                connection.request("GET", "/100")
                answer = connection.getresponse()
                self.failed += answer.status != 200 or len(answer.read()) != 100
                connection.close()
            except OSError:
                self.failed += 1
            self.slowest = max(self.slowest, time.monotonic() - began)

    def sockets(self):
        """How many sockets the edge holds: all but its listeners (0A) and those long over (06)."""
        with open("/proc/net/tcp") as table:
            rows = [line.split() for line in table][1:]
        return sum(row[1].split(":")[1] in self.ports and row[3] not in ("06", "0A") for row in rows)

    def gone(self, seconds):
        """When the last attacker was closed, the tool's own end not counted; a few sockets are other people's."""
        before = [(at, held) for at, held in self.held if at < seconds]
        crowded = [at for at, held in before if held > OTHERS]
        return round(crowded[-1], 1) if crowded and before[-1][1] <= OTHERS else None if crowded else 0.1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(10)
