"""What checks have found: how many violations of each, and the first few in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

EXAMPLE_COUNT = 3


@dataclass(frozen=True)
class Violation:
    """A fault by the name of the check that holds it: one of `count` like it, in words."""

    check: str
    text: str
    count: int = 1


def findings(checks: Iterable[str], violations: Iterable[Violation], notes: dict[str, str]) -> list[dict[str, object]]:
    """Return a row for every check, in order; `notes` are what those say that passed.

    >>> findings(["corpus"], [Violation("corpus", "photos: a row is missing | photo_id=a", 9)], {})[0]["detail"]
    'photos: a row is missing | photo_id=a (9 such)'
    """
    found: dict[str, list[Violation]] = {check: [] for check in checks}
    for violation in violations:
        found[violation.check].append(violation)
    return [
        {
            "check": check,
            "status": "failed" if faults else "passed",
            "violation_count": sum(fault.count for fault in faults),
            "detail": "; ".join(map(_in_words, faults[:EXAMPLE_COUNT])) if faults else notes.get(check, ""),
        }
        for check, faults in found.items()
    ]


def _in_words(fault: Violation) -> str:
    return fault.text if fault.count == 1 else f"{fault.text} ({fault.count:,} such)"
