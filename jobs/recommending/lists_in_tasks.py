"""The lists of many visitors in tasks: each takes some visitors, and finds what a method learned among files.

Visitors are cut by their number and that of the photos alone, and every task has one thread for its products. So lists
are the same, to the bit of a score, however many tasks run at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from threadpoolctl import threadpool_limits

from jobs.adapters.task_pool import TaskPool
from jobs.lake.staged_run import WorkerOutput
from models.arrays import open_arrays, save_arrays
from models.recommend.interactions import Floats, Interactions, Ints
from models.recommend.interface import Fitted
from models.recommend.lists import filled_lists
from models.recommend.saving import load, save
from models.recommend.topk import VISITORS_PER_BLOCK

_CELLS_PER_TASK = 250_000_000
"""Scores: some seconds of work."""
_BYTES_PER_CELL = 512
"""Of the memory that a process may take, by score held at a time: of that `top_k` needs 60."""


@dataclass(frozen=True)
class ListTask:
    """What is wanted of every visitor, see `filled_lists`, and where what it takes is: folders `method` and so on."""

    files: WorkerOutput
    k: int
    diversity: float
    pool_count: int
    excludes_seen: bool
    cells_per_block: int


@dataclass(frozen=True, eq=False)
class _Shared:
    histories: Interactions
    vector_ID: Floats  # without a row where lists are not made less alike


@dataclass(frozen=True)
class Scoring:
    """Where lists are made, and how much memory a process may take for it beside what processes share, in MiB."""

    pool: TaskPool
    files: WorkerOutput
    max_memory_mb: int

    def lists(
        self,
        fitted: Fitted,
        popularity: Fitted,
        histories: Interactions,
        k: int,
        *,
        diversity: float,
        pool_count: int,
        vectors: Callable[[], Floats],
        excludes_seen: bool,
    ) -> tuple[Ints, Ints]:
        """Return the items of `filled_lists` for every visitor, int64 [V, K], and how many are its own, [V]."""
        for name, one in (("method", fitted), ("popularity", popularity)):
            with self.files.folder(name) as folder:
                save(one, folder)
        with self.files.folder("shared") as folder:
            save_arrays(_Shared(histories, vectors() if diversity else np.zeros((0, 0), np.float32)), folder)
        cells = self.max_memory_mb * 2**20 // _BYTES_PER_CELL
        task = ListTask(self.files, k, diversity, pool_count, excludes_seen, cells)
        try:
            parts = self.pool.each(partial(_lists_of, task), cuts(histories.visitor_count, fitted.item_count))
        finally:
            _opened.cache_clear()
            self.files.remove("")
        item_parts, own_parts = zip(*parts, strict=True)
        return np.concatenate(item_parts).astype(np.int64), np.concatenate(own_parts)


def cuts(visitor_count: int, item_count: int) -> list[tuple[int, int]]:
    """Return the first visitor of every task, and the one after its last: whole blocks of `top_k`, one task at least.

    >>> cuts(5000, 100_000), cuts(0, 10)
    ([(0, 2048), (2048, 4096), (4096, 5000)], [(0, 0)])
    """
    height = max(1, _CELLS_PER_TASK // max(1, item_count) // VISITORS_PER_BLOCK) * VISITORS_PER_BLOCK
    starts = range(0, max(1, visitor_count), height)
    return [(start, min(start + height, visitor_count)) for start in starts]


def _lists_of(task: ListTask, cut: tuple[int, int]) -> tuple[np.ndarray, Ints]:
    """Return the items for the visitors of a cut, int32 [V, K], and how many are the method's own, [V]."""
    fitted, popularity, shared = _opened(task.files)
    with threadpool_limits(1):
        item_VK, _, own_V = filled_lists(
            fitted,
            popularity,
            shared.histories.take(np.arange(*cut)),
            task.k,
            diversity=task.diversity,
            pool_count=task.pool_count,
            vectors=lambda: shared.vector_ID,
            excludes_seen=task.excludes_seen,
            cells_per_block=task.cells_per_block,
        )
    return item_VK.astype(np.int32), own_V


@lru_cache(maxsize=1)
def _opened(files: WorkerOutput) -> tuple[Fitted, Fitted, _Shared]:
    """Return what the tasks of a call share; a process opens it once."""
    with files.reading("method") as method, files.reading("popularity") as popularity:
        fitted = load(method), load(popularity)
    with files.reading("shared") as folder:
        return *fitted, open_arrays(_Shared, folder)
