"""Where judges work: processes with a time limit, environments, ports, and the path itself.

Every process is started in a session of its own behind `timeout`, is remembered, and is ended by its
own number; nothing else is ever ended. Everything that listens does so on 127.0.0.1.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ADDRESS = "127.0.0.1"
# Names and addresses under which the path's certificate is good.
CERTIFICATE_NAMES = "DNS:localhost,IP:127.0.0.1"


class NotRun(Exception):
    """A judge that cannot be had here, and why."""


class Place:
    """The working directory of one judge and what was started in it."""

    def __init__(self, work, binary, name):
        self.work = Path(work)
        self.binary = binary
        self.dir = self.work / name
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        self.children = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            end(child)

    def spawn(self, name, argv, limit, env=None):
        """Starts a server that lives at most `limit` seconds; what it says goes to NAME.log."""
        with open(self.dir / f"{name}.log", "ab") as log:
            child = subprocess.Popen(
                bounded(argv, limit), cwd=self.dir, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True, env={**os.environ, **(env or {})})
        self.children.append(child)
        return child

    def run(self, name, argv, limit, env=None, accept=(0,), text=None, cwd=None):
        """Runs to the end and gives (exit code, what it printed); the same goes to NAME.log."""
        done = subprocess.run(
            bounded(argv, limit), cwd=cwd or self.dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            input=text, stdin=subprocess.DEVNULL if text is None else None, text=True, errors="replace",
            start_new_session=True, env={**os.environ, **(env or {})})
        with open(self.dir / f"{name}.log", "a") as log:
            log.write(done.stdout)
        if accept is not None and done.returncode not in accept:
            raise NotRun(f"{name} ended with {done.returncode}: {last_line(done.stdout)}")
        return done.returncode, done.stdout

    def python(self, name, packages):
        """The interpreter of an environment that holds `packages`; made when it is not there."""
        env = self.work / f"venv-{name}"
        python, mark = env / "bin" / "python", env / "judges-packages"
        wanted = "\n".join(packages)
        if not (mark.exists() and mark.read_text() == wanted):
            self.run("install", [sys.executable, "-m", "venv", str(env)], 120)
            if packages:
                self.run("install", [str(python), "-m", "pip", "install", "-q", *packages], 400)
            mark.write_text(wanted)
        return str(python)

    def versions(self, python, *names):
        """What is installed, as {name: version}."""
        code = "import sys, importlib.metadata as m; print(*[m.version(n) for n in sys.argv[1:]])"
        _, out = self.run("versions", [python, "-c", code, *names], 30)
        return dict(zip(names, out.split()))

    def tool(self, program, package):
        """A program of Debian's, installed when it is missing and that is allowed."""
        found = shutil.which(program)
        if not found and shutil.which("apt-get") and os.geteuid() == 0:
            apt = ["apt-get", "install", "-y", "--no-install-recommends", package]
            self.run("install", apt, 400, env={"DEBIAN_FRONTEND": "noninteractive"}, accept=None)
            found = shutil.which(program)
        if not found:
            raise NotRun(f"{program} is not installed (Debian's package {package})")
        return found

    def package_version(self, package):
        code, out = self.run("versions", ["dpkg-query", "-W", "-f", "${Version}", package], 30, accept=None)
        return out.strip() if code == 0 else "?"

    def certificate(self):
        """A certificate of 30 days for this machine's own names, its key, and the authority to trust."""
        cert, key, authority = (self.dir / name for name in ("cert.pem", "key.pem", "authority.pem"))
        if not cert.exists():
            made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "30"]
            key_usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
            self.run("openssl", [*made, "-keyout", "authority.key", "-out", authority.name, "-subj", "/CN=judges",
                                 *key_usage], 30)
            self.run("openssl", [*made, "-keyout", key.name, "-out", cert.name, "-subj", "/CN=localhost",
                                 "-CA", authority.name, "-CAkey", "authority.key",
                                 "-addext", f"subjectAltName={CERTIFICATE_NAMES}",
                                 "-addext", "basicConstraints=critical,CA:FALSE",
                                 "-addext", "keyUsage=critical,digitalSignature",
                                 "-addext", "extendedKeyUsage=serverAuth"], 30)
        return cert, key, authority


class Way:
    """Edge and connector as two processes, an app for each scheme, all leading to one backend."""

    def __init__(self, place, backend, limit, app="", edge="", connector="", hosts=()):
        self.http, self.https, self.admin = port(), port(), port()
        cert, key, self.trust = place.certificate()
        config = place.dir / "edge.toml"
        text = (
            f'data_dir = "edge"\npublic_address = "{ADDRESS}:{self.https}"\ngrace_period = "1s"\n\n'
            f'[listen]\nhttps = "{ADDRESS}:{self.https}"\nhttp = "{ADDRESS}:{self.http}"\n'
            f'admin = "{ADDRESS}:{self.admin}"\n\n[[certificate]]\ncert = "{cert.name}"\nkey = "{key.name}"\n\n{edge}\n')
        urls = {
            "plain": f"http://{ADDRESS}:{self.http}/", "secure": f"https://{ADDRESS}:{self.https}/",
            "named": f"https://localhost:{self.https}/"}
        for n, host in enumerate(hosts):
            urls |= {f"plain{n}": f"http://{host}/", f"secure{n}": f"https://{host}/"}
        for name, url in urls.items():
            text += f'\n[[app]]\nname = "{name}"\nexternal_url = "{url}"\ninternal_url = "{backend}/"\n{app}\n'
        config.write_text(text)
        self.plain, self.secure, self.named = urls["plain"], urls["secure"], urls["named"]
        place.run("config", [place.binary, "config", "check", str(config)], 30)
        edge = place.spawn("edge", [place.binary, "edge", "--config", str(config)], limit)
        listening(self.https, edge)
        token = [place.binary, "token", "create", "--name", "judge", "--config", str(config)]
        with subprocess.Popen(token, cwd=place.dir, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as made:
            words = made.communicate(timeout=30)[0].split()
        (place.dir / "connector.toml").write_text(
            f'data_dir = "connector"\ngrace_period = "1s"\n{connector}\n[dial]\nallow = ["localhost"]\n')
        argv = [place.binary, "connector", "--config", "connector.toml"]
        self.connector = place.spawn("connector", argv, limit, env={"LOCKGATE_JOIN": max(words, key=len)})
        self.edge = edge
        wait("the link", self.linked, self.connector)

    def linked(self):
        with urllib.request.urlopen(f"http://{ADDRESS}:{self.admin}/status", timeout=2) as answer:
            return all(group["links_up"] for group in json.load(answer)["groups"])


def bounded(argv, limit):
    """A command that ends by itself, and is nice to others."""
    return ["timeout", "-k", "5", str(limit), "nice", "-n", "5", *argv]


def end(child):
    """Ends a process that we started, with the session that is its own."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            try:
                os.killpg(child.pid, how)
                child.wait(8)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass


def port():
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return probe.getsockname()[1]


def listening(number, child, seconds=60):
    """Waits until somebody listens there."""
    def there():
        with socket.create_connection((ADDRESS, number), 1):
            return True
    wait(f"a listener on {number}", there, child, seconds)


def wait(what, done, child, seconds=20):
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        if child.poll() is not None:
            raise RuntimeError(f"not there: {what}; its process ended with {child.returncode}")
        try:
            if done():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"not in time: {what}")


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "nothing said"


def load_json(path):
    return json.loads(Path(path).read_text())
