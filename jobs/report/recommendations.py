"""What a visitor would want next: every method by groups of visitors first, by every protocol, and what people see.

Groups lead, since visitors without a past get the same list from every method.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jobs.config.params.evaluation import RECOMMENDERS
from jobs.datasets.evaluation import RECOMMENDATION, RecommendationFacts, SampleFacts
from jobs.datasets.releases import ReleasedRecommender, ReleaseFacts
from jobs.report import formats
from jobs.report.charts import LineChart, Series, line_chart, percent_tick, step_ticks, steps_of
from jobs.report.inputs import Night
from jobs.report.names import METHODS, QUERY_METRICS
from jobs.report.photos import photos_of
from jobs.report.tables import PRIMARY, PRIMARY_K, Row, arms_chart, by_key, column, difference, side_by_side

OWN = "temporal"
_METRICS = ("hit_rate", "recall", "precision", "f1", "ndcg", "map")
_SEGMENTS = (
    ("history", "1+", "With a past"),
    ("history", "0", "Without a past"),
    ("history", "1", "1 photo before"),
    ("history", "2-4", "2 to 4"),
    ("history", "5+", "5 and more"),
    ("all", "all", "All"),
    ("photos", "new", "New photos only"),
    ("country", "elsewhere", "Other countries"),
)
_LISTS = {"history": "Had before, latest first", "taken": "Took then"}


class _Figures:
    """The rows of the tables `metrics` and `comparisons`, and the methods that the night's own protocol compares."""

    def __init__(self, night: Night) -> None:
        self.metrics, self.comparisons = (
            by_key(night.table(RECOMMENDATION, table), "protocol", "segment_kind", "segment", arm, "metric", "k")
            for table, arm in (("metrics", "arm"), ("comparisons", "baseline"))
        )
        measured = {key[3] for key in self.metrics if key[0] == OWN}
        self.methods = [METHODS[key] for key in RECOMMENDERS if key in measured]

    def rows(
        self, protocol: str, kind: str = "all", segment: str = "all", metric: str = PRIMARY, k: int = PRIMARY_K
    ) -> list[Row | None]:
        """Return a figure of every method, None for one that was not measured there."""
        found = (self.metrics.get((protocol, kind, segment, one.key, metric, k)) for one in self.methods)
        return [row if row and row["value"] is not None else None for row in found]

    def compared(self, key: str, kind: str = "all", segment: str = "all") -> Row | None:
        """Return the best method's difference in hit rate@10 to another one."""
        return self.comparisons.get((OWN, kind, segment, key, PRIMARY, PRIMARY_K))


def recommendations(night: Night) -> dict[str, Any]:
    """Return the section; `note` says why all of it is left out."""
    facts = night.facts(RecommendationFacts)
    released = _released(night.facts(ReleaseFacts).recommender)
    if facts.note:
        return {"note": facts.note, "released": released}
    found = _Figures(night)
    cutoffs = sorted({key[5] for key in found.metrics})
    return {
        "note": "",
        "released": released,
        "facts": facts,
        "sample": _sample(facts.sample),
        "params": night.manifest(RECOMMENDATION).params,
        "methods": found.methods,
        "chart": _chart(found) if found.methods else None,
        "headings": [f"{QUERY_METRICS[metric][0]}@{PRIMARY_K}" for metric in _METRICS],
        "lines": (lines := _lines(night, found)),
        "served": [_served(line["like"], facts) for line in lines],
        "groups": _groups(found),
        "protocols": {key: column(found.rows(key)) for key in facts.protocols},
        "cutoffs": cutoffs,
        "deep_tables": [_deep_table(metric, cutoffs, found) for metric in _METRICS],
        "loss": _loss(night),
        "left_out": [(*place.partition("/")[::2], reason) for place, reason in facts.notes.items()],
        "examples": _examples(night),
    }


def _released(recommender: ReleasedRecommender) -> str:
    """Say which method the release holds, and why."""
    if recommender.note:
        return f"The release has no recommender: {recommender.note}."
    name, best, lead = METHODS[recommender.method].name, METHODS[recommender.best].name, recommender.lead
    if lead is None:
        return f"The release holds {name}: nothing is clearly better."
    figures = f"{formats.points(lead.difference)} points ({formats.points_interval(lead.low, lead.high)})"
    if recommender.method == recommender.best:
        return f"The release holds {name}, which is clearly better than popularity: by {figures} of hit rate@10."
    return (
        f"The release holds {name}: {best}, the best by hit rate@10, leads by {figures}, which is not clearly better."
    )


def _sample(sample: SampleFacts | None) -> str:
    """Say whom methods learned from, "" if from all."""
    if sample is None:
        return ""
    return (
        f"Methods learned from {formats.count(sample.conversion_count)} of {formats.count(sample.conversion_total)} "
        f"conversions: all those of a sample of visitors."
    )


def _deep_table(metric: str, cutoffs: Iterable[int], found: _Figures) -> dict[str, Any]:
    name = QUERY_METRICS[metric][0]
    columns = {f"@{k}": column(found.rows(OWN, metric=metric, k=k)) for k in cutoffs}
    return side_by_side(found.methods, columns, name=name, title=f"{name} of recommendations")


def _lines(night: Night, found: _Figures) -> list[dict[str, Any]]:
    """Return every method by the night's own protocol: metrics at 10, what its lists are like, and what it cost."""
    cells = zip(*(column(found.rows(OWN, metric=metric)) for metric in _METRICS), strict=True)
    likeness, costs = (
        by_key(night.table(RECOMMENDATION, table).filter(protocol=OWN), "arm") for table in ("lists", "costs")
    )
    return [
        {
            "method": one,
            "cells": own,
            "difference": difference(found.compared(one.key)),
            "like": likeness[one.key,],
            "cost": costs[one.key,],
        }
        for one, own in zip(found.methods, cells, strict=False)
    ]


def _served(like: Row, facts: RecommendationFacts) -> str:
    """Say of how many visitors a method knows enough to serve them itself."""
    count = facts.protocols[OWN].visitor_count
    return f"{formats.count(count - like['unserved_count'])} of {formats.count(count)}"


def _groups(found: _Figures) -> list[dict[str, Any]]:
    """Return the groups of visitors: hit rate@10 of every method, and who wins."""
    groups = []
    for kind, segment, name in _SEGMENTS:
        rows = found.rows(OWN, kind, segment)
        counts = [row["visitor_count"] for row in rows if row]
        if counts:
            cells = column(rows)
            winner = _winner(found, kind, segment, rows)
            groups.append({"name": name, "visitor_count": counts[0], "cells": cells, "winner": winner})
    return groups


def _winner(found: _Figures, kind: str, segment: str, rows: list[Row | None]) -> str:
    """Say who wins, and whom it cannot be told apart from."""
    values = {one.key: row["value"] for one, row in zip(found.methods, rows, strict=True) if row}
    if not any(values.values()):
        return "none finds anything"
    best = max(values, key=lambda key: values[key])
    compared = {key: found.compared(key, kind, segment) for key in METHODS if key != best}
    others = [METHODS[key].name for key, row in compared.items() if row and difference(row).side != "better"]
    if not others:
        return f"{METHODS[best].name}, clearly"
    alike = others[0] if len(others) == 1 else f"{len(others)} others"
    return f"{METHODS[best].name}; not told apart from {alike}"


def _chart(found: _Figures) -> Any:
    figures = [(one, row) for one, row in zip(found.methods, found.rows(OWN), strict=True) if row]
    best = max(figures, key=lambda figure: figure[1]["value"])[0].key
    return arms_chart("recommendations", "Hit rate@10 of recommendations", figures, best, detail="{interval}")


def _loss(night: Night) -> LineChart | None:
    """Return the losses pass by pass, each in its own first loss, since they measure different things."""
    curves, series = night.table(RECOMMENDATION, "curves"), []
    for key in RECOMMENDERS:
        points = steps_of(curves.filter(arm=key))
        if points and points[0][1] > 0:
            shares = tuple((step, value / points[0][1]) for step, value in points)
            series.append(Series(METHODS[key].name, METHODS[key].css, shares))
    if not series:
        return None
    return line_chart(
        "recommendation-loss",
        "Training loss, in the loss of the first pass",
        "; ".join(f"{one.name}: to {formats.percent(one.points[-1][1])}" for one in series) + ".",
        series,
        x_ticks=step_ticks(max(step for one in series for step, _ in one.points)),
        x_label="pass over the examples",
        format_tick=percent_tick,
        format_value=formats.percent,
    )


def _examples(night: Night) -> list[list[tuple[str, list[dict[str, Any]]]]]:
    """Return visitors, each with rows of photos: the latest ones, those taken next, what every method recommends."""
    sheet = night.table(RECOMMENDATION, "contact_sheet")
    photos = photos_of(night, sheet["photo_id"])
    return [
        [
            (
                _LISTS.get(str(arm), "") or METHODS[str(arm)].name,
                [
                    row | {"photo": photos[row["photo_id"]], "is_right": row["is_right"] and arm not in _LISTS}
                    for row in of_arm.sort("position").iter_rows(named=True)
                ],
            )
            for (arm,), of_arm in rows.group_by("arm", maintain_order=True)
        ]
        for _, rows in sheet.group_by("visitor_id", maintain_order=True)
    ]
