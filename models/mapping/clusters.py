"""Clusters by density: several settings of HDBSCAN and DBSCAN, how good each is, and which one is taken.

Shape letters: N rows, D embedding dimension. Labels are cluster numbers, `OUTLIER` for rows of none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from models.mapping.plane import Floats, Ints
from models.mapping.validity import OUTLIER, dbcv
from models.mapping.words import keyword_agreement, purity

Method = Literal["hdbscan", "dbscan"]

ABSENT = OUTLIER - 1
"""Earlier label of a row that the earlier night did not have."""
MOST_OUTLIERS, LARGEST = 0.6, 0.5
"""Shares of all rows that a setting may leave without a cluster, and have in one, to be taken before others."""
RULE = (
    f"the highest DBCV among the settings that leave at most {MOST_OUTLIERS:.0%} of the photos without a cluster and "
    f"have at most {LARGEST:.0%} of them in one; where none does, the highest DBCV"
)


@dataclass(frozen=True)
class Setting:
    """One way to cluster. What does not belong to the method is None.

    `min_samples` is how many rows, itself among them, make a place dense. HDBSCAN: `min_cluster_size`, `selection`
    (eom: the clusters that last longest; leaf: the smallest). DBSCAN: `radius` of the neighbourhood, and `quantile`,
    the share of rows that are dense with it.
    """

    method: Method
    min_samples: int
    min_cluster_size: int | None = None
    selection: str | None = None
    quantile: float | None = None
    radius: float | None = None


@dataclass(frozen=True)
class Clustering:
    """What a setting gives, and how good it is; figures that are not defined are NaN.

    `silhouette`, `agreement` and `purity` are of the rows with a cluster only; `dbcv` counts the others as 0.
    """

    setting: Setting
    label_N: Ints
    cluster_count: int
    outlier_share: float
    largest_share: float
    silhouette: float
    dbcv: float
    agreement: float
    purity: float

    @property
    def is_within_limits(self) -> bool:
        """Whether it is one of those that are taken before others, see `RULE`."""
        return self.outlier_share <= MOST_OUTLIERS and self.largest_share <= LARGEST


def settings(
    distance_NN: Floats, min_samples: Sequence[int], min_cluster_sizes: Sequence[int], quantiles: Sequence[float]
) -> list[Setting]:
    """Return every setting of a sweep that as many rows allow: HDBSCAN's first.

    DBSCAN has no size of a cluster: its `min_samples` are the sizes, so that for both methods these are how small a
    cluster may be. Its radius is the quantile of the distances to the `min_samples`-th nearest row, itself the first:
    the distances of two models have nothing in common, shares of rows do. Equal radii are tried once.
    """
    count, found = len(distance_NN), []
    for samples in (number for number in min_samples if number < count):
        for size in (number for number in min_cluster_sizes if number <= count // 2):
            found += [Setting("hdbscan", samples, size, selection) for selection in ("eom", "leaf")]
    for samples in (number for number in min_cluster_sizes if number < count):
        reach_N = np.partition(distance_NN, samples - 1, axis=1)[:, samples - 1]
        radii = {float(np.quantile(reach_N, quantile)): quantile for quantile in sorted(quantiles, reverse=True)}
        found += [
            Setting("dbscan", samples, None, None, q, radius) for radius, q in sorted(radii.items()) if radius > 0
        ]
    return found


def cluster(distance_NN: Floats, setting: Setting) -> Ints:
    """Return the label of every row, clusters by size, the largest 0, of equal ones that of the first row first."""
    from sklearn.cluster import DBSCAN, HDBSCAN

    with threadpool_limits(1):
        if setting.method == "hdbscan":
            labels = HDBSCAN(
                min_cluster_size=setting.min_cluster_size,
                min_samples=setting.min_samples,
                cluster_selection_method=setting.selection,
                metric="precomputed",
                copy=True,
                n_jobs=1,
            ).fit_predict(distance_NN)
        else:
            labels = DBSCAN(
                eps=setting.radius, min_samples=setting.min_samples, metric="precomputed", n_jobs=1
            ).fit_predict(distance_NN)
    return by_size(np.asarray(labels, np.int64))


def by_size(label_N: Ints) -> Ints:
    """Return the same clusters numbered by size.

    >>> by_size(np.array([7, -1, 3, 3, 7, 3, 2])).tolist()
    [1, -1, 0, 0, 1, 0, 2]
    """
    found, first, counts = np.unique(label_N[label_N != OUTLIER], return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    number = {int(label): place for place, label in enumerate(found[order])}
    return np.array([number.get(int(label), OUTLIER) for label in label_N], np.int64)


def numbered_as_before(label_N: Ints, earlier_N: Ints) -> tuple[Ints, list[int]]:
    """Return the same clusters with the numbers they had, and the numbers of those that are new, sorted.

    `earlier_N` is each row's label of the earlier night, `ABSENT` for a row it did not have. Two clusters are one if,
    of the rows both nights have, they share more than half of those that are in either (Jaccard similarity above a
    half). Clusters of a night have no row in common, so none has two such partners. New ones take the lowest numbers
    that are left, in the order of their labels (the largest first, see `by_size`).

    >>> numbered_as_before(np.array([0, 0, 0, 1, 1, -1]), np.array([5, 5, -1, -1, 2, 2]))
    (array([ 5,  5,  5,  0,  0, -1]), [0])
    """
    found = np.unique(label_N[label_N != OUTLIER]).tolist()
    kept = {}
    for label in found:
        is_mine_N = (label_N == label) & (earlier_N != ABSENT)
        numbers, counts = np.unique(earlier_N[is_mine_N & (earlier_N != OUTLIER)], return_counts=True)
        if len(numbers):
            most = int(counts.argmax())
            number, shared = int(numbers[most]), int(counts[most])
            if 2 * shared > int((is_mine_N | (earlier_N == number)).sum()):
                kept[label] = number
    taken = set(kept.values())
    free = (number for number in itertools.count() if number not in taken)
    number_of = {label: kept[label] if label in kept else next(free) for label in found}
    new = sorted(number for label, number in number_of.items() if label not in kept)
    return np.array([number_of.get(int(label), OUTLIER) for label in label_N], np.int64), new


def measure(
    distance_NN: Floats, setting: Setting, label_N: Ints, top_N: Sequence[str | None], dimension: int
) -> Clustering:
    """Return a clustering with its figures; `top_N` is each row's keyword, `dimension` that of the vectors."""
    from sklearn.metrics import silhouette_score

    rows = np.flatnonzero(label_N != OUTLIER)
    sizes = np.bincount(label_N[rows])
    has_several = len(sizes) > 1
    with threadpool_limits(1):
        is_defined = has_several and len(sizes) < len(rows)
        silhouette = (
            float(silhouette_score(distance_NN[np.ix_(rows, rows)], label_N[rows], metric="precomputed"))
            if is_defined
            else math.nan
        )
    return Clustering(
        setting=setting,
        label_N=label_N,
        cluster_count=len(sizes),
        outlier_share=1 - len(rows) / len(label_N),
        largest_share=float(sizes.max(initial=0)) / len(label_N),
        silhouette=silhouette,
        dbcv=dbcv(distance_NN, label_N, dimension) if has_several else math.nan,
        agreement=keyword_agreement(label_N, top_N),
        purity=purity(label_N, top_N),
    )


def sweep(
    distance_NN: Floats, tried: Sequence[Setting], top_N: Sequence[str | None], dimension: int
) -> list[Clustering]:
    """Return a clustering for every setting, measured; equal divisions are measured once."""
    measured: dict[bytes, Clustering] = {}
    found = []
    for setting in tried:
        label_N = cluster(distance_NN, setting)
        same = measured.get(label_N.tobytes())
        if same is None:
            same = measured[label_N.tobytes()] = measure(distance_NN, setting, label_N, top_N, dimension)
        found.append(replace(same, setting=setting))
    return found


def choose(found: Sequence[Clustering]) -> int | None:
    """Return the place of the one that is taken by `RULE`, of equal ones the first; None where none has a DBCV."""
    defined = [number for number, one in enumerate(found) if not math.isnan(one.dbcv)]
    within = [number for number in defined if found[number].is_within_limits]
    return max(within or defined, key=lambda number: (found[number].dbcv, -number), default=None)


def typicality(vector_ND: Floats, label_N: Ints) -> Floats:
    """Return each row's cosine to the mean of its cluster, or of a row of no cluster to the nearest other row."""
    nearest_N = np.full(len(vector_ND), -np.inf)
    outliers = np.flatnonzero(label_N == OUTLIER)
    with threadpool_limits(1):
        cosine = vector_ND[outliers] @ vector_ND.T
        cosine[np.arange(len(outliers)), outliers] = -np.inf
        nearest_N[outliers] = cosine.max(axis=1, initial=-np.inf)
        for label in np.unique(label_N[label_N != OUTLIER]):
            rows = np.flatnonzero(label_N == label)
            mean_D = vector_ND[rows].mean(axis=0)
            nearest_N[rows] = vector_ND[rows] @ (mean_D / max(float(np.linalg.norm(mean_D)), 1e-12))
    return nearest_N
