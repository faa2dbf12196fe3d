"""How well each arm ranks: the metrics, the table of arms, the differences, the slices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from jobs.errors import MissingInput
from jobs.params import CHAMPION_ARM, ZERO_SHOT
from jobs.report import formats
from jobs.report.arms import Arm, arm, in_order
from jobs.report.charts import DotChart, DotRow, Mark, Shape, dot_chart, percent_tick

PRIMARY, PRIMARY_K = "hit_rate", 10
METRICS = {
    "hit_rate": ("Hit rate", "share of searches whose chosen photo is among the first k"),
    "map": ("MAP", "equals MRR here, as each search has one chosen photo"),
    "mrr": ("MRR", "mean of 1/place of the chosen photo, 0 beyond the first k"),
    "ndcg": ("nDCG", "mean of 1/log2(1 + place) of the chosen photo, 0 beyond the first k"),
}
CUTOFFS = (1, 5, 10, 25)
MOST_SEGMENTS = 20
"""Segments of one kind that are shown: a world-wide log has some two hundred countries."""


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95% interval; the ends are None where there were too few queries for one."""

    value: float
    low: float | None
    high: float | None
    query_count: int

    @property
    def percent(self) -> str:
        return formats.percent(self.value)

    @property
    def percent_interval(self) -> str:
        return formats.percent_interval(self.low, self.high)


class Metrics:
    """The evaluation's `metrics` table, looked up by arm, metric, k and segment."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._estimates = {
            (row["arm"], row["metric"], row["k"], row["segment_kind"], row["segment"]): Estimate(
                row["value"], _number(row["low"]), _number(row["high"]), row["query_count"]
            )
            for row in frame.to_dicts()
            if _number(row["value"]) is not None
        }
        self.arms = in_order(frame["arm"].unique())

    def segments(self, kind: str) -> list[str]:
        """Return the segments of a kind, those with most queries first."""
        counts = {key[4]: found.query_count for key, found in self._estimates.items() if key[3] == kind}
        return sorted(counts, key=lambda segment: (-counts[segment], segment))

    def find(self, arm_key: str, metric: str, k: int, kind: str, segment: str) -> Estimate | None:
        """Return one estimate of a segment, or None if the segment has none."""
        return self._estimates.get((arm_key, metric, k, kind, segment))

    def whole(self, arm_key: str, metric: str = PRIMARY, k: int = PRIMARY_K) -> Estimate:
        """Return one estimate over all queries; `MissingInput` if the arm was not evaluated."""
        found = self.find(arm_key, metric, k, "all", "all")
        if found is None:
            raise MissingInput(f"the evaluation has no {metric}@{k} of arm {arm_key!r}. Run the stage evaluate again.")
        return found

    @property
    def strongest_counting(self) -> Arm:
        """The counting arm with the highest primary metric over all queries."""
        return max((one for one in self.arms if one.is_counting), key=lambda one: self.whole(one.key).value)


def _number(value: float | None) -> float | None:
    return None if formats.is_missing(value) else value


@dataclass(frozen=True)
class Cell:
    """A figure and its interval, ready to print; `is_best` in its column."""

    value: str
    interval: str
    is_best: bool = False


@dataclass(frozen=True)
class ArmRow:
    """One arm's line of a table."""

    arm: Arm
    is_challenger: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class MetricTable:
    """All arms by one metric at every cutoff."""

    key: str
    name: str
    meaning: str
    cutoffs: tuple[int, ...]
    rows: tuple[ArmRow, ...]


def metric_table(metrics: Metrics, metric: str, challenger: str) -> MetricTable:
    """Return the table of one metric; hit rates in percent, the others between 0 and 1."""
    best = {k: max(metrics.whole(one.key, metric, k).value for one in metrics.arms) for k in CUTOFFS}
    rows = []
    for one in metrics.arms:
        estimates = [(metrics.whole(one.key, metric, k), best[k]) for k in CUTOFFS]
        cells = tuple(_cell(found, metric, found.value == top) for found, top in estimates)
        rows.append(ArmRow(one, one.key == challenger, cells))
    name, meaning = METRICS[metric]
    return MetricTable(metric, name, meaning, CUTOFFS, tuple(rows))


def _cell(found: Estimate, metric: str, is_best: bool) -> Cell:
    if metric == PRIMARY:
        return Cell(found.percent, found.percent_interval, is_best)
    return Cell(formats.score(found.value), formats.score_interval(found.low, found.high), is_best)


def arms_chart(metrics: Metrics, challenger: str) -> DotChart:
    """Return the primary metric of every arm with its interval."""
    rows = []
    for one in metrics.arms:
        found = metrics.whole(one.key)
        note = f"{one.name}: {found.percent}, 95% interval {found.percent_interval}"
        mark = Mark(found.value, found.low, found.high, one.css, one.shape, note)
        interval = f"({found.percent_interval})"
        rows.append(DotRow(one.name, found.percent, interval, (mark,), is_strong=one.key == challenger))
    return dot_chart(
        "arms",
        "Hit rate@10 of every arm",
        "Dots with 95% intervals. " + ". ".join(f"{row.label}: {row.value} {row.detail}" for row in rows) + ".",
        rows,
        percent_tick,
        include=(0.0,),
    )


@dataclass(frozen=True)
class DifferenceRow:
    """The paired difference of two arms by the primary metric, and by the others at the same cutoff."""

    arm: Arm
    baseline: Arm
    difference: str
    interval: str
    relative: str
    probability: str
    outcome: str  # better | worse | undecided
    outcome_text: str
    others: tuple[Cell, ...]


@dataclass(frozen=True)
class Differences:
    """The table of differences; `other_metrics` are the names of the further columns."""

    rows: tuple[DifferenceRow, ...]
    other_metrics: tuple[str, ...]


def differences(metrics: Metrics, comparisons: pl.DataFrame) -> Differences:
    """Return every compared pair in the order of the report."""
    at_k = comparisons.filter(pl.col("k") == PRIMARY_K)
    by_pair: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in at_k.to_dicts():
        by_pair.setdefault((row["arm"], row["baseline"]), {})[row["metric"]] = row
    others = tuple(name for name in METRICS if name != PRIMARY and all(name in found for found in by_pair.values()))
    arms = in_order({key for pair in by_pair for key in pair})
    pairs = [(a, b) for a in reversed(arms) for b in arms if (a.key, b.key) in by_pair]
    rows = tuple(_difference_row(metrics, a, b, by_pair[a.key, b.key], others) for a, b in pairs)
    return Differences(rows, tuple(METRICS[name][0] for name in others))


def _difference_row(
    metrics: Metrics, one: Arm, baseline: Arm, found: dict[str, dict[str, float]], others: Iterable[str]
) -> DifferenceRow:
    primary = found[PRIMARY]
    base = metrics.whole(baseline.key).value
    found_outcome = outcome(primary["low"], primary["high"])
    return DifferenceRow(
        arm=one,
        baseline=baseline,
        difference=formats.points(primary["difference"]),
        interval=formats.points_interval(primary["low"], primary["high"]),
        relative=formats.relative(primary["difference"], base),
        probability=formats.probability(primary["probability_better"]),
        outcome=found_outcome,
        outcome_text={"better": "clearly better", "worse": "clearly worse", "undecided": "not clear"}[found_outcome],
        others=tuple(
            Cell(
                formats.signed_score(found[name]["difference"]),
                formats.signed_score_interval(found[name]["low"], found[name]["high"]),
            )
            for name in others
        ),
    )


def outcome(low: float | None, high: float | None) -> str:
    """Return what an interval of a difference says: better, worse, or undecided when it holds 0 or is missing.

    >>> outcome(0.01, 0.02), outcome(-0.02, -0.01), outcome(-0.01, 0.01)
    ('better', 'worse', 'undecided')
    """
    if low is None or high is None or formats.is_missing(low) or formats.is_missing(high):
        return "undecided"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "undecided"


@dataclass(frozen=True)
class SliceRow:
    """One segment: its name, its number of test queries, and a cell per compared arm."""

    segment: str
    query_count: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Slice:
    """The segments of one kind, compared over a few arms."""

    key: str
    title: str
    meaning: str
    arms: tuple[Arm, ...]
    rows: tuple[SliceRow, ...]
    left_out: str  # how many segments are not shown, or nothing
    chart: DotChart

    @property
    def arms_with_shapes(self) -> list[tuple[Arm, Shape]]:
        """The arms with their marks in this chart, where several share a row."""
        return list(zip(self.arms, _SHAPES, strict=False))


SLICES = {
    "country": ("By country", "The country the search came from."),
    "photo_age": (
        "New and old photos",
        "Old photos were there in the training window. New ones came later: nobody's choice of them was learnt from.",
    ),
    "query_seen": (
        "Seen and unseen queries",
        "Seen: the very words were searched for in the training window. Unseen: nothing was learnt about them.",
    ),
}
_SHAPES: tuple[Shape, ...] = ("circle", "diamond", "square", "circle")


def slices(metrics: Metrics, challenger: str) -> list[Slice]:
    """Return the slices: challenger beside the strongest counting arm, zero-shot, and the champion if there is one."""
    keys = dict.fromkeys([challenger, CHAMPION_ARM, metrics.strongest_counting.key, ZERO_SHOT])
    known = {one.key for one in metrics.arms}
    arms = tuple(arm(key) for key in keys if key in known)
    return [_slice(metrics, kind, arms) for kind in SLICES if metrics.segments(kind)]


def _slice(metrics: Metrics, kind: str, arms: tuple[Arm, ...]) -> Slice:
    title, meaning = SLICES[kind]
    rows, chart_rows = [], []
    segments = metrics.segments(kind)
    for segment in segments[:MOST_SEGMENTS]:
        name = segment_name(segment)
        found = [(one, metrics.find(one.key, PRIMARY, PRIMARY_K, kind, segment)) for one in arms]
        queries = formats.count(max((estimate.query_count for _, estimate in found if estimate), default=0))
        top = max((estimate.value for _, estimate in found if estimate), default=None)
        cells = tuple(
            Cell(estimate.percent, estimate.percent_interval, estimate.value == top)
            if estimate
            else Cell(formats.MISSING, "")
            for _, estimate in found
        )
        rows.append(SliceRow(name, queries, cells))
        marks = tuple(
            Mark(e.value, e.low, e.high, one.css, shape, f"{name}, {one.name}: {e.percent} ({e.percent_interval})")
            for (one, e), shape in zip(found, _SHAPES, strict=False)
            if e is not None
        )
        chart_rows.append(DotRow(name, queries, "searches", marks))
    chart = dot_chart(
        f"slice-{kind.replace('_', '-')}",
        f"Hit rate@10, {title[0].lower()}{title[1:]}",
        f"Dots with 95% intervals for {', '.join(one.name for one in arms)}. The table beside it has the figures.",
        chart_rows,
        percent_tick,
        include=(0.0,),
    )
    more = len(segments) - MOST_SEGMENTS
    left_out = f"{formats.count(more)} more with fewer searches are not shown." if more > 0 else ""
    return Slice(kind.replace("_", "-"), title, meaning, arms, tuple(rows), left_out, chart)


def segment_name(segment: str) -> str:
    """Return a segment as people read it; a country's code stays as it is.

    >>> segment_name("new"), segment_name("GB"), segment_name("")
    ('New', 'GB', 'Unknown')
    """
    return (segment if segment.isupper() else segment.replace("_", " ").capitalize()) or "Unknown"
