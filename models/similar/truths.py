"""What counts as alike: photos taken for the same query, with the same keywords, or in the same collection.

Each is photos in groups (the query, keyword or collection), and two photos are alike if they share enough groups. What
is known when, the caller decides: a truth about what a model should find holds nothing that the model was trained on.

Shape letters: N memberships (a photo in a group), P photos, G groups, B queries, which are photos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.similar.overlaps import Cells, overlaps

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Truth:
    """Photos in groups; alike are those that share at least `min_shared`."""

    member_PG: csr_array  # 1 where a photo is in a group
    min_shared: int

    @property
    def group_count(self) -> int:
        """How many groups have two photos or more."""
        return int(np.count_nonzero(self._sizes > 1))

    @cached_property
    def _sizes(self) -> Ints:
        return np.bincount(self.member_PG.indices, minlength=self.member_PG.shape[1])

    @cached_property
    def _transposed(self) -> csr_array:
        return csr_array(self.member_PG.T)

    def gains(self, query_Q: Ints) -> Iterator[tuple[slice, Cells]]:
        """Yield blocks of the queries with the number of groups that photos share with them, where they are enough.

        The query shares nothing with itself.

        >>> [(block, cells)] = sharing(np.array([0, 0, 1, 1]), np.array([7, 8, 7, 8]), 2).gains(np.array([1]))
        >>> [column.tolist() for column in cells]
        [[0], [0], [2]]
        """
        for block, cells in overlaps(self.member_PG, self._transposed, query_Q):
            is_other_N = cells.place_N != query_Q[block][cells.row_N]
            yield block, cells.where(is_other_N & (cells.value_N >= self.min_shared))

    def may_have_gains(self) -> Bools:
        """Tell which photos are in as many groups with others as photos must share to be alike, shape (P,)."""
        with_others_P = self.member_PG @ (self._sizes > 1).astype(np.int64)
        return np.asarray(with_others_P >= self.min_shared)

    def clusters(self, query_B: Ints) -> Ints:
        """Return each query's largest group, shape (B,): queries of one group have answers in common.

        >>> sharing(np.array([0, 1, 2, 2, 3]), np.array([7, 7, 7, 9, 9]), 4).clusters(np.array([1, 2, 3]))
        array([0, 0, 1])
        """
        size_G = self._sizes
        rows = self.member_PG[query_B]
        row_M = np.repeat(np.arange(len(query_B)), np.diff(rows.indptr))
        order = np.lexsort((rows.indices, -size_G[rows.indices], row_M))
        first = order[np.flatnonzero(np.diff(row_M[order], prepend=-1))]
        cluster_B = np.full(len(query_B), -1, dtype=np.int64)
        cluster_B[row_M[first]] = rows.indices[first]
        return cluster_B


def sharing(
    photo_N: Ints, group_N: Ints, photo_count: int, min_shared: int = 1, max_group_size: int | None = None
) -> Truth:
    """Return the truth of memberships; each counts once, however often it is there.

    A group of more than `max_group_size` photos is left out: what so many have in common says little of any two.

    Photos 0 and 1 share two groups, 1 and 2 share one:

    >>> photo_N, group_N = np.array([0, 0, 1, 1, 1, 2]), np.array([7, 8, 7, 8, 9, 9])
    >>> [(_, cells)] = sharing(photo_N, group_N, 3).gains(np.array([1]))
    >>> sorted(zip(cells.place_N.tolist(), cells.value_N.tolist()))
    [(0, 2), (2, 1)]
    >>> [(_, cells)] = sharing(photo_N, group_N, 3, min_shared=2).gains(np.array([1]))
    >>> sorted(zip(cells.place_N.tolist(), cells.value_N.tolist()))
    [(0, 2)]
    """
    _, number_N = np.unique(group_N, return_inverse=True)
    group_count = int(number_N.max(initial=-1)) + 1
    pair_N = np.unique(photo_N * group_count + number_N)
    photo_N, number_N = np.divmod(pair_N, max(1, group_count))
    if max_group_size is not None:
        is_kept_N = np.bincount(number_N, minlength=group_count)[number_N] <= max_group_size
        photo_N, number_N = photo_N[is_kept_N], number_N[is_kept_N]
    member_PG = csr_array((np.ones(len(photo_N), np.int64), (photo_N, number_N)), shape=(photo_count, group_count))
    return Truth(member_PG, min_shared)


def taken_for_same_query(
    photo_N: Ints,
    query_N: Ints,
    visitor_N: Ints,
    photo_count: int,
    min_visitors: int = 2,
    max_group_size: int | None = None,
) -> Truth:
    """Return the truth of a log: photos are alike that visitors took for the same query, by the number of such queries.

    One visitor may have taken anything: a photo counts for a query if at least `min_visitors` different ones took it.

    For query 5 visitors 1 and 2 took photo 0, visitors 1 and 3 took photo 1, and visitor 1, twice, photo 2:

    >>> photo_N, visitor_N = np.array([0, 0, 1, 1, 2, 2]), np.array([1, 2, 1, 3, 1, 1])
    >>> truth = taken_for_same_query(photo_N, np.full(6, 5), visitor_N, 3)
    >>> [[column.tolist() for column in cells] for _, cells in truth.gains(np.array([0, 2]))]
    [[[0], [1], [1]]]
    """
    once = np.unique(np.stack([query_N, photo_N, visitor_N], axis=1), axis=0)
    pairs, visitors = np.unique(once[:, :2], axis=0, return_counts=True)
    pairs = pairs[visitors >= min_visitors]
    return sharing(pairs[:, 1], pairs[:, 0], photo_count, max_group_size=max_group_size)
