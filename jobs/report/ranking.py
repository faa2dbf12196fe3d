"""How well each arm ranks: the metrics, the table of arms, the differences, the slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from jobs.config.params.arms import TRENDING, ZERO_SHOT
from jobs.datasets.evaluation import EvaluationFacts, FrequencyCutsFacts, TrendingFacts
from jobs.errors import MissingInput
from jobs.report import formats
from jobs.report.arms import Arm, arm, in_order
from jobs.report.charts import DotChart, DotRow, Mark, Shape, dot_chart, percent_tick
from models.evaluation.segments import RISING_LEAST, RISING_TIMES

Outcome = Literal["better", "worse", "undecided"]
PRIMARY, PRIMARY_K = "hit_rate", 10
METRICS = {
    "hit_rate": ("Hit rate", "share of searches whose chosen photo is among the first k"),
    "map": ("MAP", "equals MRR here, as each search has one chosen photo"),
    "mrr": ("MRR", "mean of 1/place of the chosen photo, 0 beyond the first k"),
    "ndcg": ("nDCG", "mean of 1/log2(1 + place) of the chosen photo, 0 beyond the first k"),
    "precision": ("Precision", "the hit rate divided by k here, as each search has one chosen photo"),
    "recall": ("Recall", "equals the hit rate here"),
    "f1": ("F1", "harmonic mean of precision and recall: the hit rate times 2/(k + 1) here"),
}
FIRST_METRICS = ("hit_rate", "map", "mrr", "ndcg")
"""Shown at once; the others follow from the hit rate."""
QUERY_METRICS = {
    "ndcg": (
        "nDCG",
        "the order of the first k against the best possible one; a photo gains by the number of visitors who took it, "
        "divided by log2(1 + place)",
    ),
    "map": ("MAP", "mean of the precisions at the places of the query's photos, 0 for those beyond the first k"),
    "precision": ("Precision", "share of the first k that are photos of the query"),
    "recall": ("Recall", "share of the query's photos that are among the first k"),
    "f1": ("F1", "harmonic mean of precision and recall, query by query"),
    "hit_rate": ("Hit rate", "share of queries with any of their photos among the first k"),
    "mrr": ("MRR", "mean of 1/place of the first of the query's photos, 0 beyond the first k"),
}
QUERY_PRIMARY = "ndcg"
CUTOFFS = (1, 5, 10, 25)
MOST_SEGMENTS = 20
"""Segments of one kind that are drawn; the table of the others is folded: a world-wide log has 200 countries."""


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95% interval; the ends are None where there were too few queries for one."""

    value: float
    low: float | None
    high: float | None
    query_count: int
    cluster_count: int

    @property
    def percent(self) -> str:
        """The value in percent."""
        return formats.percent(self.value)

    @property
    def percent_interval(self) -> str:
        """The interval in percent."""
        return formats.percent_interval(self.low, self.high)


class Metrics:
    """The evaluation's `metrics` table, looked up by arm, metric, k and segment."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._estimates = {
            (row["arm"], row["metric"], row["k"], row["segment_kind"], row["segment"]): Estimate(
                row["value"], _number(row["low"]), _number(row["high"]), row["query_count"], row["cluster_count"]
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
            raise MissingInput(
                "no_such_figure",
                f"the evaluation has no {metric}@{k} of arm {arm_key!r}. Run the stage evaluate again.",
                metric=metric,
                k=k,
                arm=arm_key,
            )
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
    """All arms by one metric at every cutoff. `title` is unique in the page."""

    key: str
    name: str
    meaning: str
    title: str
    cutoffs: tuple[int, ...]
    rows: tuple[ArmRow, ...]


def metric_table(metrics: Metrics, metric: str, challenger: str, is_by_query: bool = False) -> MetricTable:
    """Return the table of one metric; hit rates in percent, the others between 0 and 1."""
    best = {k: max(metrics.whole(one.key, metric, k).value for one in metrics.arms) for k in CUTOFFS}
    rows = []
    for one in metrics.arms:
        estimates = [(metrics.whole(one.key, metric, k), best[k]) for k in CUTOFFS]
        cells = tuple(_cell(found, metric, found.value == top) for found, top in estimates)
        rows.append(ArmRow(one, one.key == challenger, cells))
    name, meaning = (QUERY_METRICS if is_by_query else METRICS)[metric]
    title = f"{name} {'by query ' if is_by_query else ''}of every arm"
    return MetricTable(metric, name, meaning, title, CUTOFFS, tuple(rows))


@dataclass(frozen=True)
class QueryTable:
    """All arms by every metric at one cutoff, a query counting once."""

    names: tuple[str, ...]
    rows: tuple[ArmRow, ...]
    query_count: str
    words_count: str


def query_table(metrics: Metrics, challenger: str) -> QueryTable:
    """Return the summary of the evaluation by query."""
    best = {name: max(metrics.whole(one.key, name).value for one in metrics.arms) for name in QUERY_METRICS}
    rows = []
    for one in metrics.arms:
        found = {name: metrics.whole(one.key, name) for name in QUERY_METRICS}
        cells = tuple(_cell(estimate, name, estimate.value == best[name]) for name, estimate in found.items())
        rows.append(ArmRow(one, one.key == challenger, cells))
    counted = metrics.whole(challenger, QUERY_PRIMARY)
    return QueryTable(
        names=tuple(name for name, _ in QUERY_METRICS.values()),
        rows=tuple(rows),
        query_count=formats.count(counted.query_count),
        words_count=formats.count(counted.cluster_count),
    )


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
    """The paired difference of two arms by the main metric, and by the others at the same cutoff."""

    arm: Arm
    baseline: Arm
    difference: Cell
    relative: str
    probability: str
    p_value: Cell  # adjusted, and below it the one of this comparison alone
    detectable: str
    outcome: str  # better | worse | undecided
    outcome_text: str
    others: tuple[Cell, ...]


@dataclass(frozen=True)
class Differences:
    """The table of differences by the metric `name`; `other_metrics` are the names of the further columns."""

    title: str
    name: str
    rows: tuple[DifferenceRow, ...]
    other_metrics: tuple[str, ...]


ALPHA = 0.05
"""An adjusted p-value below it is clear."""


def differences(metrics: Metrics, comparisons: pl.DataFrame, is_by_query: bool = False) -> Differences:
    """Return every compared pair in the order of the report."""
    primary, others = (QUERY_PRIMARY, ("map", "recall")) if is_by_query else (PRIMARY, ("mrr", "ndcg"))
    names = {name: text for name, (text, _) in (QUERY_METRICS if is_by_query else METRICS).items()}
    at_k = comparisons.filter(pl.col("k") == PRIMARY_K)
    by_pair: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in at_k.to_dicts():
        by_pair.setdefault((row["arm"], row["baseline"]), {})[row["metric"]] = row
    arms = in_order({key for pair in by_pair for key in pair})
    pairs = [(a, b) for a in reversed(arms) for b in arms if (a.key, b.key) in by_pair]
    return Differences(
        title="Differences by query" if is_by_query else "Differences between arms",
        name=names[primary] + f"@{PRIMARY_K}" + ("" if is_by_query else ", points"),
        rows=tuple(_difference_row(metrics, a, b, by_pair[a.key, b.key], primary, others) for a, b in pairs),
        other_metrics=tuple(names[name] for name in others),
    )


def _difference_row(
    metrics: Metrics, one: Arm, baseline: Arm, found: dict[str, dict[str, float]], primary: str, others: Iterable[str]
) -> DifferenceRow:
    row = found[primary]
    side = outcome(row["low"], row["high"])
    is_clear = side != "undecided" and row["p_value_holm"] < ALPHA
    return DifferenceRow(
        arm=one,
        baseline=baseline,
        difference=_difference_cell(row, primary),
        relative=formats.relative(row["difference"], metrics.whole(baseline.key, primary).value),
        probability=formats.probability(row["probability_better"]),
        p_value=Cell(formats.p_value(row["p_value_holm"]), f"alone {formats.p_value(row['p_value'])}"),
        detectable=(formats.points if primary == PRIMARY else formats.signed_score)(row["detectable"]).lstrip("+"),
        outcome=side if is_clear else "undecided",
        outcome_text=f"clearly {side}" if is_clear else "not clear" if side == "undecided" else f"{side}, unadjusted",
        others=tuple(_difference_cell(found[name], name) for name in others),
    )


def _difference_cell(row: dict[str, float], metric: str) -> Cell:
    """Return a difference with its interval: of hit rates in points, of other metrics as it is."""
    if metric == PRIMARY:
        return Cell(formats.points(row["difference"]), formats.points_interval(row["low"], row["high"]))
    return Cell(formats.signed_score(row["difference"]), formats.signed_score_interval(row["low"], row["high"]))


def outcome(low: float | None, high: float | None) -> Outcome:
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
    """One segment: its name, its number of test queries and visitors, a cell per arm, and challenger less rival."""

    segment: str
    counts: Cell
    cells: tuple[Cell, ...]
    difference: Cell
    outcome: str


@dataclass(frozen=True)
class Slice:
    """The segments of one kind: the challenger, its rival, and a few arms more.

    `more_rows` are the segments with fewer searches that have no place in the chart.
    """

    key: str
    title: str
    meaning: str
    arms: tuple[Arm, ...]
    rows: tuple[SliceRow, ...]
    more_rows: tuple[SliceRow, ...]
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
    "query_frequency": ("Head, torso and tail queries", ""),
    "query_trend": ("Rising and steady queries", ""),
    "visitor": (
        "One-off and returning visitors",
        "One-off: all searches of the visitor, from the training to the test window, were on one day. Returning: on "
        "several.",
    ),
    "script": (
        "By script of the query",
        "The script most letters are written in; any kana makes it Japanese. A script is not a language: English and "
        "Spanish are both Latin here.",
    ),
}
_ORDER = {"head": 0, "torso": 1, "tail": 2}
"""Segments that come in an order of their own; all others by the number of searches."""
_SHAPES: tuple[Shape, ...] = ("circle", "diamond", "square", "circle")


def slices(metrics: Metrics, comparisons: pl.DataFrame, challenger: str, facts: EvaluationFacts) -> list[Slice]:
    """Return the slices: the challenger beside its rival, the strongest counting arm and zero-shot.

    Of rising queries the arm `trending` takes the place of zero-shot. `comparisons` is the table
    `segment_comparisons`.
    """
    rival = facts.rival
    known = {one.key for one in metrics.arms}
    fourth = {"query_trend": TRENDING} if TRENDING in known else {}
    primary = comparisons.filter(metric=PRIMARY, k=PRIMARY_K, arm=challenger, baseline=rival)
    rows = {(row["segment_kind"], row["segment"]): row for row in primary.to_dicts()}
    meanings = {kind: meaning for kind, (_, meaning) in SLICES.items()}
    meanings["query_frequency"] = _frequency_meaning(facts.frequency_cuts)
    meanings["query_trend"] = " ".join(_trend_meaning(facts.trending, comparisons, challenger))
    found = []
    for kind in SLICES:
        if metrics.segments(kind):
            keys = dict.fromkeys([challenger, rival, metrics.strongest_counting.key, fourth.get(kind, ZERO_SHOT)])
            arms = tuple(arm(key) for key in keys if key in known)
            found.append(_slice(metrics, rows, kind, meanings[kind], arms))
    return found


def _trend_meaning(facts: TrendingFacts, comparisons: pl.DataFrame, challenger: str) -> Iterator[str]:
    """Say what rises, what the trending arm is, and whether it helps there."""
    yield (
        f"Rising: on the day before the search its words were asked for at least {RISING_LEAST} times, and at least "
        f"{RISING_TIMES} times as often as in a usual day of the training window."
    )
    trend = facts.tuned
    if trend is None:
        yield f"The arm {arm(TRENDING).name} is missing: {facts.note}."
        return
    weights = trend.query_weight, trend.photo_weight
    count = formats.count(trend.tuning_count)
    alone, tuned = formats.percent(trend.hit_rate_alone), formats.percent(trend.tuned_hit_rate)
    every = _hours(trend.refresh_hours)
    yield f"{arm(TRENDING).name} knows the conversions before each search, counted every {every}."
    if not any(weights):
        yield (
            f"On {count} validation searches, of which {alone} found their photo, no weight of them was "
            "clearly better than none: here the arm is the challenger alone."
        )
        return
    yield (
        f"They lose half of their weight in {_hours(trend.half_life_hours)} and weigh {weights[0]:g} for the same "
        f"words and {weights[1]:g} for the photo whatever the words, tuned on {count} validation searches: {alone} "
        f"found their photo without them, {tuned} with them."
    )
    row = next(
        comparisons.filter(
            metric=PRIMARY, k=PRIMARY_K, arm=challenger, baseline=TRENDING, segment_kind="query_trend", segment="rising"
        ).iter_rows(named=True),
        None,
    )
    if row is not None:
        low, high = -row["high"], -row["low"]
        finding = {"better": "more often", "worse": "less often", "undecided": "not clearly more or less often"}
        yield (
            f"For rising queries it finds the photo {finding[outcome(low, high)]} than the challenger alone: "
            f"{formats.points(-row['difference'])} points ({formats.points_interval(low, high)})."
        )


def _hours(count: float) -> str:
    """Return a number of hours as people say it.

    >>> _hours(1), _hours(6.0), _hours(72)
    ('hour', '6 hours', '3 days')
    """
    if count == 1:
        return "hour"
    return f"{count / 24:g} days" if count > 24 and count % 24 == 0 else f"{count:g} hours"


def _frequency_meaning(cuts: FrequencyCutsFacts) -> str:
    """Return what head, torso and tail are, with the numbers of searches that part them."""
    head, torso = cuts.head_min_count, cuts.torso_min_count
    between = f"{torso} to {head - 1} times" if head > torso + 1 else f"{torso} times" if head > torso else "none here"
    return (
        f"Head: queries asked at least {head} times in the training window, at most half of its searches together. "
        f"Torso: {between}, with the head at most nine tenths. Tail: asked more rarely, or never."
    )


def _slice(
    metrics: Metrics,
    comparisons: Mapping[tuple[str, str], dict[str, Any]],
    kind: str,
    meaning: str,
    arms: tuple[Arm, ...],
) -> Slice:
    title, _ = SLICES[kind]
    rows, chart_rows = [], []
    for segment in sorted(metrics.segments(kind), key=lambda segment: _ORDER.get(segment, 0)):
        name = segment_name(segment)
        found = [(one, metrics.find(one.key, PRIMARY, PRIMARY_K, kind, segment)) for one in arms]
        rows.append(_slice_row(name, [estimate for _, estimate in found], comparisons.get((kind, segment))))
        marks = tuple(
            Mark(e.value, e.low, e.high, one.css, shape, f"{name}, {one.name}: {e.percent} ({e.percent_interval})")
            for (one, e), shape in zip(found, _SHAPES, strict=False)
            if e is not None
        )
        chart_rows.append(DotRow(name, rows[-1].counts.value, "searches", marks))
    chart = dot_chart(
        f"slice-{kind.replace('_', '-')}",
        f"Hit rate@10, {title[0].lower()}{title[1:]}",
        f"Dots with 95% intervals for {', '.join(one.name for one in arms)}. The table beside it has the figures.",
        chart_rows[:MOST_SEGMENTS],
        percent_tick,
        include=(0.0,),
    )
    shown, more = tuple(rows[:MOST_SEGMENTS]), tuple(rows[MOST_SEGMENTS:])
    return Slice(kind.replace("_", "-"), title, meaning, arms, shown, more, chart)


def _slice_row(name: str, found: list[Estimate | None], comparison: dict[str, Any] | None) -> SliceRow:
    known = [estimate for estimate in found if estimate]
    top = max((estimate.value for estimate in known), default=None)
    visitors = formats.count(max((estimate.cluster_count for estimate in known), default=0))
    return SliceRow(
        segment=name,
        counts=Cell(
            formats.count(max((estimate.query_count for estimate in known), default=0)),
            f"{visitors} visitor{'' if visitors == '1' else 's'}",
        ),
        cells=tuple(
            Cell(estimate.percent, estimate.percent_interval, estimate.value == top)
            if estimate
            else Cell(formats.MISSING, "")
            for estimate in found
        ),
        difference=_difference_cell(comparison, PRIMARY) if comparison else Cell(formats.MISSING, ""),
        outcome=outcome(comparison["low"], comparison["high"]) if comparison else "undecided",
    )


def segment_name(segment: str) -> str:
    """Return a segment as people read it; a country's code stays as it is.

    >>> segment_name("new"), segment_name("GB"), segment_name("")
    ('New', 'GB', 'Unknown')
    """
    return (segment if segment.isupper() else segment.replace("_", " ").capitalize()) or "Unknown"
