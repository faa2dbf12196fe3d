"""The tables of the evaluation, built from ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.evaluation.ranking_task import Task
from jobs.evaluation.segments import Segments
from models.evaluation.examples import Example, choose_examples
from models.evaluation.metrics import columns
from models.evaluation.ranking import Ints
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Estimates

Ranks = dict[str, NDArray[np.int32]]
"""Rank of the converted photo of each query, shape (Q,), by arm."""

Tops = Callable[[Ints, int], list[tuple[Ints, NDArray[Any]]]]
"""Places and scores of the best k photos of some searches, best first, as an arm lists them."""

SHEET_PHOTOS = 8
FAILURE_RANK = 25


def metrics_tables(
    ranks: Ranks, task: Task, segments: Segments, challenger: str
) -> tuple[pl.DataFrame, pl.DataFrame, Scorecard]:
    """Return the tables `metrics` and `segment_comparisons`, and the scorecard of all queries.

    A slice is compared as one of all slices.
    """
    (_, _, _), *slices = segments.masks()
    whole = Scorecard.of(ranks, task.clusters())
    metrics, differences = [whole_metrics_table(whole)], []
    for kind, name, is_in_Q in slices:
        card = Scorecard.of({arm: rank_Q[is_in_Q] for arm, rank_Q in ranks.items()}, task.clusters(is_in_Q))
        metrics.append(_metric_rows(card, kind, name))
        differences += [
            difference_rows(card.difference(challenger, baseline).among(len(slices))).with_columns(
                arm=pl.lit(challenger), baseline=pl.lit(baseline), **_about(card, kind, name)
            )
            for baseline in _others(card, challenger)
        ]
    return pl.concat(metrics), pl.concat(differences), whole


def whole_metrics_table(card: Scorecard) -> pl.DataFrame:
    """Return the metrics of a scorecard in the form of the table `metrics`, without slices."""
    return _metric_rows(card, "all", "all")


def _metric_rows(card: Scorecard, kind: str, name: str) -> pl.DataFrame:
    return pl.concat(
        estimate_rows(card.estimates(arm), "value").with_columns(arm=pl.lit(arm), **_about(card, kind, name))
        for arm in card.arms
    )


def _about(card: Scorecard, kind: str, name: str) -> dict[str, pl.Expr]:
    return {"segment_kind": pl.lit(kind), "segment": pl.lit(name)} | counts(card)


def comparisons_table(card: Scorecard, challenger: str) -> pl.DataFrame:
    """Return the challenger less every other arm, paired; each is one of all comparisons by its metric and k."""
    others = _others(card, challenger)
    return pl.concat(
        difference_rows(card.difference(challenger, baseline).among(len(others))).with_columns(
            arm=pl.lit(challenger), baseline=pl.lit(baseline)
        )
        for baseline in others
    )


def difference_rows(found: Estimates) -> pl.DataFrame:
    """Return a row per metric and k with the difference, its interval, p-value and what could have been detected."""
    return estimate_rows(found, "difference").with_columns(
        p_value=pl.Series(found.p_value), detectable=pl.Series(found.detectable)
    )


def _others(card: Scorecard, challenger: str) -> list[str]:
    return [arm for arm in card.arms if arm != challenger]


def counts(card: Scorecard) -> dict[str, pl.Expr]:
    """Return the columns that say how many searches and visitors a table is about."""
    counts = {"query_count": card.query_count, "cluster_count": card.cluster_counts[0]}
    return {name: pl.lit(count, dtype=pl.Int64) for name, count in counts.items()}


def estimate_rows(found: Estimates, name: str) -> pl.DataFrame:
    """Return a row per metric and k with the estimate, called `name`, and its interval."""
    return _by_metric().with_columns(
        pl.Series(name, found.value), pl.Series("low", found.low), pl.Series("high", found.high)
    )


def _by_metric() -> pl.DataFrame:
    return pl.DataFrame(columns(), schema={"metric": pl.String, "k": pl.Int32}, orient="row")


def ranks_table(ranks: Ranks, key: str = "query_id") -> pl.DataFrame:
    """Return the ranks by arm and query, or whatever `key` numbers."""
    frames = (
        pl.DataFrame({key: np.arange(len(rank_Q)), "rank": rank_Q}).with_columns(pl.lit(arm).alias("arm"))
        for arm, rank_Q in ranks.items()
    )
    return pl.concat(frames)


def contact_sheet_table(ranks: Ranks, task: Task, tops: Mapping[str, Tops], count: int) -> pl.DataFrame:
    """Return the table `contact_sheet`: the top photos of a few arms, the challenger first, for chosen queries."""
    challenger = next(iter(tops))
    rows = np.array([example.row for example in choose_examples(_examples(ranks[challenger], task), count)])
    asked = task.queries[rows].select("query", "country", pl.col("photo_id").alias("converted_photo_id"))
    frames = []
    for arm, best in tops.items():
        for row, (places, scores) in enumerate(best(rows, SHEET_PHOTOS)):
            shown = task.photos[places].select("photo_id").with_row_index("position", offset=1)
            shown = shown.with_columns(pl.Series("score", scores.astype(np.float64)), arm=pl.lit(arm))
            frames.append(asked[row].join(shown, how="cross"))
    return pl.concat(frames)


def _examples(rank_Q: NDArray[np.int32], task: Task) -> list[Example]:
    """Return the first query of each distinct text as a candidate."""
    first = task.queries.with_columns(rank=pl.Series(rank_Q)).unique("text", keep="first", maintain_order=True)
    return [
        Example(row, query, country, is_failure=rank > FAILURE_RANK, is_new_photo=not is_in_train)
        for row, query, country, rank, is_in_train in first.select(
            "query_id", "query", "country", "rank", "is_in_train"
        ).iter_rows()
    ]
