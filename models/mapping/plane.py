"""Vectors in the plane: a map of them, further vectors placed on a map that is there, and how good a map is.

A map is what t-SNE makes of unit vectors: neighbours stay together, distances between groups say little. Everything is
computed by one thread and from a seed, so equal input gives an equal map.

Shape letters: N rows, B rows of a block, M rows of a map that is there, D embedding dimension, K neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST = 12
"""Rows below which there is no map: t-SNE needs three neighbours of each at least."""
_START_DEVIATION = 1e-4
"""Of the coordinates t-SNE begins with: more, and rows that belong together cannot get past one another."""
_BEGIN_NEAR = 10
_ROWS_PER_BLOCK = 512


def make_map(vector_ND: Floats, perplexity: float, seed: int, start_N2: Floats | None = None) -> Floats:
    """Return coordinates of unit vectors, float64 [N, 2], by t-SNE (van der Maaten and Hinton, 2008).

    The implementation is openTSNE's; neighbours are exact, the gradient is Barnes and Hut's. `perplexity` is about how
    many neighbours a row holds on to, a third of the rows at most. The map begins with the first two principal
    components, or, so that it resembles another one, with `start_N2`, whose size does not matter. Raises ValueError for
    fewer than `FEWEST` rows.
    """
    from openTSNE import TSNE

    if len(vector_ND) < FEWEST:
        raise ValueError(f"a map needs at least {FEWEST} rows, not {len(vector_ND)}")
    begin_N2 = _principal(vector_ND) if start_N2 is None else start_N2 - start_N2.mean(axis=0)
    begin_N2 = begin_N2 * (_START_DEVIATION / max(float(begin_N2[:, 0].std()), 1e-12))
    with threadpool_limits(1):
        made = TSNE(
            perplexity=_within(perplexity, len(vector_ND)),
            initialization=begin_N2,
            neighbors="exact",
            negative_gradient_method="bh",
            n_jobs=1,
            random_state=seed,
        ).fit(np.ascontiguousarray(vector_ND, np.float64))
    return np.array(made, np.float64)


def place_on_map(
    vector_ND: Floats, map_vector_MD: Floats, map_M2: Floats, perplexity: float, seed: int, near: float = 5.0
) -> Floats:
    """Return coordinates of further unit vectors on a map, float64 [N, 2]; the map itself does not move.

    openTSNE's way (Policar, Strazar and Zupan, 2023, https://doi.org/10.1007/s10994-021-06043-1): a row begins at the
    median of its nearest of the map, and then moves by its affinities to `near` of them, which are computed anew from
    the vectors of the map. Where a row comes to lie does not depend on the others that are placed with it. Vectors are
    of one model, or the answer means nothing. Raises ValueError if the map has fewer than `FEWEST` rows.
    """
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    if len(map_vector_MD) < FEWEST:
        raise ValueError(f"a map of {len(map_vector_MD)} rows is too small to be placed on; it needs {FEWEST}")
    if not len(vector_ND):
        return np.zeros((0, 2))
    count = len(map_vector_MD)
    with threadpool_limits(1):
        affinities = PerplexityBasedNN(
            np.ascontiguousarray(map_vector_MD, np.float64),
            perplexity=_within(perplexity, count),
            method="exact",
            n_jobs=1,
            random_state=seed,
        )
        # a copy: openTSNE may move the map it is given
        there = TSNEEmbedding(map_M2.copy(), affinities, negative_gradient_method="bh", n_jobs=1, random_state=seed)
        placed = there.transform(
            np.ascontiguousarray(vector_ND, np.float64), perplexity=_within(near, count), k=min(_BEGIN_NEAR, count)
        )
    return np.array(placed, np.float64)


def beside_known(vector_ND: Floats, is_known_N: NDArray[np.bool_], known_2: Floats) -> Floats:
    """Return a start for every row: known rows have theirs, given in their order, the others the mean of near ones.

    Near are the ten known rows of the highest cosine. Raises ValueError if none is known.

    >>> beside_known(np.eye(2), np.array([True, False]), np.array([[3.0, 4.0]])).tolist()
    [[3.0, 4.0], [3.0, 4.0]]
    """
    if not is_known_N.any():
        raise ValueError("no row is known, so there is nothing to begin beside")
    start_N2 = np.empty((len(vector_ND), 2))
    start_N2[is_known_N] = known_2
    cosine = vector_ND[~is_known_N] @ vector_ND[is_known_N].T
    near = np.argsort(-cosine, axis=1, kind="stable")[:, :_BEGIN_NEAR]
    start_N2[~is_known_N] = known_2[near].mean(axis=1)
    return start_N2


def distances(vector_ND: Floats) -> Floats:
    """Return the Euclidean distance of every unit vector to every other, float64 [N, N], exactly 0 to itself.

    >>> distances(np.array([[1.0, 0.0], [0.0, 1.0]])).round(4).tolist()
    [[0.0, 1.4142], [1.4142, 0.0]]
    """
    with threadpool_limits(1):
        squared_NN = 2.0 - 2.0 * (vector_ND @ vector_ND.T)
    np.fill_diagonal(squared_NN, 0.0)
    distance_NN: Floats = np.sqrt(np.maximum(np.minimum(squared_NN, squared_NN.T), 0.0))
    return distance_NN


def neighbours_kept(distance_NN: Floats, map_N2: Floats, k: int) -> float:
    """Return which share of every row's `k` nearest rows are among its `k` nearest on the map, on average.

    A map that keeps nothing has about k / (N - 1). Of equally near rows the first count. `k` is below N.

    >>> line = np.arange(4.0)[:, None]
    >>> neighbours_kept(np.abs(line - line.T), np.array([[0, 0], [1, 0], [2, 0], [0, 1]]), 1)
    0.75
    """
    kept = 0
    for start in range(0, len(map_N2), _ROWS_PER_BLOCK):
        rows = np.arange(start, min(start + _ROWS_PER_BLOCK, len(map_N2)))
        across_BN = sum(np.subtract.outer(axis[rows], axis) ** 2 for axis in map_N2.T)
        near_BK, near_on_map_BK = (_nearest(block, rows, k) for block in (distance_NN[rows], np.asarray(across_BN)))
        kept += int((near_BK[:, :, None] == near_on_map_BK[:, None, :]).any(axis=2).sum())
    return kept / (len(map_N2) * k)


def steady_sample(ids: Sequence[str], count: int, seed: int) -> list[str]:
    """Return at most `count` of different ids, those of the lowest digests with the seed, sorted.

    The samples of two nights share what the nights share, but for what newer ids push out.

    >>> steady_sample(["b", "a", "c"], 2, 1)
    ['a', 'c']
    """
    lowest = sorted(ids, key=lambda one: hashlib.sha256(f"{seed} {one}".encode()).digest())[:count]
    return sorted(lowest)


def spread_out(map_N2: Floats, count: int, first: Sequence[int] = ()) -> list[int]:
    """Return at most `count` rows that lie far from one another on the map, `first` before all others.

    Each time the row that is farthest from those chosen (Gonzalez, 1985), of equal ones the first; without `first` it
    begins with the row that is farthest from the middle.

    >>> spread_out(np.array([[0.0, 0.0], [0.1, 0.0], [4.0, 0.0], [9.0, 0.0]]), 3)
    [3, 0, 2]
    """
    chosen = list(first)[:count]
    if not chosen and count and len(map_N2):
        chosen = [int(_square_distances(map_N2, map_N2.mean(axis=0)).argmax())]
    to_chosen_N = np.full(len(map_N2), np.inf)
    for row in chosen:
        to_chosen_N = np.minimum(to_chosen_N, _square_distances(map_N2, map_N2[row]))
    while len(chosen) < min(count, len(map_N2)):
        to_chosen_N[chosen] = -1.0  # rows at the same place are two rows
        row = int(to_chosen_N.argmax())
        chosen.append(row)
        to_chosen_N = np.minimum(to_chosen_N, _square_distances(map_N2, map_N2[row]))
    return chosen


def _square_distances(map_N2: Floats, from_2: Floats) -> Floats:
    squared_N: Floats = ((map_N2 - from_2) ** 2).sum(axis=1)
    return squared_N


def _nearest(distance_BN: Floats, rows_B: Ints, k: int) -> Ints:
    others_BN = distance_BN.astype(np.float64)
    others_BN[np.arange(len(rows_B)), rows_B] = np.inf
    nearest_BK: Ints = np.argsort(others_BN, axis=1, kind="stable")[:, :k]
    return nearest_BK


def _within(perplexity: float, count: int) -> float:
    return min(perplexity, (count - 1) / 3)


def _principal(vector_ND: Floats) -> Floats:
    """Return the first two principal components of every row; each points to where its largest loading is positive."""
    centred_ND = vector_ND - vector_ND.mean(axis=0)
    with threadpool_limits(1):
        _, axis_DD = np.linalg.eigh(centred_ND.T @ centred_ND)
    axes: Any = axis_DD[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    component_N2: Floats = centred_ND @ axes
    return component_N2
