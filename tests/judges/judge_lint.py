"""REDbot, which reads responses as the RFCs do: fields, caching, validation, ranges, negotiation.

A dozen resources of httpbin, directly and through the path; what counts is no new warning. Error pages
that the edge makes itself are asked to have none at all.
"""

import json
from concurrent.futures import ThreadPoolExecutor

from place import ADDRESS, Way, end, listening, port
from verdict import Result

WHAT = "REDbot: no new warning about any response"
EXCEPTIONS = {}
PACKAGES = ["redbot", "httpbin", "gunicorn"]
RESOURCES = [
    "html", "json", "xml", "robots.txt", "gzip", "deflate", "brotli", "encoding/utf8", "cache", "cache/60", "etag/abc",
    "range/1024", "stream-bytes/2000?chunk_size=100", "stream/5", "drip?duration=1&numbytes=5&delay=0", "image/png",
    "redirect-to?url=%2Fget&status_code=301", "redirect/1", "absolute-redirect/1", "cookies/set?a=b", "status/204", "status/404",
    "status/418", "status/500", "basic-auth/user/pass", "response-headers?Link=%3C%2Fx%3E;rel=next&Vary=Accept",
    "response-headers?Warning=199%20x%20%22y%22&Age=3", "response-headers?X-Robots-Tag=none&Pragma=no-cache"]


def run(place, effort):
    python = place.python("lint", PACKAGES)
    backend = port()
    gunicorn = [python, "-m", "gunicorn", "-b", f"{ADDRESS}:{backend}", "-k", "gthread", "--threads", "8", "httpbin:app"]
    server = place.spawn("httpbin", gunicorn, 400)
    listening(backend, server)
    way = Way(place, f"http://{ADDRESS}:{backend}", 400)
    redbot = python.removesuffix("python") + "redbot"

    def noted(url):
        """{(subject's resource, note): level} of what is worse than information."""
        _, said = place.run("redbot", [redbot, "-o", "har", url], 40, accept=None)
        entries = json.loads(said[said.index("{"):])["log"]["entries"] if "{" in said else []
        if not entries or not entries[0]["response"].get("status"):
            return {"NO_ANSWER": "BAD"}
        notes = [note for entry in entries for note in entry["_red_messages"]]
        return {note["note_id"]: note["level"] for note in notes if note["level"] in ("WARN", "BAD")}

    def all_noted(root):
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda resource: noted(root + resource), RESOURCES))
        return {(resource, note): level for resource, notes in zip(RESOURCES, found) for note, level in notes.items()}

    direct = all_noted(f"http://{ADDRESS}:{backend}/")
    ways = {"http": all_noted(way.plain), "https": all_noted(way.secure)}
    end(server)
    own = noted(way.plain)
    seen = sorted({note for verdicts in (direct, *ways.values()) for note in verdicts})

    def cases(notes):
        found = {f"/{resource}: {note}": notes.get((resource, note), "pass") for resource, note in seen}
        quiet = [resource for resource in RESOURCES if not any(resource == name for name, _ in seen)]
        return found | {f"/{resource}": "pass" for resource in quiet}

    base = cases(direct) | {"the edge's own page (no backend)": "pass"}
    ways = {name: cases(notes) | {"the edge's own page (no backend)": ", ".join(sorted(own)) or "pass"} for name, notes in ways.items()}
    notes = [f"{len(RESOURCES)} resources; REDbot asks each again with conditions, ranges and other codings as far as they offer it.",
             "A case is a warning that any of the three answers has, or a resource without any."]
    return Result(base, ways, versions=place.versions(python, *PACKAGES[:2]), notes=notes)
