"""The business filter of similar photos: what must not be shown, and near duplicates, which are shown as one.

Two photos are near duplicates if vectors and pictures both say so: a cosine alone takes two photos of one thing for the
same, a perceptual hash alone two plain pictures. A near duplicate of a near duplicate is one too, so that the groups do
not depend on any order.

Shape letters: N photos (a corpus, or a query and its results), M photos that are known, U distinct hashes, C photos
of one hash, E pairs, A rows and B columns of a product, D dimensions, W words and X codes of a hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.similar.hash_pairs import TILE, Codes, close_pairs, codes, pairs_within, run_pairs
from models.similar.picture_hash import Words

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
NearDuplicates = Literal["group", "drop", "show"]
NEAR_DUPLICATES: tuple[NearDuplicates, ...] = get_args(NearDuplicates)

MIN_COSINE, MAX_BITS = 0.97, 10
"""From which cosine on, and up to how many of 128 different bits, two photos are near duplicates."""
_LEADERS = 8
_VECTORS = 4096  # of each end of pairs in memory at a time
_DENSE = 16  # so many products for each that is asked for cost less than to fetch both vectors of each pair


def near_duplicates(
    vector_ND: NDArray[np.float32],
    hash_NW: Words,
    is_known_N: Bools,
    min_cosine: float = MIN_COSINE,
    max_bits: int = MAX_BITS,
) -> Ints:
    """Return each photo's group, shape (N,): the first photo that it is a near duplicate of, or itself.

    `vector_ND` are unit vectors of one model, in memory or in a file that is mapped; only those of photos whose hash is
    close to another's are read. Photos that are not known (without a vector or a picture) stay alone. The groups are
    those of all pairs, but pairs come from `hash_pairs`, which finds close hashes without comparing all. Pairs become
    groups at once and are never kept, so that memory grows with N, however many photos are the same.

    Photos 0 and 1 are the same, 2 has the same hash and another vector, 3 the same vector and another hash:

    >>> vector_ND = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    >>> hash_NW = np.array([[5], [4], [5], [65535]], np.uint16)
    >>> near_duplicates(vector_ND, hash_NW, np.ones(4, bool))
    array([0, 0, 2, 3])
    """
    known_M, code_UX, start_U, count_U = _by_hash(hash_NW, is_known_N)
    grouping = Grouping(vector_ND, known_M, min_cosine)
    is_large_U = count_U > TILE
    for start, count in zip(start_U[is_large_U], count_U[is_large_U], strict=True):
        grouping.join_alike(int(start), int(count))
    for pairs in pairs_within(start_U[~is_large_U], count_U[~is_large_U]):
        grouping.join(*pairs)
    for first_E, second_E in close_pairs(code_UX, max_bits):
        for pairs in run_pairs(start_U[first_E], count_U[first_E], start_U[second_E], count_U[second_E]):
            grouping.join(*pairs)
    group_N = np.arange(len(hash_NW))
    group_N[grouping.place_M] = grouping.groups()
    return group_N


def have_close_hash(hash_NW: Words, is_known_N: Bools, max_bits: int = MAX_BITS) -> Bools:
    """Tell which photos have nearly the same hash as another, shape (N,): only of these do vectors matter.

    >>> have_close_hash(np.array([[5], [4], [65535], [5]], np.uint16), np.array([True, True, True, False]), 1)
    array([ True,  True, False, False])
    """
    known_M, code_UX, _, count_U = _by_hash(hash_NW, is_known_N)
    is_close_U = count_U > 1
    for pairs in close_pairs(code_UX, max_bits):
        is_close_U[np.concatenate(pairs)] = True
    is_close_N = np.zeros(len(hash_NW), np.bool_)
    is_close_N[known_M] = np.repeat(is_close_U, count_U)
    return is_close_N


def _by_hash(hash_NW: Words, is_known_N: Bools) -> tuple[Ints, Codes, Ints, Ints]:
    """Return the known photos by hash, (M,), the U distinct hashes, and where photos of each start and how many."""
    known_M = np.flatnonzero(is_known_N)
    code_MX = codes(hash_NW[known_M])
    order = np.lexsort(code_MX.T)
    code_MX = code_MX[order]
    is_first_M = np.ones(len(known_M), np.bool_)
    is_first_M[1:] = (code_MX[1:] != code_MX[:-1]).any(axis=1)
    start_U = np.flatnonzero(is_first_M)
    return known_M[order], code_MX[start_U], start_U, np.diff(start_U, append=len(known_M))


class Grouping:
    """Groups of photos, joined by pairs whose vectors are alike. Photos are given by their places m of M.

    `place_M` says which row of the vectors a photo has.
    """

    def __init__(self, vector_ND: NDArray[np.float32], place_M: Ints, min_cosine: float) -> None:
        self.place_M = place_M
        self._vector_ND, self._min_cosine = vector_ND, min_cosine
        self._error = 2 * (vector_ND.shape[1] + 8) * 2.0**-24  # of a float32 product of unit vectors, at most
        self._parent_M = np.arange(len(place_M))
        self._number_M = np.zeros(len(place_M), np.int64)

    def groups(self) -> Ints:
        """Return each photo's group, shape (M,): the least place among the vectors of its photos."""
        root_M = self._roots(np.arange(len(self.place_M)))
        least_M = np.full(len(root_M), np.iinfo(np.int64).max)
        np.minimum.at(least_M, root_M, self.place_M)
        return least_M[root_M]

    def join(self, first_E: Ints, second_E: Ints) -> None:
        """Make one group of both ends of each pair whose cosine is high enough."""
        is_open_E = self._roots(first_E) != self._roots(second_E)
        first_E, second_E = first_E[is_open_E], second_E[is_open_E]
        if len(first_E):
            is_same_E = self._are_alike(first_E, second_E)
            self._connect(first_E[is_same_E], second_E[is_same_E])

    def join_alike(self, start: int, count: int) -> None:
        """Join all pairs of a run of photos with one hash, as blank pictures are.

        Most are like one of a few. So each of the first is compared with those that are like none before it, and pairs
        of the largest group need no comparison any more.
        """
        all_C = rest = np.arange(start, start + count)
        for _ in range(_LEADERS):
            self._join_all(rest[:1], rest)
            rest = rest[self._roots(rest) != self._roots(rest[:1])]
            if not len(rest):
                return
        _, root_C, size_C = np.unique(self._roots(all_C), return_inverse=True, return_counts=True)
        open_C = all_C[root_C != size_C.argmax()]
        for first in range(0, len(open_C), TILE):
            self._join_all(open_C[first : first + TILE], all_C)

    def _join_all(self, row_A: Ints, column_C: Ints) -> None:
        """Make one group of whatever is alike among some photos and others."""
        for start in range(0, len(column_C), _VECTORS):
            column_B = column_C[start : start + _VECTORS]
            cosine_AB = self._products(row_A, column_B)
            is_open_AB = self._roots(row_A)[:, None] != self._roots(column_B)
            at_E, beside_E = np.nonzero((cosine_AB >= self._min_cosine - self._error) & is_open_AB)
            first_E, second_E = row_A[at_E], column_B[beside_E]
            is_same_E = self._decided(cosine_AB[at_E, beside_E], first_E, second_E)
            self._connect(first_E[is_same_E], second_E[is_same_E])

    def _are_alike(self, first_E: Ints, second_E: Ints) -> Bools:
        """Tell of which pairs the cosine is high enough: exactly, whatever pairs are looked at together."""
        row_A, at_E = self._numbered(first_E)
        column_B, beside_E = self._numbered(second_E)
        if len(row_A) * len(column_B) > _DENSE * len(first_E):
            return self._exact(first_E, second_E) >= self._min_cosine
        return self._decided(self._products(row_A, column_B)[at_E, beside_E], first_E, second_E)

    def _decided(self, cosine_E: NDArray[np.float32], first_E: Ints, second_E: Ints) -> Bools:
        """Tell whether cosines are high enough; of those that rounding might decide, the exact ones."""
        is_alike_E = np.asarray(cosine_E >= self._min_cosine)
        near = np.flatnonzero(np.abs(cosine_E - self._min_cosine) <= self._error)
        is_alike_E[near] = self._exact(first_E[near], second_E[near]) >= self._min_cosine
        return is_alike_E

    def _numbered(self, place_E: Ints) -> tuple[Ints, Ints]:
        """Return the distinct places, in any order, and which of them each is. The same as by sorting, but faster."""
        count_E = np.arange(len(place_E))
        self._number_M[place_E] = count_E
        place_A = place_E[self._number_M[place_E] == count_E]
        self._number_M[place_A] = np.arange(len(place_A))
        return place_A, self._number_M[place_E]

    def _exact(self, first_E: Ints, second_E: Ints) -> NDArray[np.float32]:
        cosine_E = np.zeros(len(first_E), np.float32)
        for start in range(0, len(first_E), _VECTORS):
            part = slice(start, start + _VECTORS)
            first_ED, second_ED = (self._vector_ND[self.place_M[end_E[part]]] for end_E in (first_E, second_E))
            cosine_E[part] = (first_ED.astype(np.float64) * second_ED).sum(axis=1)
        return cosine_E

    def _products(self, row_A: Ints, column_B: Ints) -> NDArray[np.float32]:
        product_AB = np.empty((len(row_A), len(column_B)), np.float32)
        for down in range(0, len(row_A), _VECTORS):
            row_AD = self._vector_ND[self.place_M[row_A[down : down + _VECTORS]]]
            for right in range(0, len(column_B), _VECTORS):
                column_BD = self._vector_ND[self.place_M[column_B[right : right + _VECTORS]]]
                product_AB[down : down + _VECTORS, right : right + _VECTORS] = row_AD @ column_BD.T
        return product_AB

    def _connect(self, first_E: Ints, second_E: Ints) -> None:
        if not len(first_E):
            return
        root_R, end_2E = np.unique(self._roots(np.stack([first_E, second_E])), return_inverse=True)
        pairs = coo_array((np.ones(len(first_E), np.int8), tuple(end_2E.reshape(2, -1))), shape=(len(root_R),) * 2)
        _, label_R = connected_components(pairs, directed=False)
        _, least_L = np.unique(label_R, return_index=True)
        self._parent_M[root_R] = root_R[least_L[label_R]]

    def _roots(self, place_E: Ints) -> Ints:
        """Return the place that stands for each place's group."""
        root_E = self._parent_M[place_E]
        while (self._parent_M[root_E] != root_E).any():
            root_E = self._parent_M[root_E]
        self._parent_M[place_E] = root_E
        return root_E


@dataclass(frozen=True)
class Shown:
    """What is shown, as places of the list that was given: the best of each group, and what is grouped with it.

    `alike[i]` are the further near duplicates of `places[i]`, `same` those of the query itself. Both are empty where
    near duplicates are dropped or shown by themselves.
    """

    places: tuple[int, ...]
    alike: tuple[tuple[int, ...], ...]
    same: tuple[int, ...]


def arrange(
    group_N: Ints, is_query_N: Bools, is_hidden_N: Bools, query_group: int, k: int, how: NearDuplicates = "group"
) -> Shown:
    """Return the first `k` photos that may be shown of a list, best first.

    Never shown are the query's own photo (`is_query_N`) and hidden ones (removed, private, not in this country). Near
    duplicates (equal `group_N`) of a photo further up are grouped with it, dropped, or shown as any other; those of the
    query (`query_group`) are set aside, dropped, or shown.

    The list is a b c d e, with b the query, c its near duplicate, and a and e near duplicates of one another:

    >>> nothing = np.zeros(5, bool)
    >>> group_N, is_query_N = np.array([0, 1, 1, 3, 0]), np.array([False, True, False, False, False])
    >>> arrange(group_N, is_query_N, nothing, 1, 10)
    Shown(places=(0, 3), alike=((4,), ()), same=(2,))
    >>> arrange(group_N, is_query_N, nothing, 1, 10, "drop")
    Shown(places=(0, 3), alike=((), ()), same=())
    >>> arrange(group_N, is_query_N, nothing, 1, 10, "show").places
    (0, 2, 3, 4)
    """
    may_show = [place for place in range(len(group_N)) if not (is_query_N[place] or is_hidden_N[place])]
    if how == "show":
        shown = may_show[:k]
        return Shown(tuple(shown), ((),) * len(shown), ())
    by_group: dict[int, list[int]] = {}
    for place in may_show:
        by_group.setdefault(int(group_N[place]), []).append(place)
    same = by_group.pop(query_group, [])
    first = list(by_group.values())[:k]
    is_kept = how == "group"
    return Shown(
        places=tuple(group[0] for group in first),
        alike=tuple(tuple(group[1:]) if is_kept else () for group in first),
        same=tuple(same) if is_kept else (),
    )


@dataclass(frozen=True)
class Units:
    """A corpus as it may be shown: photos in groups of near duplicates, some hidden. An evaluation ranks the groups.

    A group is worth what the best of its photos that may be shown is worth.
    """

    group: Ints  # (N,) as `near_duplicates` gives it
    is_hidden: Bools  # (N,)

    @classmethod
    def alone(cls, count: int) -> Units:
        """Return a corpus of so many photos without near duplicates, none of them hidden."""
        return cls(np.arange(count), np.zeros(count, np.bool_))

    @cached_property
    def number(self) -> Ints:
        """The number of each photo's group, shape (N,), in the order of their first photos."""
        return np.unique(self.group, return_inverse=True)[1]

    @cached_property
    def shown(self) -> Ints:
        """The number of each photo's group, shape (N,), -1 for photos that may not be shown."""
        return np.where(self.is_hidden, -1, self.number)

    @cached_property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.number.max(initial=-1)) + 1
