"""A window's searches and the search that they are put to, read from the lake as of the window's beginning.

One cutoff per window: the validation searches, from which the reranker learns, know the training window; the test
searches know training and validation, as the counting baselines do. Nothing that happened inside a window is a
feature of that window's searches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jobs.datasets.embeddings import QueryEmbeddingsFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import EventsCheck
from jobs.evaluation.arm_plan import check_arm
from jobs.evaluation.availability import read_availability
from jobs.evaluation.ranking_task import Task
from jobs.evaluation.scorers import ArmVectors, read_vectors
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.reranking.tables import read_tables
from models.evaluation.ranking import Ints
from models.rerank.features import Searches
from models.rerank.search import Search
from models.rerank.vectors import DenseVectors

KNOWN = {"validation": ("train",), "test": ("train", "validation")}
"""The windows whose conversions are known when a window begins."""
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class WindowSearch:
    """A window's searches, the photo that each converted, and the search; `check` is of the events it knows."""

    search: Search
    searches: Searches
    target: Ints
    check: EventsCheck

    @classmethod
    def read(
        cls, lake: Lake, inputs: dict[str, Manifest], task: Task, arm: str, params: dict[str, Any], **parts: Any
    ) -> WindowSearch:
        """Return the task's searches and the search by an arm's vectors.

        `params` are those of `train_reranker`; `parts` are given to `Search`. `NightlensError` if the arm is
        unfinished, `GateFailed` if a conversion that features are made of is of the window itself.
        """
        check_arm(inputs, arm)
        uses_country = QueryEmbeddingsFacts.of(inputs["query_embeddings"]).arms[arm].uses_country
        vectors = read_vectors(lake, inputs, uses_country, task, arm, params["max_missing_share"])
        return cls.by_vectors(lake, inputs, task, vectors, params, **parts)

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
        start = SplitsFacts.of(inputs["splits"]).windows[task.window][0]
        tables, check = read_tables(lake, inputs, task.photos, KNOWN[task.window], start, params["half_life_days"])
        availability = read_availability(lake, inputs, task)
        since_P = np.where(vectors.has_vector_P, availability.since, _NEVER)  # without a vector it is in no index
        availability = replace(availability, since=since_P)
        search = Search(
            tables=tables,
            words=task.texts["query"].to_list(),
            vectors=DenseVectors(vectors.query_UD, vectors.photo_PD, availability),
            availability=availability,
            pictures=availability.pictures,
            vector_count=params["candidate_count"],
            **parts,
        )
        searches = tables.searches(
            task.text_ids,
            search.words,
            task.texts["country"].to_list(),
            task.asked_at,
            task.queries["device_type"].to_list(),
            task.queries["orientation_filter"].to_list(),
        )
        return cls(search, searches, task.targets, check)
