"""What the ranks of several arms amount to: means and paired differences, with how sure they are.

Shape letters: Q queries, A arms, M metric columns (see `metrics.columns`), D ways to cluster, R repetitions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.evaluation.metrics import capped_ranks, columns, metrics_by_rank
from models.evaluation.statistics import Clusters, Estimates, Floats, estimates


@dataclass(frozen=True)
class Scorecard:
    """The metrics of every arm on one set of queries."""

    arms: tuple[str, ...]
    query_count: int
    cluster_counts: tuple[int, ...]
    effective_counts: tuple[float, ...]
    means: Floats  # (A, M)
    covariances: Floats  # (D, M, A, A), of the means
    highest: Floats  # (M,), the most that a metric can be

    @classmethod
    def of(cls, rank_by_arm: Mapping[str, ArrayLike], clusters: Clusters) -> Scorecard:
        """Return the scorecard of arms given by the ranks of the one relevant photo of each query, shape (Q,)."""
        return cls.of_repeats({arm: [rank_Q] for arm, rank_Q in rank_by_arm.items()}, clusters)

    @classmethod
    def of_repeats(cls, ranks_by_arm: Mapping[str, Sequence[ArrayLike]], clusters: Clusters) -> Scorecard:
        """Return the scorecard of arms that ranked several times: a query's value is the mean over these."""
        value_RM = metrics_by_rank()
        rows = [[capped_ranks(rank_Q) - 1 for rank_Q in ranks] for ranks in ranks_by_arm.values()]

        def column(m: int) -> Floats:
            return np.column_stack([np.mean([value_RM[row_Q, m] for row_Q in several], axis=0) for several in rows])

        return cls._of(tuple(ranks_by_arm), clusters, column, value_RM[0])

    @classmethod
    def of_values(cls, value_by_arm: Mapping[str, Floats], clusters: Clusters) -> Scorecard:
        """Return the scorecard of arms given by their metrics for each query, each of shape (Q, M), of 1 at most."""
        values = [np.asarray(value_QM) for value_QM in value_by_arm.values()]
        highest = np.ones(values[0].shape[1])
        return cls._of(
            tuple(value_by_arm), clusters, lambda m: np.column_stack([value_QM[:, m] for value_QM in values]), highest
        )

    @classmethod
    def _of(
        cls, arms: tuple[str, ...], clusters: Clusters, column: Callable[[int], Floats], highest: Floats
    ) -> Scorecard:
        """Return the scorecard of the values that `column` gives for a metric, shape (Q, A): one metric at a time."""
        means, covariances = [], []
        for m in range(len(highest)):
            value_QA = column(m)
            means.append(value_QA.mean(axis=0))
            covariances.append(clusters.covariances(value_QA))
        return cls(
            arms=arms,
            query_count=clusters.members[0].shape[1],
            cluster_counts=clusters.counts,
            effective_counts=clusters.effective_counts,
            means=np.stack(means, axis=1),
            covariances=np.stack(covariances, axis=1),
            highest=highest,
        )

    def estimates(self, arm: str) -> Estimates:
        """Return the metrics of one arm."""
        a = self.arms.index(arm)
        return estimates(self.means[a], self.covariances[:, :, a, a], self.effective_counts, 0.0, self.highest)

    def value(self, arm: str, metric: str, k: int) -> float:
        """Return one metric of one arm."""
        return float(self.means[self.arms.index(arm), columns().index((metric, k))])

    def difference(self, arm: str, baseline: str) -> Estimates:
        """Return the metrics of `arm` less those of `baseline`, paired query by query."""
        a, b = self.arms.index(arm), self.arms.index(baseline)
        of = self.covariances
        variance_DM = of[:, :, a, a] + of[:, :, b, b] - of[:, :, a, b] - of[:, :, b, a]
        return estimates(self.means[a] - self.means[b], variance_DM, self.effective_counts, -self.highest, self.highest)


@dataclass(frozen=True)
class RepeatedScorecard:
    """The metrics of arms that were trained several times with other seeds, as sure as searches and seeds allow.

    A query's value is the mean over the repetitions. How far seeds move that mean is seen in an arm's own repetitions,
    and comes on top of what the choice of searches moves. An arm that was trained once is taken to vary with its seed
    as the repeated arms do in the middle (the median of their variances).
    """

    of_means: Scorecard
    repeat_means: dict[str, Floats]  # by arm, (R, M)
    untrained: frozenset[str]  # arms that no seed moves

    @classmethod
    def of(
        cls, ranks_by_arm: Mapping[str, Sequence[ArrayLike]], clusters: Clusters, untrained: Collection[str] = ()
    ) -> RepeatedScorecard:
        """Return the scorecard of arms given by the ranks of every repetition; `ValueError` if none was repeated."""
        if all(len(ranks) == 1 for ranks in ranks_by_arm.values()):
            raise ValueError("no arm was trained twice: nothing says how far a seed moves it")
        value_RM = metrics_by_rank()
        means = {
            arm: np.stack([value_RM[capped_ranks(rank_Q) - 1].mean(axis=0) for rank_Q in ranks])
            for arm, ranks in ranks_by_arm.items()
        }
        return cls(Scorecard.of_repeats(ranks_by_arm, clusters), means, frozenset(untrained))

    def estimates(self, arm: str) -> Estimates:
        """Return the metrics of one arm."""
        return self._with_seeds(self.of_means.estimates(arm), arm)

    def difference(self, arm: str, baseline: str) -> Estimates:
        """Return the metrics of `arm` less those of `baseline`."""
        return self._with_seeds(self.of_means.difference(arm, baseline), arm, baseline)

    def _with_seeds(self, found: Estimates, *arms: str) -> Estimates:
        """Add the variances that the seeds of these arms amount to."""
        for arm in arms:
            if arm not in self.untrained:
                found = found.less_sure(*self._seed_variance(arm))
        return found

    def _seed_variance(self, arm: str) -> tuple[Floats, int]:
        """Return the variance of an arm's mean over its repetitions, and its degrees of freedom."""
        if (repeats := len(self.repeat_means[arm])) > 1:
            return self.repeat_means[arm].var(axis=0, ddof=1) / repeats, repeats - 1
        repeated = [mean_RM for mean_RM in self.repeat_means.values() if len(mean_RM) > 1]
        variances = [mean_RM.var(axis=0, ddof=1) for mean_RM in repeated]
        return np.asarray(np.median(variances, axis=0)), min(map(len, repeated)) - 1
