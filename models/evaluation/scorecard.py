"""What the ranks of several arms amount to: means, intervals and paired differences, all on the same resamples.

Shape letters: Q queries, V clusters (what is resampled: visitors, say), A arms, M metric columns (see
`metrics.columns`), N columns that are resampled, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.evaluation.metrics import columns, from_rank_basis, rank_basis
from models.evaluation.statistics import (
    Floats,
    bootstrap_means,
    cluster_sums,
    effective_count,
    hoeffding_half_width,
    interval,
    minimum_detectable_effect,
    p_value,
    probability_better,
)

FEW_CLUSTERS = 15
"""Of fewer clusters (by `effective_count`) a bootstrap says too little, see `Scorecard.cautious`."""


@dataclass(frozen=True)
class Estimates:
    """One estimate per metric column: values and the ends of their 95 % intervals, each of shape (M,)."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Difference(Estimates):
    """Estimates of one arm less another, and how sure they are, each of shape (M,).

    `probability_better` is the share of resamples above 0, `p_value` is two-sided and for this comparison alone,
    `detectable` is the minimum detectable effect at 80 % power.
    """

    probability_better: Floats
    p_value: Floats
    detectable: Floats


@dataclass(frozen=True)
class Scorecard:
    """The metrics of every arm on one set of queries."""

    arms: tuple[str, ...]
    query_count: int
    cluster_count: int
    effective_cluster_count: float
    means: Floats  # (A, M)
    resampled_means: Floats  # (B, A, M)

    @classmethod
    def of(
        cls, rank_by_arm: Mapping[str, ArrayLike], cluster_Q: NDArray[np.int64], resample_count: int, seed: list[int]
    ) -> Scorecard:
        """Return the scorecard of arms given by the ranks of the one relevant photo of each query, shape (Q,)."""
        basis = {arm: rank_basis(rank_Q) for arm, rank_Q in rank_by_arm.items()}
        return cls._resampled(basis, cluster_Q, resample_count, seed, from_rank_basis)

    @classmethod
    def of_repeats(
        cls,
        ranks_by_arm: Mapping[str, Sequence[ArrayLike]],
        cluster_Q: NDArray[np.int64],
        resample_count: int,
        seed: list[int],
    ) -> Scorecard:
        """Return the scorecard of arms that were trained several times: a query's value is the mean over these."""
        basis = {arm: np.mean([rank_basis(rank_Q) for rank_Q in ranks], axis=0) for arm, ranks in ranks_by_arm.items()}
        return cls._resampled(basis, cluster_Q, resample_count, seed, from_rank_basis)

    @classmethod
    def of_values(
        cls, value_by_arm: Mapping[str, Floats], cluster_Q: NDArray[np.int64], resample_count: int, seed: list[int]
    ) -> Scorecard:
        """Return the scorecard of arms given by their metrics for each query, each of shape (Q, M)."""
        return cls._resampled(value_by_arm, cluster_Q, resample_count, seed, lambda value: value)

    @classmethod
    def _resampled(
        cls,
        value_by_arm: Mapping[str, Floats],
        cluster_Q: NDArray[np.int64],
        resample_count: int,
        seed: list[int],
        metrics_of: Callable[[Floats], Floats],
    ) -> Scorecard:
        """Resample the values, each of shape (Q, N), and let `metrics_of` make metrics of their means."""
        sums = [cluster_sums(value_QN, cluster_Q) for value_QN in value_by_arm.values()]
        count_V = sums[0][1]
        sum_VN = np.hstack([sum_VN for sum_VN, _ in sums])
        mean_BN = bootstrap_means(sum_VN, count_V, resample_count, seed)
        return cls(
            arms=tuple(value_by_arm),
            query_count=len(cluster_Q),
            cluster_count=len(count_V),
            effective_cluster_count=effective_count(count_V),
            means=metrics_of((sum_VN.sum(axis=0) / count_V.sum()).reshape(len(sums), -1)),
            resampled_means=metrics_of(mean_BN.reshape(resample_count, len(sums), -1)),
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
        return Difference(
            self.means[a] - self.means[b],
            low_M,
            high_M,
            probability_better(difference_BM),
            p_value(difference_BM),
            minimum_detectable_effect(difference_BM),
        )

    def cautious(self, arm: str, baseline: str | None = None, highest: ArrayLike = 1.0) -> Estimates:
        """Return the metrics of `arm`, or their difference to `baseline`, for slices that may be small.

        Percentiles of resamples of a few clusters are far too narrow, and where no cluster differs from another they
        claim certainty. There the intervals are Hoeffding's: wide, and right for any distribution of values between
        0 and `highest` (one number, or one per metric column).
        """
        found = self.estimates(arm) if baseline is None else self.difference(arm, baseline)
        top = np.broadcast_to(np.asarray(highest, dtype=np.float64), found.value.shape)
        lowest = np.zeros_like(top) if baseline is None else -top
        half = hoeffding_half_width(self.effective_cluster_count, top - lowest)
        is_wide = (found.low == found.high) | (self.effective_cluster_count < FEW_CLUSTERS)
        return Estimates(
            found.value,
            np.where(is_wide, np.maximum(found.value - half, lowest), found.low),
            np.where(is_wide, np.minimum(found.value + half, top), found.high),
        )
