"""What the ranks of several arms amount to: means, intervals and paired differences, all on the same resamples.

Shape letters: Q queries, A arms, M metric columns (see `metrics.columns`), B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.evaluation.metrics import columns, rank_metrics
from models.evaluation.statistics import Floats, bootstrap_means, cluster_sums, interval, probability_better


@dataclass(frozen=True)
class Estimates:
    """One estimate per metric column: values and the ends of their 95 % intervals, each of shape (M,)."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Difference(Estimates):
    """Estimates of one arm less another, and the share of resamples in which it is above 0, shape (M,)."""

    probability_better: Floats


@dataclass(frozen=True)
class Scorecard:
    """The metrics of every arm on one set of queries."""

    arms: tuple[str, ...]
    query_count: int
    visitor_count: int
    means: Floats  # (A, M)
    resampled_means: Floats  # (B, A, M)

    @classmethod
    def of(
        cls, rank_by_arm: Mapping[str, ArrayLike], visitor_Q: NDArray[np.int64], resample_count: int, seed: list[int]
    ) -> Scorecard:
        """Return the scorecard of arms given by their ranks, each of shape (Q,) and in the same order of queries."""
        sums = [cluster_sums(rank_metrics(rank_Q), visitor_Q) for rank_Q in rank_by_arm.values()]
        count_V = sums[0][1]
        sum_VN = np.hstack([sum_VM for sum_VM, _ in sums])
        mean_BN = bootstrap_means(sum_VN, count_V, resample_count, seed)
        shape = (len(sums), len(columns()))
        return cls(
            arms=tuple(rank_by_arm),
            query_count=len(visitor_Q),
            visitor_count=len(count_V),
            means=(sum_VN.sum(axis=0) / count_V.sum()).reshape(shape),
            resampled_means=mean_BN.reshape(resample_count, *shape),
        )

    def estimates(self, arm: str) -> Estimates:
        """Return the metrics of one arm."""
        a = self.arms.index(arm)
        return Estimates(self.means[a], *interval(self.resampled_means[:, a]))

    def value(self, arm: str, metric: str, k: int) -> float:
        """Return one metric of one arm."""
        return float(self.means[self.arms.index(arm), columns().index((metric, k))])

    def difference(self, arm: str, baseline: str) -> Difference:
        """Return the metrics of `arm` less those of `baseline`, paired: query by query and resample by resample."""
        a, b = self.arms.index(arm), self.arms.index(baseline)
        difference_BM = self.resampled_means[:, a] - self.resampled_means[:, b]
        low_M, high_M = interval(difference_BM)
        return Difference(self.means[a] - self.means[b], low_M, high_M, probability_better(difference_BM))
