"""Ranking metrics at a cutoff k, on integer arrays. Only metrics: no ranking, no intervals, no averages.

Shape letters: Q queries, K positions of a ranked list (best first), I judged photos, M metric columns.

Two forms with equal values. `rank_metrics` takes the rank of the one relevant photo of each query, which is what
a conversion log gives; the others take the relevance of the photos at each position of the list, for queries with
several relevant photos. Definitions are those of trec_eval (Buckley and Voorhees, 2005), so that ir-measures
(Success, AP, RR and nDCG @k, MacAvaney et al., 2022) is an oracle for all of them. Values lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CUTOFFS = (1, 5, 10, 25)
METRICS = ("hit_rate", "map", "mrr", "ndcg")


def columns(cutoffs: Sequence[int] = CUTOFFS) -> list[tuple[str, int]]:
    """Return (metric, k) of each column of `rank_metrics`, in order.

    >>> columns([1, 5])[:3]
    [('hit_rate', 1), ('hit_rate', 5), ('map', 1)]
    """
    return [(metric, k) for metric in METRICS for k in cutoffs]


def rank_metrics(rank_Q: ArrayLike, cutoffs: Sequence[int] = CUTOFFS) -> Floats:
    """Return every metric of queries with exactly one relevant photo, shape (Q, M), columns as in `columns`.

    `rank_Q` is 1 for the best photo; a rank beyond k counts as not found at k. With one relevant photo average
    precision equals the reciprocal rank, so `map` and `mrr` are equal here. A rank below 1 raises `ValueError`.

    >>> rank_metrics([2, 30], cutoffs=[5]).round(3).tolist()
    [[1.0, 0.5, 0.5, 0.631], [0.0, 0.0, 0.0, 0.0]]
    """
    ranks = np.asarray(rank_Q, dtype=np.int64)
    if ranks.size and ranks.min() < 1:
        raise ValueError(f"ranks start at 1, found {ranks.min()}")
    deepest = max(cutoffs)
    position = np.arange(1, deepest + 2)
    is_found = position[:, None] <= np.asarray(cutoffs)
    reciprocal = is_found / position[:, None]
    value_by_rank = np.hstack([is_found, reciprocal, reciprocal, is_found / np.log2(position[:, None] + 1)])
    return np.asarray(value_by_rank[np.minimum(ranks, deepest + 1) - 1], dtype=np.float64)


def hit_rate(relevance_QK: ArrayLike, k: int) -> Floats:
    """Return 1 for every query with a relevant photo (relevance > 0) among the first k, else 0 (Success@k)."""
    return np.asarray((np.asarray(relevance_QK)[:, :k] > 0).any(axis=1), dtype=np.float64)


def reciprocal_rank(relevance_QK: ArrayLike, k: int) -> Floats:
    """Return 1 / position of the first relevant photo, 0 if none is among the first k (RR@k; its mean is MRR@k)."""
    is_relevant_QK = np.asarray(relevance_QK)[:, :k] > 0
    return np.asarray(is_relevant_QK.any(axis=1) / (is_relevant_QK.argmax(axis=1) + 1.0))


def average_precision(relevance_QK: ArrayLike, relevant_count_Q: ArrayLike, k: int) -> Floats:
    """Return the average precision at k (AP@k, map_cut of trec_eval; its mean is MAP@k).

    The precisions at the relevant positions up to k, summed and divided by `relevant_count_Q`: all relevant photos
    of the query, found or not. (Dividing by min(k, count) instead is another definition in use; it is not monotone
    in k.) A query without relevant photos gets 0. More found than `relevant_count_Q` raises `ValueError`.
    """
    is_relevant_QK = np.asarray(relevance_QK)[:, :k] > 0
    relevant_count_Q = np.asarray(relevant_count_Q)
    found_QK = is_relevant_QK.cumsum(axis=1)
    if (found_QK[:, -1] > relevant_count_Q).any():
        raise ValueError("a query found more relevant photos than it has")
    total_Q = np.where(is_relevant_QK, found_QK / np.arange(1, found_QK.shape[1] + 1), 0.0).sum(axis=1)
    return np.asarray(total_Q / np.maximum(relevant_count_Q, 1), dtype=np.float64)


def dcg(gain_QK: ArrayLike, k: int) -> Floats:
    """Return the discounted cumulative gain: the sum over positions i = 1..k of gain_i / log2(i + 1).

    The gain is the relevance itself (linear; Järvelin and Kekäläinen, 2002, with the discount of trec_eval), not
    2^relevance - 1 (Burges et al., 2005).

    >>> dcg([[0, 5, 1, 4, 2]], 5).round(3).tolist()
    [6.151]
    """
    head_QK = np.maximum(np.asarray(gain_QK)[:, :k], 0)
    return np.asarray(head_QK @ (1.0 / np.log2(np.arange(2, head_QK.shape[1] + 2))), dtype=np.float64)


def ndcg(gain_QK: ArrayLike, judged_QI: ArrayLike, k: int) -> Floats:
    """Return nDCG@k: DCG@k over the DCG@k of the best possible order of `judged_QI`.

    `judged_QI` holds the gains of everything judged for the query, found or not, in any order, padded with 0. A
    query without a positive gain gets 0.

    >>> ndcg([[0, 5, 1, 4, 2]], [[0, 5, 1, 4, 2]], 5).round(3).tolist()
    [0.687]
    """
    ideal_Q = dcg(-np.sort(-np.asarray(judged_QI), axis=1), k)
    return np.divide(dcg(gain_QK, k), ideal_Q, out=np.zeros_like(ideal_Q), where=ideal_Q > 0)


def judged_of_counts(relevant_count_Q: ArrayLike, k: int) -> Ints:
    """Return `judged_QI` for `ndcg` where relevance is 0 or 1: as many ones per query as it has relevant photos.

    >>> judged_of_counts([1, 9], 3).tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return (np.arange(k) < np.asarray(relevant_count_Q)[:, None]).astype(np.int64)
