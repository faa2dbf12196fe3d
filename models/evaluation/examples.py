"""Which queries a person is shown. Only the choice: no ranking, no drawing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A query that may be shown, one per distinct text; `row` is the caller's number for it."""

    row: int
    text: str
    country: str
    is_failure: bool
    is_new_photo: bool

    @property
    def kind(self) -> str:
        """A failure, or else a success with a new photo, or else a plain success."""
        return "failure" if self.is_failure else "new" if self.is_new_photo else "plain"


def choose_examples(candidates: Sequence[Example], count: int) -> list[Example]:
    """Return up to `count` examples: half plain successes, then a quarter with new photos, then a quarter failures.

    Within a kind the country shown least so far comes next (of those the one with most candidates), then the hash of
    country and text decides, so that the choice is stable, diverse and not picked by hand. Where a kind has too few,
    others fill up.
    """
    quarter = count // 4
    frequency = Counter(example.country for example in candidates)
    digest = {e.row: hashlib.sha256(f"{e.country}: {e.text}".encode()).hexdigest() for e in candidates}
    shown: Counter[str] = Counter()
    left = {example.row: example for example in candidates}
    chosen: list[Example] = []
    for kind in ["plain"] * (count - 2 * quarter) + ["new"] * quarter + ["failure"] * quarter:
        pool = [example for example in left.values() if example.kind == kind] or list(left.values())
        if not pool:
            break
        best = min(pool, key=lambda e: (shown[e.country], -frequency[e.country], e.country, digest[e.row]))
        shown[best.country] += 1
        chosen.append(left.pop(best.row))
    return chosen
