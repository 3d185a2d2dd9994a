"""Autobahn's WebSocket cases, run by kosoku: W01 of the list of hostile HTTP/1.

An echo server of the `websockets` package is judged directly and over four ways through the path.
kosoku speaks only ws://, so TLS and HTTP/2 are added by servers/ws_bridge.py.
"""

from place import ADDRESS, HERE, Way, listening, load_json, port
from verdict import Result

WHAT = "Autobahn's WebSocket cases (kosoku) over ws, wss and HTTP/2 (RFC 8441)"
EXCEPTIONS = {}
PACKAGES = ["kosoku", "websockets", "h2"]
# 9 (limits and speed), 12 and 13 (compression) are 270 of the 517 cases and nearly all of the time.
HEAVY = ["9.*", "12.*", "13.*"]


def run(place, quick):
    python = place.python("websocket", PACKAGES)
    limit = 300 if quick else 1500
    echo = port()
    listening(echo, place.spawn("echo", [python, str(HERE / "servers" / "ws_echo.py"), str(echo)], limit))
    way = Way(place, f"http://{ADDRESS}:{echo}", limit)

    def bridge(how):
        number = port()
        argv = [python, str(HERE / "servers" / "ws_bridge.py"), how, str(number), str(way.https), str(way.trust)]
        listening(number, place.spawn(f"bridge-{how}", argv, limit))
        return number

    ways = {"ws": way.http, "wss": bridge("tls"), "HTTP/2": bridge("h2")}
    base = verdicts(place, python, "direct", echo, quick)
    got = {name: verdicts(place, python, name.replace("/", ""), number, quick) for name, number in ways.items()}
    return Result(base, got, versions=place.versions(python, *PACKAGES))


def verdicts(place, python, name, number, quick):
    kosoku = python.removesuffix("python") + "kosoku"
    select = [word for case in HEAVY for word in ("-x", case)] if quick else ["-p", "2"]
    out = place.dir / f"reports-{name}"
    place.run(f"kosoku-{name}", [kosoku, "-m", "fuzzingclient", *select, "-o", str(out), f"{ADDRESS}:{number}"],
              150 if quick else 900, accept=(0, 1))
    found = {}
    for agent in load_json(out / "index.json").values():
        for case, row in agent.items():
            found[case] = f"{row['behavior']}, close {row['behaviorClose']}"
    return found
