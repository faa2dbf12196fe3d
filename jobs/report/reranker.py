"""The reranker: what it learned from, how, whether it helped on held-out visitors, and what its trees look at."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from jobs.datasets.models import RERANKER, LearnedOrder, RerankerFacts
from jobs.report import formats
from jobs.report.arms import ARMS, arm
from jobs.report.charts import LineChart, Series, line_chart, nice_ticks
from jobs.report.inputs import Night
from jobs.report.run_facts import Fact

MOST_FEATURES = 12
_OF_AN_ARM = {"score": "score", "rank": "place in its ranking", "gap": "distance to its best photo"}
_LINES = (
    ("training", "Searches it learns from", "trend"),
    ("held_out", "Searches of held-out visitors", "arm-reranked"),
)
_MEANINGS = {
    "keyword_score": "Keyword match (BM25)",
    "keyword_share": "Keyword match, as a share of the search's best",
    "photo_age_days": "Age of the photo",
    "photo_aspect": "Aspect of the photo (width / height)",
    "orientation_match": "Whether the photo is of the orientation asked for",
    "device": "Device of the visitor, by size of its screen",
    "query_conversions": "Conversions of the query, all photos",
    "photo_conversions": "Conversions of the photo",
    "photo_conversions_decayed": "Conversions of the photo, recent ones weigh more",
    "photo_conversions_1_day": "Conversions of the photo, last day",
    "photo_conversions_7_days": "Conversions of the photo, last 7 days",
    "photo_conversions_28_days": "Conversions of the photo, last 28 days",
    "photo_daily_rate": "Conversions of the photo a day",
    "photo_observed_days": "Time the photo has been in the log",
    "photo_last_conversion_days": "Time since the photo's last conversion",
    "country_conversions": "Conversions of the photo in the country",
    "country_conversions_decayed": "Conversions of the photo in the country, recent ones weigh more",
    "country_affinity": "Liking of the country for the photo, against all countries",
    "device_affinity": "Liking of visitors with the device for the photo, against all devices",
    "query_photo_conversions": "Conversions of the photo for the query",
    "query_photo_conversions_decayed": "Conversions of the photo for the query, recent ones weigh more",
    "query_photo_share": "Share of the query's conversions that are of the photo",
    "query_country_conversions": "Conversions of the photo for the query in the country",
}


@dataclass(frozen=True)
class Feature:
    """One feature's line; `bar` is its gain as percent of the strongest feature's."""

    name: str
    gain: str
    split: str
    bar: float


@dataclass(frozen=True)
class RerankerReport:
    """The section. `note` says why there is no reranker tonight; without one there is nothing else."""

    note: str
    facts: tuple[Fact, ...]
    curve: LineChart | None
    features: tuple[Feature, ...]
    left_out: str


def reranker_report(night: Night) -> RerankerReport:
    """Return what there is to say of the night's reranker."""
    found = night.facts(RerankerFacts)
    if found.learned is None:
        return RerankerReport(found.note, (), None, (), "")
    importances = night.table(RERANKER, "importances").sort("gain", "feature", descending=[True, False])
    total, best = (float(value) for value in importances.select(pl.col("gain").sum(), most=pl.col("gain").max()).row(0))
    shown = importances.head(MOST_FEATURES)
    features = tuple(
        Feature(
            name=feature_name(row["feature"]),
            gain=formats.percent(row["gain"] / total if total else None),
            split=formats.count(row["split"]),
            bar=round(100 * row["gain"] / best, 1) if total else 0.0,
        )
        for row in shown.to_dicts()
    )
    left_out = _left_out(importances.slice(MOST_FEATURES), total)
    return RerankerReport(
        "", _facts(night, found, found.learned), _curve(night, found.learned.best_round), features, left_out
    )


def feature_name(feature: str) -> str:
    """Return a feature as people read it.

    >>> feature_name("zero_shot_rank"), feature_name("photo_age_days")
    ('Zero-shot base: place in its ranking', 'Age of the photo')
    """
    if feature in _MEANINGS:
        return _MEANINGS[feature]
    key, _, what = feature.rpartition("_")
    return f"{ARMS[key].name}: {_OF_AN_ARM[what]}" if key in ARMS and what in _OF_AN_ARM else feature


def _curve(night: Night, best: int) -> LineChart:
    """Return nDCG@10 by round on the searches learned from and on the held-out ones, with the round that was kept."""
    points = night.table(RERANKER, "curves").sort("step")
    series = []
    for searches, name, css in _LINES:
        rows = points.filter(searches=searches).select(pl.col("step").cast(pl.Float64), "value")
        series.append(Series(name, css, tuple(rows.iter_rows()), best - 1 if searches == "held_out" else None))
    last = len(series[0].points)
    ends = [(line.name, *(formats.score(line.points[i][1]) for i in (0, -1))) for line in series]
    return line_chart(
        "reranker-curve",
        "nDCG@10 by round of training",
        "; ".join(f"{name}: from {first} to {final}" for name, first, final in ends) + f". Kept was round {best}.",
        series,
        x_ticks=[(value, formats.count(round(value))) for value in nice_ticks(0, last) if 0 < value <= last],
        x_label="round, a tree each",
        format_tick=lambda value: f"{value:g}",
        format_value=formats.score,
    )


def _left_out(rest: pl.DataFrame, total: float) -> str:
    if rest.is_empty() or not total:
        return ""
    return f"{len(rest)} more features have {formats.percent(float(rest['gain'].sum()) / total)} of the gain together."


def _facts(night: Night, found: RerankerFacts, learned: LearnedOrder) -> tuple[Fact, ...]:
    candidates = formats.count(night.manifest(RERANKER).params["candidate_count"])
    searches = f"{formats.count(found.learnable_search_count)} of {formats.count(found.search_count)}"
    before = formats.percent(learned.held_out_hit_rate_before)
    after = formats.percent(learned.held_out_hit_rate_after)
    return (
        Fact("Reorders", f"the {candidates} best photos of {arm(found.base_arm).name}"),
        Fact("Learned from", f"{searches} validation searches: those whose photo is among them"),
        Fact("Held-out visitors", f"{formats.count(learned.held_out_search_count)} searches"),
        Fact("Hit rate@10 on these", f"{before} before, {after} after reordering"),
        Fact("Trees", formats.count(learned.best_round)),
        *(
            Fact(f"Check {check.check}", f"{check.status}, {formats.count(check.event_count)} conversions")
            for check in found.checks
        ),
    )
