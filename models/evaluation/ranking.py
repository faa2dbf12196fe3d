"""Which photos a search may list, and in which order equal ones come. No score, no metric.

Shape letters: Q queries to be ranked, U distinct query texts, B queries of a block, P photos, K places,
D dimensions of a vector or distinct queries, H photos that are hidden at some time, G groups of texts, M photos whose
picture another photo shares, E pictures that several photos share.

One rule for ties, the same for every arm: photos stand in the order of `tie_order`, and of photos with equal scores
the earlier one ranks first. The order is a hash of the photo's id, so no arm can profit from it: a scorer that
gives every photo the same score finds a photo no more often than chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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


def tie_order(photo_ids: Sequence[str]) -> Ints:
    """Return the places of `photo_ids` (distinct) in the order that decides ties, shape (P,).

    >>> tie_order(["a", "b", "c"])  # their digests begin with ca, 3e and 2e
    array([2, 1, 0])
    """
    return np.array(sorted(range(len(photo_ids)), key=lambda i: hashlib.sha256(photo_ids[i].encode()).digest()))


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
        return is_shown_N & (self.hidden_from(place_N, text_N) > asked_at_N)

    def hidden_from(self, place_N: Ints, text_N: Ints) -> Ints:
        """Return from when on photos are hidden from what was asked, shape (N,); far in the future if never."""
        never = np.full(len(place_N), np.iinfo(np.int64).max)
        if not len(self.hidden):
            return never
        at_N = np.searchsorted(self.hidden, place_N).clip(max=len(self.hidden) - 1)
        return np.where(self.hidden[at_N] == place_N, self.hidden_at[self.group[text_N], at_N], never)

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
