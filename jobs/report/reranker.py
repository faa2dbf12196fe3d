"""The reranker: what it learned from, how, whether it helped on held-out visitors, and what its trees look at."""

from __future__ import annotations

from typing import Any

from jobs.datasets.evaluation import EvaluationFacts
from jobs.datasets.models import RERANKER, RerankerFacts
from jobs.report import formats
from jobs.report.charts import LineChart, Series, line_chart, step_ticks, steps_of
from jobs.report.inputs import Night
from jobs.report.names import FEATURES, SOURCES, arm

MOST_FEATURES = 12


def reranker_report(night: Night) -> dict[str, Any]:
    """Return what there is to say of the night's reranker; the facts have nothing learned where there is none."""
    found = night.facts(RerankerFacts)
    if found.learned is None:
        return {"facts": found}
    recall = night.facts(EvaluationFacts).candidate_recall
    importances = night.table(RERANKER, "importances").sort("gain", "feature", descending=[True, False])
    features = [row | {"name": FEATURES.get(row["feature"], row["feature"])} for row in importances.to_dicts()]
    return {
        "facts": found,
        "base": arm(found.base_arm),
        "recall": recall,
        "sources": [(SOURCES[source], share) for source, share in recall.items() if source in SOURCES],
        "candidate_count": night.manifest(RERANKER).params["candidate_count"],
        "curve": _curve(night, found.learned.best_rounds[0]),
        "total": sum(row["gain"] for row in features),
        "features": features[:MOST_FEATURES],
        "left_out": features[MOST_FEATURES:],
    }


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
