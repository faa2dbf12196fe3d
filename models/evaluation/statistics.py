"""How sure a mean is: the bootstrap over visitors. Only statistics: no metric, no ranking.

Shape letters: Q queries, V visitors, M columns (arms times metrics), B resamples.

Queries of one visitor are not independent, so whole visitors are resampled (cluster bootstrap: Davison and Hinkley,
1997, section 3.8). Every column of one call sees the same resamples, so the difference of two columns is a paired
comparison. Intervals are percentiles of the resampled means; with few visitors they are too narrow.
"""

from __future__ import annotations

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
