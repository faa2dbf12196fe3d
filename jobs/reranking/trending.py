"""The arms `trending_*`: the night's whole search with its counts refreshed within the test window.

It is the mechanism that serves (`jobs.releasing.refresh_counts`) played again. The arm `reranked` is the same search
that knows conversions until the window's beginning. A search knows all conversions before the last refresh, not only
those of the visitors that are ranked, and never its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.evaluation.integers import integers
from jobs.evaluation.ranking_task import Task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.reranking.answering import Answering
from jobs.reranking.reranked_arm import Reranked
from jobs.reranking.tables import conversions_of
from models.keyword_match import token_ids
from models.rerank.replay import Replay


@dataclass(frozen=True)
class Trending:
    """The test searches, the search that answers them, and what happens meanwhile."""

    reranked: Reranked
    replay: Replay

    @classmethod
    def read(cls, lake: Lake, splits: Manifest, task: Task, reranked: Reranked) -> Trending:
        """Return the candidate's search with the conversions of the task's window."""
        columns = ["query", "country", "photo_id", "device_type", "converted_at"]
        events = lake.read_table(splits, task.window, columns)
        events = events.join(task.photos.select("photo_id", "place"), on="photo_id", maintain_order="left")
        replay = Replay(
            search=reranked.asked.search,
            fresh=conversions_of(events, integers(events["place"])),
            at=integers(events["converted_at"]),
            query=token_ids(task.texts["query"].to_list()),
            country=task.texts["country"].to_numpy().astype(np.str_),
        )
        return cls(reranked, replay)

    def ranks(self, every_hours: Sequence[int], where: Answering) -> list[NDArray[np.int32]]:
        """Return the rank of each search's converted photo, shape (Q,), where counts are refreshed so often."""
        asked = self.reranked.asked
        return where.replayed(self.replay, asked.searches, asked.target, every_hours)
