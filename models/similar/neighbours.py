"""Ways to rank photos by how like they are to a photo, and the gains of what is ranked highest.

A way ranks groups of near duplicates, `Units`: a group is worth what the best of its photos that may be shown is worth,
and of equal groups the one whose first photo is earlier comes first. A dense way ranks a block of photos at a time. The
lists of blocks merge into that of all (`models.evaluation.topk_merge`), since the best K groups of all are among the
best K of the blocks. Queries are photos, given by their places.

Shape letters: P photos in the order that decides ties, S photos of a block, Q queries, B queries of a block, K places
of a list, N rows of a log or of keywords, D dimensions, G queries or keywords, U groups of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from models.evaluation.topk_merge import NOWHERE, Top, Vectors, best, block_top, merge, nothing
from models.search.counter_random import joint_ids, uniforms
from models.similar.duplicates import Units
from models.similar.overlaps import Cells, of_units, overlaps, top_cells
from models.similar.truths import Truth

Ints = NDArray[np.int64]
_STREAM = 1 << 49  # of random numbers
_CELLS = 2_000_000  # random numbers held at a time
_CANDIDATES = 4096  # photos of which it is looked up whether they are queries, at a time


def nearest_units(query_QD: Vectors, photo_SD: Vectors, unit_S: Ints, k: int) -> Top:
    """Return the best k groups of a block for each query, by dot products; photos of group -1 may not be shown.

    >>> query_QD, photo_SD = np.eye(2, dtype=np.float32), np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    >>> nearest_units(query_QD, photo_SD, np.array([4, 4, 7]), 2)[0].tolist()
    [[4, 7], [7, 4]]
    """
    rows_S = _distinct(photo_SD, unit_S)
    photo_SD, unit_S = photo_SD[rows_S], unit_S[rows_S]
    place_QK, score_QK = nothing(len(query_QD), k)
    short, depth = np.arange(len(query_QD)), 2 * k
    while len(short):  # whose list of photos ends before it has groups enough
        photos = block_top(query_QD[short], photo_SD, unit_S, depth)
        place_QK[short], score_QK[short] = best(*photos, k)
        short = short[(photos[0][:, -1] >= 0) & (place_QK[short, -1] < 0)]
        depth *= 4
    return place_QK, score_QK


def _distinct(photo_SD: Vectors, unit_S: Ints) -> Ints:
    """Return the rows of photos that may be shown, of equal vectors in a group the first alone."""
    shown_S = np.flatnonzero(unit_S >= 0)
    _, inverse, counts = np.unique(unit_S[shown_S], return_inverse=True, return_counts=True)
    is_several_S = counts[inverse] > 1
    several = shown_S[is_several_S]
    if not len(several):
        return shown_S
    rows = np.concatenate([unit_S[several, None].astype(np.int32).view(np.float32), photo_SD[several]], axis=1)
    _, first = np.unique(rows.view(np.dtype((np.void, rows.shape[1] * 4))).ravel(), return_index=True)
    return np.sort(np.concatenate([shown_S[~is_several_S], several[first]]))


def random_units(query_Q: Ints, place_S: Ints, unit_S: Ints, seed: int, k: int) -> Top:
    """Return the best k groups of a block in a random order, another for each query: what nothing may fall below."""
    place_S, unit_S = place_S[unit_S >= 0], unit_S[unit_S >= 0]
    step = max(1, _CELLS // max(1, len(place_S)))
    tops = [nothing(0, k)]
    for start in range(0, len(query_Q), step):
        query_B = query_Q[start : start + step]
        pair_N = joint_ids(np.repeat(query_B, len(place_S)), np.tile(place_S, len(query_B)))
        score_BS = uniforms(seed, _STREAM, 0, pair_N, 1)[:, 0].reshape(len(query_B), len(place_S))
        tops.append(_first_units(score_BS, unit_S, k))
    return np.concatenate([top[0] for top in tops]), np.concatenate([top[1] for top in tops])


def _first_units(score_BS: NDArray[np.float64], unit_S: Ints, k: int) -> Top:
    """Return the best k groups of each row, of which several photos may have scores."""
    order = np.argsort(unit_S, kind="stable")
    start = np.flatnonzero(np.diff(unit_S[order], prepend=-1))
    if not len(start):
        return nothing(len(score_BS), k)
    best_BU, unit_U = np.maximum.reduceat(score_BS[:, order], start, axis=1), unit_S[order][start]
    if len(unit_U) > k:
        at_BK = np.argpartition(-best_BU, k, axis=1)[:, : k + 1]  # numbers of 53 bits do not tie
        return best(unit_U[at_BK], np.take_along_axis(best_BU, at_BK, axis=1), k)
    return best(np.broadcast_to(unit_U, best_BU.shape), best_BU, k)


@dataclass(frozen=True)
class Likeness:
    """How like photos are by what they share: the dot products of their rows, which are of length one, or zero."""

    weight_PG: csr_array

    @cached_property
    def _transposed(self) -> csr_array:
        return csr_array(self.weight_PG.T)

    def units(self, units: Units, query_Q: Ints, k: int) -> Top:
        """Return the best k groups for each query but its own. Groups that share nothing follow in their order."""
        first = np.unique(units.shown[units.shown >= 0])[: 2 * k + 1]
        tops = [nothing(0, k)]
        for block, cells in overlaps(self.weight_PG, self._transposed, query_Q):
            query_B = query_Q[block]
            top = top_cells(of_units(cells.where(cells.value_N > 0), units, query_B), len(query_B), k)
            others = np.broadcast_to(first, (len(query_B), len(first)))
            rest_BK = np.where(others == units.number[query_B][:, None], -np.inf, 0.0)
            tops.append(merge(top, (others, rest_BK), k))
        return np.concatenate([top[0] for top in tops]), np.concatenate([top[1] for top in tops])

    def photos(self, units: Units, query_Q: Ints, k: int) -> Top:
        """Return the best k photos that may be shown and share something with each query, near duplicates and all."""
        tops = [nothing(0, k)]
        for block, cells in overlaps(self.weight_PG, self._transposed, query_Q):
            shown = cells.where((cells.value_N > 0) & (units.shown[cells.place_N] >= 0))
            tops.append(top_cells(shown, block.stop - block.start, k))
        return np.concatenate([top[0] for top in tops]), np.concatenate([top[1] for top in tops])


def co_conversion(photo_N: Ints, query_N: Ints, photo_count: int) -> Likeness:
    """Return item neighbourhoods in a log: the cosine of two photos' counts of conversions by query.

    Sarwar, Karypis, Konstan and Riedl, 2001, https://doi.org/10.1145/371920.372071, with queries for users. A photo
    that was never taken is like none.

    Photo 0 was taken for query 5 only, photo 1 for 5 and 6, each once: the cosine is 1 / sqrt(2).

    >>> likeness = co_conversion(np.array([0, 1, 1]), np.array([5, 5, 6]), 3)
    >>> likeness.photos(Units.alone(3), np.array([0]), 3)[1].round(3).tolist()
    [[1.0, 0.707, -inf]]
    """
    _, number_N = np.unique(query_N, return_inverse=True)
    return _by_cosine(_counts(photo_N, number_N, photo_count, np.ones(len(photo_N))))


def common_keywords(photo_N: Ints, keyword_N: Ints, confidence_N: NDArray[np.floating], photo_count: int) -> Likeness:
    """Return keywords in common: the cosine of confidences times idf, ln(P / photos with the keyword).

    Photos 0 and 1 share a keyword of two photos of three, and each has one of its own:

    >>> numbers = np.array([0, 0, 1, 1, 2]), np.array([5, 6, 5, 7, 8]), np.ones(5)
    >>> likeness = common_keywords(*numbers, photo_count=3)  # ln(1.5)^2 / (ln(1.5)^2 + ln(3)^2)
    >>> likeness.photos(Units.alone(3), np.array([0]), 3)[1].round(3).tolist()
    [[1.0, 0.12, -inf]]
    """
    _, number_N = np.unique(keyword_N, return_inverse=True)
    weight_PG = _counts(photo_N, number_N, photo_count, np.asarray(confidence_N, dtype=np.float64))
    idf_G = np.log(photo_count / np.maximum(np.bincount(weight_PG.indices, minlength=weight_PG.shape[1]), 1))
    return _by_cosine(csr_array(weight_PG @ diags_array(idf_G)))


def _counts(photo_N: Ints, group_N: Ints, photo_count: int, weight_N: NDArray[np.float64]) -> csr_array:
    group_count = int(group_N.max(initial=-1)) + 1
    return csr_array((weight_N, (photo_N, group_N)), shape=(photo_count, group_count))  # equal places are summed


def _by_cosine(weight_PG: csr_array) -> Likeness:
    length_P = np.sqrt(np.asarray(weight_PG.multiply(weight_PG).sum(axis=1)).ravel())
    inverse_P = np.divide(1, length_P, out=np.zeros_like(length_P), where=length_P > 0)
    return Likeness(csr_array(diags_array(inverse_P) @ weight_PG))


def without_own(top: Top, units: Units, query_Q: Ints, k: int) -> Ints:
    """Return lists of k groups without the query's own, shape (Q, K), -1 where there are fewer; `top` has k + 1."""
    place_QK, score_QK = top
    return best(place_QK, np.where(place_QK == units.number[query_Q][:, None], -np.inf, score_QK), k)[0]


@dataclass(frozen=True)
class Judged:
    """The queries that a truth has answers to: Q of them.

    `ideal_QK` are the gains of all answers, highest first, as far as `depth` goes; `relevant_Q` is how many answers
    there are; `cluster_Q` says which queries have answers in common.
    """

    query_Q: Ints
    ideal_QK: Ints
    relevant_Q: Ints
    cluster_Q: Ints


def judge(truth: Truth, units: Units, candidate_N: Ints, count: int, depth: int) -> Judged:
    """Return the first `count` of the candidates that have an answer which may be shown to them.

    Answers are groups of near duplicates: each counts once, with the highest gain among its photos. Near duplicates of
    the query are no answers, and a hidden photo is no query.
    """
    asked_N = candidate_N[truth.may_have_gains()[candidate_N] & ~units.is_hidden[candidate_N]]
    parts = [(np.zeros(0, np.int64), np.zeros((0, depth), np.int64), np.zeros(0, np.int64))]
    for start in range(0, len(asked_N), _CANDIDATES):
        for query_B, gains in _gains(truth, units, asked_N[start : start + _CANDIDATES]):
            relevant_B = np.bincount(gains.row_N, minlength=len(query_B))
            ideal_BK = np.maximum(top_cells(gains, len(query_B), depth)[1], 0).astype(np.int64)
            is_judged_B = relevant_B > 0
            parts.append((query_B[is_judged_B], ideal_BK[is_judged_B], relevant_B[is_judged_B]))
        if sum(len(query_B) for query_B, _, _ in parts) >= count:
            break
    query_Q, ideal_QK, relevant_Q = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    return Judged(query_Q, ideal_QK, relevant_Q, truth.clusters(query_Q))


def gains_of_lists(truth: Truth, units: Units, query_Q: Ints, list_QK: Ints) -> Ints:
    """Return the gains at every place of each query's list of groups, shape (Q, K)."""
    parts = [np.zeros((0, list_QK.shape[1]), np.int64)]
    start = 0
    for query_B, gains in _gains(truth, units, query_Q):
        list_BK = list_QK[start : start + len(query_B)]
        start += len(query_B)
        key_N = gains.row_N * units.count + gains.place_N  # ascending
        wanted_BK = np.arange(len(query_B))[:, None] * units.count + list_BK
        gain_N, key_N = np.append(gains.value_N, 0), np.append(key_N, -1)
        at_BK = np.searchsorted(key_N[:-1], wanted_BK)
        is_gain_BK = (key_N[at_BK] == wanted_BK) & (list_BK != NOWHERE)
        parts.append(np.where(is_gain_BK, gain_N[at_BK], 0))
    return np.concatenate(parts)


def _gains(truth: Truth, units: Units, query_Q: Ints) -> Iterator[tuple[Ints, Cells]]:
    """Yield the queries block by block with the gains of groups, by row and group."""
    for block, cells in truth.gains(query_Q):
        yield query_Q[block], of_units(cells, units, query_Q[block])
