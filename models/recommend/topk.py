"""The best items of every visitor, in bounded memory. No method, no metric.

Shape letters: V visitors, B visitors of a block, C candidates, S candidates of a block, K places, W new entries.

Visitors come in blocks, and for each the candidates come in blocks; of every visitor the K best so far are kept. A
kept entry is one unsigned number of 64 bits, the score above the item, so that one comparison settles rank and tie:
the higher score first, of equal ones the lower item. That makes the result that of the whole matrix sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.recommend.interactions import NONE, Floats, Interactions, Ints, check_range
from models.recommend.interface import Fitted, Scorer, check_histories

Keys = npt.NDArray[np.uint64]

CELLS_PER_BLOCK = 2**22
"""Scores held at a time. With what is made of them a cell costs about 10 bytes, and 60 where all scores are equal."""
VISITORS_PER_BLOCK = 1024
"""Visitors cut at multiples of it, in several calls, have the scores that they have in one call, to the bit."""
_SIGN = np.uint32(1 << 31)
_LOW = np.uint64(0xFFFF_FFFF)
_NOTHING = np.uint64(0)


@dataclass(frozen=True, eq=False)
class TopK:
    """The best items of each visitor, best first; `NONE` and -inf fill the rows up."""

    item_VK: Ints
    score_VK: Floats
    scored_V: Ints
    """How many candidates, those already seen left out, the method could score at all for each visitor."""


def top_k(
    fitted: Fitted,
    histories: Interactions,
    k: int,
    *,
    candidates: Ints | None = None,
    excludes_seen: bool = True,
    cells_per_block: int = CELLS_PER_BLOCK,
) -> TopK:
    """Return the `k` best candidates of every visitor that are not in the visitor's history, unless they may be.

    `candidates` are item numbers, each once; all items if they are not given. An item that cannot be scored is never
    among the best. At most `cells_per_block` scores are held at a time, or one row of a visitor and `k` candidates.
    Raises ValueError for a score that is NaN.
    """
    check_histories(histories, fitted.item_count)
    candidate_C = np.arange(fitted.item_count) if candidates is None else np.unique(candidates)
    check_range(candidate_C, fitted.item_count, "candidate")
    if candidates is not None and len(candidate_C) < len(candidates):
        raise ValueError(f"{len(candidates) - len(candidate_C)} of {len(candidates)} candidates are there twice")
    if k < 1 or not len(candidate_C):
        raise ValueError(f"{k} of {len(candidate_C)} candidates cannot be asked for")
    height = min(VISITORS_PER_BLOCK, _power_of_two(cells_per_block // min(k, len(candidate_C))))
    keys, counts = [np.zeros((0, k), np.uint64)], [np.zeros(0, np.int64)]
    for start in range(0, histories.visitor_count, height):
        block = histories.take(np.arange(start, min(start + height, histories.visitor_count)))
        seen = block if excludes_seen else block.where(np.zeros(len(block.item_N), np.bool_))
        key_BK, scored_B = _best(fitted.scorer(block), seen, candidate_C, k, max(1, cells_per_block // height))
        keys.append(key_BK)
        counts.append(scored_B)
    item_VK, score_VK = _decode(np.concatenate(keys))
    return TopK(item_VK, score_VK, np.concatenate(counts))


def _power_of_two(count: int) -> int:
    """Return the highest power of two that is no more than a count, at least 1: it divides `VISITORS_PER_BLOCK`."""
    return 1 << (max(1, count).bit_length() - 1)


def _best(scorer: Scorer, seen: Interactions, candidate_C: Ints, k: int, width: int) -> tuple[Keys, Ints]:
    """Return the best keys of a block of visitors, best first, [B, K], and how many candidates could be scored, [B]."""
    best_BK = np.zeros((seen.visitor_count, k), np.uint64)
    scored_B = np.zeros(seen.visitor_count, np.int64)
    for start, row_M, column_M in _seen_in_blocks(seen, candidate_C, width):
        item_S = candidate_C[start : start + width]
        score_BS = scorer(item_S)
        lowest = score_BS.min(initial=np.inf)
        if np.isnan(lowest):
            raise ValueError(f"the method gave NaN for an item from {item_S[0]} to {item_S[-1]}")
        score_BS[row_M, column_M] = -np.inf
        if lowest > -np.inf:  # as almost always, and then counting is not looking at every score again
            scored_B += len(item_S) - np.bincount(row_M, minlength=len(scored_B))
        else:
            scored_B += np.count_nonzero(score_BS > -np.inf, axis=1)
        best_BK = _merge(best_BK, score_BS, item_S)
    return np.sort(best_BK, axis=1)[:, ::-1], scored_B


def _seen_in_blocks(seen: Interactions, candidate_C: Ints, width: int) -> Iterator[tuple[int, Ints, Ints]]:
    """Give the start of each block of candidates, and the rows and columns in it that visitors have seen, each once."""
    place_N = np.searchsorted(candidate_C, seen.item_N)
    is_candidate_N = candidate_C[place_N.clip(max=len(candidate_C) - 1)] == seen.item_N
    place_N, row_N = place_N[is_candidate_N], seen.row_visitors()[is_candidate_N]
    place_N, row_N = np.divmod(np.unique(place_N * seen.visitor_count + row_N), max(1, seen.visitor_count))
    for start in range(0, len(candidate_C), width):
        here = slice(*np.searchsorted(place_N, [start, start + width]))
        yield start, row_N[here], place_N[here] - start


def _merge(best_BK: Keys, score_BS: Floats, item_S: Ints) -> Keys:
    """Return the best of what is kept and of a block whose items are all higher than those before.

    That is why a score equal to the lowest that is kept changes nothing.
    """
    k = best_BK.shape[1]
    bar_B1 = _decode(best_BK.min(axis=1, keepdims=True))[1]
    is_better_BS = score_BS > bar_B1
    new_W = np.flatnonzero(is_better_BS)  # of a flat array, as it is many times faster
    if len(new_W) > 4 * best_BK.size:  # as in the first block: those that the block itself crowds out need no key
        is_better_BS &= score_BS >= np.partition(score_BS, -k, axis=1)[:, -k, None]
        new_W = np.flatnonzero(is_better_BS)
    if not len(new_W):
        return best_BK
    row_W, column_W = np.divmod(new_W, len(item_S))
    new_B = np.bincount(row_W, minlength=len(best_BK))
    place_W = np.arange(len(row_W)) - np.repeat(np.cumsum(new_B) - new_B, new_B)
    both = np.full((len(best_BK), k + new_B.max()), _NOTHING)
    both[:, :k] = best_BK
    both[row_W, k + place_W] = _encode(score_BS[row_W, column_W], item_S[column_W])
    return np.partition(both, -k, axis=1)[:, -k:]


def _encode(score_W: Floats, item_W: Ints) -> Keys:
    """Return numbers that compare as (score, -item) do; none is `_NOTHING` for a score above -inf."""
    bits_W = (score_W + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0, which it equals
    high_W = np.where(bits_W & _SIGN, ~bits_W, bits_W | _SIGN).astype(np.uint64)
    return (high_W << np.uint64(32)) | (_LOW - item_W.astype(np.uint64))


def _decode(key_VK: Keys) -> tuple[Ints, Floats]:
    """Return items and scores of keys; `NONE` and -inf of nothing."""
    is_nothing_VK = key_VK == _NOTHING
    high_VK = (key_VK >> np.uint64(32)).astype(np.uint32)
    score_VK = np.where(high_VK & _SIGN, high_VK ^ _SIGN, ~high_VK).view(np.float32)
    item_VK = (_LOW - (key_VK & _LOW)).astype(np.int64)
    return np.where(is_nothing_VK, NONE, item_VK), np.where(is_nothing_VK, np.float32(-np.inf), score_VK)
