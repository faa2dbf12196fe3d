"""The tables of the evaluation of recommenders, from the metrics of every visitor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from jobs.datasets.evaluation import RECOMMENDATION
from models.evaluation.metrics import Floats as Doubles
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters, Estimates
from models.recommend.interactions import NONE, Bools, Interactions, Ints
from models.recommend.judging import (
    COLUMNS,
    HISTORY_GROUPS,
    history_group,
    is_elsewhere,
    is_new_item,
)
from models.recommend.protocols import Trial

PRIMARY = COLUMNS.index(("hit_rate", 10))
FEWEST = 2
"""Visitors of a segment below which nothing is said of it."""


@dataclass(frozen=True, eq=False)
class Segment:
    """Some of the visitors of a trial with what is right for them."""

    kind: str
    name: str
    visitors: Ints
    truth: Interactions


def segments(trial: Trial) -> Iterator[Segment]:
    """Give the groups by length of history, visitors from other countries, and new photos, as far as there are any.

    Of all with a past ("1+") the others are a part.
    """
    group_V = np.array(history_group(trial.histories))
    parts: list[tuple[str, str, Bools]] = [("history", name, group_V == name) for name, _, _ in HISTORY_GROUPS]
    parts.append(("history", "1+", np.diff(trial.histories.start_V1) > 0))
    parts.append(("country", "elsewhere", is_elsewhere(trial.log, trial.histories.country_V)))
    for kind, name, is_in_V in parts:
        if np.count_nonzero(is_in_V) >= FEWEST:
            visitors = np.flatnonzero(is_in_V)
            yield Segment(kind, name, visitors, trial.truth.take(visitors))
    new = trial.truth.where(is_new_item(trial.log)[trial.truth.item_N])
    visitors = np.flatnonzero(np.diff(new.start_V1))
    if len(visitors) >= FEWEST:
        yield Segment("photos", "new", visitors, new.take(visitors))


def measure(about: dict[str, str], values: Mapping[str, Doubles]) -> dict[str, pl.DataFrame]:
    """Return rows of `metrics` and `comparisons`: every arm, and the best by hit rate@10 less every other.

    `about` holds protocol, segment_kind and segment; `values` the metrics of each visitor by arm, [V, M]. Which arm is
    the best is seen on the same visitors, so a comparison is one of those of all pairs of arms.
    """
    card = Scorecard.of_values(values, Clusters.of(np.arange(len(next(iter(values.values()))))))
    count = pl.lit(card.query_count, pl.Int64)
    metrics = [_rows(card.estimates(arm), about | {"arm": arm}, "value") for arm in card.arms]
    best = card.arms[int(card.means[:, PRIMARY].argmax())]
    return {
        "metrics": pl.concat(metrics).with_columns(visitor_count=count),
        "comparisons": _comparisons(card, best, about),
    }


def _comparisons(card: Scorecard, best: str, about: dict[str, str]) -> pl.DataFrame:
    others = [arm for arm in card.arms if arm != best]
    if not others:
        return empty("comparisons")
    pairs = len(card.arms) * (len(card.arms) - 1) // 2
    found = {other: card.difference(best, other).among(pairs) for other in others}
    return pl.concat(
        _rows(one, about | {"arm": best, "baseline": other}, "difference").with_columns(
            p_value=pl.Series(one.p_value), detectable=pl.Series(one.detectable)
        )
        for other, one in found.items()
    )


def _rows(found: Estimates, about: dict[str, str], name: str) -> pl.DataFrame:
    keys = pl.DataFrame(COLUMNS, schema={"metric": pl.String, "k": pl.Int32}, orient="row")
    columns = {name: found.value, "low": found.low, "high": found.high}
    return keys.with_columns(
        **{key: pl.lit(value) for key, value in about.items()},
        **{key: pl.Series(value) for key, value in columns.items()},
    )


def sheet(
    trial: Trial,
    item_by_arm: Mapping[str, Ints],
    photo_ids: pl.Series,
    name_visitors: Callable[[Ints], pl.Series],
    count: int,
) -> pl.DataFrame:
    """Return the contact sheet of a few visitors, those with the longest of the usual histories."""
    shown, per_row = [], 6
    length_V = np.diff(trial.histories.start_V1)
    chosen = np.argsort(-np.where(length_V <= 4 * per_row, length_V, 0), kind="stable")[:count]
    for visitor, visitor_id in zip(chosen.tolist(), name_visitors(trial.truth.visitor_V[chosen]), strict=True):
        own = trial.histories.history(visitor)
        taken = np.unique(trial.truth.item_N[trial.truth.history(visitor)])
        lists = {"history": trial.histories.item_N[own][::-1], "taken": taken}
        lists |= {arm: item_VK[visitor] for arm, item_VK in item_by_arm.items()}
        for arm, items in lists.items():
            some = items[items != NONE][:per_row]
            rows = {
                "visitor_id": [visitor_id] * len(some),
                "arm": [arm] * len(some),
                "position": range(1, len(some) + 1),
                "photo_id": photo_ids[some],
                "is_right": np.isin(some, taken),
            }
            shown.append(pl.DataFrame(rows, schema=empty("contact_sheet").schema))
    return pl.concat(shown) if shown else empty("contact_sheet")


def empty(table: str) -> pl.DataFrame:
    """Return a table of the dataset without rows."""
    return pl.DataFrame(RECOMMENDATION.table(table).schema.empty_table())


def filled(table: str, frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return rows of a table in the order of its columns."""
    return pl.concat([frame.select(empty(table).columns) for frame in frames]) if frames else empty(table)
