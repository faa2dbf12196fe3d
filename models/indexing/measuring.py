"""How much of exact search an index finds, and how quickly. Photos come block by block; no process holds all vectors.

Shapes: Q queries, K results, B photos of a block, D dimensions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.evaluation.exact_scores import exact_scores
from models.evaluation.topk_merge import block_top
from models.indexing.filling import Floats
from models.indexing.ids import Ints

_SCORE_ERROR = 1e-6  # of an index, which sums float32 products: photos whose scores are nearer are as good as equal


@dataclass(frozen=True)
class ExactScores:
    """What exact search gives of some photos: the K best scores of every query, and the scores of those found.

    `of_found` are as the ids that several indexes have found, -inf where a found photo is not among the photos.
    """

    best_QK: Floats
    of_found: tuple[Floats, ...]
    photo_count: int

    def __add__(self, other: ExactScores) -> ExactScores:
        """Return the scores of these and of other photos, none of which is among these."""
        both_QW = np.concatenate([self.best_QK, other.best_QK], axis=1)
        of_found = tuple(np.maximum(one, two) for one, two in zip(self.of_found, other.of_found, strict=True))
        best_QK = -np.sort(-both_QW, axis=1)[:, : self.best_QK.shape[1]]
        return ExactScores(best_QK, of_found, self.photo_count + other.photo_count)

    def recall(self, found: Sequence[Ints], number: int, k: int) -> npt.NDArray[np.float64]:
        """Return for every query the share of its K best photos among the first K of `found[number]`, Q.

        A found photo counts if its exact score reaches the K-th best exact score, so it does not matter which of
        several photos with equal scores (copies of one picture) was returned. K is at most the number of photos.
        """
        k = min(k, self.photo_count)
        floor_Q1 = self.best_QK[:, k - 1, None] - _SCORE_ERROR
        is_found_QK = (self.of_found[number][:, :k] >= floor_Q1) & (found[number][:, :k] >= 0)
        return np.asarray(is_found_QK.sum(axis=1) / k)


@dataclass(frozen=True)
class ExactSearch:
    """Queries that are compared with all photos, block by block, as far as recall needs it.

    `found` are the ids_QK that several indexes have found for the same queries, -1 for none. No id may repeat in a row.
    """

    query_QD: Floats
    k: int
    found: tuple[Ints, ...]

    def scores(self, blocks: Iterable[tuple[Ints, Floats]]) -> ExactScores:
        """Return the scores of photos that come as blocks of ids and vectors; they do not depend on the blocks."""
        return sum((self._scores(ids_B, photo_BD) for ids_B, photo_BD in blocks), self._nothing())

    def _nothing(self) -> ExactScores:
        best_QK = np.full((len(self.query_QD), self.k), -np.inf, dtype=np.float32)
        return ExactScores(best_QK, tuple(np.full(ids_QK.shape, -np.inf, np.float32) for ids_QK in self.found), 0)

    def _scores(self, ids_B: Ints, photo_BD: Floats) -> ExactScores:
        _, best_QK = block_top(self.query_QD, photo_BD, np.arange(len(ids_B)), self.k)
        order = np.argsort(ids_B)
        ascending, of_found = ids_B[order], self._nothing().of_found
        for ids_QK, score_QK in zip(self.found, of_found, strict=True):
            place_QK = np.searchsorted(ascending, ids_QK).clip(max=len(ids_B) - 1)
            is_here_QK = ascending[place_QK] == ids_QK
            for query in np.flatnonzero(is_here_QK.any(axis=1)):
                here = np.flatnonzero(is_here_QK[query])
                score_QK[query, here] = exact_scores(self.query_QD[query], photo_BD[order[place_QK[query, here]]])
        return ExactScores(best_QK, of_found, len(ids_B))


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
