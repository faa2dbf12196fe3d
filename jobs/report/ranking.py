"""How well each arm ranks: the metrics, the differences, the slices."""

from __future__ import annotations

from typing import Any

import polars as pl

from jobs.config.params.arms import HOURLY_COUNTS, ZERO_SHOT
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.errors import MissingInput
from jobs.report import formats
from jobs.report.charts import DotChart, DotRow, Mark, Shape, dot_chart, percent_tick
from jobs.report.inputs import Night
from jobs.report.names import METRICS, QUERY_METRICS, SLICES, Arm, arm, in_order
from jobs.report.tables import (
    CUTOFFS,
    PERCENT,
    POINTS,
    PRIMARY,
    PRIMARY_K,
    SCORE,
    SIGNED_SCORE,
    Cell,
    Row,
    arms_chart,
    by_key,
    column,
    difference,
    side_by_side,
)

FIRST_METRICS = ("hit_rate", "map", "mrr", "ndcg")
"""Shown at once; the others follow from the hit rate."""
QUERY_PRIMARY = "ndcg"
MOST_SEGMENTS = 20
"""Segments of one kind that are drawn; the table of the others is folded: a world-wide log has 200 countries."""


class Metrics:
    """The evaluation's `metrics` table, looked up by arm, metric, k and segment."""

    def __init__(self, frame: pl.DataFrame) -> None:
        rows = by_key(frame, "arm", "metric", "k", "segment_kind", "segment")
        self._rows = {key: row for key, row in rows.items() if row["value"] is not None}
        self.arms = in_order(frame["arm"].unique())

    def segments(self, kind: str) -> list[str]:
        """Return the segments of a kind, those with most queries first."""
        counts = {key[4]: row["query_count"] for key, row in self._rows.items() if key[3] == kind}
        return sorted(counts, key=lambda segment: (-counts[segment], segment))

    def find(self, arm_key: str, metric: str, k: int, kind: str, segment: str) -> Row | None:
        """Return one row of a segment, or None if the segment has none."""
        return self._rows.get((arm_key, metric, k, kind, segment))

    def whole(self, arm_key: str, metric: str = PRIMARY, k: int = PRIMARY_K) -> Row:
        """Return one row over all queries; `MissingInput` if the arm was not evaluated."""
        found = self.find(arm_key, metric, k, "all", "all")
        if found is None:
            raise MissingInput(
                "no_such_figure",
                f"the evaluation has no {metric}@{k} of arm {arm_key!r}. Run the stage evaluate again.",
                metric=metric,
                k=k,
                arm=arm_key,
            )
        return found

    def column(self, metric: str, k: int = PRIMARY_K) -> tuple[Cell, ...]:
        """Return a metric of every arm; hit rates in percent, the others between 0 and 1."""
        rows = [self.whole(one.key, metric, k) for one in self.arms]
        return column(rows, PERCENT if metric == PRIMARY else SCORE)

    @property
    def strongest_counting(self) -> Arm:
        """The counting arm with the highest primary metric over all queries."""
        return max((one for one in self.arms if one.is_counting), key=lambda one: self.whole(one.key)["value"])


def ranking(night: Night, metrics: Metrics, challenger: str) -> dict[str, Any]:
    """Return the arms by every metric, a search or a query counting once, and their differences."""
    by_query = Metrics(night.table(EVALUATION, "query_metrics"))
    counted = by_query.whole(challenger, QUERY_PRIMARY)
    tables = {metric: _metric_table(metrics, metric, words, "of every arm") for metric, words in METRICS.items()}
    return {
        "arms": metrics.arms,
        "chart": arms_chart(
            "arms",
            "Hit rate@10 of every arm",
            [(one, metrics.whole(one.key)) for one in metrics.arms],
            challenger,
            detail="({interval})",
            note="{name}: {value}, 95% interval {interval}",
            spoken="{name}: {value} ({interval})",
        ),
        "tables": [tables[metric] for metric in FIRST_METRICS],
        "more_tables": [table for metric, table in tables.items() if metric not in FIRST_METRICS],
        "differences": differences(metrics, night.table(EVALUATION, "comparisons")),
        "query_table": side_by_side(
            by_query.arms, {f"{name}@10": by_query.column(metric) for metric, (name, _) in QUERY_METRICS.items()}
        ),
        "query_count": counted["query_count"],
        "words_count": counted["cluster_count"],
        "query_tables": [
            _metric_table(by_query, metric, words, "by query of every arm") for metric, words in QUERY_METRICS.items()
        ],
        "query_differences": differences(by_query, night.table(EVALUATION, "query_comparisons"), is_by_query=True),
    }


def _metric_table(metrics: Metrics, metric: str, words: tuple[str, str], of: str) -> dict[str, Any]:
    name, meaning = words
    columns = {f"@{k}": metrics.column(metric, k) for k in CUTOFFS}
    return side_by_side(metrics.arms, columns, name=name, meaning=meaning, title=f"{name} {of}")


def differences(metrics: Metrics, comparisons: pl.DataFrame, is_by_query: bool = False) -> dict[str, Any]:
    """Return every compared pair in the order of the report, by the main metric and two others."""
    primary, *others = (QUERY_PRIMARY, "map", "recall") if is_by_query else (PRIMARY, "mrr", "ndcg")
    found = by_key(comparisons.filter(k=PRIMARY_K), "arm", "baseline", "metric")
    arms = in_order({key for pair in found for key in pair[:2]})
    rows = []
    for one in reversed(arms):
        for baseline in arms:
            row = found.get((one.key, baseline.key, primary))
            if row is not None:
                rows.append(
                    {
                        "row": row,
                        "baseline": baseline,
                        "difference": _difference(row, primary),
                        "relative": formats.relative(row["difference"], metrics.whole(baseline.key, primary)["value"]),
                        "others": [_difference(found[one.key, baseline.key, name], name).cell for name in others],
                    }
                )
    names = [QUERY_METRICS[name][0] for name in (primary, *others)]
    return {
        "title": "Differences by query" if is_by_query else "Differences between arms",
        "name": f"{names[0]}@{PRIMARY_K}" + ("" if is_by_query else ", points"),
        "rows": rows,
        "other_metrics": names[1:],
    }


def _difference(row: Row, metric: str) -> Any:
    return difference(row, POINTS if metric == PRIMARY else SIGNED_SCORE)


_ORDER = {"head": 0, "torso": 1, "tail": 2}
"""Segments that come in an order of their own; all others by the number of searches."""
_SHAPES: tuple[Shape, ...] = ("circle", "diamond", "square", "circle")


def slices(
    metrics: Metrics, comparisons: pl.DataFrame, challenger: str, facts: EvaluationFacts
) -> list[dict[str, Any]]:
    """Return the slices: the challenger beside its rival, the strongest counting arm and zero-shot.

    Of rising queries the search with counts of the hour takes the place of zero-shot. `comparisons` is the table
    `segment_comparisons`.
    """
    known = {one.key for one in metrics.arms}
    primary = comparisons.filter(metric=PRIMARY, k=PRIMARY_K, arm=challenger)
    compared = by_key(primary, "segment_kind", "segment", "baseline")
    rising = compared.get(("query_trend", "rising", HOURLY_COUNTS))
    found = []
    for kind, (title, meaning) in SLICES.items():
        if not metrics.segments(kind):
            continue
        fourth = HOURLY_COUNTS if kind == "query_trend" and HOURLY_COUNTS in known else ZERO_SHOT
        keys = dict.fromkeys([challenger, facts.rival, metrics.strongest_counting.key, fourth])
        arms = [arm(key) for key in keys if key in known]
        segments = [
            _segment(metrics, kind, segment, arms, compared.get((kind, segment, facts.rival)))
            for segment in sorted(metrics.segments(kind), key=lambda segment: _ORDER.get(segment, 0))
        ]
        found.append(
            {
                "key": kind,
                "title": title,
                "meaning": meaning,
                "facts": facts,
                "arms": arms,
                "arms_with_shapes": list(zip(arms, _SHAPES, strict=False)),
                "rows": segments[:MOST_SEGMENTS],
                "more_rows": segments[MOST_SEGMENTS:],
                "chart": _slice_chart(kind, title, arms, segments[:MOST_SEGMENTS]),
                "rising": None if rising is None else difference(_turned(rising), POINTS),
            }
        )
    return found


def _turned(row: Row) -> Row:
    """Return a difference the other way round."""
    return {"difference": -row["difference"], "low": -row["high"], "high": -row["low"]}


def _slice_chart(kind: str, title: str, arms: list[Arm], segments: list[dict[str, Any]]) -> DotChart:
    return dot_chart(
        f"slice-{kind.replace('_', '-')}",
        f"Hit rate@10, {title[0].lower()}{title[1:]}",
        f"Dots with 95% intervals for {', '.join(one.name for one in arms)}. The table beside it has the figures.",
        [DotRow(row["name"], formats.count(row["query_count"]), "searches", row["marks"]) for row in segments],
        percent_tick,
        include=(0.0,),
    )


def _segment(metrics: Metrics, kind: str, segment: str, arms: list[Arm], compared: Row | None) -> dict[str, Any]:
    """Return one segment: its searches and visitors, a figure per arm, and challenger less rival."""
    found = [metrics.find(one.key, PRIMARY, PRIMARY_K, kind, segment) for one in arms]
    cells, name = column(found, PERCENT), segment_name(segment)
    return {
        "name": name,
        "query_count": max((row["query_count"] for row in found if row), default=0),
        "visitor_count": max((row["cluster_count"] for row in found if row), default=0),
        "cells": cells,
        "difference": difference(compared, POINTS),
        "marks": tuple(
            Mark(row["value"], row["low"], row["high"], one.css, shape, f"{name}, {one.name}: {c.value} ({c.interval})")
            for one, row, c, shape in zip(arms, found, cells, _SHAPES, strict=False)
            if row
        ),
    }


def segment_name(segment: str) -> str:
    """Return a segment as people read it; a country's code stays as it is.

    >>> segment_name("new"), segment_name("GB"), segment_name("")
    ('New', 'GB', 'Unknown')
    """
    return (segment if segment.isupper() else segment.replace("_", " ").capitalize()) or "Unknown"
