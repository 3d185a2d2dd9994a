"""Compares two logs of the probe, section by section and call by call, against a list of documented deviations.

Refuses to be lenient: a difference is either matched by a line of the deviations file or reported, and a line of that
file which matched nothing is reported too, so that the list cannot rot.

A deviations file has lines `SECTIONS | KIND | PATTERN | REASON`, `#` for comments. SECTIONS and PATTERN are regular
expressions that must match from the beginning. KIND is

    changed   the same call, another result; PATTERN matches "call: result in A => result in B"
    only-a    a line that is in A only
    only-b    a line that is in B only
    race      a line whose being there depends on timing: it is taken out of both logs; one of them has it
"""

import difflib
import pathlib
import re


def sections(path):
    """The sections of a log: name and lines."""
    found = {}
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith("=== "):
            found[line[4:]] = []
        elif found:
            list(found.values())[-1].append(line)
    return found


def key(line):
    """What identifies a call: everything before its result."""
    if line.startswith("client "):
        return "client"
    if line.startswith("backend "):
        return " ".join(line.split(" ", 3)[:3])
    return line.split(" -> ", 1)[0]


def differences(a, b):
    """Pairs of lines that differ; `None` where one side has no such call."""
    matcher = difflib.SequenceMatcher(None, [key(line) for line in a], [key(line) for line in b], autojunk=False)
    for kind, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        if kind == "equal":
            yield from ((x, y) for x, y in zip(a[a_from:a_to], b[b_from:b_to]) if x != y)
        else:
            yield from ((x, None) for x in a[a_from:a_to])
            yield from ((None, y) for y in b[b_from:b_to])


def parse_deviations(path):
    """The documented deviations."""
    rules = []
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines() if path else [], 1):
        if line.strip() and not line.startswith("#"):
            parts = [part.strip() for part in line.split(" | ", 3)]
            if len(parts) != 4 or parts[1] not in ("changed", "only-a", "only-b", "race"):
                raise SystemExit(f"{path}, line {number}: not SECTIONS | KIND | PATTERN | REASON")
            rules.append({"sections": parts[0], "kind": parts[1], "pattern": parts[2], "reason": parts[3], "used": 0})
    return rules


def without_races(name, lines, rules):
    """The lines that do not depend on timing."""
    left = []
    for line in lines:
        race = next((rule for rule in rules if rule["kind"] == "race" and re.match(rule["sections"], name)
                     and re.match(rule["pattern"], line)), None)
        if race:
            race["used"] += 1
        else:
            left.append(line)
    return left


def describe(a, b):
    """Kind and text of a difference, as a deviation matches it."""
    if a is None:
        return "only-b", b
    if b is None:
        return "only-a", a
    if " -> " in a:
        return "changed", f"{key(a)}: {a.split(' -> ', 1)[1]} => {b.split(' -> ', 1)[1]}"
    return "changed", f"{key(a)}: {a} => {b}"


def report(path_a, path_b, deviations):
    """Prints the differences nobody documented; the exit code."""
    a, b, rules, failures = sections(path_a), sections(path_b), parse_deviations(deviations), 0
    for name in list(a) + [name for name in b if name not in a]:
        if name not in a or name not in b:
            print(f"=== {name}: only in {path_a if name in a else path_b}")
            failures += 1
            continue
        for pair in differences(*(without_races(name, log[name], rules) for log in (a, b))):
            kind, text = describe(*pair)
            rule = next((rule for rule in rules if rule["kind"] == kind and re.match(rule["sections"], name)
                         and re.match(rule["pattern"], text)), None)
            if rule:
                rule["used"] += 1
            else:
                failures += 1
                print(f"{name} | {kind} | {text}")
    for rule in rules:
        print(f"deviation used {rule['used']} times: {rule['reason']}")
        failures += rule["used"] == 0
    print(f"{failures} undocumented differences or unused deviations")
    return 1 if failures else 0
