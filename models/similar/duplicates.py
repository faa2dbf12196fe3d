"""The business filter of similar photos: what must not be shown, and near duplicates, which are shown as one.

Two photos are near duplicates if vectors and pictures both say so: a cosine alone takes two photos of one thing for the
same, a perceptual hash alone two plain pictures. A near duplicate of a near duplicate is one too, so that the groups do
not depend on any order.

Shape letters: N photos (of a corpus, or of a query and its results), M photos that are known, E pairs of a block, B
queries, D dimensions, W words of a hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.similar.picture_hash import Words, different_bits

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
NearDuplicates = Literal["group", "drop", "show"]
NEAR_DUPLICATES: tuple[NearDuplicates, ...] = get_args(NearDuplicates)

MIN_COSINE, MAX_BITS = 0.97, 10
"""From which cosine on, and up to how many of 128 different bits, two photos are near duplicates."""
_CELLS_PER_BLOCK = 1_000_000


def near_duplicates(
    vector_ND: NDArray[np.float32],
    hash_NW: Words,
    is_known_N: Bools,
    min_cosine: float = MIN_COSINE,
    max_bits: int = MAX_BITS,
) -> Ints:
    """Return each photo's group, shape (N,): the first photo that it is a near duplicate of, or itself.

    `vector_ND` are unit vectors of one model; photos that are not known (without a vector or a picture) stay alone.
    All pairs are compared, in blocks: N * N * D multiplications. A block's pairs become groups at once and are never
    kept, so that memory grows with N, however many photos are the same.

    Photos 0 and 1 are the same, 2 has the same hash and another vector, 3 the same vector and another hash:

    >>> vector_ND = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    >>> hash_NW = np.array([[5], [4], [5], [65535]], np.uint16)
    >>> near_duplicates(vector_ND, hash_NW, np.ones(4, bool))
    array([0, 0, 2, 3])
    """
    known_M = np.flatnonzero(is_known_N)
    known_MD, hash_MW = vector_ND[known_M], hash_NW[known_M]
    group_M = np.arange(len(known_M))
    step = max(1, _CELLS_PER_BLOCK // max(1, len(known_M)))
    for start in range(0, len(known_M), step):
        row_E, column_E = np.nonzero(known_MD[start : start + step] @ known_MD[start:].T >= min_cosine)
        row_E, column_E = row_E + start, column_E + start
        is_open_E = group_M[row_E] != group_M[column_E]
        row_E, column_E = row_E[is_open_E], column_E[is_open_E]
        is_same_E = different_bits(hash_MW[row_E], hash_MW[column_E]) <= max_bits
        if is_same_E.any():
            group_M = _joined(group_M, row_E[is_same_E], column_E[is_same_E])
    group_N = np.arange(len(vector_ND))
    group_N[known_M] = known_M[group_M]
    return group_N


def _joined(group_M: Ints, row_E: Ints, column_E: Ints) -> Ints:
    """Return the groups once the groups of both ends of each pair are one; each is named by its first photo."""
    count = len(group_M)
    ends_2E = group_M[np.stack([row_E, column_E])]
    pairs = coo_array((np.ones(len(row_E), np.int8), tuple(ends_2E)), shape=(count, count))
    _, label_M = connected_components(pairs, directed=False)
    _, first, inverse_M = np.unique(label_M[group_M], return_index=True, return_inverse=True)
    return np.asarray(first[inverse_M], dtype=np.int64)


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

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(np.unique(self.group))

    def best_of(self, value_BN: NDArray[Any], query_B: Ints, nothing: float) -> NDArray[Any]:
        """Return the best value of each group, shape (B, groups), in the order of their first photos.

        A group that holds the query, or hidden photos alone, gets `nothing`, the lowest value there is.

        >>> units = Units(np.array([0, 1, 0, 3]), np.array([False, False, False, True]))
        >>> units.best_of(np.array([[1.0, 2.0, 5.0, 9.0]]), np.array([1]), -np.inf)
        array([[  5., -inf, -inf]])
        """
        value_BN = np.where(self.is_hidden, nothing, value_BN)
        _, unit_N = np.unique(self.group, return_inverse=True)
        order = np.argsort(unit_N, kind="stable")
        starts = np.flatnonzero(np.diff(unit_N[order], prepend=-1))
        best_BU = np.maximum.reduceat(value_BN[:, order], starts, axis=1)
        best_BU[np.arange(len(query_B)), unit_N[query_B]] = nothing
        return best_BU
