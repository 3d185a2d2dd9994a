#!/usr/bin/env python3
"""Outside judges: suites that others trust, run against a backend directly and through Lockgate.

    python3 tests/judges/run.py                      every judge, the report into RESULTS.md
    python3 tests/judges/run.py --only websocket     one judge (again for more), its part of RESULTS.md
    python3 tests/judges/run.py --list

For each judge it starts a backend, an edge and a connector (two processes with the real link between
them), asks the judge twice, and compares verdict by verdict. It ends with 1 when a verdict through the
path is worse than the direct one and the judge's module lists no reason for it (EXCEPTIONS).

What a judge needs is installed when it is missing: Python packages into environments below --work,
Debian's only as root. A judge that cannot be had is named as not run; that is no failure.

It refuses to listen or to connect anywhere but on 127.0.0.1, to end a process it did not start, to
install anything for the whole system except Debian's packages named in the modules, and to let any
process or judge run without a time limit. It judges only the binary it is given; it builds nothing.
"""

import argparse
import datetime
import importlib
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import verdict  # noqa: E402
from place import NotRun, Place  # noqa: E402

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent
EFFORTS = (", the quick part", "", ", every case")
JUDGES = sorted(path.stem.removeprefix("judge_") for path in HERE.glob("judge_*.py"))


def main():
    options = arguments()
    modules = {name: importlib.import_module(f"judge_{name}") for name in options.only or JUDGES}
    if options.list:
        for name, module in modules.items():
            print(f"{name:12} {module.WHAT}")
        return 0
    binary = Path(options.binary).resolve()
    if not binary.is_file():
        print(f"no binary at {options.binary}: cargo build --release, or --binary PATH", file=sys.stderr)
        return 2
    work = Path(options.work).resolve()
    fails = 0
    for name, module in modules.items():
        print(f"{name}: {module.WHAT}", flush=True)
        began = time.monotonic()
        section, failed = judged(name, module, work, str(binary), options.effort)
        fails += failed
        print(f"{section}\n({time.monotonic() - began:.0f} s)\n", flush=True)
        if options.effort:
            write(name, section, Path(options.report))
    print(f"{fails} unexplained" if fails else "nothing unexplained")
    return 1 if fails else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--list", action="store_true", help="say what there is, and end")
    parser.add_argument("--only", action="append", choices=JUDGES, metavar="NAME", help="this judge; again for more")
    parser.add_argument("--binary", default=TREE / "target" / "release" / "lockgate", help="what is judged")
    parser.add_argument("--work", default=Path(tempfile.gettempdir()) / "lockgate-judges", help="environments and data")
    parser.add_argument("--quick", dest="effort", action="store_const", const=0, default=1, help="leave out what takes minutes")
    parser.add_argument("--all", dest="effort", action="store_const", const=2, help="leave out nothing; an hour")
    parser.add_argument("--report", default=HERE / "RESULTS.md", help="where the report is; not written when --quick")
    return parser.parse_args()


def judged(name, module, work, binary, effort):
    """The judge's part of the report, and how many of its verdicts have no excuse."""
    title = f"## {name}: {module.WHAT}\n\n{circumstances(binary, effort)}\n\n"
    try:
        with Place(work, binary, name) as place:
            result = module.run(place, effort)
    except NotRun as reason:
        return f"{title}Not run: {reason}\n", 0
    except Exception as failure:
        traceback.print_exc()
        return f"{title}Broke: {type(failure).__name__}: {failure}\n", 1
    found = verdict.differences(result, module.EXCEPTIONS)
    return title + report(result, found), sum(difference.fails for difference in found)


def report(result, found):
    lines = []
    if result.versions:
        lines += [", ".join(f"{name} {version}" for name, version in result.versions.items()) + ".", ""]
    lines += [f"| way | cases | same as {result.base_name} | better | worse, with a reason | worse |", "|---|---|---|---|---|---|"]
    lines.append(f"| {result.base_name} | {len(result.base)} | {tally(result.base)} | | | |")
    for way, verdicts in result.ways.items():
        here = [difference for difference in found if difference.way == way]
        better = sum(d.better for d in here)
        fails = sum(d.fails for d in here)
        same = len({*result.base, *verdicts}) - len(here)
        lines.append(f"| {way} | {len(verdicts)} | {same} | {better or ''} | {len(here) - better - fails or ''} | {fails or '0'} |")
    if found:
        lines += ["", f"| way | case | {result.base_name} | through the path | why |", "|---|---|---|---|---|"]
        for d in found:
            why = d.reason or ("better" if d.better else "**unexplained**")
            lines.append(f"| {d.way} | {d.case} | {d.base} | {d.got} | {why} |")
    if result.notes:
        lines += ["", *[f"* {note}" for note in result.notes]]
    return "\n".join(lines) + "\n"


def tally(verdicts):
    counts = {}
    for value in verdicts.values():
        counts[value] = counts.get(value, 0) + 1
    return "; ".join(f"{count} {value}" for value, count in sorted(counts.items(), key=lambda row: -row[1])[:5])


def circumstances(binary, effort):
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20).stdout.strip()
    git = ["git", "-C", str(TREE), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, timeout=20).stdout.strip()
    system = f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}"
    return f"{datetime.date.today().isoformat()}, {said} (tree {commit}), {system}{EFFORTS[effort]}."


def write(name, section, path):
    """Puts the judge's part into the report and leaves the others as they are."""
    parts = path.read_text().split("\n## ")[1:] if path.exists() else []
    parts = {part.split(":", 1)[0]: f"## {part.rstrip()}\n" for part in parts}
    parts[name] = section
    path.write_text(HEAD + "\n".join(parts[known] for known in JUDGES if known in parts))


HEAD = """# What outside judges say

<!-- Written by tests/judges/run.py; do not edit. -->

Client, edge, link, connector and backend on one machine; edge and connector are two processes. Each judge asks
the backend directly and through the path; what counts is that no verdict gets worse.

"""


if __name__ == "__main__":
    sys.exit(main())
