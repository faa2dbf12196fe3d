"""What ranks photos: an arm by vectors, or one by counts or words. Each is asked alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.adapters.task_pool import TaskPool
from jobs.datasets.features import SplitsFacts
from jobs.evaluation.integers import integers
from jobs.evaluation.keywords import keyword_match
from jobs.evaluation.ranking_task import Task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.shared_arrays import Scratch, Shared
from models.evaluation.baselines import most_converted, popularity, popularity_weights
from models.evaluation.counting import Lookups, Targets
from models.evaluation.ranking import Availability, Bools, Floats, Ints
from models.evaluation.sparse_scores import SparseScores
from models.keyword_match import KeywordMatch, Tokens

BASELINES = ("popularity", "most_converted_for_query", "keyword_bm25")
Lists = list[tuple[Ints, NDArray[Any]]]
_TEXTS_PER_TASK = 4096


class RankedArm(Protocol):
    """Ranks photos for texts, given by their numbers and places."""

    @property
    def missing_count(self) -> int:
        """How many photos it knows nothing of: they rank behind all others."""

    def of_pairs(self, text_N: Ints, place_N: Ints) -> Floats:
        """Return the scores of pairs of a text and a photo, shape (N,)."""

    def count_ahead(self, targets: Targets) -> Ints:
        """Return how many photos are listed ahead of each target, shape (N,); targets are in the order of texts."""

    def best(self, text_B: Ints, asked_at_B: Ints, k: int) -> Lists:
        """Return the places and scores of the best k photos that a few searches list, best first."""


def rank(arm: RankedArm, text_Q: Ints, target_Q: Ints, asked_at_Q: Ints, available: Availability) -> NDArray[np.int32]:
    """Return the exact rank of each search's photo among all its candidates, shape (Q,), 1 for the best."""
    lookups = Lookups.of(text_Q, target_Q, asked_at_Q, available)
    targets = lookups.targets(arm.of_pairs(lookups.text, lookups.place))
    return lookups.ranks(arm.count_ahead(targets))


@dataclass(frozen=True)
class _Common:
    """What an arm by counts or words has beside what photos score for a text."""

    base: Floats
    is_special_P: Bools
    availability: Availability


@dataclass(frozen=True)
class SparseArm:
    """An arm by counts or words; tasks take some texts each."""

    scores: SparseScores
    common: Shared[_Common]
    more: Shared[Any]
    pool: TaskPool
    availability: Availability
    missing_count: int = 0

    def of_pairs(self, text_N: Ints, place_N: Ints) -> Floats:
        """Return the scores of pairs."""
        score_N = np.empty(len(text_N), dtype=np.float64)
        parts = _by_texts(text_N)
        items = [(text_N[rows], place_N[rows]) for rows in parts]
        for rows, score in zip(parts, self.pool.each(partial(_score, self.common, self.more), items), strict=True):
            score_N[rows] = score
        return score_N

    def count_ahead(self, targets: Targets) -> Ints:
        """Return how many photos are listed ahead of each target."""
        parts = _by_texts(targets.text)
        found = self.pool.each(partial(_count, self.common, self.more), [targets.of(rows) for rows in parts])
        return np.concatenate([np.zeros(0, dtype=np.int64), *found])

    def best(self, text_B: Ints, asked_at_B: Ints, k: int) -> Lists:
        """Return the best k photos of a few searches."""
        asked = zip(text_B.tolist(), asked_at_B.tolist(), strict=True)
        return [self.scores.best(text, at, self.availability, k) for text, at in asked]


def _by_texts(text_N: Ints) -> list[Ints]:
    """Return the rows of so many texts each, in the order of the texts."""
    order = np.argsort(text_N, kind="stable")
    starts = np.flatnonzero(np.diff(text_N[order], prepend=-1))
    return np.split(order, starts[_TEXTS_PER_TASK::_TEXTS_PER_TASK])


def _score(common: Shared[_Common], more: Shared[Any], item: tuple[Ints, Ints]) -> Floats:
    return SparseScores(common.open().base, more.open()).of_pairs(*item)


def _count(common: Shared[_Common], more: Shared[Any], targets: Targets) -> Ints:
    kept = common.open()
    return SparseScores(kept.base, more.open()).count_ahead(targets, kept.is_special_P, kept.availability)


def baseline(
    lake: Lake, splits: Manifest, task: Task, availability: Availability, name: str, pool: TaskPool, scratch: Scratch
) -> SparseArm:
    """Return a baseline.

    Counts are of everything before the test window, training and validation; repeats of one search by one visitor
    count once in each. Keywords have no dates: all that a photo has are used, whatever their confidence.
    """
    make = {"popularity": _popularity, "most_converted_for_query": _most_converted, "keyword_bm25": _keywords}[name]
    scores = make(lake, splits, task)
    common = _Common(scores.base, availability.special(int(task.asked_at.min())), availability)
    return SparseArm(scores, scratch.put(common), scratch.put(scores.more), pool, availability)


def _popularity(lake: Lake, splits: Manifest, task: Task) -> SparseScores:
    start, weight_P = SplitsFacts.of(splits).windows["test"][0], np.zeros(len(task.photos))
    for past in _past(lake, splits, task, ["photo_id", "converted_at"]):
        age_days = past.select((start - pl.col("converted_at")) / timedelta(days=1)).to_series().to_numpy()
        weight_P += np.bincount(integers(past["place"]), popularity_weights(age_days), minlength=len(weight_P))
    return popularity(weight_P)


def _most_converted(lake: Lake, splits: Manifest, task: Task) -> SparseScores:
    """Return the scores by conversions for the query; texts of several countries share the query's counts."""
    numbers = task.texts.select("query", number=pl.col("query").rank("dense").cast(pl.Int64))
    count_P, counts = np.zeros(len(task.photos), dtype=np.int64), list[pl.DataFrame]()
    for past in _past(lake, splits, task, ["query", "photo_id"]):
        count_P += np.bincount(integers(past["place"]), minlength=len(count_P))
        counts.append(past.join(numbers.unique(), on="query").group_by("number", "place").len("count"))
    found = pl.concat(counts).group_by("number", "place").agg(pl.col("count").sum())
    number_N, place_N, count_N = (integers(found[name]) for name in ("number", "place", "count"))
    return most_converted(integers(numbers["number"]), number_N, place_N, count_N, count_P)


def _keywords(lake: Lake, splits: Manifest, task: Task) -> SparseScores:
    match = keyword_match(lake, splits, task.photos, SplitsFacts.of(splits).windows[task.window][0])
    return SparseScores(
        np.zeros(len(task.photos), dtype=np.float32), _Words(match, Tokens.of(task.texts["query"].to_list()))
    )


def _past(lake: Lake, splits: Manifest, task: Task, columns: list[str]) -> Iterator[pl.DataFrame]:
    """Yield the conversions before the test window with the place of the photo, a file at a time."""
    places = task.photos.select("photo_id", "place")
    for window in ("train", "validation"):
        for rows in lake.table_files(splits, window, columns):
            yield rows.join(places, on="photo_id", maintain_order="left")


@dataclass(frozen=True)
class _Words:
    match: KeywordMatch
    tokens: Tokens

    def __call__(self, text: int) -> tuple[Ints, NDArray[Any]]:
        found = self.match.matches(self.tokens.of_texts(np.array([text])))
        return found.place, found.score
