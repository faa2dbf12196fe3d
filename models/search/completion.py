"""What a picture's keywords would be: what keywords add to the photos that look most like it.

A model that reads keywords places photos by both, a picture without keywords far from all of them. Completed it lies
where such pictures lie with theirs: a regression by nearest neighbours (Nadaraya, 1964,
https://doi.org/10.1137/1109020; Watson, 1964), the neighbours weighted by a softmax of their cosines.

Features are whitened before they are compared. A few directions hold most of what features vary by, and raw cosines see
little else. Whitened, every direction counts the same (Mahalanobis, 1936).

Shape letters: B pictures, E exemplars, K neighbours, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.ragged import unit_rows

NEIGHBOURS = 5
TEMPERATURE = 0.05
SHRINKAGE = 0.1
"""Share of the covariance that is taken to be equal in all directions: few exemplars say little of each."""
_AT_ONCE = 512
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Exemplars:
    """Photos with keywords: the raw features of their pictures, and what their keywords add to these."""

    feature_ED: Floats
    keyword_ED: Floats

    @cached_property
    def _whitening(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The exemplars' mean, (1, D), and the matrix (D, D) after which their covariance is the identity."""
        mean_1D = self.feature_ED.mean(axis=0, keepdims=True, dtype=np.float64)
        centred_ED = self.feature_ED - mean_1D
        covariance_DD = (1 - SHRINKAGE) * (centred_ED.T @ centred_ED) / len(centred_ED)
        variance = np.square(centred_ED).mean() or 1.0  # exemplars that are all the same vary in no direction
        covariance_DD += SHRINKAGE * variance * np.eye(centred_ED.shape[1])
        return mean_1D, np.linalg.inv(np.linalg.cholesky(covariance_DD)).T

    def _whitened(self, feature_BD: Floats) -> Floats:
        """Return whitened features at unit length, float32 [B, D]."""
        mean_1D, matrix_DD = self._whitening
        return unit_rows((feature_BD - mean_1D) @ matrix_DD)

    @cached_property
    def _units(self) -> Floats:
        return self._whitened(self.feature_ED)

    def complete(self, feature_BD: Floats, left_out_BE: NDArray[np.bool_] | None = None) -> Floats:
        """Return the unit vectors, float32 [B, D], of pictures with raw features [B, D], keywords being expected.

        `left_out_BE` are exemplars whose keywords a picture is not to learn from. Without any it stays what it is.

        A picture between two exemplars, of which one is nearer:

        >>> exemplars = Exemplars(np.eye(2, dtype=np.float32), np.array([[0, 3], [3, 0]], np.float32))
        >>> exemplars.complete(np.array([[2, 1.9]], np.float32)).astype(float).round(2).tolist()
        [[0.67, 0.74]]
        """
        completed_BD = np.array(feature_BD, np.float32)
        if not len(self.feature_ED):
            return unit_rows(completed_BD)
        for start in range(0, len(feature_BD), _AT_ONCE):
            block = slice(start, start + _AT_ONCE)
            cosine_BE = self._whitened(feature_BD[block]) @ self._units.T
            if left_out_BE is not None:
                cosine_BE[left_out_BE[block]] = -np.inf
            completed_BD[block] += self._expected(cosine_BE)
        return unit_rows(completed_BD)

    def _expected(self, cosine_BE: Floats) -> Floats:
        count = min(NEIGHBOURS, cosine_BE.shape[1])
        # of equal cosines the earlier exemplar counts, on every machine
        nearest_BK = np.argsort(-cosine_BE, axis=1, kind="stable")[:, :count]
        cosine_BK = np.take_along_axis(cosine_BE, nearest_BK, axis=1)
        best_B1 = np.where(np.isfinite(cosine_BK[:, :1]), cosine_BK[:, :1], 0)
        weight_BK = np.exp((cosine_BK - best_B1) / TEMPERATURE)
        total_B1 = weight_BK.sum(axis=1, keepdims=True)
        weight_BK = np.divide(weight_BK, total_B1, out=np.zeros_like(weight_BK), where=total_B1 > 0)
        expected_BD: Floats = np.einsum("bk,bkd->bd", weight_BK, self.keyword_ED[nearest_BK]).astype(np.float32)
        return expected_BD
