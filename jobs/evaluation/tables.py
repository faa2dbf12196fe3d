"""The tables of the evaluation, built from ranks."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.evaluation.ranking_task import Task
from jobs.evaluation.segments import Segments
from models.evaluation.examples import Example, choose_examples
from models.evaluation.metrics import columns, rank_metrics
from models.evaluation.ranking import Scorer, top_photos
from models.evaluation.scorecard import Estimates, Scorecard
from models.evaluation.statistics import holm

Ranks = dict[str, NDArray[np.int32]]
"""Rank of the converted photo of each query, shape (Q,), by arm."""

SHEET_PHOTOS = 8
FAILURE_RANK = 25
HIGHEST = rank_metrics([1])[0]
"""The most a metric of one relevant photo can reach, shape (M,): precision@10, say, is a tenth at best."""


def metrics_tables(
    ranks: Ranks, task: Task, segments: Segments, challenger: str, resample_count: int, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame, Scorecard]:
    """Return the tables `metrics` and `segment_comparisons`, and the scorecard of all queries.

    Slices of few visitors keep their place, with the wide intervals that so few allow.
    """
    metrics, differences, whole = [], [], None
    for kind, name, is_in_Q in segments.masks():
        kept = {arm: rank_Q[is_in_Q] for arm, rank_Q in ranks.items()}
        slice_seed = [seed, zlib.crc32(f"{kind}={name}".encode())]
        card = Scorecard.of(kept, task.visitors[is_in_Q], resample_count, slice_seed)
        segment = {"segment_kind": pl.lit(kind), "segment": pl.lit(name)} | counts(card)
        is_whole = whole is None
        whole = whole or card
        for arm in card.arms:
            found = card.estimates(arm) if is_whole else card.cautious(arm, highest=HIGHEST)
            metrics.append(estimate_rows(found, "value").with_columns(pl.lit(arm).alias("arm"), **segment))
        for baseline in () if is_whole else _others(card, challenger):
            found = card.cautious(challenger, baseline, HIGHEST)
            pair = {"arm": pl.lit(challenger), "baseline": pl.lit(baseline)}
            differences.append(estimate_rows(found, "difference").with_columns(**pair, **segment))
    assert whole is not None, "a test window without queries is refused by split_temporal"
    return pl.concat(metrics), pl.concat(differences), whole


def whole_metrics_table(card: Scorecard) -> pl.DataFrame:
    """Return the metrics of a scorecard in the form of the table `metrics`, without slices."""
    whole = {"segment_kind": pl.lit("all"), "segment": pl.lit("all")} | counts(card)
    return pl.concat(
        estimate_rows(card.estimates(arm), "value").with_columns(pl.lit(arm).alias("arm"), **whole) for arm in card.arms
    )


def comparisons_table(card: Scorecard, challenger: str) -> pl.DataFrame:
    """Return the challenger less every other arm, paired. Adjusted together are the comparisons of a metric and k."""
    others = _others(card, challenger)
    found = [card.difference(challenger, baseline) for baseline in others]
    adjusted = np.stack([holm(p_F) for p_F in np.stack([one.p_value for one in found], axis=1)], axis=1)
    return pl.concat(
        estimate_rows(difference, "difference").with_columns(
            pl.lit(challenger).alias("arm"),
            pl.lit(baseline).alias("baseline"),
            pl.Series("probability_better", difference.probability_better),
            pl.Series("p_value", difference.p_value),
            pl.Series("p_value_holm", p_M),
            pl.Series("detectable", difference.detectable),
        )
        for baseline, difference, p_M in zip(others, found, adjusted, strict=True)
    )


def _others(card: Scorecard, challenger: str) -> list[str]:
    return [arm for arm in card.arms if arm != challenger]


def counts(card: Scorecard) -> dict[str, pl.Expr]:
    """Return the columns that say how many searches and visitors a table is about."""
    counts = {"query_count": card.query_count, "cluster_count": card.cluster_count}
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
