"""What people read for the keys of the datasets: `names.toml`, in which the order of a group is that of the report."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs.errors import BadInput
from jobs.report.charts import Shape

_WORDS: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "names.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Arm:
    """An arm, variant or method: `key` is its name in the datasets, `css` gives it its colour, the same everywhere."""

    key: str
    name: str
    meaning: str
    css: str = "variant"
    shape: Shape = "circle"

    @property
    def is_counting(self) -> bool:
        """Whether it has no neural model."""
        return self.shape == "diamond"


def _group(group: str, known: Mapping[str, Arm]) -> dict[str, Arm]:
    """Return a group of arms by key; words that it lacks are those of `known`."""
    words = _WORDS[group].items()
    return {key: replace(known[key], **own) if key in known else Arm(key, **own) for key, own in words}


ARMS = {key: Arm(key, css=f"arm-{key.replace('_', '-')}", **own) for key, own in _WORDS["arms"].items()}
VARIANTS = _group("variants", ARMS)
SIMILAR = _group("similar", ARMS)
METHODS = _group("methods", {})
PROTOCOLS, TRUTHS, SOURCES, FEATURES, CHECKS = (
    _WORDS[group] for group in ("protocols", "truths", "sources", "features", "checks")
)
METRICS, QUERY_METRICS, SIMILAR_METRICS, SLICES = (
    _WORDS[group] for group in ("metrics", "query_metrics", "similar_metrics", "slices")
)
"""Name or title, and meaning."""
HEADLINE, ADVICE, JUDGEMENTS = (_WORDS[group] for group in ("headline", "advice", "judgements"))


def arm(key: str) -> Arm:
    """Return the arm of that key; `BadInput` if the report does not know how to call it."""
    return _look_up("arm", ARMS, key)


def variant(key: str) -> Arm:
    """Return the variant of that key; `BadInput` if the report does not know how to call it."""
    return _look_up("variant", VARIANTS, key)


def similar_arm(key: str) -> Arm:
    """Return an arm as it finds similar photos: one of the ablation is told by what it is a variant of."""
    if key in SIMILAR:
        return SIMILAR[key]
    known = variant(key)
    return replace(known, meaning=f"The full arm, but: {known.meaning}", shape="square")


def _look_up(kind: str, known: Mapping[str, Arm], key: str) -> Arm:
    if key not in known:
        raise BadInput(
            "no_name_in_report",
            f"the report has no name for {kind} {key!r}; it knows {sorted(known)}. "
            "Describe it in jobs/report/names.toml.",
            key=key,
        )
    return known[key]


def in_order(keys: Iterable[str]) -> list[Arm]:
    """Return the arms of these keys in the order of the report: counting first, then models, the champion last."""
    places = list(ARMS)
    return sorted((arm(key) for key in set(keys)), key=lambda one: places.index(one.key))
