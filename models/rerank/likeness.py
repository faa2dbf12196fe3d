"""How much a photo looks like those that were taken, for the same words or in the same country: by short vectors.

A photo that nobody took yet has no counts, but it looks like photos that were taken or it does not. The idea is
Rocchio's relevance feedback (1971), with conversions as the feedback.

Shape letters: B vectors, N candidates, E pairs of a photo and a country, P photos, C countries, D dimensions of a
model's vectors, K of short ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.evaluation.exact_scores import Matrix, exact_scores
from models.evaluation.ranking import Ints

SHORT_DIM = 64
"""Numbers of a short vector: 128 bytes a photo, which every reader of a release maps."""

_PAIRS_AT_ONCE = 65_536


def short_basis(moment_DD: NDArray[np.float64]) -> Matrix:
    """Return the basis of short vectors, shape (D, K): the directions in which vectors are longest.

    `moment_DD` is the sum of the vectors' outer products. Dot products in this basis are as near to those of the whole
    vectors as K numbers allow (Eckart and Young, 1936, https://doi.org/10.1007/BF02288367).
    """
    _, direction_DD = np.linalg.eigh(moment_DD)
    return direction_DD[:, ::-1][:, :SHORT_DIM].astype(np.float32)


def shortened(vector_BD: Matrix, basis_DK: Matrix) -> NDArray[np.float16]:
    """Return the short vectors, shape (B, K)."""
    return (vector_BD @ basis_DK).astype(np.float16)


def likeness(vector_NK: Matrix, weight_N: NDArray[np.float64], row_N: Ints) -> NDArray[np.float64]:
    """Return the cosine of each candidate and the weighted sum of its search's others, shape (N,).

    NaN where no other has weight, or the candidate no vector. `row_N` is the search of each candidate, ascending. A
    candidate's own weight is left out: it is a feature of its own, and a photo that is masked as if it were new must
    not be recognised by it.
    """
    if not len(row_N):
        return np.zeros(0)
    starts = np.flatnonzero(np.diff(row_N, prepend=-1))
    weighted_NK = vector_NK * weight_N[:, None].astype(np.float32)
    count = np.diff(np.append(starts, len(row_N)))
    others_NK = np.repeat(np.add.reduceat(weighted_NK, starts), count, axis=0) - weighted_NK
    length_N = np.sqrt(exact_scores(others_NK, others_NK) * exact_scores(vector_NK, vector_NK))
    cosine_N = np.full(len(row_N), np.nan)
    np.divide(exact_scores(others_NK, vector_NK), length_N, out=cosine_N, where=length_N > 0)
    return cosine_N


def country_tastes(
    pair_E: Ints, count_E: NDArray[np.float64], vector_PK: NDArray[np.float16], country_count: int
) -> Matrix:
    """Return by what the mean of the photos taken in a country differs from that of all, shape (C, K).

    A pair is photo * C + country, and is counted once at most. A country that took nothing has no taste: zeros.
    """
    photo_E, country_E = np.divmod(pair_E, country_count)
    sum_CK = np.zeros((country_count, vector_PK.shape[1]))
    for start in range(0, len(pair_E), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        np.add.at(sum_CK, country_E[part], vector_PK[photo_E[part]] * count_E[part, None])
    count_C1 = np.bincount(country_E, count_E, country_count)[:, None]
    mean_K = sum_CK.sum(axis=0) / max(1.0, float(count_C1.sum()))
    return np.where(count_C1 > 0, sum_CK / np.maximum(count_C1, 1) - mean_K, 0).astype(np.float32)


def taste_match(vector_NK: Matrix, country_N: Ints, taste_CK: Matrix) -> NDArray[np.float64]:
    """Return the dot product of each candidate and its country's taste, shape (N,), NaN where that is not known."""
    has_taste_C = np.asarray(taste_CK.any(axis=1))
    is_known_N = (country_N >= 0) & (country_N < len(taste_CK))
    is_known_N[is_known_N] = has_taste_C[country_N[is_known_N]]
    match_N = np.full(len(country_N), np.nan)
    match_N[is_known_N] = exact_scores(taste_CK[country_N[is_known_N]], vector_NK[is_known_N])
    return match_N
