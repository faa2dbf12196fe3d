"""How near the meaning of a query is to a photo's keywords, whatever words these are in: by vectors of the text tower.

A tower learns what photos look like from those it was trained on. What it learns of words holds for a photo that came
later as well, if the photo has keywords.

Shape letters: P photos, K keywords of all photos, W distinct keywords, U texts, T some of them, N pairs of a text and a
photo, M pairs of a text and a keyword, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.exact_scores import Matrix
from models.evaluation.ranking import Ints
from models.keyword_match import spans

_NUMBERS_AT_ONCE = 1 << 21
_SCALE = 4000
"""Unit vectors are rounded to integers of this length. Products and all sums of them then stay below 2 ** 24: single
precision adds them exactly, in any order, so a cosine does not depend on what is computed beside."""


def _scaled(unit_ND: Matrix) -> Matrix:
    return np.rint(unit_ND * _SCALE)


@dataclass(frozen=True)
class PhotoKeywords:
    """The keywords of P photos, and the vectors of the distinct ones by the model that embeds the queries, scaled."""

    start_P: Ints  # (P + 1,) where each photo's keywords begin
    keyword_K: NDArray[np.int32]
    vector_WD: NDArray[np.int16]

    @classmethod
    def of(cls, place_K: Ints, keyword_K: Ints, vector_WD: Matrix, photo_count: int) -> PhotoKeywords:
        """Return the pairs of a photo and a keyword, given in any order, perhaps more than once; vectors are unit."""
        photo_K, kept_K = np.divmod(np.unique(place_K * len(vector_WD) + keyword_K), max(1, len(vector_WD)))
        start_P = np.searchsorted(photo_K, np.arange(photo_count + 1))
        return cls(start_P, kept_K.astype(np.int32), _scaled(vector_WD).astype(np.int16))

    @classmethod
    def none(cls, photo_count: int) -> PhotoKeywords:
        """Return the keywords of photos that have none."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls.of(nothing, nothing, np.zeros((0, 0), np.float32), photo_count)

    def likeness(self, query_UD: Matrix, text_N: Ints, place_N: Ints) -> NDArray[np.float64]:
        """Return the cosine of each text and the keyword of the photo that is closest to it, shape (N,).

        NaN where a photo has no keywords. `query_UD` are unit vectors.
        """
        count_N = self.start_P[place_N + 1] - self.start_P[place_N]
        found_N = np.full(len(place_N), np.nan)
        step = max(1, _NUMBERS_AT_ONCE // max(1, self.vector_WD.shape[1]))
        part_N = (np.cumsum(count_N) - count_N) // step
        for rows in np.split(np.arange(len(place_N)), np.flatnonzero(np.diff(part_N)) + 1):
            has = rows[count_N[rows] > 0]
            if len(has):
                found_N[has] = self._closest(query_UD, text_N[has], self.start_P[place_N[has]], count_N[has])
        return found_N

    def _closest(self, query_UD: Matrix, text_N: Ints, start_N: Ints, count_N: Ints) -> NDArray[np.float64]:
        """Return the highest cosine among the keywords of each pair, which has some."""
        texts, row_N = np.unique(text_N, return_inverse=True)
        keywords, column_M = np.unique(self.keyword_K[spans(start_N, count_N)], return_inverse=True)
        score_TW = _scaled(query_UD[texts]) @ self.vector_WD[keywords].astype(np.float32).T
        score_M = score_TW[np.repeat(row_N, count_N), column_M]
        best_N = np.maximum.reduceat(score_M, np.cumsum(count_N) - count_N)
        return best_N.astype(np.float64) / _SCALE**2
