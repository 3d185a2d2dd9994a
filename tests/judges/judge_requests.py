"""The test suite of Python's requests, whose server (httpbin) stands behind the path.

Redirects, cookies, digest and basic authentication, encodings, chunked uploads, streaming: what a
client library that everybody uses takes for granted. Left out are tests that bring their own
server (TLS of their own, raw chunks) and those that dial an address of another network.
"""

import tarfile
import xml.etree.ElementTree as ElementTree

from place import ADDRESS, HERE, NotRun, Way, listening, port
from verdict import Result

WHAT = "the tests of the requests library, with httpbin behind the path"
EXCEPTIONS = {
    ("*", "*.test_proxy_authorization_preserved_on_request"):
        "Proxy-Authorization is for the next proxy, which the edge is; it is not passed on (RFC 9110, 11.7.2)",
}
for test in ("mixed_case_scheme_acceptable*", "respect_proxy_env_on_*", "basicauth_with_netrc_leak", "uppercase_scheme_redirect"):
    EXCEPTIONS["https", f"test_requests.TestRequests.test_{test}"] = "the test itself takes its server's URL for http://"
EXCEPTIONS["https", "test_requests.test_urllib3_retries"] = "the test asks for retries of http:// only"
EXCEPTIONS["https", "*.test_http_with_certificate"] = "the test offers a directory as a client certificate, which only http:// ignores"
PACKAGES = ["requests[socks]", "httpbin", "gunicorn", "pytest", "pytest-mock", "trustme", "setuptools", "wheel"]
NOT_OURS = " and ".join(f"not {word}" for word in (
    "secure", "mtls", "https", "ssl", "proxy_error_on_bad_url", "certificate_failure", "invalid_ca_certificate", "http_downgrade",
    "chunk_encoding", "connect_timeout", "total_timeout_connect"))
# One test asks for this host, whatever the server's name is.
HOST = "httpbin.org"


def run(place, effort):
    python = place.python("requests", PACKAGES)
    versions = place.versions(python, "requests", "httpbin", "gunicorn", "pytest")
    tests = sources(place, python, versions["requests"])
    backend = port()
    gunicorn = [python, "-m", "gunicorn", "-b", f"{ADDRESS}:{backend}", "-k", "gthread", "--threads", "8", "httpbin:app"]
    listening(backend, place.spawn("httpbin", gunicorn, 600))
    way = Way(place, f"http://{ADDRESS}:{backend}", 600, hosts=[HOST])
    base = verdicts(place, python, tests, "direct", f"http://{ADDRESS}:{backend}")
    ways = {"http": verdicts(place, python, tests, "http", way.plain)}
    if effort:
        ways["https"] = verdicts(place, python, tests, "https", way.secure)
    return Result(base, ways, versions=versions)


def sources(place, python, version):
    """The suite comes with the source distribution only."""
    place.run("download", [python, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation",
                           "--no-binary", ":all:", f"requests=={version}"], 200)
    found = list(place.dir.glob("requests-*.tar.gz"))
    if not found:
        raise NotRun("no source distribution of requests")
    with tarfile.open(found[0]) as archive:
        archive.extractall(place.dir, filter="data")
    return place.dir / f"requests-{version}"


def verdicts(place, python, tests, name, url):
    report = place.dir / f"{name}.xml"
    trust = str(place.certificate()[2]) if name == "https" else ""
    place.run(f"pytest-{name}", [
        python, "-m", "pytest", "-p", "requests_plugin", "-p", "no:pytest_httpbin", "-p", "no:cacheprovider", "-o", "addopts=",
        "-q", "-k", NOT_OURS, f"--junitxml={report}", "tests"], 250, accept=(0, 1), cwd=tests,
        env={"PYTHONPATH": str(HERE / "servers"), "JUDGES_URL": url, "JUDGES_TRUST": trust})
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        bad = [part for part in case if part.tag in ("failure", "error")]
        skipped = case.find("skipped") is not None
        title = f"{case.get('classname').removeprefix('tests.')}.{case.get('name')}"
        found[title] = "failed" if bad else "skipped" if skipped else "pass"
    return found
