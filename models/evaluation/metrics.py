"""Ranking metrics at a cutoff k, on integer arrays. Only metrics: no ranking, no intervals, no averages.

Shape letters: Q queries, K positions of a ranked list (best first), I judged photos, N judgements (pairs of a query
and a photo relevant for it), C cutoffs, M metric columns, X any leading axes.

Two forms with equal values. `rank_metrics` takes the rank of the one relevant photo of each query, which is what
a conversion log gives; `list_metrics`, and the function of each metric, take the relevance of the photos at each
position of the list, for queries with several relevant photos. Definitions are those of trec_eval (Buckley and
Voorhees, 2005), so that ir-measures (Success, AP, RR, nDCG, P and R @k, MacAvaney et al., 2022) is an oracle for all
of them. Values lie in [0, 1]. Growing k never lowers hit rate, MAP, MRR and recall, nor nDCG with one relevant photo;
it may lower precision, F1, and nDCG with several, whose ideal grows with k too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CUTOFFS = (1, 5, 10, 25)
METRICS = ("hit_rate", "map", "mrr", "ndcg", "precision", "recall", "f1")


def columns(cutoffs: Sequence[int] = CUTOFFS) -> list[tuple[str, int]]:
    """Return (metric, k) of each column of `rank_metrics` and `list_metrics`, in order.

    >>> columns([1, 5])[:3]
    [('hit_rate', 1), ('hit_rate', 5), ('map', 1)]
    """
    return [(metric, k) for metric in METRICS for k in cutoffs]


def rank_metrics(rank_Q: ArrayLike, cutoffs: Sequence[int] = CUTOFFS) -> Floats:
    """Return every metric of queries with exactly one relevant photo, shape (Q, M), columns as in `columns`.

    `rank_Q` is 1 for the best photo; a rank beyond k counts as not found at k. With one relevant photo average
    precision equals the reciprocal rank, recall equals the hit rate, and precision and F1 are the hit rate over k
    and over (k + 1) / 2. A rank below 1 raises `ValueError`.

    >>> rank_metrics([2, 30], cutoffs=[5]).round(3).tolist()
    [[1.0, 0.5, 0.5, 0.631, 0.2, 1.0, 0.333], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    return metrics_by_rank(cutoffs)[capped_ranks(rank_Q, cutoffs) - 1]


def metrics_by_rank(cutoffs: Sequence[int] = CUTOFFS) -> Floats:
    """Return `rank_metrics` of the ranks 1, 2, ... up to the first one beyond every cutoff, shape (max k + 1, M)."""
    k, position = np.asarray(cutoffs), np.arange(1, max(cutoffs) + 2)[:, None]
    is_found = position <= k
    hit, reciprocal, gain = is_found / 1.0, is_found / position, is_found / np.log2(position + 1)
    return np.hstack([hit, reciprocal, reciprocal, gain, hit / k, hit, 2 * hit / (k + 1)])


def capped_ranks(rank_Q: ArrayLike, cutoffs: Sequence[int] = CUTOFFS) -> Ints:
    """Return ranks of which all beyond every cutoff are the first such; a rank below 1 raises `ValueError`."""
    ranks = np.asarray(rank_Q, dtype=np.int64)
    if ranks.min(initial=1) < 1:
        raise ValueError(f"ranks start at 1, found {ranks.min()}")
    return np.minimum(ranks, max(cutoffs) + 1)


def list_metrics(
    gain_QK: ArrayLike, judged_QI: ArrayLike, relevant_count_Q: ArrayLike, cutoffs: Sequence[int] = CUTOFFS
) -> Floats:
    """Return every metric of queries with any number of relevant photos, shape (Q, M), columns as in `columns`.

    `gain_QK` are the gains at the first positions, at least as many as the deepest cutoff; `judged_QI` is as for
    `ndcg`; `relevant_count_Q` is as for `average_precision`. nDCG alone looks at the size of a gain, the other
    metrics at whether it is positive.

    >>> list_metrics([[0, 5]], [[5, 1]], [2], cutoffs=[2]).round(3).tolist()  # the gains 5 and 1, the first found
    [[1.0, 0.25, 0.5, 0.56, 0.5, 0.5, 0.5]]
    """
    by_metric = {
        "hit_rate": lambda k: hit_rate(gain_QK, k),
        "map": lambda k: average_precision(gain_QK, relevant_count_Q, k),
        "mrr": lambda k: reciprocal_rank(gain_QK, k),
        "ndcg": lambda k: ndcg(gain_QK, judged_QI, k),
        "precision": lambda k: precision(gain_QK, k),
        "recall": lambda k: recall(gain_QK, relevant_count_Q, k),
        "f1": lambda k: f1(gain_QK, relevant_count_Q, k),
    }
    if np.shape(gain_QK)[1] < max(cutoffs):
        raise ValueError(f"a list of {np.shape(gain_QK)[1]} positions cannot be measured at {max(cutoffs)}")
    return np.stack([by_metric[metric](k) for metric, k in columns(cutoffs)], axis=1)


def gains_at_ranks(query_N: ArrayLike, rank_N: ArrayLike, gain_N: ArrayLike, query_count: int, depth: int) -> Ints:
    """Return the gains at the first `depth` positions of every query's list, shape (Q, depth), from judgements.

    Judgement n says that the photo ranked `rank_N[n]` (from 1) for query `query_N[n]` has the gain `gain_N[n]`.
    What is not judged gains 0. Two judgements of one query at the same rank raise `ValueError`.

    >>> gains_at_ranks([0, 0, 1], [2, 9, 1], [5, 1, 3], query_count=2, depth=3).tolist()
    [[0, 5, 0], [3, 0, 0]]
    """
    query_N, rank_N = np.asarray(query_N), np.asarray(rank_N, dtype=np.int64)
    if rank_N.size and rank_N.min() < 1:
        raise ValueError(f"ranks start at 1, found {rank_N.min()}")
    is_shown_N = rank_N <= depth
    cell_N = query_N[is_shown_N] * depth + rank_N[is_shown_N] - 1
    if len(np.unique(cell_N)) < len(cell_N):
        raise ValueError("two photos of one query have the same rank")
    gain_QK = np.zeros(query_count * depth, dtype=np.int64)
    gain_QK[cell_N] = np.asarray(gain_N)[is_shown_N]
    return gain_QK.reshape(query_count, depth)


def best_ranks(query_N: ArrayLike, gain_N: ArrayLike) -> Ints:
    """Return the ranks of the judgements in the best possible order: within each query by falling gain, shape (N,).

    >>> best_ranks([0, 1, 0, 0], [1, 7, 5, 1]).tolist()
    [2, 1, 1, 3]
    """
    query_N = np.asarray(query_N)
    order = np.lexsort((-np.asarray(gain_N), query_N))
    ordered = query_N[order]
    rank_N = np.empty(len(order), dtype=np.int64)
    rank_N[order] = np.arange(1, len(order) + 1) - np.searchsorted(ordered, ordered)
    return rank_N


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
    _check_found(found_QK[:, -1], relevant_count_Q)
    total_Q = np.where(is_relevant_QK, found_QK / np.arange(1, found_QK.shape[1] + 1), 0.0).sum(axis=1)
    return np.asarray(total_Q / np.maximum(relevant_count_Q, 1), dtype=np.float64)


def precision(relevance_QK: ArrayLike, k: int) -> Floats:
    """Return the share of relevant photos among the first k (P@k). A list shorter than k is divided by k all the same.

    >>> precision([[1, 0, 1]], 2).tolist()
    [0.5]
    """
    return _found(relevance_QK, k) / k


def recall(relevance_QK: ArrayLike, relevant_count_Q: ArrayLike, k: int) -> Floats:
    """Return the share of a query's relevant photos that are among the first k (R@k).

    `relevant_count_Q` is as for `average_precision`. A query without relevant photos gets 0.

    >>> recall([[1, 0, 1]], [4], 2).tolist()
    [0.25]
    """
    found_Q = _found(relevance_QK, k)
    _check_found(found_Q, relevant_count_Q)
    return np.asarray(found_Q / np.maximum(relevant_count_Q, 1), dtype=np.float64)


def f1(relevance_QK: ArrayLike, relevant_count_Q: ArrayLike, k: int) -> Floats:
    """Return the harmonic mean of precision and recall at k (F1@k): 2 found / (k + relevant).

    It is taken query by query; the F1 of mean precision and mean recall is another figure. A query without relevant
    photos gets 0.

    >>> f1([[1, 0, 1]], [4], 2).round(3).tolist()  # precision 1/2, recall 1/4
    [0.333]
    """
    found_Q = _found(relevance_QK, k)
    _check_found(found_Q, relevant_count_Q)
    return np.asarray(2 * found_Q / (k + np.asarray(relevant_count_Q)), dtype=np.float64)


def _found(relevance_QK: ArrayLike, k: int) -> Floats:
    return np.asarray(np.count_nonzero(np.asarray(relevance_QK)[:, :k] > 0, axis=1), dtype=np.float64)


def _check_found(found_Q: ArrayLike, relevant_count_Q: ArrayLike) -> None:
    if (np.asarray(found_Q) > np.asarray(relevant_count_Q)).any():
        raise ValueError("a query found more relevant photos than it has")


def dcg(gain_QK: ArrayLike, k: int) -> Floats:
    """Return the discounted cumulative gain: the sum over positions i = 1..k of gain_i / log2(i + 1).

    The gain is the relevance itself (linear; Järvelin and Kekäläinen, 2002, with the discount of trec_eval).

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
