"""Ways to rank photos by how like they are to a photo, and the gains of what is ranked highest.

A way is a `Scorer` (see `models.evaluation.ranking`) whose queries are photos, given by their places.

Shape letters: P photos in the order that decides ties, Q queries, B queries of a block, U groups of near duplicates, K
places of a list, N rows of a log or of keywords, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from models.evaluation.ranking import CELLS_PER_BLOCK, Floats, Ints, Scorer
from models.search.counter_random import joint_ids, uniforms
from models.similar.duplicates import Units
from models.similar.truths import Truth

_STREAM = 1 << 49  # of random numbers


def random_scorer(photo_count: int, seed: int) -> Scorer:
    """Return the scorer of a random order, another one for each query: what nothing may fall below."""

    def scores(query_B: Ints) -> Floats:
        pair_N = joint_ids(np.repeat(query_B, photo_count), np.tile(np.arange(photo_count), len(query_B)))
        return uniforms(seed, _STREAM, 0, pair_N, 1)[:, 0].reshape(len(query_B), photo_count)

    return scores


def co_conversion_scorer(photo_N: Ints, query_N: Ints, photo_count: int) -> Scorer:
    """Return the scorer of item neighbourhoods in a log: the cosine of two photos' counts of conversions by query.

    Sarwar, Karypis, Konstan and Riedl, 2001, https://doi.org/10.1145/371920.372071, with queries for users. A photo
    that was never taken is like none.

    Photo 0 was taken for query 5 only, photo 1 for 5 and 6, each once: the cosine is 1 / sqrt(2).

    >>> co_conversion_scorer(np.array([0, 1, 1]), np.array([5, 5, 6]), 3)(np.array([0])).round(3).tolist()
    [[1.0, 0.707, 0.0]]
    """
    _, number_N = np.unique(query_N, return_inverse=True)
    return _cosine_scorer(_counts(photo_N, number_N, photo_count, np.ones(len(photo_N))))


def keyword_scorer(photo_N: Ints, keyword_N: Ints, confidence_N: Floats, photo_count: int) -> Scorer:
    """Return the scorer of keywords in common: the cosine of confidences times idf, ln(P / photos with the keyword).

    Photos 0 and 1 share a keyword of two photos of three, and each has one of its own:

    >>> numbers = np.array([0, 0, 1, 1, 2]), np.array([5, 6, 5, 7, 8]), np.ones(5)
    >>> keyword_scorer(*numbers, photo_count=3)(np.array([0])).round(3).tolist()  # ln(1.5)^2 / (ln(1.5)^2 + ln(3)^2)
    [[1.0, 0.12, 0.0]]
    """
    _, number_N = np.unique(keyword_N, return_inverse=True)
    weight_PG = _counts(photo_N, number_N, photo_count, np.asarray(confidence_N, dtype=np.float64))
    idf_G = np.log(photo_count / np.maximum(np.bincount(weight_PG.indices, minlength=weight_PG.shape[1]), 1))
    return _cosine_scorer(csr_array(weight_PG @ diags_array(idf_G)))


def _counts(photo_N: Ints, group_N: Ints, photo_count: int, weight_N: NDArray[np.float64]) -> csr_array:
    group_count = int(group_N.max(initial=-1)) + 1
    return csr_array((weight_N, (photo_N, group_N)), shape=(photo_count, group_count))  # equal places are summed


def _cosine_scorer(weight_PG: csr_array) -> Scorer:
    length_P = np.sqrt(np.asarray(weight_PG.multiply(weight_PG).sum(axis=1)).ravel())
    inverse_P = np.divide(1, length_P, out=np.zeros_like(length_P), where=length_P > 0)
    unit_PG = csr_array(diags_array(inverse_P) @ weight_PG)
    unit_GP = csr_array(unit_PG.T)
    return lambda query_B: (unit_PG[query_B] @ unit_GP).toarray()


def best_units(scorer: Scorer, units: Units, query_Q: Ints, depth: int) -> Ints:
    """Return the best groups of near duplicates for each query, best first, shape (Q, K), K = `depth` if so many are.

    The query's own group comes last, as do groups of hidden photos and of those that score -inf. Of equal scores the
    group whose first photo is earlier comes first.
    """
    lists = [np.zeros((0, min(depth, units.count)), np.int64)]
    for block in _blocks(query_Q, len(units.group)):
        score_BU = units.best_of(scorer(block), block, -np.inf)
        if np.isnan(score_BU).any():
            raise ValueError("the scorer gave NaN")
        lists.append(np.argsort(-score_BU, axis=1, kind="stable")[:, :depth])
    return np.concatenate(lists)


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
    parts: list[tuple[Ints, Ints, Ints]] = []
    found = 0
    for block in _blocks(asked_N, len(units.group)):
        gain_BU = units.best_of(truth.gains(block), block, 0)
        is_judged_B = gain_BU.any(axis=1)
        gain_BU = gain_BU[is_judged_B]
        ideal_BK = -np.sort(-gain_BU, axis=1)[:, :depth]
        parts.append((block[is_judged_B], ideal_BK, np.count_nonzero(gain_BU, axis=1)))
        found += len(gain_BU)
        if found >= count:
            break
    empty = np.zeros(0, np.int64), np.zeros((0, min(depth, units.count)), np.int64), np.zeros(0, np.int64)
    query_Q, ideal_QK, relevant_Q = (np.concatenate(part)[:count] for part in zip(empty, *parts, strict=True))
    return Judged(query_Q, ideal_QK, relevant_Q, truth.clusters(query_Q))


def gains_of_lists(truth: Truth, units: Units, query_Q: Ints, list_QK: Ints) -> Ints:
    """Return the gains at every place of each query's list of groups, shape (Q, K)."""
    gains, start = [np.zeros((0, list_QK.shape[1]), np.int64)], 0
    for block in _blocks(query_Q, len(units.group)):
        gain_BU = units.best_of(truth.gains(block), block, 0)
        gains.append(np.take_along_axis(gain_BU, list_QK[start : start + len(block)], axis=1))
        start += len(block)
    return np.concatenate(gains)


def _blocks(query_Q: Ints, photo_count: int) -> Iterator[Ints]:
    step = max(1, CELLS_PER_BLOCK // max(1, photo_count))
    for start in range(0, len(query_Q), step):
        yield query_Q[start : start + step]
