"""What photos have in common with some photos, found from their groups: only photos that share a group are touched.

Shape letters: P photos, G groups, Q queries, B queries of a block, N cells of a sparse matrix, K places of a list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.evaluation.topk_merge import Top, nothing
from models.similar.duplicates import Units

Ints = NDArray[np.int64]
_PRODUCTS = 4_000_000  # of two memberships, about as many as are held at a time


class Cells(NamedTuple):
    """Cells of a matrix of queries and photos, or groups of near duplicates. All others are zero."""

    row_N: Ints  # of a query in its block
    place_N: Ints
    value_N: NDArray[Any]

    def where(self, is_kept_N: NDArray[np.bool_]) -> Cells:
        """Return some of the cells."""
        return Cells(*(column_N[is_kept_N] for column_N in self))


def overlaps(weight_PG: csr_array, weight_GP: csr_array, query_Q: Ints) -> Iterator[tuple[slice, Cells]]:
    """Yield blocks of the queries with the dot products of their rows and those of all photos."""
    if not len(query_Q):
        return
    rows_QG = weight_PG[query_Q]
    size_G = np.diff(weight_GP.indptr)
    of_query_N = np.repeat(np.arange(len(query_Q)), np.diff(rows_QG.indptr))
    count_Q = np.bincount(of_query_N, weights=size_G[rows_QG.indices], minlength=len(query_Q)).astype(np.int64)
    block_Q = (np.cumsum(count_Q) - count_Q) // _PRODUCTS
    starts = np.flatnonzero(np.diff(block_Q, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(query_Q)], strict=True):
        found_BP = rows_QG[start:end] @ weight_GP
        row_N = np.repeat(np.arange(end - start), np.diff(found_BP.indptr))
        yield slice(start, end), Cells(row_N, found_BP.indices.astype(np.int64), found_BP.data)


def of_units(cells: Cells, units: Units, query_B: Ints) -> Cells:
    """Return the best value of each group of near duplicates among photos that may be shown, by row and group.

    The query's own group is left out.

    >>> units = Units(np.array([0, 1, 0, 3]), np.array([False, False, False, True]))
    >>> cells = Cells(np.array([0, 0, 0]), np.array([0, 2, 3]), np.array([1.0, 5.0, 9.0]))
    >>> [column.tolist() for column in of_units(cells, units, np.array([1]))]
    [[0], [0], [5.0]]
    """
    unit_N = units.shown[cells.place_N]
    is_kept_N = (unit_N >= 0) & (unit_N != units.number[query_B][cells.row_N])
    kept = Cells(cells.row_N, unit_N, cells.value_N).where(is_kept_N)
    order = np.lexsort((-kept.value_N, kept.place_N, kept.row_N))
    kept = Cells(*(column_N[order] for column_N in kept))
    is_first_N = np.ones(len(order), np.bool_)
    is_first_N[1:] = (kept.row_N[1:] != kept.row_N[:-1]) | (kept.place_N[1:] != kept.place_N[:-1])
    return kept.where(is_first_N)


def top_cells(cells: Cells, row_count: int, k: int) -> Top:
    """Return the best k cells of each row; of equal values the lesser place first. Values are kept as they are."""
    order = np.lexsort((cells.place_N, -cells.value_N, cells.row_N))
    row_N, place_N, value_N = (column_N[order] for column_N in cells)
    count_B = np.bincount(row_N, minlength=row_count)
    at_N = np.arange(len(row_N)) - np.repeat(np.cumsum(count_B) - count_B, count_B)
    is_in_N = at_N < k
    place_BK, _ = nothing(row_count, k)
    value_BK = np.full((row_count, k), -np.inf)
    place_BK[row_N[is_in_N], at_N[is_in_N]] = place_N[is_in_N]
    value_BK[row_N[is_in_N], at_N[is_in_N]] = value_N[is_in_N]
    return place_BK, value_BK
