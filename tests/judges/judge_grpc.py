"""gRPC's interop cases with grpcio on both ends: TLS and HTTP/2 in front, h2c to the backend.

Trailers, trailers-only answers, binary metadata, cancellation and deadlines that reach the server,
messages of megabytes, many streams at once. There is no packaged suite; the cases are those of the
interop list, and what proxies break besides, in servers/grpc_cases.py.
"""

import json

from place import ADDRESS, HERE, Way, listening, port
from verdict import Result

WHAT = "gRPC interop cases with grpcio: unary, streams, cancel, deadline, metadata, over HTTP/2"
EXCEPTIONS = {}


def run(place, effort):
    python = place.python("grpc", ["grpcio"])
    backend = port()
    argv = [python, str(HERE / "servers" / "grpc_server.py"), str(backend)]
    listening(backend, place.spawn("server", argv, 300))
    way = Way(place, f"http://{ADDRESS}:{backend}", 300, app='backend_protocol = "h2c"')

    def verdicts(name, target, trust):
        script = str(HERE / "servers" / "grpc_cases.py")
        _, said = place.run(f"cases-{name}", [python, script, target, trust], 120)
        return json.loads(said.strip().splitlines()[-1])

    base = verdicts("direct", f"{ADDRESS}:{backend}", "")
    ways = {"https, HTTP/2": verdicts("https", f"localhost:{way.https}", str(way.trust))}
    return Result(base, ways, versions=place.versions(python, "grpcio"))
