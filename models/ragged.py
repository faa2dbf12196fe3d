"""Rows that lie in slices of one array, and rows of length 1. Only numbers: what they stand for the caller knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def ragged_rows(first_B: Ints, end_B: Ints) -> tuple[Ints, Ints]:
    """Return all rows of the slices first_B:end_B one after another, and where each slice's begin, [B + 1].

    >>> [rows.tolist() for rows in ragged_rows(np.array([7, 2]), np.array([9, 3]))]
    [[7, 8, 2], [0, 2, 3]]
    """
    start_B1 = np.zeros(len(first_B) + 1, np.int64)
    np.cumsum(end_B - first_B, out=start_B1[1:])
    return np.arange(start_B1[-1]) + np.repeat(first_B - start_B1[:-1], np.diff(start_B1)), start_B1


def unit_rows(vectors_ND: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the rows at unit length, float32; a row of zeros stays one.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    length_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    unit_ND = np.divide(vectors_ND, length_N1, out=np.zeros(vectors_ND.shape, length_N1.dtype), where=length_N1 > 0)
    return np.asarray(unit_ND, dtype=np.float32)
