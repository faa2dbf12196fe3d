"""The evaluation by query: a query is a distinct (query, country), relevant are all photos converted for it.

Shape letters: U distinct queries, N judgements (a query and a photo converted for it), Q conversions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.datasets.evaluation import ByQueryFacts
from jobs.evaluation.ranked_arm import RankedArm, rank
from jobs.evaluation.ranking_task import Task
from models.evaluation.metrics import CUTOFFS, Floats, best_ranks, gains_at_ranks, list_metrics
from models.evaluation.ranking import Availability, Ints
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters

INTERVALS = "95 %, paired, clustered by words: the same words in all countries hang together"


@dataclass(frozen=True)
class Judgements:
    """Which pictures are relevant for which query of the test window, and how much; of equal ones the first photo."""

    frame: pl.DataFrame  # N rows, `judgement_id` numbering them: query, country, photo_id, visitor_count
    text_ids: Ints  # (N,) the query, a number of `Task.texts`
    targets: Ints  # (N,) the place of the photo
    grades: Ints  # (N,) how many visitors took the photo for this query
    asked_at: Ints  # (N,) when the query was asked for the last time: by then all its photos are candidates
    words: Ints  # (U,) number of the query's words, the same in every country

    @classmethod
    def of(cls, task: Task, picture: Ints) -> Judgements:
        """Return the judgements that the test conversions amount to; every query has at least one.

        `picture` is as in `Availability`: equal pictures are judged as one, for a list shows one of them.
        """
        last = pl.col("converted_at").max().over("text").alias("last_at")
        own = np.where(picture < 0, -1 - np.arange(len(picture)), picture)
        frame = (
            task.queries.with_columns(last, pl.Series("picture", own[task.targets]))
            .group_by("text", "picture", "query", "country", "last_at")
            .agg(
                pl.col("place").min(),
                pl.col("photo_id").sort_by("place").first(),
                pl.col("visitor").n_unique().cast(pl.Int64).alias("visitor_count"),
            )
            .sort("text", "place")
            .with_row_index("judgement_id")
            .with_columns(pl.col("judgement_id").cast(pl.Int64))
        )
        numbers = {name: frame[name].cast(pl.Int64).to_numpy() for name in ("text", "place", "visitor_count")}
        return cls(
            frame=frame.select("judgement_id", "query", "country", "photo_id", "visitor_count"),
            text_ids=numbers["text"],
            targets=numbers["place"],
            grades=numbers["visitor_count"],
            asked_at=frame["last_at"].cast(pl.Int64).to_numpy(),
            words=task.words,
        )

    def values(self, rank_N: NDArray[np.int32]) -> Floats:
        """Return every metric of every query, shape (U, M), from the ranks of the photos judged."""
        query_count, depth = len(self.words), max(CUTOFFS)
        gain_UK, ideal_UK = (
            gains_at_ranks(self.text_ids, rank, self.grades, query_count, depth)
            for rank in (rank_N, best_ranks(self.text_ids, self.grades))
        )
        return list_metrics(gain_UK, ideal_UK, np.bincount(self.text_ids, minlength=query_count))

    def facts(self, card: Scorecard) -> ByQueryFacts:
        """Return what the evaluation by query amounts to, summed up by the only metric here that looks at grades."""
        return ByQueryFacts(
            query_count=card.query_count,
            words_count=card.cluster_counts[0],
            judgement_count=len(self.frame),
            ndcg_at_10={arm: card.value(arm, "ndcg", 10) for arm in card.arms},
            intervals=INTERVALS,
        )


def rank_both_ways(
    arm: RankedArm, task: Task, availability: Availability, judgements: Judgements
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the ranks of the photos converted, shape (Q,), and of the photos judged, shape (N,).

    They are ranked in one go, so that a text is scored once for both.
    """
    found = rank(
        arm,
        np.concatenate([task.text_ids, judgements.text_ids]),
        np.concatenate([task.targets, judgements.targets]),
        np.concatenate([task.asked_at, judgements.asked_at]),
        availability,
    )
    return found[: len(task.targets)], found[len(task.targets) :]


def query_scorecard(ranks: dict[str, NDArray[np.int32]], judgements: Judgements) -> Scorecard:
    """Return the metrics of arms given by their ranks of the photos judged, each of shape (N,)."""
    values = {arm: judgements.values(rank_N) for arm, rank_N in ranks.items()}
    return Scorecard.of_values(values, Clusters.of(judgements.words))
