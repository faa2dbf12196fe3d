"""Lists less alike: maximal marginal relevance over the best items of each visitor. Only reordering.

Shape letters: V visitors, P items of the pool, K places, I items, D dimensions.
"""

from __future__ import annotations

import numpy as np

from models.recommend.interactions import NONE, Floats, Ints

_CELLS_PER_BLOCK = 8_000_000


def diversified(pool_VP: Ints, score_VP: Floats, vector_ID: Floats, k: int, trade_off: float) -> tuple[Ints, Floats]:
    """Return the `k` items of each pool by maximal marginal relevance, first chosen first, [V, K], and their scores.

    The pool is what `top_k` gives. Its scores are stretched to 0..1 for each visitor before, so that `trade_off` means
    the same for every method: cosines, counts and logits all differ. `vector_ID` are unit rows. Raises ValueError for
    a trade-off outside 0..1, or a pool of fewer than `k` places.
    """
    if not 0 <= trade_off <= 1 or pool_VP.shape[1] < k:
        raise ValueError(
            f"{trade_off=} has to lie in 0..1, and {k} places need a pool of as many, not {pool_VP.shape[1]}"
        )
    is_there_VP = pool_VP != NONE
    highest_V1 = np.where(is_there_VP, score_VP, -np.inf).max(axis=1, keepdims=True)
    lowest_V1 = np.where(is_there_VP, score_VP, np.inf).min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        stretched_VP = np.nan_to_num((score_VP - lowest_V1) / (highest_V1 - lowest_V1), posinf=0.0, neginf=0.0)
    relevance_VP = np.where(is_there_VP, stretched_VP, -np.inf)
    height = max(1, _CELLS_PER_BLOCK // (pool_VP.shape[1] * vector_ID.shape[1]))
    chosen = [
        maximal_marginal_relevance(relevance_VP[rows], vector_ID[pool_VP[rows]], k, trade_off)
        for rows in (slice(start, start + height) for start in range(0, len(pool_VP), height))
    ]
    place_VK = np.concatenate(chosen) if chosen else np.zeros((0, k), np.int64)
    is_none_VK = place_VK == NONE
    item_VK, own_VK = (np.take_along_axis(of_pool, place_VK, axis=1) for of_pool in (pool_VP, score_VP))
    return np.where(is_none_VK, NONE, item_VK), np.where(is_none_VK, np.float32(-np.inf), own_VK)


def maximal_marginal_relevance(relevance_VP: Floats, vector_VPD: Floats, k: int, trade_off: float) -> Ints:
    """Return the places in the pool that are chosen, first chosen first, int64 [V, K]; `NONE` when none is left.

    Each time the item with the highest trade_off * relevance - (1 - trade_off) * similarity, where the similarity is
    the highest cosine to an item already chosen, 0 at first (Carbonell and Goldstein, 1998,
    https://doi.org/10.1145/290941.291025); of equal ones the first. A relevance of -inf is never chosen.

    Two photos nearly the same, .9 and .8, and another one, .5: at a half the other one is worth .25 - 0, the second
    .4 - .5 * .96 = -.08.

    >>> vectors = np.array([[[1.0, 0.0], [0.96, 0.28], [0.0, 1.0]]], np.float32)
    >>> maximal_marginal_relevance(np.array([[0.9, 0.8, 0.5]], np.float32), vectors, 3, 0.5).tolist()
    [[0, 2, 1]]
    """
    row_V = np.arange(len(relevance_VP))
    left_VP = (trade_off * np.where(relevance_VP > -np.inf, relevance_VP, 0)).astype(np.float64)
    left_VP[relevance_VP == -np.inf] = -np.inf
    nearest_VP = np.zeros(left_VP.shape)
    chosen_VK = np.full((len(relevance_VP), k), NONE, np.int64)
    for place in range(k):
        gain_VP = left_VP - (1 - trade_off) * nearest_VP
        best_V = gain_VP.argmax(axis=1)
        chosen_VK[:, place] = np.where(gain_VP[row_V, best_V] > -np.inf, best_V, NONE)
        left_VP[row_V, best_V] = -np.inf
        cosine_VP = np.einsum("vpd,vd->vp", vector_VPD, vector_VPD[row_V, best_V])
        nearest_VP = cosine_VP if place == 0 else np.maximum(nearest_VP, cosine_VP)
    return chosen_VK
