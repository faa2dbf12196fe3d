"""How well an order would have put what people took, from lists that were shown in another order.

What a log of lists tells: which of the photos shown were taken, and at which place. The site's ranking is fixed, not
drawn, so a photo that was not shown had no chance to be taken, and nothing about it can be told. What can be told is
how well another order of the same photos would have done, once what was taken further down counts for those who never
looked there: the position-based model, with propensities by place (Joachims, Swaminathan, Schnabel, "Unbiased
Learning-to-Rank with Biased Feedback", 2017, https://arxiv.org/abs/1608.04468).

Shape letters: N impressions, A orders, D ways to cluster, G clusters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.evaluation.statistics import Clusters, Estimates, Floats, effective_count, estimates

Ints = NDArray[np.int64]
FEWEST_EFFECTIVE = 50.0
"""Visitors with equal weights that a figure must be worth, at least."""
MOST_UNSUPPORTED = 0.1
"""Share of what was taken that may lie at places without a propensity, at most."""
LEAST_PROPENSITY = 0.01
"""A place that is looked at less often has no propensity to divide by: one photo would count for a hundred."""


def ranks_in_lists(list_N: Ints, score_N: Floats, tie_N: Ints) -> Ints:
    """Return the rank of each photo within its list, 1 for the highest score; of equal scores the lower `tie_N` first.

    >>> ranks_in_lists(np.array([7, 7, 3]), np.array([0.1, 0.9, 0.5]), np.array([0, 1, 2])).tolist()
    [2, 1, 1]
    """
    order = np.lexsort((tie_N, -score_N, list_N))
    lists = list_N[order]
    begins = np.flatnonzero(np.r_[True, lists[1:] != lists[:-1]]) if len(lists) else np.zeros(0, np.int64)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)])) + 1
    return rank


def inverse_propensity(is_taken_N: NDArray[np.bool_], propensity_N: Floats) -> Floats:
    """Return an estimate of how each photo appeals that is right on average: 1 / propensity if taken, else 0.

    A doubly robust estimate (Dudik, Langford, Li, 2011, https://arxiv.org/abs/1103.4601) adds a model's r and takes it
    away again: r + (taken - propensity r) / propensity is taken / propensity whatever r. It is of use where a policy
    draws what it shows; a fixed one leaves nothing for the model to fill in.

    >>> inverse_propensity(np.array([True, False]), np.array([0.5, 0.5])).tolist()
    [2.0, 0.0]
    """
    return np.asarray(is_taken_N / propensity_N)


def order_values(gain_NA: Floats, appeal_N: Floats, visitor_N: Ints, query_N: Ints) -> tuple[Estimates, float] | None:
    """Return the mean gain of what appeals by order, shape (A,), and how many equal visitors it is worth.

    `gain_NA` is what each order gets for a photo, by its rank, from 0 to 1, and `appeal_N` an estimate of how the photo
    appeals, not below 0. The mean is self-normalised (SNIPS: Swaminathan and Joachims, 2015, "The Self-Normalized
    Estimator for Counterfactual Learning"): the sum of gain times appeal over the sum of appeal, which all orders
    share, so that it lies within the range of gains and a few large weights do less harm. Its interval is clustered by
    visitor and by query, from the ratio's first-order terms.

    None where visitors are worth fewer than `FEWEST_EFFECTIVE` of equal weight (Kish, 1965): weights are degenerate.
    """
    has_weight_N = appeal_N > 0
    if not has_weight_N.any():
        return None
    gain_NA, appeal_N = gain_NA[has_weight_N], appeal_N[has_weight_N]
    clusters = Clusters.of(visitor_N[has_weight_N], query_N[has_weight_N])
    effective = tuple(effective_count(member_GN @ appeal_N) for member_GN in clusters.members)
    if effective[0] < FEWEST_EFFECTIVE:
        return None
    value_A = appeal_N @ gain_NA / appeal_N.sum()
    term_NA = value_A + (appeal_N / appeal_N.mean())[:, None] * (gain_NA - value_A)
    variance_DA = np.diagonal(clusters.covariances(term_NA), axis1=1, axis2=2)
    return estimates(value_A, variance_DA, effective, 0.0, 1.0), effective[0]
