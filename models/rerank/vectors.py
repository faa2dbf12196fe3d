"""Where vector candidates come from: lists made for a night's texts, or the index of a release. Equal if that is exact.

Shape letters: U texts, P photos, X special photos, D dimensions, H hits, K places of a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.ann import ShardedIndex, Visibility
from models.evaluation.exact_scores import exact_scores
from models.evaluation.ranking import Availability, Ints
from models.rerank.candidates import Hits

Vectors = NDArray[np.float32]
SPARE = 20
"""Hits looked at beyond those wanted: which of nearly equal ones come first is decided by exact scores."""
_CELLS = 4_000_000
"""Scores held at a time."""
_NUMBERS_EXACT = 1 << 18
"""Numbers multiplied in double precision at a time: they stay in the processor's cache."""
_FEWEST_TEXTS = 64
"""Texts that a block of photos is scored for together, at least."""


@dataclass(frozen=True)
class ListedVectors:
    """For each text the best of the photos that every search may be shown; the vectors of all others, the special ones.

    Special photos come or go while the searches are made. The lists hold exact scores, best first, and -1 for the place
    past their end; of equal scores the earlier place is first.
    """

    place_UK: NDArray[np.int32]
    score_UK: Vectors
    query_UD: Vectors
    special_X: Ints
    special_XD: Vectors

    def named(self, text_U: Ints, k: int) -> Hits:
        """Return the best k photos of each text's list, and the special ones that may be ahead of one of these."""
        k = min(k, self.place_UK.shape[1])
        place_UK, score_UK = self.place_UK[text_U, :k], self.score_UK[text_U, :k]
        row_H, column_H = np.nonzero(place_UK >= 0)
        listed = Hits(row_H, place_UK[row_H, column_H].astype(np.int64), score_UK[row_H, column_H])
        bar_U = np.where(place_UK[:, -1] >= 0, score_UK[:, -1], -np.inf)
        return Hits.joined([listed, *self._special(self.query_UD[text_U], bar_U)])

    def _special(self, query_UD: Vectors, bar_U: NDArray[np.floating]) -> list[Hits]:
        """Return the special photos with a score above the bar, or hardly below it, some texts at a time."""
        if not len(self.special_X):
            return []
        slack = 4 * query_UD.shape[1] * np.finfo(np.float32).eps  # what adding up in single precision may be wrong by
        step, parts = max(1, _CELLS // len(self.special_X)), []
        for start in range(0, len(query_UD), step):
            some_UD = query_UD[start : start + step]
            is_near_UX = some_UD @ self.special_XD.T >= bar_U[start : start + step, None] - slack
            row_H, number_H = np.nonzero(is_near_UX)
            hits = Hits(row_H + start, self.special_X[number_H], np.zeros(len(row_H), dtype=np.float32))
            parts.append(exact(hits, query_UD, self.special_XD, number_H))
        return parts


def listed(
    query_UD: Vectors, photo_PD: Vectors, availability: Availability, first: int, last: int, k: int
) -> ListedVectors:
    """Return the lists of the best k photos for searches that are made from `first` until `last`.

    Photos without a vector must not be shown by `availability`. No matrix of all texts and photos is held.
    """
    never = np.zeros(len(photo_PD), dtype=np.bool_)
    never[availability.hidden] = (availability.hidden_at <= first).all(axis=0)
    stays_P = availability.since <= first
    stays_P[availability.hidden] = False
    special_X = np.flatnonzero(~stays_P & ~never & (availability.since <= last))
    regular = np.flatnonzero(stays_P)
    place_UK = np.full((len(query_UD), k), -1, dtype=np.int32)
    score_UK = np.full((len(query_UD), k), -np.inf, dtype=np.float32)
    step = max(_FEWEST_TEXTS, _CELLS // max(1, len(regular)))
    for start in range(0, len(query_UD) if len(regular) else 0, step):
        some_UD = query_UD[start : start + step]
        best = _best_rough(some_UD, photo_PD, regular, k + SPARE)
        best = exact(best, some_UD, photo_PD, best.place).best(k)
        column_H = np.arange(len(best.row)) - np.searchsorted(best.row, best.row)
        place_UK[start + best.row, column_H] = best.place
        score_UK[start + best.row, column_H] = best.score
    return ListedVectors(place_UK, score_UK, query_UD, special_X, photo_PD[special_X])


def _best_rough(query_UD: Vectors, photo_PD: Vectors, places: Ints, k: int) -> Hits:
    """Return the best k of some photos for each text by products in single precision, and those tied with the last."""
    found = Hits.joined([])
    step = max(k, _CELLS // len(query_UD))
    for start in range(0, len(places), step):
        some = places[start : start + step]
        score_UP = query_UD @ photo_PD[some].T
        bar_U1 = -np.partition(-score_UP, min(k, len(some)) - 1, axis=1)[:, min(k, len(some)) - 1, None]
        row, column = np.nonzero(score_UP >= bar_U1)
        found = Hits.joined([found, Hits(row, some[column], score_UP[row, column])]).best(k)
    return found


@dataclass(frozen=True)
class IndexVectors:
    """An index whose photos, by ascending id, are the places of the search's tables (`id_P`)."""

    index: ShardedIndex
    id_P: Ints
    visibility: Visibility
    query_UD: Vectors
    country_U: Sequence[str]

    def named(self, text_U: Ints, k: int) -> Hits:
        """Return the best k photos of each text that it may be shown, by exact scores if the index keeps vectors."""
        query_UD, countries = self.query_UD[text_U], [self.country_U[text] for text in text_U]
        id_UK, score_UK = self.index.search_ids(query_UD, k + SPARE, self.visibility, countries)
        row_H, column_H = np.nonzero(id_UK >= 0)
        id_H = id_UK[row_H, column_H]
        hits = Hits(row_H, np.searchsorted(self.id_P, id_H), score_UK[row_H, column_H])
        vector_HD = self.index.vectors(id_H)
        if vector_HD is not None:
            hits = exact(hits, query_UD, vector_HD, np.arange(len(id_H)))
        return hits.best(k)


def exact(hits: Hits, query_UD: Vectors, photo_XD: Vectors, number_H: Ints) -> Hits:
    """Return the hits with dot products summed in double precision, which do not depend on what is computed beside.

    `number_H` says where in `photo_XD` the vector of a hit's photo is.
    """
    score_H = np.empty(len(hits.row), dtype=np.float32)
    step = max(1, _NUMBERS_EXACT // query_UD.shape[1])
    for start in range(0, len(hits.row), step):
        part = slice(start, start + step)
        score_H[part] = exact_scores(query_UD[hits.row[part]], photo_XD[number_H[part]])
    return Hits(hits.row, hits.place, score_H)
