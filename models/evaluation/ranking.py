"""Exact ranks of known photos among all candidates, and the photos at the top. Only ranking: no metric, no model.

Shape letters: Q queries to be ranked, U distinct query texts, B queries of a block, P photos, K places,
D dimensions of a vector or distinct queries, H photos that are hidden at some time, G groups of texts, M photos whose
picture another photo shares, E pictures that several photos share.

One rule for ties, the same for every arm: photos stand in the order of `tie_order`, and of photos with equal scores
the earlier one ranks first. The order is a hash of the photo's id, so no arm can profit from it: a scorer that
gives every photo the same score finds a photo no more often than chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TIE_RULE = "photos with equal scores rank in the order of the SHA-256 of their photo_id, in every arm"
NOT_FOUND = int(np.iinfo(np.int32).max)
"""The rank of a photo that its search could not be shown: beyond every cutoff, in every arm."""
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


def _nothing() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Availability:
    """Which photos a search could be shown when it was asked, and which of them are one picture; the same for all arms.

    A photo is a candidate from `since` on, shape (P,), until it is hidden. `hidden` are the places of photos that are
    hidden at some time, ascending, shape (H,), and `hidden_at` says from when on, shape (G, H), for every group of
    texts, such as those from one country; `group` is the group of each text, shape (U,). Times are integers. `picture`
    numbers the pictures, shape (P,), -1 for one of its own: photos with the same number are listed once, where the
    first of them stands, and whoever looks for one of them finds it there.
    """

    since: Ints
    hidden: Ints = field(default_factory=_nothing)
    hidden_at: Ints = field(default_factory=lambda: np.zeros((1, 0), dtype=np.int64))
    group: Ints = field(default_factory=_nothing)
    picture: Ints = field(default_factory=_nothing)

    @cached_property
    def _equals(self) -> tuple[Ints, Ints]:
        """The photos that share a picture, shape (M,), by picture and then by place, and where each begins, (E,)."""
        shared_M = np.flatnonzero(self.picture >= 0)
        _, number_M, count_E = np.unique(self.picture[shared_M], return_inverse=True, return_counts=True)
        order = np.argsort(number_M, kind="stable")
        order = order[count_E[number_M[order]] > 1]
        count_E = count_E[count_E > 1]
        return shared_M[order], np.cumsum(count_E) - count_E

    def states(self, asked_at_Q: Ints) -> Ints:
        """Return a number for each query, shape (Q,): those with one text and one number have the same candidates."""
        return np.searchsorted(np.sort(np.append(self.since, self.hidden_at)), asked_at_Q, side="right")

    @cached_property
    def pictures(self) -> Ints:
        """The number of each photo's picture, shape (P,), where photos with a picture of their own have their own."""
        number_P = np.arange(len(self.since))
        member_M, start_E = self._equals
        number_P[member_M] = np.repeat(member_M[start_E], np.diff(start_E, append=len(member_M)))
        return number_P

    def same_picture(self, place_N: Ints) -> tuple[Ints, Ints]:
        """Return the photos that show each photo's picture, itself among them, and how many these are, shape (N,)."""
        member_M, start_E = self._equals
        count_E = np.diff(start_E, append=len(member_M))
        number_P = np.full(len(self.since), -1)
        number_P[member_M] = np.repeat(np.arange(len(start_E)), count_E)
        group_N = number_P[place_N]
        count_N = np.ones(len(place_N), dtype=np.int64)
        count_N[group_N >= 0] = count_E[group_N[group_N >= 0]]
        found = np.repeat(place_N, count_N)
        group = np.repeat(group_N, count_N)
        within = np.arange(len(found)) - np.repeat(np.cumsum(count_N) - count_N, count_N)
        is_shared = group >= 0
        found[is_shared] = member_M[start_E[group[is_shared]] + within[is_shared]]
        return found, count_N

    def shows(self, place_N: Ints, text_N: Ints, asked_at_N: Ints) -> NDArray[np.bool_]:
        """Tell of photos whether they are candidates for what was asked, shape (N,)."""
        is_shown_N: NDArray[np.bool_] = self.since[place_N] <= asked_at_N
        if len(self.hidden):
            at_N = np.searchsorted(self.hidden, place_N).clip(max=len(self.hidden) - 1)
            is_hidden_N = self.hidden_at[self.group[text_N], at_N] <= asked_at_N
            is_shown_N &= ~(is_hidden_N & (self.hidden[at_N] == place_N))
        return is_shown_N

    def shown(self, text_B: Ints, asked_at_B: Ints) -> NDArray[np.bool_]:
        """Tell which photos are candidates for what was asked, shape (B, P)."""
        is_shown_BP: NDArray[np.bool_] = self.since <= asked_at_B[:, None]
        if len(self.hidden):
            is_shown_BP[:, self.hidden] &= self.hidden_at[self.group[text_B]] > asked_at_B[:, None]
        return is_shown_BP

    def special(self, first_asked_at: int) -> NDArray[np.bool_]:
        """Tell of which photos a search since `first_asked_at` must ask more than their score, shape (P,).

        They come or are hidden meanwhile, or share their picture: whether they are listed depends on the search.
        """
        is_special_P: NDArray[np.bool_] = self.since > first_asked_at
        is_special_P[self.hidden] = True
        is_special_P[self._equals[0]] = True
        return is_special_P

    def only(self, place_S: Ints) -> Availability:
        """Return the same of some of the photos, renumbered; photos that share a picture are kept or left together."""
        column_P = np.full(len(self.since), -1, dtype=np.int64)
        column_P[place_S] = np.arange(len(place_S))
        column_H = column_P[self.hidden]
        order = np.argsort(column_H, kind="stable")[np.count_nonzero(column_H < 0) :]
        picture = self.picture[place_S] if len(self.picture) else self.picture
        return Availability(self.since[place_S], column_H[order], self.hidden_at[:, order], self.group, picture)

    def cover(self, score_BP: Floats, text_B: Ints, asked_at_B: Ints) -> None:
        """Set the scores, shape (B, P), of photos that are no candidates to NaN, which loses every comparison."""
        score_BP[self.since > asked_at_B[:, None]] = np.nan
        if len(self.hidden):
            hidden_at_BH = self.hidden_at[self.group[text_B]]
            is_hidden_BH = hidden_at_BH <= asked_at_B[:, None]
            score_BP[:, self.hidden] = np.where(is_hidden_BH, np.nan, score_BP[:, self.hidden])

    def listed(self, score_BP: Floats) -> Floats:
        """Return the scores with NaN for photos whose picture another photo shows further ahead, shape (B, P)."""
        member_M, _ = self._equals
        if not len(member_M):
            return score_BP
        is_listed_BM = self._is_listed(score_BP)
        listed_BP = score_BP.copy()
        listed_BP[:, member_M] = np.where(is_listed_BM, score_BP[:, member_M], np.nan)
        return listed_BP

    def ranks(self, score_BP: Floats, target_B: Ints) -> NDArray[np.int32]:
        """Return the rank of each row's target, shape (B,), 1 for the best; `NOT_FOUND` if it is no candidate.

        `score_BP` is covered (see `cover`). A target's rank is that of its picture, by whichever photo shows it.
        """
        row_B, listed_BP, place_B1 = np.arange(len(score_BP)), self.listed(score_BP), self._shown_by(score_BP, target_B)
        bar_B1 = np.take_along_axis(listed_BP, place_B1, axis=1)
        better_B = np.count_nonzero(listed_BP > bar_B1, axis=1)
        tied_B = np.count_nonzero((listed_BP == bar_B1) & (np.arange(listed_BP.shape[1]) < place_B1), axis=1)
        is_there_B = ~np.isnan(score_BP[row_B, target_B])
        return np.where(is_there_B, 1 + better_B + tied_B, NOT_FOUND).astype(np.int32)

    def _is_listed(self, score_BP: Floats) -> NDArray[np.bool_]:
        """Tell which of the photos that share a picture are listed, shape (B, M): the best, and of equals the first."""
        member_M, start_E = self._equals
        count_E = np.diff(start_E, append=len(member_M))
        score_BM = score_BP[:, member_M]
        is_best_BM = score_BM == np.repeat(np.fmax.reduceat(score_BM, start_E, axis=1), count_E, axis=1)
        passed_BM = np.cumsum(is_best_BM, axis=1)
        before_BE = passed_BM[:, start_E] - is_best_BM[:, start_E]
        is_listed_BM: NDArray[np.bool_] = is_best_BM & (passed_BM - np.repeat(before_BE, count_E, axis=1) == 1)
        return is_listed_BM

    def _shown_by(self, score_BP: Floats, target_B: Ints) -> Ints:
        """Return the place of the photo that shows each target's picture, shape (B, 1)."""
        member_M, start_E = self._equals
        place_B = target_B.copy()
        if len(member_M):
            number_P = np.full(len(self.since), -1)
            number_P[member_M] = np.repeat(np.arange(len(start_E)), np.diff(start_E, append=len(member_M)))
            listed_BE = np.maximum.reduceat(np.where(self._is_listed(score_BP), member_M, 0), start_E, axis=1)
            is_shared_B = number_P[target_B] >= 0
            place_B[is_shared_B] = listed_BE[is_shared_B, number_P[target_B[is_shared_B]]]
        return place_B[:, None]


def rank_targets(
    scorer: Scorer, text_Q: Ints, target_Q: Ints, asked_at_Q: Ints, availability: Availability
) -> NDArray[np.int32]:
    """Return the exact rank of each query's target among all its candidates, shape (Q,), 1 for the best.

    The photos' axis must be in `tie_order`. `text_Q` is the number of the query's text, `target_Q` the place of
    its photo; candidates and equal pictures are as in `Availability`, and a target that was hidden by then is
    `NOT_FOUND`. A target that was not there yet raises `ValueError`, and so does a score that is NaN.
    """
    late = availability.since[target_Q] > asked_at_Q
    if late.any():
        raise ValueError(f"{late.sum()} of {len(late)} targets were not available when they were asked for")
    alike_Q, first_D = alike(text_Q, target_Q, availability.states(asked_at_Q))
    rank_D, target_D = np.empty(len(first_D), dtype=np.int32), target_Q[first_D]
    for block, score_BP in score_blocks(scorer, text_Q[first_D], asked_at_Q[first_D], availability):
        rank_D[block] = availability.ranks(score_BP, target_D[block])
    return rank_D[alike_Q]


def alike(text_Q: Ints, target_Q: Ints, state_Q: Ints) -> tuple[Ints, Ints]:
    """Return the distinct query that each query is like, shape (Q,), and a query for each of these, shape (D,).

    Queries with the same text, target and candidates have the same rank; candidates are the same in the same state. The
    distinct queries are in the order of their texts, which so fall into one block.
    """
    order = np.lexsort((state_Q, target_Q, text_Q))
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = np.any([np.diff(key[order]) != 0 for key in (text_Q, target_Q, state_Q)], axis=0)
    alike_Q = np.empty(len(order), dtype=np.int64)
    alike_Q[order] = np.cumsum(is_new) - 1
    return alike_Q, order[is_new]


def score_blocks(
    scorer: Scorer, text_Q: Ints, asked_at_Q: Ints, availability: Availability
) -> Iterator[tuple[Ints, Floats]]:
    """Give the queries in blocks: their numbers, shape (B,), and their scores, shape (B, P).

    The score of a photo that is no candidate is NaN. The same queries always fall into the same blocks, so that
    whoever walks them sees equal scores to the last bit.
    """
    by_text_Q = np.argsort(text_Q, kind="stable")  # queries with the same text fall into one block
    step = max(1, CELLS_PER_BLOCK // len(availability.since))
    for start in range(0, len(by_text_Q), step):
        block = by_text_Q[start : start + step]
        yield block, _candidate_scores(scorer, text_Q[block], asked_at_Q[block], availability)


def top_photos(
    scorer: Scorer, text_B: Ints, asked_at_B: Ints, availability: Availability, k: int
) -> list[tuple[Ints, Floats]]:
    """Return the places and scores of the best k photos of each query, best first; for a few queries.

    Photos that are no candidate, show a picture again or score -inf are left out, so there may be fewer than k.
    """
    best = []
    for row_P in availability.listed(_candidate_scores(scorer, text_B, asked_at_B, availability)):
        order = np.argsort(-row_P, kind="stable")[:k]  # equal scores stay in the order of the places; NaN goes last
        order = order[np.isfinite(row_P[order])]
        best.append((order, row_P[order]))
    return best


def _candidate_scores(scorer: Scorer, text_B: Ints, asked_at_B: Ints, availability: Availability) -> Floats:
    """Return the scores, shape (B, P), with NaN where a photo is no candidate."""
    distinct, inverse = np.unique(text_B, return_inverse=True)
    score_UP = scorer(distinct)
    if np.isnan(score_UP).any():
        raise ValueError("the scorer gave NaN")
    score_BP = score_UP[inverse]
    availability.cover(score_BP, text_B, asked_at_B)
    return score_BP
