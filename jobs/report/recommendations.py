"""What a visitor would want next: every method by every protocol, by groups of visitors, and what people would see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from jobs.config.params.evaluation import RECOMMENDERS
from jobs.datasets.clean import IMAGES
from jobs.datasets.evaluation import RECOMMENDATION, RecommendationFacts
from jobs.datasets.features import SPLITS
from jobs.report import formats
from jobs.report.ablation import Variant
from jobs.report.charts import (
    DotChart,
    DotRow,
    LineChart,
    Mark,
    Series,
    dot_chart,
    line_chart,
    nice_ticks,
    percent_tick,
)
from jobs.report.inputs import Night
from jobs.report.photos import Photo, read_photos
from jobs.report.ranking import ALPHA, Cell, outcome

PRIMARY, K = "hit_rate", 10
OWN = "temporal"
_METRICS = {
    "hit_rate": "Hit rate",
    "recall": "Recall",
    "precision": "Precision",
    "f1": "F1",
    "ndcg": "nDCG",
    "map": "MAP",
}
METHODS = {
    one.key: one
    for one in (
        Variant("random", "Random", "Any photo: what nothing may fall below.", "arm-popularity", "diamond"),
        Variant(
            "popularity",
            "Popularity",
            "What was taken most in the last four weeks, in the visitor's country and in the world.",
            "arm-popularity",
            "diamond",
        ),
        Variant(
            "item_knn",
            "Taken by the same visitors",
            "Photos whose visitors are those of the visitor's photos (item-kNN).",
            "arm-most-converted-for-query",
            "diamond",
        ),
        Variant(
            "mean_embedding",
            "Mean embedding",
            "Nearest to the mean of the visitor's photos, recent ones counting more.",
        ),
        Variant(
            "session_embedding", "Session embedding", "Nearest to where the visitor's photos led, one after another."
        ),
        Variant(
            "interests",
            "Several interests",
            "Nearest to any of up to three photos in the middle of the visitor's tastes.",
        ),
        Variant("content", "Content", "Nearest to the mean of pictures and descriptions side by side."),
        Variant(
            "als",
            "ALS",
            "Factors of visitors and photos from who took what, by alternating least squares.",
            "arm-keyword-bm25",
        ),
        Variant("sasrec", "SASRec", "A transformer over the order of the visitor's photos.", "arm-finetuned"),
        Variant(
            "two_tower",
            "Two towers",
            "A network of history and country against one of picture, description and keywords.",
            "arm-finetuned-country-keywords",
        ),
        Variant(
            "graphsage",
            "GraphSAGE",
            "A network over the graph of visitors, photos and keywords, trained on visitors while they are new.",
            "arm-reranked",
        ),
    )
}
PROTOCOLS = {
    OWN: (
        "The night's own",
        "Learned from everything before the test window, asked at its beginning. This is what a site would see.",
    ),
    "no_split": (
        "No split",
        "The whole history is learned from, handed over, and asked for. It flatters: handing the history back would be "
        "perfect. It measures how well a method describes a visitor, not what it foresees.",
    ),
    "half_held_out": (
        "Half held out",
        "The later half of every history is asked for. What others took at the same time is learned from.",
    ),
    "fifth_held_out": (
        "A fifth held out",
        "The last fifth of every history is asked for. What others took at the same time is learned from.",
    ),
    "folds": (
        "New visitors, five folds",
        "Nothing is learned of a fifth of the visitors, who are asked about from four fifths of their history; five "
        "times, until all were.",
    ),
    "leave_cold": (
        "New visitors, new photos",
        "Nothing is learned of a fifth of the visitors and a fifth of the photos; asked for are those photos.",
    ),
}
PUBLISHED = {"no_split": (0.617, 0.679), "half_held_out": (0.290, 0.274), "fifth_held_out": (0.181, 0.167)}
"""Hit rate@10 of mean and session embedding on Pinterest."""
_SEGMENTS = (
    ("all", "all", "All"),
    ("history", "0", "No photo before"),
    ("history", "1", "1 before"),
    ("history", "2-4", "2 to 4"),
    ("history", "5+", "5 and more"),
    ("photos", "new", "New photos only"),
    ("country", "elsewhere", "Other countries"),
)


@dataclass(frozen=True)
class MethodLine:
    """One method by the night's own protocol: metrics at 10, what its lists are like, and what it cost."""

    method: Variant
    is_best: bool
    cells: tuple[Cell, ...]
    likeness: tuple[str, ...]
    difference: Cell
    outcome: str
    p_value: str
    cost: tuple[str, str]


@dataclass(frozen=True)
class GroupColumn:
    """A group of visitors: hit rate@10 of every method, and who wins."""

    name: str
    visitor_count: str
    cells: tuple[Cell, ...]
    winner: str


@dataclass(frozen=True)
class ProtocolColumn:
    """A protocol: hit rate@10 of every method, a dash for those that it does not compare."""

    name: str
    meaning: str
    counts: str
    cells: tuple[Cell, ...]
    published: str


@dataclass(frozen=True)
class DeepTable:
    """One metric at every cutoff."""

    name: str
    rows: tuple[tuple[Variant, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Shown:
    """A photo that a method recommends, or that the visitor took."""

    position: int
    photo: Photo
    is_right: bool


@dataclass(frozen=True)
class Example:
    """A visitor's latest photos, those taken next, and what every method recommends."""

    rows: tuple[tuple[str, tuple[Shown, ...]], ...]


@dataclass(frozen=True)
class Recommendations:
    """The section; `note` says why all of it is left out."""

    note: str
    lead: str = ""
    methods: tuple[Variant, ...] = ()
    metric_names: tuple[str, ...] = ()
    chart: DotChart | None = None
    lines: tuple[MethodLine, ...] = ()
    groups: tuple[GroupColumn, ...] = ()
    protocols: tuple[ProtocolColumn, ...] = ()
    cutoffs: tuple[int, ...] = ()
    deep_tables: tuple[DeepTable, ...] = ()
    loss: LineChart | None = None
    left_out: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()


Found = dict[tuple[str, str, str, str, str, int], dict[str, Any]]
"""Rows of `metrics` by protocol, kind and name of the segment, arm, metric and k."""


def recommendations(night: Night) -> Recommendations:
    """Return the section."""
    facts = night.facts(RecommendationFacts)
    if facts.note:
        return Recommendations(facts.note)
    rows = night.table(RECOMMENDATION, "metrics").to_dicts()
    found: Found = {
        (*(row[name] for name in ("protocol", "segment_kind", "segment", "arm", "metric")), row["k"]): row
        for row in rows
    }
    measured = {key[3] for key in found if key[0] == OWN}
    arms = [key for key in RECOMMENDERS if key in measured]
    cutoffs = tuple(sorted({key[5] for key in found}))
    return Recommendations(
        note="",
        lead=_lead(night, facts),
        methods=tuple(METHODS[key] for key in arms),
        metric_names=tuple(_METRICS.values()),
        chart=_chart(arms, found) if arms else None,
        lines=tuple(_lines(night, arms, found)),
        groups=tuple(_groups(night, arms, found)),
        protocols=tuple(_protocols(facts, arms, found)),
        cutoffs=cutoffs,
        deep_tables=tuple(_deep_table(metric, arms, cutoffs, found) for metric in _METRICS),
        loss=_loss(night),
        left_out=tuple(_left_out(facts)),
        examples=tuple(_examples(night)),
    )


def _lead(night: Night, facts: RecommendationFacts) -> str:
    counts = facts.protocols[OWN]
    photos = formats.count(facts.photo_count)
    params = night.manifest(RECOMMENDATION).params
    return (
        f"{formats.count(counts.visitor_count)} visitors who came in the test window, and {photos} photos. Methods "
        f"know the {formats.count(counts.log_count)} conversions before the window, and no query: right are the "
        f"photos that the visitor took in it, those had before left out.{rechosen(params)}"
    )


def rechosen(params: dict[str, Any]) -> str:
    """Return a sentence on lists that the stage has chosen anew to be less alike; nothing if it has not.

    >>> rechosen({"diversity": 0.3, "diversity_candidates": 300})
    " Lists are chosen by marginal relevance from a method's 300 best, likeness to the photos before weighing 30%."
    >>> rechosen({})
    ''
    """
    if not params.get("diversity"):
        return ""
    pool, weight = formats.count(params["diversity_candidates"]), formats.percent(params["diversity"], 0)
    return (
        f" Lists are chosen by marginal relevance from a method's {pool} best, likeness to the photos before weighing "
        f"{weight}."
    )


def _cell(row: dict[str, Any] | None, is_best: bool = False) -> Cell:
    if row is None:
        return Cell(formats.MISSING, "")
    return Cell(formats.score(row["value"]), formats.score_interval(row["low"], row["high"]), is_best)


def _best(arms: list[str], found: Found, protocol: str, kind: str, name: str, metric: str, k: int) -> float | None:
    values = [row["value"] for arm in arms if (row := found.get((protocol, kind, name, arm, metric, k)))]
    return max(values, default=None)


def _cells(arms: list[str], found: Found, protocol: str, kind: str, name: str, metric: str, k: int) -> tuple[Cell, ...]:
    best = _best(arms, found, protocol, kind, name, metric, k)
    rows = [found.get((protocol, kind, name, arm, metric, k)) for arm in arms]
    return tuple(_cell(row, row is not None and row["value"] == best) for row in rows)


def _lines(night: Night, arms: list[str], found: Found) -> list[MethodLine]:
    columns = {metric: _cells(arms, found, OWN, "all", "all", metric, K) for metric in _METRICS}
    compared = _comparisons(night, OWN, "all", "all")
    likeness = {row["arm"]: row for row in night.table(RECOMMENDATION, "lists").filter(protocol=OWN).to_dicts()}
    costs = {row["arm"]: row for row in night.table(RECOMMENDATION, "costs").filter(protocol=OWN).to_dicts()}
    lines = []
    for number, arm in enumerate(arms):
        row = compared.get(arm)
        like, cost = likeness[arm], costs[arm]
        lines.append(
            MethodLine(
                method=METHODS[arm],
                is_best=columns[PRIMARY][number].is_best,
                cells=tuple(columns[metric][number] for metric in _METRICS),
                likeness=(
                    formats.percent(like["coverage"]),
                    formats.score(like["diversity"]),
                    formats.MISSING if formats.is_missing(like["novelty"]) else f"{like['novelty']:.1f}",
                    formats.count(like["unserved_count"]),
                ),
                difference=Cell(formats.MISSING, "")
                if row is None
                else Cell(
                    formats.signed_score(row["difference"]), formats.signed_score_interval(row["low"], row["high"])
                ),
                outcome=_outcome(row),
                p_value=formats.MISSING if row is None else formats.p_value(row["p_value_holm"]),
                cost=(formats.duration(cost["fit_cpu_seconds"]), formats.duration(cost["list_cpu_seconds"])),
            )
        )
    return lines


def _comparisons(night: Night, protocol: str, kind: str, name: str) -> dict[str, dict[str, Any]]:
    """Return the best method's differences in hit rate@10, by the other method."""
    rows = night.table(RECOMMENDATION, "comparisons").filter(
        protocol=protocol, segment_kind=kind, segment=name, metric=PRIMARY, k=K
    )
    return {row["baseline"]: row for row in rows.to_dicts()}


def _outcome(row: dict[str, Any] | None) -> str:
    if row is None or row["p_value_holm"] >= ALPHA:
        return "undecided"
    return outcome(row["low"], row["high"])


def _groups(night: Night, arms: list[str], found: Found) -> list[GroupColumn]:
    columns = []
    for kind, name, title in _SEGMENTS:
        rows = {arm: row for arm in arms if (row := found.get((OWN, kind, name, arm, PRIMARY, K)))}
        if not rows:
            continue
        count = formats.count(next(iter(rows.values()))["visitor_count"])
        cells = _cells(arms, found, OWN, kind, name, PRIMARY, K)
        columns.append(GroupColumn(title, count, cells, _winner(night, kind, name, rows)))
    return columns


def _winner(night: Night, kind: str, name: str, rows: dict[str, dict[str, Any]]) -> str:
    """Say who wins, and whom it cannot be told apart from."""
    if not any(row["value"] for row in rows.values()):
        return "none finds anything"
    compared = _comparisons(night, OWN, kind, name)
    best = max(rows, key=lambda arm: rows[arm]["value"])
    others = [METHODS[arm].name for arm, row in compared.items() if arm != best and _outcome(row) != "better"]
    if not others:
        return f"{METHODS[best].name}, clearly"
    alike = others[0] if len(others) == 1 else f"{len(others)} others"
    return f"{METHODS[best].name}; not told apart from {alike}"


def _protocols(facts: RecommendationFacts, arms: list[str], found: Found) -> list[ProtocolColumn]:
    columns = []
    for key, counts in facts.protocols.items():
        name, meaning = PROTOCOLS[key]
        published = PUBLISHED.get(key)
        columns.append(
            ProtocolColumn(
                name=name,
                meaning=meaning,
                counts=f"{formats.count(counts.visitor_count)} visitors",
                cells=_cells(arms, found, key, "all", "all", PRIMARY, K),
                published="" if published is None else " / ".join(formats.score(value) for value in published),
            )
        )
    return columns


def _deep_table(metric: str, arms: list[str], cutoffs: tuple[int, ...], found: Found) -> DeepTable:
    columns = [_cells(arms, found, OWN, "all", "all", metric, k) for k in cutoffs]
    rows = tuple((METHODS[arm], tuple(column[number] for column in columns)) for number, arm in enumerate(arms))
    return DeepTable(_METRICS[metric], rows)


def _chart(arms: list[str], found: Found) -> DotChart:
    rows = []
    best = _best(arms, found, OWN, "all", "all", PRIMARY, K)
    for key in arms:
        one, row = METHODS[key], found[OWN, "all", "all", key, PRIMARY, K]
        value, interval = formats.percent(row["value"]), formats.percent_interval(row["low"], row["high"])
        mark = Mark(row["value"], row["low"], row["high"], one.css, one.shape, f"{one.name}: {value} ({interval})")
        rows.append(DotRow(one.name, value, interval, (mark,), is_strong=row["value"] == best))
    return dot_chart(
        "recommendations",
        "Hit rate@10 of recommendations",
        "Dots with 95% intervals. " + ". ".join(f"{row.label}: {row.value}" for row in rows) + ".",
        rows,
        percent_tick,
        include=(0.0,),
    )


def _loss(night: Night) -> LineChart | None:
    """Return the losses pass by pass, each in its own first loss, since they measure different things."""
    curves = night.table(RECOMMENDATION, "curves").sort("step")
    series = []
    for key in RECOMMENDERS:
        points = curves.filter(arm=key).select(pl.col("step").cast(pl.Float64), "value").rows()
        if points and points[0][1] > 0:
            shares = tuple((step, value / points[0][1]) for step, value in points)
            series.append(Series(METHODS[key].name, METHODS[key].css, shares, None))
    if not series:
        return None
    last = max(step for one in series for step, _ in one.points)
    return line_chart(
        "recommendation-loss",
        "Training loss, in the loss of the first pass",
        "; ".join(f"{one.name}: to {formats.percent(one.points[-1][1])}" for one in series) + ".",
        series,
        x_ticks=[(value, formats.count(round(value))) for value in nice_ticks(0, last) if value <= last],
        x_label="pass over the examples",
        format_tick=percent_tick,
        format_value=formats.percent,
    )


def _left_out(facts: RecommendationFacts) -> list[str]:
    texts = []
    for place, reason in facts.notes.items():
        protocol, _, method = place.partition("/")
        who = f"{METHODS[method].name}, " if method else ""
        texts.append(f"{who}“{PROTOCOLS[protocol][0]}”: {reason}")
    return texts


def _examples(night: Night) -> list[Example]:
    sheet = night.table(RECOMMENDATION, "contact_sheet")
    splits, images = night.manifest(SPLITS), night.manifest(IMAGES)
    photos = read_photos(night.ctx.lake, splits, images, set(sheet["photo_id"]))
    examples = []
    for _, rows in sheet.group_by("visitor_id", maintain_order=True):
        lists = tuple(
            (
                _LISTS.get(str(arm), "") or METHODS[str(arm)].name,
                tuple(
                    Shown(row["position"], photos[row["photo_id"]], row["is_right"] and str(arm) not in _LISTS)
                    for row in of_arm.sort("position").iter_rows(named=True)
                ),
            )
            for (arm,), of_arm in rows.group_by("arm", maintain_order=True)
        )
        examples.append(Example(lists))
    return examples


_LISTS = {"history": "Had before, latest first", "taken": "Took then"}
