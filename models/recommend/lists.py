"""The list of every visitor: the best by a method, equal pictures once, or chosen again so that they are less alike.

What a method leaves empty is filled up by what is popular in the visitor's country (`filled_lists`).

Shape letters: V visitors, S visitors with a short list, K places, I items, M items of the lists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from models.recommend.diversity import diversified
from models.recommend.interactions import NONE, Bools, Floats, Interactions, Ints
from models.recommend.interface import Fitted
from models.recommend.topk import CELLS_PER_BLOCK, TopK, top_k


def filled_lists(
    fitted: Fitted,
    popularity: Fitted | None,
    histories: Interactions,
    k: int,
    *,
    excludes_seen: bool = True,
    **how: Any,
) -> tuple[Ints, Floats, Ints]:
    """Return the lists and scores of `best_lists`, filled up by `popularity`, and how many are `fitted`'s own, [V].

    Without `popularity` nothing is filled up. Whoever has no past gets the list of `popularity` alone, unless `fitted`
    reads no histories. Elsewhere own places come first and are what they would be without filling. Scores of filled
    places go on from the last own one.
    """
    item_VK = np.full((histories.visitor_count, k), NONE, np.int64)
    score_VK = np.full(item_VK.shape, -np.inf, np.float32)
    asked = np.flatnonzero((np.diff(histories.start_V1) > 0) | (not fitted.reads_histories))
    item_VK[asked], score_VK[asked] = best_lists(fitted, histories.take(asked), k, excludes_seen=excludes_seen, **how)
    own_V = np.count_nonzero(item_VK != NONE, axis=1)
    short = np.flatnonzero(own_V < k)
    if popularity is not None and len(short):
        known = _and_listed(histories.take(short), item_VK[short], excludes_seen)
        more = best_lists(popularity, known, k, **how)
        item_VK[short], score_VK[short] = _joined(item_VK[short], score_VK[short], *more)
    return item_VK, score_VK, own_V


def _and_listed(histories: Interactions, item_SK: Ints, excludes_seen: bool) -> Interactions:
    """Return what must not be listed again: what is listed, and what visitors have where that is left out."""
    row_M, column_M = np.nonzero(item_SK != NONE)
    had = histories if excludes_seen else histories.where(np.zeros(len(histories.item_N), np.bool_))
    count = len(had.item_N) + len(row_M)
    return Interactions.of(
        np.concatenate([had.row_visitors(), row_M]),
        np.concatenate([had.item_N, item_SK[row_M, column_M]]),
        np.zeros(count),
        np.ones(count, np.float32),
        histories.country_V,
        item_count=histories.item_count,
        as_of=histories.as_of,
    )


def _joined(item_SK: Ints, score_SK: Floats, more_SK: Ints, more_score_SK: Floats) -> tuple[Ints, Floats]:
    """Return lists that go on with others, as far as there are places."""
    last_S1 = np.where(score_SK > -np.inf, score_SK, np.inf).min(axis=1, keepdims=True)
    first_S1 = more_score_SK[:, :1]
    goes_on_S1 = (last_S1 < np.inf) & (first_S1 > -np.inf)
    shift_S1 = np.where(goes_on_S1, last_S1, 0) - np.where(goes_on_S1, first_S1, 0)
    both = np.concatenate([item_SK, more_SK], axis=1)
    scores = np.concatenate([score_SK, more_score_SK + shift_S1], axis=1)
    order = np.argsort(both == NONE, axis=1, kind="stable")[:, : item_SK.shape[1]]
    return np.take_along_axis(both, order, axis=1), np.take_along_axis(scores, order, axis=1)


def best_lists(
    fitted: Fitted,
    histories: Interactions,
    k: int,
    *,
    diversity: float,
    pool_count: int,
    vectors: Callable[[], Floats],
    candidates: Ints | None = None,
    excludes_seen: bool = True,
    picture_I: Ints | None = None,
    cells_per_block: int = CELLS_PER_BLOCK,
) -> tuple[Ints, Floats]:
    """Return the `k` items for every visitor, best first, int64 [V, K], and their scores; -1 and -inf fill the rows up.

    With a `diversity` above 0 they are chosen by marginal relevance from the `pool_count` best, by the unit rows that
    `vectors` gives: scores need not fall. With the number of each item's picture, `picture_I`, only the first item of a
    picture is listed, and none whose picture the visitor has.
    """
    depth = max(k, pool_count) if diversity else k
    best = partial(top_k, fitted, candidates=candidates, excludes_seen=excludes_seen, cells_per_block=cells_per_block)
    if picture_I is None:
        found = best(histories, depth)
        pool_VP, score_VP = found.item_VK, found.score_VK
    else:
        pool_VP, score_VP = _each_picture_once(best, histories, depth, picture_I, excludes_seen)
    return diversified(pool_VP, score_VP, vectors(), k, 1 - diversity) if diversity else (pool_VP, score_VP)


def _each_picture_once(
    best: Callable[[Interactions, int], TopK], histories: Interactions, k: int, picture_I: Ints, excludes_seen: bool
) -> tuple[Ints, Floats]:
    """Return items and scores; for visitors whose list lost some it is looked deeper, until it is full or all is in."""
    item_VK = np.full((histories.visitor_count, k), NONE, np.int64)
    score_VK = np.full(item_VK.shape, -np.inf, np.float32)
    left, depth = np.arange(histories.visitor_count), k
    while len(left):
        own = histories.take(left)
        found = best(own, depth)
        seen = own if excludes_seen else own.where(np.zeros(len(own.item_N), np.bool_))
        is_first = _is_first(found.item_VK, seen, picture_I)
        order = np.argsort(~is_first, axis=1, kind="stable")[:, :k]
        is_kept = np.take_along_axis(is_first, order, axis=1)
        item_VK[left] = np.where(is_kept, np.take_along_axis(found.item_VK, order, axis=1), NONE)
        score_VK[left] = np.where(is_kept, np.take_along_axis(found.score_VK, order, axis=1), np.float32(-np.inf))
        left = left[~is_kept[:, -1] & (found.item_VK[:, -1] != NONE)]
        depth *= 2
    return item_VK, score_VK


def _is_first(item_VK: Ints, seen: Interactions, picture_I: Ints) -> Bools:
    """Tell which items are the first of their picture in the visitor's list, and of a picture not seen, [V, K]."""
    is_there_VK = item_VK != NONE
    row_M, column_M = np.nonzero(is_there_VK)
    row_N = np.concatenate([seen.row_visitors(), row_M])
    picture_N = picture_I[np.concatenate([seen.item_N, item_VK[row_M, column_M]])]
    _, first = np.unique(row_N * (picture_I.max(initial=0) + 1) + picture_N, return_index=True)
    first_M = first[first >= len(seen.item_N)] - len(seen.item_N)
    is_first_VK: Bools = np.zeros(item_VK.shape, np.bool_)
    is_first_VK[row_M[first_M], column_M[first_M]] = True
    return is_first_VK
