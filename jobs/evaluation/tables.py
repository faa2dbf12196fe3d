"""The tables of the evaluation, built from ranks."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.evaluation.inputs import Task
from models.evaluation.examples import Example, choose_examples
from models.evaluation.metrics import columns
from models.evaluation.ranking import Scorer, top_photos
from models.evaluation.scorecard import Scorecard

Ranks = dict[str, NDArray[np.int32]]
"""Rank of the converted photo of each query, shape (Q,), by arm."""

SHEET_PHOTOS = 8
FAILURE_RANK = 25
MIN_VISITORS = 10
"""A slice of fewer visitors gets no interval: a bootstrap of so few says nothing."""


def segments(task: Task) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Give kind, name and queries (mask of shape (Q,)) of each slice, the whole first; none is empty."""
    labels = task.queries.select(
        all=pl.lit("all"),
        country=pl.when(pl.col("country") == "").then(pl.lit("unknown")).otherwise("country"),
        photo_age=pl.when("is_in_train").then(pl.lit("old")).otherwise(pl.lit("new")),
        query_seen=pl.when("is_seen").then(pl.lit("seen")).otherwise(pl.lit("unseen")),
    )
    for kind in labels.columns:
        for name in labels[kind].unique().sort():
            yield kind, name, (labels[kind] == name).to_numpy()


def metrics_table(ranks: Ranks, task: Task, resample_count: int, seed: int) -> tuple[pl.DataFrame, Scorecard]:
    """Return the table `metrics` and the scorecard of all queries."""
    frames, whole = [], None
    for kind, name, is_in_Q in segments(task):
        kept = {arm: rank_Q[is_in_Q] for arm, rank_Q in ranks.items()}
        slice_seed = [seed, zlib.crc32(f"{kind}={name}".encode())]
        card = Scorecard.of(kept, task.visitors[is_in_Q], resample_count, slice_seed)
        whole = whole or card
        has_interval = kind == "all" or card.visitor_count >= MIN_VISITORS
        rows = pl.concat([_metric_rows(card, arm, has_interval) for arm in card.arms])
        frames.append(rows.with_columns(segment_kind=pl.lit(kind), segment=pl.lit(name)))
    assert whole is not None, "a test window without queries is refused by split_temporal"
    return pl.concat(frames), whole


def _metric_rows(card: Scorecard, arm: str, has_interval: bool) -> pl.DataFrame:
    estimates = card.estimates(arm)
    nothing = pl.Series([None] * len(estimates.value), dtype=pl.Float64)
    return _by_metric().with_columns(
        pl.lit(arm).alias("arm"),
        pl.Series("value", estimates.value),
        (pl.Series(estimates.low) if has_interval else nothing).alias("low"),
        (pl.Series(estimates.high) if has_interval else nothing).alias("high"),
        pl.lit(card.query_count, dtype=pl.Int64).alias("query_count"),
    )


def comparisons_table(card: Scorecard, challenger: str) -> pl.DataFrame:
    """Return the table `comparisons`: the challenger less every other arm, paired."""
    frames = []
    for baseline in card.arms:
        if baseline != challenger:
            difference = card.difference(challenger, baseline)
            frames.append(
                _by_metric().with_columns(
                    pl.lit(challenger).alias("arm"),
                    pl.lit(baseline).alias("baseline"),
                    pl.Series("difference", difference.value),
                    pl.Series("low", difference.low),
                    pl.Series("high", difference.high),
                    pl.Series("probability_better", difference.probability_better),
                )
            )
    return pl.concat(frames)


def _by_metric() -> pl.DataFrame:
    return pl.DataFrame(columns(), schema={"metric": pl.String, "k": pl.Int32}, orient="row")


def ranks_table(ranks: Ranks) -> pl.DataFrame:
    """Return the table `ranks`, by arm and query."""
    frames = (
        pl.DataFrame({"query_id": np.arange(len(rank_Q)), "rank": rank_Q}).with_columns(pl.lit(arm).alias("arm"))
        for arm, rank_Q in ranks.items()
    )
    return pl.concat(frames)


def contact_sheet_table(ranks: Ranks, task: Task, scorers: Mapping[str, Scorer], count: int) -> pl.DataFrame:
    """Return the table `contact_sheet`: the top photos of a few arms, the challenger first, for chosen queries."""
    challenger = next(iter(scorers))
    rows = np.array([example.row for example in choose_examples(_examples(ranks[challenger], task), count)])
    asked = task.queries[rows].select("query", "country", pl.col("photo_id").alias("converted_photo_id"))
    frames = []
    for arm, scorer in scorers.items():
        tops = top_photos(scorer, task.text_ids[rows], task.asked_at[rows], task.available_at, SHEET_PHOTOS)
        for row, (places, scores) in enumerate(tops):
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
