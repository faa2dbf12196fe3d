"""How much of exact search an index finds, and how quickly. Photos come block by block; no process holds all vectors.

Shapes: Q queries, K results, B photos of a block, D dimensions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.indexing.filling import Floats
from models.indexing.ids import Ints

_SCORE_ERROR = 1e-6  # two ways of summing a float32 product of unit vectors differ by less


class ExactSearch:
    """The exact scores of all photos, as far as recall needs them: the K best of every query and those of the found.

    `found` are the ids_QK that several indexes have found for the same queries, -1 for none. No id may repeat in a row.
    """

    def __init__(self, query_QD: Floats, k: int, found: Sequence[Ints]) -> None:
        self._query_QD = query_QD
        self._best_QK: Floats = np.full((len(query_QD), k), -np.inf, dtype=np.float32)
        self._found = found
        self._score_QK: list[Floats] = [np.full(ids_QK.shape, -np.inf, dtype=np.float32) for ids_QK in found]
        self.photo_count = 0

    def add(self, ids_B: Ints, photo_BD: Floats) -> None:
        """Compare the queries with a block of photos, each given once in all blocks."""
        self.photo_count += len(ids_B)
        score_QB = self._query_QD @ photo_BD.T
        k = self._best_QK.shape[1]
        candidates = np.concatenate([self._best_QK, score_QB], axis=1)
        self._best_QK = np.partition(candidates, -k, axis=1)[:, -k:]
        order = np.argsort(ids_B)
        ascending = ids_B[order]
        for ids_QK, exact_QK in zip(self._found, self._score_QK, strict=True):
            place = np.searchsorted(ascending, ids_QK).clip(max=len(ids_B) - 1)
            query, position = np.nonzero(ascending[place] == ids_QK)
            exact_QK[query, position] = score_QB[query, order[place[query, position]]]

    def recall(self, number: int, k: int) -> npt.NDArray[np.float64]:
        """Return for every query the share of its K best photos among the first K that an index found, Q.

        A found photo counts if its exact score reaches the K-th best exact score, so it does not matter which of
        several photos with equal scores (copies of one picture) was returned. K is at most the number of photos.
        """
        k = min(k, self.photo_count)
        floor_Q1 = np.sort(self._best_QK, axis=1)[:, -k, None] - _SCORE_ERROR
        is_found_QK = (self._score_QK[number][:, :k] >= floor_Q1) & (self._found[number][:, :k] >= 0)
        return np.asarray(is_found_QK.sum(axis=1) / k)


@dataclass(frozen=True)
class Latency:
    """Milliseconds that a call took, half of the calls at most and 99 of 100 at most, over `call_count` calls."""

    p50_ms: float
    p99_ms: float
    call_count: int


def latency(
    search: Callable[[Floats], object], query_QD: Floats, batch_size: int, *, least_calls: int, max_seconds: float
) -> Latency:
    """Measure calls of `batch_size` queries: every query once, again until there are `least_calls`, if time allows.

    The first call is not measured: it brings the index into memory.
    """
    batches = [query_QD[start : start + batch_size] for start in range(0, len(query_QD), batch_size)]
    full = [batch for batch in batches if len(batch) == min(batch_size, len(query_QD))]
    search(full[0])
    seconds: list[float] = []
    begun = time.perf_counter()
    while len(seconds) < max(least_calls, len(full)):
        call = time.perf_counter()
        search(full[len(seconds) % len(full)])
        seconds.append(time.perf_counter() - call)
        if time.perf_counter() - begun > max_seconds:
            break
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return Latency(round(float(p50), 4), round(float(p99), 4), len(seconds))
