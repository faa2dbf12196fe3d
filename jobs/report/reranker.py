"""The reranker: what it learned from, how, whether it helped on held-out visitors, and what its trees look at."""

from __future__ import annotations

from typing import Any

from jobs.datasets.models import RERANKER, RerankerFacts
from jobs.report import formats
from jobs.report.charts import LineChart, Series, line_chart, step_ticks, steps_of
from jobs.report.inputs import Night
from jobs.report.names import ARMS, FEATURES, arm

MOST_FEATURES = 12
_OF_AN_ARM = {"score": "score", "rank": "place in its ranking", "gap": "distance to its best photo"}


def reranker_report(night: Night) -> dict[str, Any]:
    """Return what there is to say of the night's reranker; the facts have nothing learned where there is none."""
    found = night.facts(RerankerFacts)
    if found.learned is None:
        return {"facts": found}
    importances = night.table(RERANKER, "importances").sort("gain", "feature", descending=[True, False])
    features = [row | {"name": feature_name(row["feature"])} for row in importances.to_dicts()]
    return {
        "facts": found,
        "base": arm(found.base_arm),
        "candidate_count": night.manifest(RERANKER).params["candidate_count"],
        "curve": _curve(night, found.learned.best_rounds[0]),
        "total": sum(row["gain"] for row in features),
        "features": features[:MOST_FEATURES],
        "left_out": features[MOST_FEATURES:],
    }


def feature_name(feature: str) -> str:
    """Return a feature as people read it.

    >>> feature_name("zero_shot_rank"), feature_name("photo_age_days")
    ('Zero-shot base: place in its ranking', 'Age of the photo')
    """
    if feature in FEATURES:
        return str(FEATURES[feature])
    key, _, what = feature.rpartition("_")
    return f"{ARMS[key].name}: {_OF_AN_ARM[what]}" if key in ARMS and what in _OF_AN_ARM else feature


def _curve(night: Night, best: int) -> LineChart:
    """Return nDCG@10 by round on the searches learned from and on the held-out ones, with the round that was kept."""
    curves = night.table(RERANKER, "curves")
    learned, held_out = (steps_of(curves.filter(searches=searches)) for searches in ("training", "held_out"))
    series = [
        Series("Searches it learns from", "trend", learned),
        Series("Searches of held-out visitors", "arm-reranked", held_out, best - 1),
    ]
    ends = (f"{s.name}: from {formats.score(s.points[0][1])} to {formats.score(s.points[-1][1])}" for s in series)
    return line_chart(
        "reranker-curve",
        "nDCG@10 by round of training, first of the models",
        "; ".join(ends) + f". Kept was round {best}.",
        series,
        x_ticks=step_ticks(len(learned), least=1),
        x_label="round, a tree each",
        format_tick="{:g}".format,
        format_value=formats.score,
    )
