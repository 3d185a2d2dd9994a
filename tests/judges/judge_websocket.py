"""Autobahn's WebSocket cases, run by kosoku: W01 of the list of hostile HTTP/1.

An echo server of the `websockets` package is judged directly and over four ways through the path.
kosoku speaks only ws://, so TLS and HTTP/2 are added by servers/ws_bridge.py.
"""

from place import ADDRESS, HERE, Way, listening, load_json, port
from verdict import Result

WHAT = "Autobahn's WebSocket cases (kosoku) over ws, wss and HTTP/2 (RFC 8441)"
# In twelve direct runs the same cases came out either way: 3.4 twice OK, 3.2 and 4.1.5 once, else NON-STRICT.
RACE = ("the echo server's own race, direct runs differ as well: whether it echoes the message before the broken frame "
        "depends on what it gets with one read")
EXCEPTIONS = {("*", f"{case}.[2345]", "NON-STRICT, close OK"): RACE for case in ("3", "4.1", "4.2")}
PACKAGES = ["kosoku", "websockets", "h2"]
# 9 (limits and speed), 12 and 13 (compression) are 270 of the 517 cases and nearly all of the time; usually
# the first of each of their kinds is asked.
HEAVY = ["9.*", "12.*", "13.*"]
SAMPLE = [f"{part}.{kind}.1" for part, kinds in ((9, 8), (12, 5), (13, 7)) for kind in range(1, kinds + 1)]


def run(place, effort):
    python = place.python("websocket", PACKAGES)
    limit = (400, 1200, 4000)[effort]
    echo = port()
    listening(echo, place.spawn("echo", [python, str(HERE / "servers" / "ws_echo.py"), str(echo)], limit))
    way = Way(place, f"http://{ADDRESS}:{echo}", limit)

    def bridge(how):
        number = port()
        argv = [python, str(HERE / "servers" / "ws_bridge.py"), how, str(number), str(way.https), str(way.trust)]
        listening(number, place.spawn(f"bridge-{how}", argv, limit))
        return number

    ways = {"ws": way.http, "wss": bridge("tls"), "HTTP/2": bridge("h2")}
    base = verdicts(place, python, "direct", echo, effort)
    got = {name: verdicts(place, python, name.replace("/", ""), number, effort) for name, number in ways.items()}
    return Result(base, got, versions=place.versions(python, *PACKAGES))


def verdicts(place, python, name, number, effort):
    kosoku = python.removesuffix("python") + "kosoku"
    light = [word for case in HEAVY for word in ("-x", case)]
    sample = [word for case in SAMPLE for word in ("-i", case)]
    found = {}
    for part, select in enumerate(([light], [light, ["-p", "2", *sample]], [["-p", "2"]])[effort]):
        out = place.dir / f"reports-{name}-{part}"
        argv = [kosoku, "-m", "fuzzingclient", *select, "-o", str(out), f"{ADDRESS}:{number}"]
        for _ in range(2):  # kosoku has been seen to stop for ever, directly as well
            code, _ = place.run(f"kosoku-{name}", argv, (60, 60, 900)[effort], accept=(0, 1, 124))
            if code != 124:
                break
        for agent in load_json(out / "index.json").values():
            for case, row in agent.items():
                found[case] = f"{row['behavior']}, close {row['behaviorClose']}"
    return found
