"""The whole search of a site: from words to an ordered list of photos. Evaluation and live reader both call this.

    words, country, device, orientation -> candidates of several sources -> features -> order -> what may be shown

It reads nothing: the vectors come from a `VectorSource`, all else from `SearchTables`.

Shape letters: B searches of a block, U distinct texts, N candidates or results of all searches, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import CELLS_PER_BLOCK, NOT_FOUND, Availability, Ints
from models.rerank.candidates import (
    CONVERTED,
    CONVERTED_IN_COUNTRY,
    KEYWORDS,
    SOURCES,
    VECTOR,
    Candidates,
    Hits,
    Shown,
    most_converted,
)
from models.rerank.features import Matrix, Searches, feature_matrix
from models.rerank.learning import Reranker
from models.rerank.tables import SearchTables

VECTOR_COUNT = 200
"""How many candidates the vector index names, unless told otherwise."""
OTHER_COUNT = 50
"""How many candidates each other source names, at most."""
_SEARCHES_PER_BLOCK = 1_000


class VectorSource(Protocol):
    """Nearest neighbours of the texts by vector: exact in an evaluation, an index in a release."""

    def best(self, searches: Searches, k: int) -> Hits:
        """Return the best k photos of each search that it may be shown, as `Hits.best` gives them."""


@dataclass(frozen=True)
class Results:
    """What B searches show, search by search and best first.

    `number` is that of the result in the candidates it was taken from. `score` is the reranker's, or without one the
    vector's: only the order within a search means anything.
    """

    row: Ints
    place: Ints
    score: NDArray[np.float64]
    number: Ints

    def ranks(self, target_B: Ints, pictures: Ints) -> NDArray[np.int32]:
        """Return the rank of each search's target, shape (B,), 1 for the best; `NOT_FOUND` if its list lacks it.

        A target is found where any photo of its picture stands (`pictures`: see `Availability.pictures`).
        """
        rank_N = np.arange(len(self.row)) - np.searchsorted(self.row, self.row) + 1
        is_target_N = pictures[self.place] == pictures[target_B][self.row]
        rank_B = np.full(len(target_B), NOT_FOUND, dtype=np.int32)
        rank_B[self.row[is_target_N]] = rank_N[is_target_N]
        return rank_B


@dataclass(frozen=True)
class Search:
    """A catalogue's search. `words` are the texts that the searches' `text` numbers, U of them.

    `sources` name the candidates. Without a reranker they keep the order of the vectors: then only these make sense.
    """

    tables: SearchTables
    words: Sequence[str]
    vectors: VectorSource
    availability: Availability
    pictures: Ints  # (P,) see `Availability.pictures`
    reranker: Reranker | None
    sources: Collection[str] = SOURCES
    vector_count: int = VECTOR_COUNT

    def results(self, searches: Searches) -> Results:
        """Return the whole list of every search."""
        candidates = self.candidates(searches)
        return self.order(candidates, self.features(searches, candidates))

    def blocks(self, searches: Searches) -> Iterator[tuple[Ints, Searches]]:
        """Give searches in blocks that fit in memory, those with one text side by side, with their numbers."""
        by_text = np.argsort(searches.text, kind="stable")
        step = max(1, min(_SEARCHES_PER_BLOCK, CELLS_PER_BLOCK // self.tables.history.photo_count))
        for start in range(0, len(by_text), step):
            block = by_text[start : start + step]
            yield block, searches.of(block)

    def candidates(self, searches: Searches) -> Candidates:
        """Return what all sources name of the photos that each search may be shown."""

        def is_shown(row_H: Ints, place_H: Ints) -> NDArray[np.bool_]:
            return self.availability.shows(place_H, searches.text[row_H], searches.asked_at[row_H])

        history = self.tables.history
        named: dict[str, Callable[[], Hits]] = {
            VECTOR: lambda: self.vectors.best(searches, self.vector_count),
            CONVERTED: lambda: most_converted(history, searches.query, None, OTHER_COUNT, is_shown),
            CONVERTED_IN_COUNTRY: lambda: most_converted(
                history, searches.query, searches.country, OTHER_COUNT, is_shown
            ),
            KEYWORDS: lambda: self._keyword_hits(searches, is_shown),
        }
        hits = {source: named[source]() for source in self.sources}
        return Candidates.of(hits, len(searches.text), history.photo_count)

    def features(self, searches: Searches, candidates: Candidates) -> Matrix:
        """Return the features of every candidate, shape (N, F)."""
        keyword_N = np.zeros(len(candidates.row), dtype=np.float32)
        for rows, place, score in self._matches(searches):
            for row in rows:
                start, end = np.searchsorted(candidates.row, (row, row + 1))
                at = np.searchsorted(place, candidates.place[start:end]).clip(max=len(place) - 1)
                is_match = place[at] == candidates.place[start:end]
                keyword_N[start:end] = np.where(is_match, score[at], 0)
        return feature_matrix(searches, candidates, self.tables.history, self.tables.photos, keyword_N)

    def order(self, candidates: Candidates, matrix_NF: Matrix) -> Results:
        """Return the candidates in their final order: by score, equal scores by place, each picture once."""
        score_N = candidates.score.astype(np.float64) if self.reranker is None else self.reranker.scores(matrix_NF)
        number_N = np.lexsort((candidates.place, -score_N, candidates.row))
        picture_N = self.pictures[candidates.place[number_N]]
        _, first_N = np.unique(candidates.row[number_N] * len(self.pictures) + picture_N, return_index=True)
        number_N = number_N[np.sort(first_N)]
        return Results(candidates.row[number_N], candidates.place[number_N], score_N[number_N], number_N)

    def _keyword_hits(self, searches: Searches, is_shown: Shown) -> Hits:
        parts = []
        for rows, place, score in self._matches(searches):
            for row in rows:
                hits = Hits(np.full(len(place), row), place, score)
                parts.append(hits.only(is_shown(hits.row, place)).best(OTHER_COUNT))
        return Hits.joined(parts)

    def _matches(self, searches: Searches) -> Iterator[tuple[Ints, Ints, NDArray[np.float32]]]:
        """Give the rows of each distinct text that matches anything, and the photos that match it with their scores."""
        for text in np.unique(searches.text):
            place, score = self.tables.keywords.matches(self.words[text])
            if len(place):
                yield np.flatnonzero(searches.text == text), place, score
