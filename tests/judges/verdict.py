"""What a judge hands back, and how a verdict through the path is told from a worse one."""

import fnmatch
from dataclasses import dataclass, field

# Best first; what stands in one row is equally good, what is not listed is as bad as can be.
ORDER = (("pass", "OK", "held"), ("INFORMATIONAL", "skipped"), ("NON-STRICT",))


@dataclass
class Result:
    """Verdicts of one judge: {case: verdict} of the base, and of each way through the path."""

    base: dict
    ways: dict
    base_name: str = "direct"
    versions: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)


@dataclass
class Difference:
    way: str
    case: str
    base: str
    got: str
    reason: str | None
    better: bool

    @property
    def fails(self):
        return not self.better and self.reason is None


def rank(verdict):
    """Verdicts of two parts, such as «OK, close OK», are as good as their worse part."""
    ranks = []
    for part in verdict.split(", close "):
        ranks.append(next((n for n, row in enumerate(ORDER) if part in row), len(ORDER)))
    return max(ranks)


def differences(result, exceptions):
    """Every case whose verdict is another than the base's; exceptions are {(way, case[, verdict]) patterns: reason}."""
    found = []
    for way, verdicts in result.ways.items():
        for case in sorted({*result.base, *verdicts}):
            base, got = result.base.get(case, "absent"), verdicts.get(case, "absent")
            if base != got:
                reasons = (why for patterns, why in exceptions.items()
                           if all(fnmatch.fnmatch(*pair) for pair in zip((way, case, got), patterns)))
                better = rank(got) < rank(base)
                found.append(Difference(way, case, base, got, next(reasons, None), better))
    return found
