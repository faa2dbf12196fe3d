"""A window's searches and the search that they are put to, read from the lake as of the window's beginning.

One cutoff per window: the validation searches, from which the reranker learns, know the training window; the test
searches know training and validation, as the counting baselines do. Nothing that happened inside a window is a
feature of that window's searches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import EventsCheck
from jobs.embedding.short_vectors import short_vectors
from jobs.evaluation.arm_plan import check_arm
from jobs.evaluation.availability import read_availability
from jobs.evaluation.integers import microseconds
from jobs.evaluation.ranking_task import Task
from jobs.evaluation.text_vectors import texts_of_arm
from jobs.evaluation.vector_arm import Limits, VectorArm
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.reranking.answering import Answering
from jobs.reranking.photo_keywords import read_photo_keywords
from jobs.reranking.tables import read_pasts, read_tables
from models.evaluation.ranking import Availability, Bools, Ints
from models.keyword_match import Tokens
from models.rerank.features import Searches
from models.rerank.likeness import short_basis, shortened
from models.rerank.photo_keywords import PhotoKeywords
from models.rerank.search import Search
from models.rerank.vectors import ListedVectors, listed

KNOWN = {"validation": ("train",), "test": ("train", "validation")}
"""The windows whose conversions are known when a window begins."""
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class ArmVectors:
    """An arm's vectors of the task's texts, photos and their keywords; zero where a photo has none."""

    query_UD: NDArray[np.float32]
    photo_PD: NDArray[np.float32]
    has_vector_P: Bools
    keywords: PhotoKeywords


@dataclass(frozen=True)
class _Seen:
    """What an arm makes of the task's photos."""

    short_PK: NDArray[np.float16]
    keywords: PhotoKeywords
    has_vector_P: Bools


@dataclass(frozen=True)
class WindowSearch:
    """A window's searches, the photo that each converted, and the search; `check` is of the events it knows."""

    search: Search
    searches: Searches
    target: Ints
    check: EventsCheck

    @classmethod
    def read(
        cls,
        lake: Lake,
        inputs: dict[str, Manifest],
        task: Task,
        arm: str,
        params: dict[str, Any],
        where: Answering,
        **parts: Any,
    ) -> WindowSearch:
        """Return the task's searches and the search by an arm's vectors, whose lists are made in tasks.

        `params` are those of `train_reranker`; `parts` are given to `Search`. `NightlensError` if the arm is
        unfinished, `GateFailed` if a conversion that features are made of is of the window itself.
        """
        check_arm(inputs, arm)
        available = read_availability(lake, inputs, task)
        limits = Limits(params["max_missing_share"], where.max_memory_mb)
        found = VectorArm.laid_out(lake, inputs, task, available, arm, where.pool, where.scratch, limits)
        found.check_photos()
        vectors = found.lists(*_times(inputs["splits"], task), params["candidate_count"])
        short_PK, has_vector_P = short_vectors(found.located, where.pool.each), found.located.has_vector_P
        embedded = partial(texts_of_arm, lake, inputs["query_embeddings"], arm)
        keywords = read_photo_keywords(lake, inputs["splits"], task.photos, embedded)
        photos = _Seen(short_PK, keywords, has_vector_P)
        return cls._of(lake, inputs, task, available, vectors, photos, params, **parts)

    @classmethod
    def by_vectors(
        cls,
        lake: Lake,
        inputs: dict[str, Manifest],
        task: Task,
        vectors: ArmVectors,
        params: dict[str, Any],
        **parts: Any,
    ) -> WindowSearch:
        """Return the task's searches and the search by vectors that are at hand; parameters and errors as in `read`."""
        available = read_availability(lake, inputs, task)
        since_P = np.where(vectors.has_vector_P, available.since, _NEVER)
        listing = replace(available, since=since_P), *_times(inputs["splits"], task), params["candidate_count"]
        found = listed(vectors.query_UD, vectors.photo_PD, *listing)
        basis_DK = short_basis(np.asarray(vectors.photo_PD.T @ vectors.photo_PD, dtype=np.float64))
        photos = _Seen(shortened(vectors.photo_PD, basis_DK), vectors.keywords, vectors.has_vector_P)
        return cls._of(lake, inputs, task, available, found, photos, params, **parts)

    @classmethod
    def _of(
        cls,
        lake: Lake,
        inputs: dict[str, Manifest],
        task: Task,
        availability: Availability,
        vectors: ListedVectors,
        photos: _Seen,
        params: dict[str, Any],
        **parts: Any,
    ) -> WindowSearch:
        start, _ = SplitsFacts.of(inputs["splits"]).windows[task.window]
        known, half_life = KNOWN[task.window], params["half_life_days"]
        words = task.texts["query"].to_list()
        seen = photos.short_PK, photos.keywords
        tables, check = read_tables(lake, inputs, task.photos, *seen, known, start, half_life, asked=words)
        since_P = np.where(photos.has_vector_P, availability.since, _NEVER)  # without a vector it is in no index
        availability = replace(availability, since=since_P)
        search = Search(
            tables=tables,
            tokens=Tokens.of(words),
            vectors=vectors,
            availability=availability,
            pictures=availability.pictures,
            vector_count=params["candidate_count"],
            pasts=read_pasts(lake, inputs["splits"], task.photos, known, start, task.visitors),
            **parts,
        )
        searches = tables.searches(
            task.text_ids,
            words,
            task.texts["country"].to_list(),
            task.asked_at,
            task.queries["device_type"].to_list(),
            task.queries["orientation_filter"].to_list(),
            task.visitors,
        )
        return cls(search, searches, task.targets, check)


def _times(splits: Manifest, task: Task) -> tuple[int, int]:
    """Return the first and the last instant of the searches; by the protocol 80/20 a search may be of any time."""
    start, end = map(microseconds, SplitsFacts.of(splits).windows[task.window])
    return int(task.asked_at.min(initial=start)), int(task.asked_at.max(initial=end))
