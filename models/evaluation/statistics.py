"""How sure a mean or a difference is: standard errors clustered two ways. Only statistics: no metric, no ranking.

Shape letters: Q queries, G clusters, A arms, D ways to cluster (see `Clusters`), X any axes.

Searches of one visitor are alike, and so are searches for one query: a few queries are most of a log, and an arm that
is better for one of them is better each time it is asked. Standard errors that take both into account speak of other
visitors and of other queries (Cameron, Gelbach and Miller, 2011, "Robust Inference With Multiway Clustering"). Where
something else is independent, clusters of that take their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Of every interval."""
POWER = 0.8
"""The probability with which a difference of the detectable size is found."""


@dataclass(frozen=True)
class Clusters:
    """Which queries hang together, one way or two: D is 1, or 3 with the cells that two ways make together."""

    members: tuple[csr_array, ...]  # D matrices (G, Q) of 0 and 1

    @classmethod
    def of(cls, cluster_Q: ArrayLike, other_Q: ArrayLike | None = None) -> Clusters:
        """Return the clusters that integers name, shapes (Q,): of visitors, say, and of what was asked."""
        ways = [np.asarray(cluster_Q)]
        if other_Q is not None:
            both_Q2 = np.column_stack([np.unique(way_Q, return_inverse=True)[1] for way_Q in (cluster_Q, other_Q)])
            ways += [both_Q2[:, 1], both_Q2[:, 0] * (1 + both_Q2[:, 1].max(initial=0)) + both_Q2[:, 1]]
        if not ways[0].size:
            raise ValueError("there is nothing to cluster")
        return cls(tuple(map(_members, ways)))

    @property
    def counts(self) -> tuple[int, ...]:
        """How many clusters there are, by each way."""
        return tuple(member_GQ.shape[0] for member_GQ in self.members)

    @property
    def effective_counts(self) -> tuple[float, ...]:
        """How many clusters of equally many queries would be as good, by each way, see `effective_count`."""
        return tuple(effective_count(member_GQ.sum(axis=1)) for member_GQ in self.members)

    def covariances(self, value_QA: ArrayLike) -> Floats:
        """Return the covariance of the means of the arms, by each way to cluster, shape (D, A, A).

        By the jackknife: what the means lose when one cluster is left out. Unlike the plain sum of squares it is not
        too small where few clusters hold most queries (MacKinnon, Nielsen and Webb, 2023, "Fast and Reliable
        Jackknife and Bootstrap Methods for Cluster-Robust Inference"). Of one cluster alone it is unknown: NaN.
        """
        value_QA = np.asarray(value_QA, dtype=np.float64)
        deviation_QA = value_QA - value_QA.mean(axis=0)
        found_DAA = np.full((len(self.members), value_QA.shape[1], value_QA.shape[1]), np.nan)
        for way, member_GQ in enumerate(self.members):
            cluster_count, query_count = member_GQ.shape
            if cluster_count > 1:
                lost_GA = (member_GQ @ deviation_QA) / (query_count - member_GQ.sum(axis=1))[:, None]
                found_DAA[way] = (cluster_count - 1) / cluster_count * (lost_GA.T @ lost_GA)
        return found_DAA


def _members(cluster_Q: NDArray[np.int64]) -> csr_array:
    names, place_Q = np.unique(cluster_Q, return_inverse=True)
    ones = np.ones(len(place_Q))
    return csr_array((ones, (place_Q, np.arange(len(place_Q)))), shape=(len(names), len(place_Q)))


@dataclass(frozen=True)
class Estimates:
    """Values with their standard errors and degrees of freedom, each of shape (X,), and what they can be at most.

    Interval, p-value and detectable difference all come from these, by Student's t, so that no two of them disagree.
    `family` is the number of comparisons that are looked at together: interval and p-value are widened for it
    (Bonferroni; Dunn, 1961), so that among all of them one is wrong in one of twenty such families at most.
    """

    value: Floats
    error: Floats  # infinite where nothing can be said
    freedom: Floats
    lowest: Floats = field(repr=False)
    highest: Floats = field(repr=False)
    family: int = 1

    @property
    def low(self) -> Floats:
        """The lower end of the 95 % interval."""
        return np.asarray(np.maximum(self.value - self._half, self.lowest))

    @property
    def high(self) -> Floats:
        """The upper end of the 95 % interval."""
        return np.asarray(np.minimum(self.value + self._half, self.highest))

    @property
    def _half(self) -> Floats:
        return np.asarray(stdtrit(self.freedom, 1 - (1 - LEVEL) / 2 / self.family) * self.error)

    @property
    def p_value(self) -> Floats:
        """The two-sided p-value of "it is 0": below 5 % exactly where the interval is without 0."""
        alone = 2 * stdtr(self.freedom, -np.abs(self.value) / self.error)
        return np.asarray(np.minimum(1.0, self.family * alone))

    @property
    def detectable(self) -> Floats:
        """The smallest true difference that such a comparison finds in four of five cases, whatever the family.

        (t at 97.5 % + t at 80 %) x standard error, about 2.8 standard errors (Bloom, 1995, "Minimum detectable
        effects").
        """
        factor = stdtrit(self.freedom, 1 - (1 - LEVEL) / 2) + stdtrit(self.freedom, POWER)
        return np.asarray(np.minimum(factor * self.error, self.highest - self.lowest))

    def among(self, family: int) -> Estimates:
        """Return the same as one of `family` comparisons."""
        return replace(self, family=family)

    def less_sure(self, variance: ArrayLike, freedom: float) -> Estimates:
        """Return the same with the variance of something else that is independent, the seed of a training, say."""
        total, degrees = _satterthwaite((self.error**2, self.freedom), (variance, freedom))
        return replace(self, error=np.sqrt(total), freedom=degrees)


def estimates(
    value: ArrayLike, variance_DX: ArrayLike, effective_counts: Sequence[float], lowest: ArrayLike, highest: ArrayLike
) -> Estimates:
    """Return means or differences, shape (X,), with the standard errors that their clusters amount to.

    `variance_DX` are variances by each way to cluster, in the order of `Clusters`. Two ways are added and what both
    have is taken off, and the sum is never less than one way alone (MacKinnon, Nielsen and Webb, 2024, "Jackknife
    inference with two-way clustering"). Degrees of freedom are those of the effective numbers of clusters (Carter,
    Schnepel and Steigerwald, 2017), weighed by Satterthwaite's rule. So that a few equal values are not taken for
    certainty, the first way counts two clusters more, one `lowest` and one `highest` throughout (after Agresti and Min,
    2005, "Simple improved confidence intervals for comparing matched proportions"). An unknown variance makes the error
    infinite.
    """
    value, variance_DX = np.asarray(value, dtype=np.float64), np.asarray(variance_DX, dtype=np.float64)
    lowest, highest = (np.broadcast_to(np.asarray(end, dtype=np.float64), value.shape) for end in (lowest, highest))
    more = ((value - lowest) ** 2 + (highest - value) ** 2) / (effective_counts[0] + 2) ** 2
    first = variance_DX[0] + more
    variance, freedom = first, np.full(value.shape, effective_counts[0] + 1.0)
    if len(variance_DX) > 1:
        second = variance_DX[1]
        _, freedom = _satterthwaite((first, freedom), (second, effective_counts[1] - 1.0))
        variance = np.maximum(first + second - variance_DX[2], np.maximum(first, second))
    is_unknown = np.isnan(variance)
    error = np.where(is_unknown, np.inf, np.sqrt(np.maximum(variance, 0.0)))
    return Estimates(value, error, np.where(is_unknown, 1.0, freedom), lowest, highest)


def _satterthwaite(*parts: tuple[ArrayLike, ArrayLike]) -> tuple[Floats, Floats]:
    """Return the sum of independent variances, and its degrees of freedom (Satterthwaite, 1946)."""
    total = np.asarray(sum(np.asarray(variance) for variance, _ in parts))
    with np.errstate(divide="ignore", invalid="ignore"):
        weighed = sum((np.asarray(variance) / total) ** 2 / np.asarray(freedom) for variance, freedom in parts)
        return total, np.where(np.isfinite(total), np.maximum(1 / np.asarray(weighed), 1e-3), 1.0)


def effective_count(count_G: ArrayLike) -> float:
    """Return how many clusters with equally many queries would be as good as these (Kish, 1965).

    >>> effective_count([5, 5]), round(effective_count([9, 1]), 2)
    (2.0, 1.22)
    """
    count_G = np.asarray(count_G, dtype=np.float64)
    return float(count_G.sum() ** 2 / (count_G**2).sum())
