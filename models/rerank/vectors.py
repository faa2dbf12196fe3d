"""Where vector candidates come from: all vectors of a night, or the index of a release. Equal where the index is exact.

Shape letters: B searches, U distinct texts, P photos, D dimensions, H hits, K places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.ann import ShardedIndex, Visibility
from models.evaluation.ranking import Availability, Ints
from models.rerank.candidates import Hits, top_hits
from models.rerank.features import Searches

Vectors = NDArray[np.float32]
_SPARE = 20
"""Hits looked at beyond those wanted: which of nearly equal ones come first is decided by exact scores."""


@dataclass(frozen=True)
class DenseVectors:
    """All vectors in memory; photos without one must not be shown by `availability`."""

    query_UD: Vectors
    photo_PD: Vectors
    availability: Availability

    def best(self, searches: Searches, k: int) -> Hits:
        """Return the best k photos of each search that it may be shown, by exact scores."""
        texts, inverse = np.unique(searches.text, return_inverse=True)
        score_BP = (self.query_UD[texts] @ self.photo_PD.T)[inverse]
        self.availability.cover(score_BP, searches.text, searches.asked_at)
        hits = top_hits(score_BP, k + _SPARE)
        return exact(hits, self.query_UD[searches.text], self.photo_PD[hits.place]).best(k)


@dataclass(frozen=True)
class IndexVectors:
    """An index whose photos, by ascending id, are the places of the search's tables (`id_P`)."""

    index: ShardedIndex
    id_P: Ints
    visibility: Visibility
    query_UD: Vectors
    country_U: Sequence[str]

    def best(self, searches: Searches, k: int) -> Hits:
        """Return the best k photos of each search that it may be shown, by exact scores if the index keeps vectors."""
        texts, inverse = np.unique(searches.text, return_inverse=True)
        countries = [self.country_U[text] for text in texts]
        id_UK, score_UK = self.index.search_ids(self.query_UD[texts], k + _SPARE, self.visibility, countries)
        id_BK, score_BK = id_UK[inverse], score_UK[inverse]
        row_H, column_H = np.nonzero(id_BK >= 0)
        id_H = id_BK[row_H, column_H]
        hits = Hits(row_H, np.searchsorted(self.id_P, id_H), score_BK[row_H, column_H])
        vector_HD = self.index.vectors(id_H)
        return (hits if vector_HD is None else exact(hits, self.query_UD[searches.text], vector_HD)).best(k)


def exact(hits: Hits, query_BD: Vectors, photo_HD: Vectors) -> Hits:
    """Return the hits with dot products summed in double precision, which do not depend on what is computed beside."""
    product_HD = query_BD[hits.row].astype(np.float64) * photo_HD
    return Hits(hits.row, hits.place, product_HD.sum(axis=1).astype(np.float32))
