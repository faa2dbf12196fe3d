"""What a backtest amounts to: rates and paired differences by day and on all days, and the text that people read.

Nothing is read or ranked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from jobs.datasets.backtest import BACKTEST, HELD_BACK, REFITTED, RERANKER_REFITTED, NextDayFacts
from jobs.evaluation.integers import integers
from models.evaluation.metrics import columns
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters, Estimates

ARMS = (HELD_BACK, RERANKER_REFITTED, REFITTED)
PAIRS = ((REFITTED, HELD_BACK), (RERANKER_REFITTED, HELD_BACK), (REFITTED, RERANKER_REFITTED))
ALL_DAYS = "all"
ALL, NEW, KNOWN = "all", "new", "known"
_COLUMN = columns().index(("hit_rate", 10))
_IN_WORDS = {ALL: "", NEW: ", new photos", KNOWN: ", other photos"}


def tables(days: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rates and differences of days given by their searches: day, visitor_id, query, is_new and a rank by arm.

    Rows of single days come first, then those of all days together: all photos, new ones, the others. What has no
    search has no row.
    """
    together = pl.concat(days)
    groups = [(day["day"].first(), ALL, day) for day in days]
    groups += [(ALL_DAYS, ALL, together)]
    groups += [(ALL_DAYS, NEW, together.filter("is_new")), (ALL_DAYS, KNOWN, together.filter(~pl.col("is_new")))]
    rates, differences = [], []
    for day, photos, searches in groups:
        if searches.is_empty():
            continue
        first_seen = (pl.col("index").min().over(name).alias(name) for name in ("visitor_id", "query"))
        clusters = Clusters.of(*map(integers, searches.with_row_index().select(first_seen)))
        card = Scorecard.of({arm: searches[arm].to_numpy() for arm in ARMS}, clusters)
        about = (day, photos, card.query_count)
        rates += [(*about, arm, *_figures(card.estimates(arm), "value", "low", "high")) for arm in ARMS]
        differences += [
            (*about, arm, baseline, *_figures(found, "value", "low", "high", "p_value", "detectable"))
            for arm, baseline in PAIRS
            for found in (card.difference(arm, baseline),)
        ]
    names = {table.name: table.schema.names for table in BACKTEST.tables}
    return (
        pl.DataFrame(rates, schema=names["rates"], orient="row"),
        pl.DataFrame(differences, schema=names["differences"], orient="row"),
    )


def _figures(found: Estimates, *names: str) -> list[float]:
    return [float(getattr(found, name)[_COLUMN]) for name in names]


def is_better(differences: pl.DataFrame, arm: str, baseline: str) -> bool:
    """Say whether the interval of a difference on all days and photos is above 0."""
    found = differences.filter(day=ALL_DAYS, photos=ALL, arm=arm, baseline=baseline)
    return bool(found["low"].item() > 0)


def markdown(rates: pl.DataFrame, differences: pl.DataFrame, facts: Sequence[NextDayFacts], title: str) -> str:
    """Return the tables as people read them; `facts` are those of the days, whose windows are alike."""
    lines = [f"# What refitting is worth: {title}", "", *_preface(facts[0].held_back_days, facts[0].validation_days)]
    lines += ["", "| day | searches | held back | reranker refitted | refitted |", "|---|--:|--:|--:|--:|"]
    lines += _rate_lines(rates)
    lines += ["", "| difference, all days | searches | hit rate@10 | 95 % interval | p | detectable |"]
    lines += ["|---|--:|--:|---|--:|--:|", *_difference_lines(differences)]
    tower, reranker = np.mean([(one.tower_seconds, one.reranker_seconds) for one in facts], axis=0)
    lines += ["", f"One more fit takes {tower:.0f} s for the tower and {reranker:.0f} s for the reranker (means)."]
    return "\n".join(lines) + "\n"


def _preface(held_back: int, validation: int) -> Iterator[str]:
    yield (
        f"Hit rate@10 of the release of the night before, asked a day's searches. Held back: as a night makes it, the "
        f"tower trained until {held_back + validation} days before the day, the reranker learned from the "
        f"{validation} days after that. Reranker refitted: the same tower, the reranker learned from the last "
        f"{validation} days before the day. Refitted: the tower trained until {validation} days before the day, the "
        f"reranker learned from these. All three count the same conversions, those before the day, and may show "
        f"photos as soon as they are submitted. Each tower was trained once and in full, all from one base."
    )
    yield ""
    yield (
        "Intervals: 95 %, paired, clustered by visitor and by query: they speak of other searches, not of other "
        "seeds. New photos were submitted after the training window of the older tower. Detectable: the smallest true "
        "difference that is found in four of five cases."
    )


def _rate_lines(rates: pl.DataFrame) -> Iterator[str]:
    for (day, photos, count), rows in rates.group_by("day", "photos", "query_count", maintain_order=True):
        value = dict(rows.select("arm", "value").iter_rows())
        cells = " | ".join(f"{value[arm]:.3f}" for arm in ARMS)
        yield f"| {day}{_IN_WORDS[str(photos)]} | {count:,} | {cells} |"


def _difference_lines(differences: pl.DataFrame) -> Iterator[str]:
    for row in differences.filter(day=ALL_DAYS).iter_rows(named=True):
        what = f"{row['arm']} less {row['baseline']}".replace("_", " ")
        yield (
            f"| {what}{_IN_WORDS[row['photos']]} | {row['query_count']:,} | {row['difference']:+.3f} "
            f"| {row['low']:+.3f} to {row['high']:+.3f} | {row['p_value']:.3f} | {row['detectable']:.3f} |"
        )
