"""The best photos of each query among blocks of photos, block by block: the same however photos are cut into blocks.

A score is a dot product summed in double precision and rounded to float32. It does not depend on what is computed
beside it, as that of a matrix product does. A float32 product only decides which photos may be among the best.

Shape letters: Q queries, B queries of a block, S photos of a block, C photos of a part of it, D dimensions, K best
places, W and V places of a list before the best are taken, H photos to score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.evaluation.exact_scores import exact_scores, product_error

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]
Top = tuple[Ints, Vectors]
"""Places and their scores, shape (Q, K) each, best first; of equal scores the lesser place first. -1 and -inf where a
query has fewer."""

NOWHERE = -1
_QUERIES, _PHOTOS = 1024, 4096  # of a product held at a time, 16 MB
_FIRST = 2048  # of them, from which a first floor is taken
_MOST_OPEN = 4096  # photos of a query whose order is left open, before their scores are taken
_LEAST = np.finfo(np.float32).min


def nothing(count: int, k: int) -> Top:
    """Return the best of no photos for so many queries."""
    return np.full((count, k), NOWHERE, np.int64), np.full((count, k), -np.inf, np.float32)


def merge(first: Top, second: Top, k: int) -> Top:
    """Return the best k of two lists for each query. A place in both counts once, with its better score.

    >>> first = np.array([[7, 3]]), np.array([[0.9, 0.5]], np.float32)
    >>> second = np.array([[2, 7]]), np.array([[0.5, 0.4]], np.float32)
    >>> [part.tolist() for part in merge(first, second, 4)]
    [[[7, 2, 3, -1]], [[0.8999999761581421, 0.5, 0.5, -inf]]]
    """
    (place_QW, score_QW), (place_QV, score_QV) = first, second
    return best(np.concatenate([place_QW, place_QV], axis=1), np.concatenate([score_QW, score_QV], axis=1), k)


def best(place_QW: Ints, score_QW: Vectors, k: int) -> Top:
    """Return the best k of unordered lists. A place that is there several times counts once, with its best score."""
    order = np.lexsort((-score_QW, place_QW), axis=1)
    place_QW, score_QW = np.take_along_axis(place_QW, order, axis=1), np.take_along_axis(score_QW, order, axis=1)
    is_out_QW = np.isneginf(score_QW)
    is_out_QW[:, 1:] |= place_QW[:, 1:] == place_QW[:, :-1]
    score_QW = np.where(is_out_QW, -np.inf, score_QW)
    order = np.argsort(-score_QW, axis=1, kind="stable")[:, :k]
    score_QK = np.take_along_axis(score_QW, order, axis=1)
    place_QK = np.where(np.isneginf(score_QK), NOWHERE, np.take_along_axis(place_QW, order, axis=1))
    short = ((0, 0), (0, k - place_QK.shape[1]))
    return np.pad(place_QK, short, constant_values=NOWHERE), np.pad(score_QK, short, constant_values=-np.inf)


def block_top(query_QD: Vectors, photo_SD: Vectors, place_S: Ints, k: int) -> Top:
    """Return the best k photos of a block for each query, given by their places, `place_S`.

    Photos that share a place are listed one after the other.

    At most 1,024 queries and 4,096 photos are multiplied at a time. A photo is scored exactly if its float32 product
    is so near to the best that rounding may hide its order.

    >>> query_QD, photo_SD = np.eye(2, dtype=np.float32), np.array([[1, 0], [0.6, 0.8], [1, 0]], np.float32)
    >>> block_top(query_QD, photo_SD, np.array([9, 5, 4]), 2)[0].tolist()
    [[4, 9], [5, 4]]
    """
    error_Q = product_error(query_QD, photo_SD)
    tops = [nothing(0, k)]
    for start in range(0, len(query_QD), _QUERIES):
        rows = slice(start, start + _QUERIES)
        tops.append(_top(query_QD[rows], photo_SD, place_S, k, error_Q[rows, None]))
    return np.concatenate([places for places, _ in tops]), np.concatenate([scores for _, scores in tops])


def _top(query_BD: Vectors, photo_SD: Vectors, place_S: Ints, k: int, error_B1: Vectors) -> Top:
    count = len(query_BD)
    top, (open_BW, product_BW) = nothing(count, k), nothing(count, 0)
    floor_B1 = np.full((count, 1), _LEAST, np.float32)  # whatever has a lesser product is not among the best
    space_BC = np.empty((count, min(_PHOTOS, len(photo_SD))), np.float32)
    for start in range(0, len(photo_SD), _PHOTOS):
        photo_CD = photo_SD[start : start + _PHOTOS]
        product_BC = np.matmul(query_BD, photo_CD.T, out=space_BC[:, : len(photo_CD)])
        if start == 0:
            floor_B1 = np.maximum(floor_B1, _kth(product_BC[:, : max(_FIRST, k)], k) - 2 * error_B1)
        column_BV, product_BV = _at_least(product_BC, floor_B1)
        open_BW = np.concatenate([open_BW, np.where(column_BV < 0, NOWHERE, column_BV + start)], axis=1)
        product_BW = np.concatenate([product_BW, product_BV], axis=1)
        floor_B1 = np.maximum(floor_B1, _kth(product_BW, k) - 2 * error_B1)
        column_BV, product_BW = _at_least(product_BW, floor_B1)
        open_BW = np.where(column_BV < 0, NOWHERE, np.take_along_axis(open_BW, column_BV, axis=1))
        if open_BW.shape[1] > max(_MOST_OPEN, 2 * k):  # many photos are as good as equal
            top = _scored(query_BD, photo_SD, place_S, open_BW, top)
            floor_B1 = np.maximum(floor_B1, top[1][:, -1:] - error_B1)
            open_BW, product_BW = nothing(count, 0)
    return _scored(query_BD, photo_SD, place_S, open_BW, top)


def _kth(product_BW: Vectors, k: int) -> Vectors:
    """Return the k-th best product of each query, shape (B, 1), the least number if there are fewer."""
    if product_BW.shape[1] < k:
        return np.full((len(product_BW), 1), _LEAST, np.float32)
    return np.partition(product_BW, -k, axis=1)[:, -k, None]


def _at_least(product_BW: Vectors, floor_B1: Vectors) -> Top:
    """Return columns and products of what reaches the floor, moved to the left, shape (B, V), -1 and -inf for none."""
    flat_H = np.flatnonzero(product_BW >= floor_B1)
    start_B = np.searchsorted(flat_H, product_BW.shape[1] * np.arange(len(product_BW)))
    count_B = np.diff(start_B, append=len(flat_H))
    width = int(count_B.max(initial=0))
    row_H = np.repeat(np.arange(len(count_B)), count_B)
    to_H = np.arange(len(flat_H)) + np.repeat(width * np.arange(len(count_B)) - start_B, count_B)
    column_BV, product_BV = nothing(len(count_B), width)
    column_BV.ravel()[to_H] = flat_H - row_H * product_BW.shape[1]
    product_BV.ravel()[to_H] = product_BW.ravel()[flat_H]
    return column_BV, product_BV


def _scored(query_BD: Vectors, photo_SD: Vectors, place_S: Ints, open_BW: Ints, top: Top) -> Top:
    """Return the best of a list and of photos that are given by their rows in the block, by exact scores."""
    k = top[0].shape[1]
    place_BK, score_BK = nothing(len(query_BD), k)
    for row, (query_D, open_W) in enumerate(zip(query_BD, open_BW, strict=True)):
        open_H = open_W[open_W >= 0]
        place_H, score_H = place_S[open_H], exact_scores(query_D, photo_SD[open_H])
        order = np.lexsort((place_H, -score_H))[:k]
        place_BK[row, : len(order)], score_BK[row, : len(order)] = place_H[order], score_H[order]
    is_first = bool((top[0] < 0).all())
    return (place_BK, score_BK) if is_first else _merged(top, (place_BK, score_BK))


def _merged(first: Top, second: Top) -> Top:
    """Return as good a list of two; unlike `merge`, it leaves a place that is there twice there twice."""
    place_QW, score_QW = np.concatenate([first[0], second[0]], axis=1), np.concatenate([first[1], second[1]], axis=1)
    order = np.lexsort((place_QW, -score_QW), axis=1)[:, : first[0].shape[1]]
    return np.take_along_axis(place_QW, order, axis=1), np.take_along_axis(score_QW, order, axis=1)
