"""How sure a mean or a difference is: the bootstrap over visitors. Only statistics: no metric, no ranking.

Shape letters: Q queries, V visitors, M columns (arms times metrics), B resamples, F comparisons of one family.

Where something else than visitors is independent, clusters of that take their place.

Queries of one visitor are not independent, so whole visitors are resampled (cluster bootstrap: Davison and Hinkley,
1997, section 3.8). Every column of one call sees the same resamples, so the difference of two columns is a paired
comparison. Intervals are percentiles of the resampled means; with few visitors they are too narrow.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_CELLS_PER_BLOCK = 2_000_000
"""Resamples times visitors held at a time: about 50 MB."""


def cluster_sums(value_QM: ArrayLike, visitor_Q: ArrayLike) -> tuple[Floats, Floats]:
    """Return the sums of the values of each visitor, shape (V, M), and the number of queries of each, shape (V,).

    `visitor_Q` names the visitor of each query (any integers); visitors come out in ascending order.

    >>> cluster_sums([[1.0], [2.0], [4.0]], [7, 3, 7])
    (array([[2.],
           [5.]]), array([1., 2.]))
    """
    value_QM = np.asarray(value_QM, dtype=np.float64)
    _, place_Q, count_V = np.unique(np.asarray(visitor_Q), return_inverse=True, return_counts=True)
    sum_VM = np.empty((len(count_V), value_QM.shape[1]))
    for column, value_Q in enumerate(value_QM.T):
        sum_VM[:, column] = np.bincount(place_Q, weights=value_Q, minlength=len(count_V))
    return sum_VM, count_V.astype(np.float64)


def bootstrap_means(sum_VM: Floats, count_V: Floats, resample_count: int, seed: int | list[int]) -> Floats:
    """Return the means of `resample_count` resamples, shape (B, M).

    A resample draws as many visitors as there are, with replacement, and its mean is the sum of their values over
    the number of their queries. The same seed gives the same resamples for any columns. No visitor raises
    `ValueError`.
    """
    visitor_count = len(count_V)
    if visitor_count == 0:
        raise ValueError("no visitor to resample")
    random = np.random.default_rng(seed)
    column_VN = np.column_stack([sum_VM, count_V])
    mean_BM = np.empty((resample_count, sum_VM.shape[1]))
    step = max(1, _CELLS_PER_BLOCK // visitor_count)
    for start in range(0, resample_count, step):
        stop = min(start + step, resample_count)
        size = stop - start
        drawn_BV = random.integers(0, visitor_count, (size, visitor_count))
        drawn_BV += np.arange(size)[:, None] * visitor_count
        weight_BV = np.bincount(drawn_BV.ravel(), minlength=size * visitor_count).reshape(size, visitor_count)
        total_BN = weight_BV.astype(np.float64) @ column_VN
        mean_BM[start:stop] = total_BN[:, :-1] / total_BN[:, -1:]
    return mean_BM


def interval(mean_BM: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the ends of the central percentile interval of each column, shapes (M,) and (M,)."""
    tail = (1 - level) / 2
    low_M, high_M = np.quantile(mean_BM, [tail, 1 - tail], axis=0)
    return low_M, high_M


def probability_better(difference_BM: Floats) -> Floats:
    """Return the share of resamples in which each difference is above 0, a draw counting half, shape (M,).

    >>> probability_better(np.array([[1.0, 0.0], [-1.0, 0.0]])).tolist()
    [0.5, 0.5]
    """
    return np.asarray((difference_BM > 0).mean(axis=0) + 0.5 * (difference_BM == 0).mean(axis=0))


def p_value(difference_BM: Floats) -> Floats:
    """Return the two-sided p-value of "no difference" for each column of resampled differences, shape (M,).

    Twice the smaller share of resamples on one side of 0 (a resample at 0 counts on both), at most 1: the level at
    which the central percentile interval begins to hold 0, so p below 5 % and a 95 % interval without 0 say the
    same, up to two resamples (Efron and Tibshirani, 1993, section 15.4). One resample is added to both counts, so p
    is never 0 (Davison and Hinkley, 1997, section 4.2): the smallest that 1000 resamples can show is 0.002.

    >>> p_value(np.array([[1.0, 1.0, 0.0], [2.0, -1.0, 0.0], [3.0, 1.0, 0.0]])).tolist()
    [0.5, 1.0, 1.0]
    """
    fewer_M = np.minimum((difference_BM <= 0).sum(axis=0), (difference_BM >= 0).sum(axis=0))
    return np.asarray(np.minimum(1.0, 2.0 * (fewer_M + 1) / (len(difference_BM) + 1)))


def holm(p_F: ArrayLike) -> Floats:
    """Return the p-values of a family of comparisons adjusted for their number, shape (F,), in the given order.

    Holm's step-down procedure (Holm, 1979): rejecting what is at most alpha keeps the probability of any false
    rejection among the family at or below alpha, however the comparisons depend on one another. The i-th smallest
    of F is multiplied by F - i + 1, never below the one before it, at most 1. A p outside [0, 1] raises `ValueError`.

    >>> holm([0.04, 0.01, 0.03]).round(3).tolist()
    [0.06, 0.03, 0.06]
    """
    p_F = np.asarray(p_F, dtype=np.float64)
    if not ((p_F >= 0) & (p_F <= 1)).all():
        raise ValueError(f"p-values lie in [0, 1], found {p_F.tolist()}")
    order = np.argsort(p_F, kind="stable")
    stepped = np.maximum.accumulate(p_F[order] * np.arange(len(p_F), 0, -1))
    adjusted_F = np.empty_like(p_F)
    adjusted_F[order] = np.minimum(stepped, 1.0)
    return adjusted_F


def minimum_detectable_effect(difference_BM: Floats, level: float = 0.95, power: float = 0.8) -> Floats:
    """Return the smallest true difference that would be found with probability `power`, per column, shape (M,).

    (z at 1 - alpha/2 + z at `power`) x standard error, alpha = 1 - `level`: 2.80 standard errors by default (Bloom,
    1995, "Minimum detectable effects"). The standard error is the standard deviation of the resampled differences.
    It is for one two-sided comparison, taken as normal, not adjusted for a family.

    >>> minimum_detectable_effect(np.array([[-1.0], [0.0], [1.0]])).round(2).tolist()  # a standard error of 1
    [2.8]
    """
    normal = NormalDist()
    factor = normal.inv_cdf(1 - (1 - level) / 2) + normal.inv_cdf(power)
    return np.asarray(factor * difference_BM.std(axis=0, ddof=1))


def effective_count(count_V: ArrayLike) -> float:
    """Return how many visitors with equally many queries would be as good as these (Kish, 1965).

    >>> effective_count([5, 5]), round(effective_count([9, 1]), 2)
    (2.0, 1.22)
    """
    count_V = np.asarray(count_V, dtype=np.float64)
    return float(count_V.sum() ** 2 / (count_V**2).sum())


def hoeffding_half_width(effective_visitor_count: float, span: ArrayLike = 1.0, level: float = 0.95) -> Floats:
    """Return half the width of an interval that holds for any distribution, however few the visitors.

    By Hoeffding's inequality (1963, theorem 2) a weighted mean of independent values, each within a range of width
    `span`, is at least this far from its expectation with probability 1 - `level` at most; weights enter by
    `effective_count`. Unlike resampling it does not take a few equal values for certainty.

    >>> float(hoeffding_half_width(8).round(3))
    0.48
    """
    return np.asarray(np.asarray(span) * math.sqrt(math.log(2 / (1 - level)) / (2 * effective_visitor_count)))
