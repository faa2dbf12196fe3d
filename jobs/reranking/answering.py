"""Searches answered in tasks: each opens the search from files, answers a part of the searches, and returns little.

What a task holds does not grow with the searches: it answers them in blocks. Results do not depend on the parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobs.adapters.task_pool import TaskPool, task_pool
from jobs.config.settings import Settings
from jobs.lake.manifest import Manifest
from jobs.lake.shared_arrays import Scratch, Shared, scratch
from jobs.lake.staged_run import StagedRun
from models.evaluation.ranking import Ints
from models.rerank.features import Searches
from models.rerank.learning import Rows
from models.rerank.replay import HOUR, Replay
from models.rerank.saved import SavedReplay, SavedSearch
from models.rerank.search import Search

_SEARCHES_PER_TASK = 5_000
_REPLAYED_PER_TASK = 20_000
"""A task of a replay goes through all refreshes, whose blocks are small if it has few searches."""
_BLOCKS_PER_TASK = 8
"""What a task may take, in blocks of searches: one, what is made of it, and what the process takes anyway."""


@dataclass(frozen=True)
class Answering:
    """Where searches are answered, and where what tasks read lies meanwhile."""

    pool: TaskPool
    scratch: Scratch
    max_memory_mb: int

    def ranks(self, search: Search, searches: Searches, target_Q: Ints) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Return what `Search.ranks` does."""
        rank_Q, sources_Q = np.empty(len(target_Q), dtype=np.int32), np.empty(len(target_Q), dtype=np.uint8)
        parts = _parts(searches, _SEARCHES_PER_TASK)
        with self.scratch.lent(SavedSearch.of(search, self._block_bytes)) as files:
            items = [(searches.of(part), target_Q[part]) for part in parts]
            for part, (rank, sources) in zip(parts, self.pool.each(partial(_ranks, files), items), strict=True):
                rank_Q[part], sources_Q[part] = rank, sources
        return rank_Q, sources_Q

    def replayed(
        self, replay: Replay, searches: Searches, target_Q: Ints, every_hours: Sequence[int]
    ) -> list[NDArray[np.int32]]:
        """Return what `Replay.ranks` does, each of shape (Q,), for counts that are refreshed every so many hours."""
        found = [np.empty(len(target_Q), dtype=np.int32) for _ in every_hours]
        parts = _parts(searches, _REPLAYED_PER_TASK)
        with self.scratch.lent(SavedReplay.of(replay, self._block_bytes)) as files:
            items = [(searches.of(part), target_Q[part], hours) for hours in every_hours for part in parts]
            ranks = iter(self.pool.each(partial(_replayed, files), items))
            for rank_Q in found:
                for part in parts:
                    rank_Q[part] = next(ranks)
        return found

    def rows(self, search: Search, searches: Searches, target_Q: Ints, visitor_Q: Ints) -> Rows:
        """Return the rows of the searches whose target is a candidate, those with one text side by side.

        This process holds them all, 4 bytes for each feature of a row.
        """
        with self.scratch.lent(SavedSearch.of(search, self._block_bytes)) as files:
            items = [
                (searches.of(part), target_Q[part], visitor_Q[part]) for part in _parts(searches, _SEARCHES_PER_TASK)
            ]
            return Rows.joined(self.pool.each(partial(_rows, files), items))

    @property
    def _block_bytes(self) -> int:
        return self.max_memory_mb * 2**20 // _BLOCKS_PER_TASK


@contextmanager
def answering(
    settings: Settings, name: str, splits: Manifest, staged: StagedRun, max_memory_mb: int
) -> Iterator[Answering]:
    """Give the tasks of the stage `name`, by the size of the log that its searches are of."""
    rows = sum(splits.row_counts.values())
    with scratch(staged.worker_output) as folder, task_pool(settings, name, rows) as pool:
        yield Answering(pool, folder, max_memory_mb)


def _parts(searches: Searches, size: int) -> list[Ints]:
    """Return the numbers of searches in parts of about equal size, those with one text side by side."""
    by_text = np.argsort(searches.text, kind="stable")
    return list(np.array_split(by_text, max(1, -(-len(by_text) // size))))


def _ranks(files: Shared[SavedSearch], item: tuple[Searches, Ints]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    return files.open().search().ranks(*item)


def _replayed(files: Shared[SavedReplay], item: tuple[Searches, Ints, int]) -> NDArray[np.int32]:
    searches, target_Q, hours = item
    return files.open().replay().ranks(searches, target_Q, hours * HOUR)


def _rows(files: Shared[SavedSearch], item: tuple[Searches, Ints, Ints]) -> Rows:
    (searches, target_Q, visitor_Q), search = item, files.open().search()
    parts = []
    for block, of_block in search.blocks(searches):
        named = search.named(of_block)
        candidates = search.candidates(of_block, named)
        is_converted_N = candidates.place == target_Q[block][candidates.row]
        matrix = search.features(of_block, candidates, named)
        parts.append(Rows(matrix, is_converted_N, candidates.count, visitor_Q[block], target_Q[block]).learnable())
    return Rows.joined(parts)
