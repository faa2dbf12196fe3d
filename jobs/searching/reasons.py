"""Why a photo stands where it does, in words."""

from __future__ import annotations

from jobs.report.names import FEATURES, SOURCES
from models.rerank.live import Reason

_MOST = 3


def sentence(reason: Reason) -> str:
    """Return who named the photo, and the features that moved it most, each with what it added to the score.

    >>> sentence(Reason(("vector", "keywords"), {"photo_age_days": (3.0, -0.25), "device": (1.0, 0.0)}))
    'named by closeness, keyword match; age of the photo -0.25'
    """
    named = "named by " + ", ".join(SOURCES[source] for source in reason.sources)
    strongest = sorted(reason.features.items(), key=lambda item: -abs(item[1][1]))[:_MOST]
    moved = [f"{_lower(FEATURES[name])} {added:+.2f}" for name, (_, added) in strongest if added]
    return "; ".join([named, ", ".join(moved)] if moved else [named])


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
