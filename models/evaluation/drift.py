"""How far one night's vectors lie from another's, and where a daily count is going. Numbers in, numbers out.

What does not belong here: whose vectors these are. Vectors of two different models have nothing to do with one another,
and no figure of this module would tell.

Shape letters: N and M rows of the two samples, P = N + M rows of both, D embedding dimension, R resamples, T days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_TOLERANCE = 1e-12
"""Two sums of the same kernel values in another order may differ by rounding; they count as equal."""
_WEEK = 7


@dataclass(frozen=True)
class Shift:
    """The distance between two samples of vectors, see `embedding_shift`."""

    mean_cosine: float
    mmd_squared: float
    low: float
    high: float
    p_value: float
    bandwidth: float


def embedding_shift(x_ND: ArrayLike, y_MD: ArrayLike, resample_count: int, seed: int | list[int]) -> Shift:
    """Return how far two samples of vectors of the same model lie apart, each of at least two rows.

    `mean_cosine` sees only a move of the middle; `mmd_squared` (see there) any difference, in units without dimension:
    0 if both samples are of one distribution, at most 2. `low` and `high` are the ends of its 95 % interval,
    percentiles of a bootstrap that draws rows of each sample anew; pairs of a row with itself do not count, as in the
    estimate. Where the distributions are equal no such bootstrap has the right width (Arcones and Gine, 1992): it is
    too wide then. `p_value` is the share of random divisions of all rows into samples of these sizes that are at least
    as far apart, with one added to both counts, so it is never 0 (Davison and Hinkley, 1997, section 4.3). Rows of one
    sample are to be independent. Rows that are in both pull the estimate down, to slightly below 0 for equal samples.
    """
    x_ND, y_MD = _two_samples(x_ND, y_MD)
    distance_PP = _squared_distances(np.concatenate([x_ND, y_MD]))
    bandwidth = _median_bandwidth(distance_PP)
    kernel_PP = _gaussian(distance_PP, bandwidth)
    found = _of_resamples(kernel_PP, np.ones((1, len(x_ND))), np.ones((1, len(y_MD))))[0]
    random = np.random.default_rng(seed)
    by_chance_R = _of_divisions(kernel_PP, random, len(x_ND), resample_count)
    resampled_R = _of_resamples(kernel_PP, *(_drawn(random, len(rows), resample_count) for rows in (x_ND, y_MD)))
    low, high = np.quantile(resampled_R, [0.025, 0.975])
    further = int((by_chance_R >= found - _TOLERANCE).sum())
    return Shift(
        mean_cosine=mean_cosine(x_ND, y_MD),
        mmd_squared=float(found),
        low=float(low),
        high=float(high),
        p_value=(1 + further) / (1 + resample_count),
        bandwidth=bandwidth,
    )


def mmd_squared(x_ND: ArrayLike, y_MD: ArrayLike, bandwidth: float | None = None) -> float:
    """Return the squared maximum mean discrepancy of two samples, each of at least two rows.

    The unbiased U-statistic of Gretton, Borgwardt, Rasch, Schoelkopf and Smola (2012), "A Kernel Two-Sample Test",
    Journal of Machine Learning Research 13, lemma 6: the mean kernel value of two different rows of X, plus that of Y,
    less twice that of a row of X and one of Y. Being unbiased it may be below 0. The kernel is Gaussian,
    exp(-|x - y|^2 / (2 bandwidth^2)), its bandwidth by default the median distance. For many dimensions, whose
    distances hardly differ, means that lie apart by a share f of the variance (|difference of the means|^2 over the
    trace of the covariance) give about 0.3 f.

    X = {0, 1} and Y = {2, 3}: the distances 1, 1, 1, 2, 2, 3 have the median 1.5, the kernel at a distance d is
    exp(-d^2 / 4.5), and 2 k(1) - (2 k(2) + k(3) + k(1)) / 2 = 0.7223.

    >>> round(mmd_squared([[0.0], [1.0]], [[2.0], [3.0]]), 4)
    0.7223
    """
    x_ND, y_MD = _two_samples(x_ND, y_MD)
    distance_PP = _squared_distances(np.concatenate([x_ND, y_MD]))
    kernel_PP = _gaussian(distance_PP, _median_bandwidth(distance_PP) if bandwidth is None else bandwidth)
    return float(_of_resamples(kernel_PP, np.ones((1, len(x_ND))), np.ones((1, len(y_MD))))[0])


def mean_cosine(x_ND: ArrayLike, y_MD: ArrayLike) -> float:
    """Return the cosine between the means of two samples of vectors; `ValueError` if a mean has no direction.

    >>> round(mean_cosine([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]), 4)
    0.7071
    """
    x_D, y_D = (np.asarray(rows, dtype=np.float64).mean(axis=0) for rows in (x_ND, y_MD))
    lengths = float(np.linalg.norm(x_D) * np.linalg.norm(y_D))
    if lengths == 0:
        raise ValueError("the mean of a sample is 0: it has no direction")
    return float(np.clip(x_D @ y_D / lengths, -1.0, 1.0))


def theil_sen(value_T: ArrayLike) -> tuple[float, float]:
    """Return slope per step and value at step 0 of the line through equally spaced values; one value has slope 0.

    The slope is the median of the slopes of all pairs (Theil, 1950; Sen, 1968), so up to 29 % of the values may be
    anything; the line passes through the median of what is left after the slope.

    >>> theil_sen([1.0, 2.0, 3.0, 400.0, 5.0])
    (1.0, 1.0)
    """
    value_T = np.asarray(value_T, dtype=np.float64)
    if len(value_T) == 0:
        raise ValueError("no value to lay a line through")
    earlier, later = np.triu_indices(len(value_T), k=1)
    slope = float(np.median((value_T[later] - value_T[earlier]) / (later - earlier))) if len(earlier) else 0.0
    return slope, float(np.median(value_T - slope * np.arange(len(value_T))))


@dataclass(frozen=True)
class Trend:
    """Where a daily count is going: means per day, and the line through all days. None where the days are too few."""

    last_week: float
    before: float | None
    drop: float | None
    per_week: float | None
    line_T: Floats


def weekly_trend(count_T: ArrayLike) -> Trend:
    """Return the trend of the counts of consecutive days, oldest first, at least one.

    `drop` is the share by which the last seven days lie below all days before them, negative if they lie above;
    `per_week` what the line of `theil_sen` gains in a week, relative to its mean. Both need a week before the last one.

    >>> trend = weekly_trend([10] * 14 + [5] * 7)
    >>> trend.last_week, trend.before, trend.drop, trend.per_week
    (5.0, 10.0, 0.5, 0.0)
    """
    count_T = np.asarray(count_T, dtype=np.float64)
    slope, start = theil_sen(count_T)
    line_T: Floats = np.asarray(start + slope * np.arange(len(count_T)), dtype=np.float64)
    last_week, middle = float(count_T[-_WEEK:].mean()), float(line_T.mean())
    if len(count_T) < 2 * _WEEK:
        return Trend(last_week, None, None, None, line_T)
    before = float(count_T[:-_WEEK].mean())
    drop, per_week = 1 - last_week / before if before else None, _WEEK * slope / middle if middle > 0 else None
    return Trend(last_week, before, drop, per_week, line_T)


def _two_samples(x_ND: ArrayLike, y_MD: ArrayLike) -> tuple[Floats, Floats]:
    x_ND, y_MD = np.asarray(x_ND, dtype=np.float64), np.asarray(y_MD, dtype=np.float64)
    if x_ND.ndim != 2 or y_MD.ndim != 2 or x_ND.shape[1] != y_MD.shape[1]:
        raise ValueError(f"two samples of vectors of one length are wanted, found {x_ND.shape} and {y_MD.shape}")
    if min(len(x_ND), len(y_MD)) < 2:
        raise ValueError(f"at least two rows of each sample are wanted, found {len(x_ND)} and {len(y_MD)}")
    return x_ND, y_MD


def _squared_distances(rows_PD: Floats) -> Floats:
    rows_PD = rows_PD - rows_PD.mean(axis=0)  # less is lost to rounding near 0
    norm_P = (rows_PD**2).sum(axis=1)
    distance_PP = np.maximum(norm_P[:, None] + norm_P - 2 * rows_PD @ rows_PD.T, 0.0)
    np.fill_diagonal(distance_PP, 0.0)
    return np.asarray(distance_PP)


def _median_bandwidth(distance_PP: Floats) -> float:
    """Return the median distance between two different rows (Gretton et al., 2012, section 8), of equal rows 1.

    Where more than half of the pairs are of equal rows, it is the median of the other distances. They come squared.
    """
    distances = np.sqrt(distance_PP[np.triu_indices(len(distance_PP), k=1)])
    apart = distances[distances > 1e-7]
    if len(apart) == 0:
        return 1.0
    return float(np.median(distances if 2 * len(apart) > len(distances) else apart))


def _gaussian(distance_PP: Floats, bandwidth: float) -> Floats:
    return np.asarray(np.exp(distance_PP / (-2 * bandwidth**2)))


def _drawn(random: np.random.Generator, count: int, resample_count: int) -> Floats:
    """Return how often each of `count` rows is in each resample, shape (R, count)."""
    return random.multinomial(count, np.full(count, 1 / count), resample_count).astype(np.float64)


def _of_resamples(kernel_PP: Floats, x_RN: Floats, y_RM: Floats) -> Floats:
    """Return the statistic of R resamples, shape (R,), which hold each row of X and Y so many times."""
    count = x_RN.shape[1]
    x_kernel_RN, y_kernel_RM = x_RN @ kernel_PP[:count, :count], y_RM @ kernel_PP[count:, count:]
    across_R = (x_RN @ kernel_PP[:count, count:] * y_RM).sum(axis=1)
    return _mmd_squared(x_RN, x_kernel_RN, y_RM, y_kernel_RM, across_R)


def _of_divisions(kernel_PP: Floats, random: np.random.Generator, count: int, resample_count: int) -> Floats:
    """Return the statistic of R random divisions of all rows into `count` and the rest, shape (R,)."""
    is_x_P = (np.arange(len(kernel_PP)) < count).astype(np.float64)
    x_RP = random.permuted(np.tile(is_x_P, (resample_count, 1)), axis=1)
    x_kernel_RP = x_RP @ kernel_PP
    across_R = (x_kernel_RP * (1 - x_RP)).sum(axis=1)
    return _mmd_squared(x_RP, x_kernel_RP, 1 - x_RP, kernel_PP.sum(axis=0) - x_kernel_RP, across_R)


def _mmd_squared(x_RN: Floats, x_kernel_RN: Floats, y_RM: Floats, y_kernel_RM: Floats, across_R: Floats) -> Floats:
    """Return the statistic, shape (R,), from how often each row is in X and Y and the sums of the kernel over them."""
    pairs_R = x_RN.sum(axis=1) * y_RM.sum(axis=1)
    return np.asarray(_within(x_RN, x_kernel_RN) + _within(y_RM, y_kernel_RM) - 2 * across_R / pairs_R)


def _within(count_RN: Floats, kernel_RN: Floats) -> Floats:
    """Return the mean kernel value of two different rows of a sample; 1, the kernel at 0, if it has but one of them."""
    alike_R = (count_RN**2).sum(axis=1)  # pairs of a row with itself, each with the kernel value 1
    pairs_R = count_RN.sum(axis=1) ** 2 - alike_R
    sums_R = (kernel_RN * count_RN).sum(axis=1) - alike_R
    means_R: Floats = np.divide(sums_R, pairs_R, out=np.ones_like(sums_R), where=pairs_R > 0)
    return means_R
