"""The score of a text and a photo, exactly, and by how much a product in single precision may differ from it.

Shape letters: Q texts, S photos, N pairs, D dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
_UNIT = 2.0**-24  # of rounding to a float32


def exact_scores(query: Matrix, photo_ND: Matrix) -> Matrix:
    """Return the scores of photos, shape (N,), for one text, shape (D,), or one text each, shape (N, D).

    A score is a dot product, summed in double precision and rounded once: it does not depend on what is beside it.
    """
    return np.asarray((photo_ND * query.astype(np.float64)).sum(axis=1), dtype=np.float32)


def product_error(query_QD: Matrix, photo_SD: Matrix) -> Matrix:
    """Return by how much products in single precision may differ from the scores, shape (Q,), in any order of summing.

    Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1: D * 2^-24 times both lengths, about.
    Rows of photos without a vector (NaN) do not count.
    """
    rounded = (query_QD.shape[1] + 8) * _UNIT
    longest = np.sqrt(np.nan_to_num(np.einsum("sd,sd->s", photo_SD, photo_SD)).max(initial=0))
    length_Q = np.sqrt(np.einsum("qd,qd->q", query_QD, query_QD))
    return np.asarray(rounded / (1 - rounded) * longest * length_Q, dtype=np.float32)
