"""Exact ranks of known photos among all candidates, and the photos at the top. Only ranking: no metric, no model.

Shape letters: Q queries to be ranked, U distinct query texts, B queries of a block, P photos, K places,
D dimensions of a vector or distinct queries.

One rule for ties, the same for every arm: photos stand in the order of `tie_order`, and of photos with equal scores
the earlier one ranks first. The order is a hash of the photo's id, so no arm can profit from it: a scorer that
gives every photo the same score finds a photo no more often than chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

TIE_RULE = "photos with equal scores rank in the order of the SHA-256 of their photo_id, in every arm"
CELLS_PER_BLOCK = 4_000_000
"""Scores held at a time: about 70 MB with their masks, however many queries there are."""

Scorer = Callable[[Ints], Floats]
"""Scores of every photo, shape (B, P), for distinct query texts given by their numbers, shape (B,). Not NaN;
-inf ranks a photo behind all others."""


def tie_order(photo_ids: Sequence[str]) -> Ints:
    """Return the places of `photo_ids` (distinct) in the order that decides ties, shape (P,).

    >>> tie_order(["a", "b", "c"])  # their digests begin with ca, 3e and 2e
    array([2, 1, 0])
    """
    return np.array(sorted(range(len(photo_ids)), key=lambda i: hashlib.sha256(photo_ids[i].encode()).digest()))


def dense_scorer(
    query_UD: NDArray[np.float32], photo_PD: NDArray[np.float32], has_vector_P: NDArray[np.bool_]
) -> Scorer:
    """Return the scorer of an embedding model: dot products, and -inf for photos without a vector.

    Where photos are searched with, queries are photos: `query_UD` are what these are searched with, by place.
    """

    def scores(text_B: Ints) -> Floats:
        score_BP = query_UD[text_B] @ photo_PD.T
        score_BP[:, ~has_vector_P] = -np.inf
        return score_BP

    return scores


def rank_targets(
    scorer: Scorer, text_Q: Ints, target_Q: Ints, asked_at_Q: Ints, available_at_P: Ints
) -> NDArray[np.int32]:
    """Return the exact rank of each query's target among all its candidates, shape (Q,), 1 for the best.

    The photos' axis must be in `tie_order`. `text_Q` is the number of the query's text, `target_Q` the place of
    its photo. The candidates of a query are the photos with `available_at_P <= asked_at_Q` (times as integers). A
    target that is no candidate raises `ValueError`, and so does a score that is NaN.
    """
    late = available_at_P[target_Q] > asked_at_Q
    if late.any():
        raise ValueError(f"{late.sum()} of {len(late)} targets were not available when they were asked for")
    alike_Q, first_D = _alike(text_Q, target_Q, np.searchsorted(np.sort(available_at_P), asked_at_Q, side="right"))
    rank_D, target_D = np.empty(len(first_D), dtype=np.int32), target_Q[first_D]
    for block, score_BP in score_blocks(scorer, text_Q[first_D], asked_at_Q[first_D], available_at_P):
        rank_D[block] = ranks_in(score_BP, target_D[block])
    return rank_D[alike_Q]


def _alike(text_Q: Ints, target_Q: Ints, candidate_count_Q: Ints) -> tuple[Ints, Ints]:
    """Return the distinct query that each query is like, shape (Q,), and a query for each of these, shape (D,).

    Queries with the same text, target and candidates have the same rank; candidates are the same if they are as many,
    since only time adds to them. The distinct queries are in the order of their texts, which so fall into one block.
    """
    order = np.lexsort((candidate_count_Q, target_Q, text_Q))
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = np.any([np.diff(key[order]) != 0 for key in (text_Q, target_Q, candidate_count_Q)], axis=0)
    alike_Q = np.empty(len(order), dtype=np.int64)
    alike_Q[order] = np.cumsum(is_new) - 1
    return alike_Q, order[is_new]


def score_blocks(scorer: Scorer, text_Q: Ints, asked_at_Q: Ints, available_at_P: Ints) -> Iterator[tuple[Ints, Floats]]:
    """Give the queries in blocks: their numbers, shape (B,), and their scores, shape (B, P).

    The score of a photo that is no candidate is NaN. The same queries always fall into the same blocks, so that
    whoever walks them sees equal scores to the last bit.
    """
    by_text_Q = np.argsort(text_Q, kind="stable")  # queries with the same text fall into one block
    step = max(1, CELLS_PER_BLOCK // len(available_at_P))
    for start in range(0, len(by_text_Q), step):
        block = by_text_Q[start : start + step]
        yield block, _candidate_scores(scorer, text_Q[block], asked_at_Q[block], available_at_P)


def ranks_in(score_BP: Floats, target_B: Ints) -> NDArray[np.int32]:
    """Return the rank of each row's target, shape (B,); NaN marks what is no candidate; every target is one."""
    target_B1 = target_B[:, None]
    bar_B1 = np.take_along_axis(score_BP, target_B1, axis=1)
    better_B = np.count_nonzero(score_BP > bar_B1, axis=1)
    tied_B = np.count_nonzero((score_BP == bar_B1) & (np.arange(score_BP.shape[1]) < target_B1), axis=1)
    return np.asarray(1 + better_B + tied_B, dtype=np.int32)


def top_photos(
    scorer: Scorer, text_B: Ints, asked_at_B: Ints, available_at_P: Ints, k: int
) -> list[tuple[Ints, Floats]]:
    """Return the places and scores of the best k photos of each query, best first; for a few queries.

    Photos that are no candidate (see `rank_targets`) or score -inf are left out, so there may be fewer than k.
    """
    best = []
    for row_P in _candidate_scores(scorer, text_B, asked_at_B, available_at_P):
        order = np.argsort(-row_P, kind="stable")[:k]  # equal scores stay in the order of the places; NaN goes last
        order = order[np.isfinite(row_P[order])]
        best.append((order, row_P[order]))
    return best


def _candidate_scores(scorer: Scorer, text_B: Ints, asked_at_B: Ints, available_at_P: Ints) -> Floats:
    """Return the scores, shape (B, P), with NaN where a photo is no candidate: NaN loses every comparison."""
    distinct, inverse = np.unique(text_B, return_inverse=True)
    score_UP = scorer(distinct)
    if np.isnan(score_UP).any():
        raise ValueError("the scorer gave NaN")
    score_BP = score_UP[inverse]
    score_BP[available_at_P > asked_at_B[:, None]] = np.nan
    return score_BP
