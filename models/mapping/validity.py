"""How good a clustering by density is: DBCV. Distances and labels in, numbers out.

Shape letters: N rows, n rows of one cluster, C clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.mapping.plane import Floats, Ints

OUTLIER = -1


def dbcv(distance_NN: Floats, label_N: Ints, dimension: int) -> float:
    """Return the density-based validity of a clustering, between -1 and 1, higher is better; NaN below two clusters.

    Moulavi, Jaskowiak, Campello, Zimek and Sander (2014), "Density-Based Clustering Validation",
    https://doi.org/10.1137/1.9781611973440.96: of every cluster the sparsest place within it (the longest inner edge of
    the tree that spans it) against the densest between it and any other, by mutual reachability; the mean over
    clusters, weighed by their rows, those of no cluster (`OUTLIER`) counting as 0. Inner edges are those between rows
    that are no leaf of the tree; a tree without any has all of its edges and rows looked at, as the authors' program
    does. A cluster has two rows at least. `dimension` is the number of features behind the distances.
    """
    clusters = [np.flatnonzero(label_N == label) for label in np.unique(label_N[label_N != OUTLIER])]
    if len(clusters) < 2:
        return float("nan")
    cores = [_core_distances(distance_NN[np.ix_(rows, rows)], dimension) for rows in clusters]
    trees = [
        _tree(_reachable(distance_NN, rows, rows, core, core), distance_NN[np.ix_(rows, rows)])
        for rows, core in zip(clusters, cores, strict=True)
    ]
    inner = [rows[tree.is_inner] for rows, tree in zip(clusters, trees, strict=True)]
    inner_cores = [core[tree.is_inner] for core, tree in zip(cores, trees, strict=True)]
    starts = np.cumsum([0, *(len(rows) for rows in inner[:-1])])
    everywhere, everywhere_core = np.concatenate(inner), np.concatenate(inner_cores)
    total = 0.0
    for number, (rows, tree) in enumerate(zip(clusters, trees, strict=True)):
        reachable = _reachable(distance_NN, inner[number], everywhere, inner_cores[number], everywhere_core)
        separation_C = np.minimum.reduceat(reachable.min(axis=0), starts)
        separation = float(np.delete(separation_C, number).min())
        widest = max(separation, tree.sparseness)
        total += len(rows) * ((separation - tree.sparseness) / widest if widest else 0.0)
    return total / len(label_N)


class _Tree(NamedTuple):
    sparseness: float
    is_inner: NDArray[np.bool_]


def _core_distances(distance_nn: Floats, dimension: int) -> Floats:
    """Return the all-points core distance of every row: a mean of its distances in which the near ones count."""
    count = len(distance_nn)
    others = ~np.eye(count, dtype=bool)
    with np.errstate(divide="ignore"):
        exponent = -dimension * np.log(distance_nn[others].reshape(count, count - 1))
    highest = exponent.max(axis=1)  # infinite beside an equal row: the core distance is 0 then
    is_finite = np.isfinite(highest)
    core = np.zeros(count)
    summed = np.exp(exponent[is_finite] - highest[is_finite, None]).sum(axis=1)
    core[is_finite] = np.exp(-(highest[is_finite] + np.log(summed / (count - 1))) / dimension)
    return core


def _reachable(distance_NN: Floats, rows: Ints, columns: Ints, row_core: Floats, column_core: Floats) -> Floats:
    reachable: Floats = np.maximum(
        distance_NN[np.ix_(rows, columns)], np.maximum(row_core[:, None], column_core[None, :])
    )
    return reachable


def _tree(reachable_nn: Floats, distance_nn: Floats) -> _Tree:
    """Return what counts of the minimum spanning tree (Prim's algorithm), among equal reachabilities by distance."""
    count = len(reachable_nn)
    nearest, apart, parent = reachable_nn[0].copy(), distance_nn[0].copy(), np.zeros(count, np.int64)
    is_in = np.zeros(count, bool)
    is_in[0] = True
    edges = np.empty((count - 1, 2), np.int64)
    for number in range(count - 1):
        outside = np.where(is_in, np.inf, nearest)
        row = int(np.where(outside == outside.min(), apart, np.inf).argmin())
        edges[number] = parent[row], row
        is_in[row] = True
        reachable, distance = reachable_nn[row], distance_nn[row]
        is_nearer = (reachable < nearest) | ((reachable == nearest) & (distance < apart))
        nearest, apart = np.where(is_nearer, reachable, nearest), np.where(is_nearer, distance, apart)
        parent = np.where(is_nearer, row, parent)
    is_inner: NDArray[np.bool_] = np.bincount(edges.ravel(), minlength=count) > 1
    is_inner_edge: NDArray[np.bool_] = np.logical_and(*is_inner[edges.T])
    length = reachable_nn[edges[:, 0], edges[:, 1]]
    if not is_inner_edge.any():
        is_inner_edge[:] = True
    if not is_inner.any():
        is_inner[:] = True
    return _Tree(float(length[is_inner_edge].max()), is_inner)
