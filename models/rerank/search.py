"""The whole search of a site: from words to an ordered list of photos. Evaluation and live reader both call this.

    words, country, device, orientation -> candidates of several sources -> features -> order -> what may be shown

It reads nothing: the vectors come from a `VectorSource`, all else from `SearchTables`. What depends on the text alone
is found once for each text; searches that are alike are answered once.

Shape letters: B searches of a block, Q all searches, U distinct texts, D searches that differ, N candidates or results
of all searches, F features, E instants.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import NOT_FOUND, Availability, Ints
from models.keyword_match import Matches, Tokens
from models.rerank.candidates import (
    CONVERTED,
    CONVERTED_IN_COUNTRY,
    KEYWORDS,
    SOURCES,
    VECTOR,
    Candidates,
    Hits,
    Stays,
    most_converted,
)
from models.rerank.features import Matrix, Searches, Words, feature_matrix
from models.rerank.history import DAY
from models.rerank.learning import Reranker
from models.rerank.pasts import NOBODYS, UNKNOWN, Pasts
from models.rerank.tables import SearchTables

VECTOR_COUNT = 200
"""How many candidates the vector index names, unless told otherwise."""
OTHER_COUNT = 50
"""How many candidates each other source names, at most."""
BLOCK_BYTES = 1 << 28
"""What a block of searches takes, about, unless told otherwise."""
_BYTES_PER_CANDIDATE, _BYTES_PER_MATCH = 2_000, 72


class VectorSource(Protocol):
    """Nearest neighbours of the texts by vector: exact in an evaluation, an index in a release."""

    @property
    def query_UD(self) -> Matrix:  # noqa: N802
        """The unit vectors of the texts."""

    def named(self, text_U: Ints, k: int) -> Hits:
        """Return at least what may be among the best k photos of each text at some time; rows are places in `text_U`.

        Scores are exact (see `models.rerank.vectors.exact`) where the vectors are known.
        """


@dataclass(frozen=True)
class Named:
    """What the sources name for U texts, ascending, whenever a search is made; hits' rows are places in `text`."""

    text: Ints
    hits: Mapping[str, Hits]
    tokens: Tokens  # of the U texts
    matches: Matches


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

    def ranks(self, row_Q: Ints, target_Q: Ints, pictures: Ints) -> NDArray[np.int32]:
        """Return the rank of photos in the lists of some searches, shape (Q,), 1 for the best.

        `NOT_FOUND` if the list lacks it. A photo is found where any photo of its picture stands (`pictures`: see
        `Availability.pictures`).
        """
        if not len(self.row):
            return np.full(len(row_Q), NOT_FOUND, dtype=np.int32)
        rank_N = np.arange(len(self.row)) - np.searchsorted(self.row, self.row) + 1
        key_N, key_Q = (
            row * len(pictures) + pictures[place] for row, place in ((self.row, self.place), (row_Q, target_Q))
        )
        order = np.argsort(key_N)
        at_Q = order[np.searchsorted(key_N[order], key_Q).clip(max=len(key_N) - 1)]
        return np.where(key_N[at_Q] == key_Q, rank_N[at_Q], NOT_FOUND).astype(np.int32)


@dataclass(frozen=True)
class Search:
    """A catalogue's search. `tokens` are of the texts that the searches' `text` numbers.

    `sources` name the candidates. Without a reranker they keep the order of the vectors: then only these make sense.
    """

    tables: SearchTables
    tokens: Tokens
    vectors: VectorSource
    availability: Availability
    pictures: Ints  # (P,) see `Availability.pictures`
    reranker: Reranker | None
    sources: Collection[str] = SOURCES
    vector_count: int = VECTOR_COUNT
    block_bytes: int = BLOCK_BYTES
    pasts: Pasts = NOBODYS

    def results(self, searches: Searches) -> Results:
        """Return the whole list of every search."""
        named = self.named(searches)
        candidates = self.candidates(searches, named)
        return self.order(candidates, self.features(searches, candidates, named))

    def ranks(self, searches: Searches, target_Q: Ints) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Return the rank of each search's target, shape (Q,), and which sources named it, as bits.

        The rank is `NOT_FOUND` where the search may not be shown it or its list lacks it.
        """
        rank_Q, sources_Q = np.full(len(target_Q), NOT_FOUND, dtype=np.int32), np.zeros(len(target_Q), dtype=np.uint8)
        for block, of_block in self.blocks(searches):
            rank_Q[block], sources_Q[block] = self._ranks(of_block, target_Q[block])
        return rank_Q, sources_Q

    def _ranks(self, searches: Searches, target_B: Ints) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        named = self.named(searches)
        alike_B, first_D = self.alike(searches, named)
        distinct = searches.of(first_D)
        candidates = self.candidates(distinct, named)
        sources_B = candidates.sources_of(alike_B, self.pictures[target_B], self.pictures)
        is_found_B = (sources_B > 0) & self.availability.shows(target_B, searches.text, searches.asked_at)
        is_wanted_D = np.bincount(alike_B[is_found_B], minlength=len(first_D)) > 0  # others need no order
        candidates = candidates.of_searches(is_wanted_D)
        results = self.order(candidates, self.features(distinct, candidates, named))
        rank_B = results.ranks(alike_B, target_B, self.pictures)
        return np.where(is_found_B, rank_B, NOT_FOUND), sources_B

    def blocks(self, searches: Searches) -> Iterator[tuple[Ints, Searches]]:
        """Give searches in blocks that fit in memory, those with one text side by side, with their numbers."""
        by_text = np.argsort(searches.text, kind="stable")
        texts, first = np.unique(searches.text[by_text], return_index=True)
        tokens = self.tokens.of_texts(texts)
        candidate_count = self.vector_count + OTHER_COUNT * (len(SOURCES) - 1)
        cost_B = np.full(len(by_text), candidate_count * _BYTES_PER_CANDIDATE)
        cost_B[first] += self.tables.keywords.match_counts(tokens)[tokens.number] * _BYTES_PER_MATCH
        number_B = (np.cumsum(cost_B) - cost_B) // self.block_bytes
        for block in np.split(by_text, np.flatnonzero(np.diff(number_B)) + 1):
            if len(block):
                yield block, searches.of(block)

    def named(self, searches: Searches) -> Named:
        """Return what all sources may name for the texts of some searches, whenever these are made."""
        text_U, first_U = np.unique(searches.text, return_index=True)
        tokens = self.tokens.of_texts(text_U)
        matches = self.tables.keywords.matches(tokens)
        since, hidden = self.availability.since, self.availability.hidden
        begins = searches.asked_at.min(initial=np.iinfo(np.int64).max)

        def stays(place_H: Ints) -> NDArray[np.bool_]:
            is_there_H: NDArray[np.bool_] = since[place_H] <= begins
            return is_there_H & ~np.isin(place_H, hidden)

        query_U, country_U = searches.query[first_U], searches.country[first_U]
        history = self.tables.history
        of_source: dict[str, Callable[[], Hits]] = {
            VECTOR: lambda: _nameable(self.vectors.named(text_U, self.vector_count), stays, self.vector_count),
            CONVERTED: lambda: most_converted(history, query_U, None, OTHER_COUNT, stays),
            CONVERTED_IN_COUNTRY: lambda: most_converted(history, query_U, country_U, OTHER_COUNT, stays),
            KEYWORDS: lambda: _nameable(_hits_of(matches), stays, OTHER_COUNT).of_rows(tokens.number),
        }
        return Named(text_U, {source: of_source[source]() for source in self.sources}, tokens, matches)

    def alike(self, searches: Searches, named: Named) -> tuple[Ints, Ints]:
        """Return which distinct search each search is like, shape (B,), and one search for each of these, shape (D,).

        Searches are alike if they ask for the same on the same day, may be shown the same of what is named, and no
        visitor but the same took a photo of it before.
        """
        keys = (
            searches.asked_at // DAY,
            self._states(searches, named),
            self._knowing_visitors(searches, named),
            searches.orientation,
            searches.device,
            searches.text,
        )
        order = np.lexsort(keys)
        is_new = np.any([np.diff(key[order], prepend=key[order][:1] - 1) != 0 for key in keys], axis=0)
        alike_B = np.empty(len(order), dtype=np.int64)
        alike_B[order] = np.cumsum(is_new) - 1
        return alike_B, order[is_new]

    def _knowing_visitors(self, searches: Searches, named: Named) -> Ints:
        """Return the visitor of each search, shape (B,), -1 where nothing that is named was taken by the visitor."""
        photo_count = self.tables.history.photo_count
        row_N, place_N = self.pasts.of_visitors(searches.visitor)
        named_E = np.concatenate([named.text[hits.row] * photo_count + hits.place for hits in named.hits.values()])
        knows_B = np.zeros(len(searches.visitor), dtype=np.bool_)
        knows_B[row_N[np.isin(searches.text[row_N] * photo_count + place_N, named_E)]] = True
        return np.where(knows_B, searches.visitor, -1)

    def _states(self, searches: Searches, named: Named) -> Ints:
        """Return a number for each search, shape (B,), equal for those of a text that may be shown the same."""
        row_E, place_E = (
            np.concatenate([getattr(hits, name) for hits in named.hits.values()]) for name in ("row", "place")
        )
        text_E = named.text[row_E]
        times = self.availability.since[place_E], self.availability.hidden_from(place_E, text_E)
        at_E, text_E = np.concatenate(times), np.tile(text_E, 2)
        is_within_E = (at_E > searches.asked_at.min()) & (at_E <= searches.asked_at.max())
        at_E, text_E = at_E[is_within_E], text_E[is_within_E]
        is_search = np.repeat([False, True], (len(at_E), len(searches.text)))
        order = np.lexsort((is_search, np.append(at_E, searches.asked_at), np.append(text_E, searches.text)))
        state = np.empty(len(order), dtype=np.int64)
        state[order] = np.cumsum(~is_search[order])
        return state[len(at_E) :]

    def candidates(self, searches: Searches, named: Named) -> Candidates:
        """Return what all sources name of the photos that each search may be shown."""
        row_B, hits = np.searchsorted(named.text, searches.text), {}
        for source, of_texts in named.hits.items():
            found = of_texts.of_rows(row_B)
            is_shown = self.availability.shows(found.place, searches.text[found.row], searches.asked_at[found.row])
            hits[source] = found.only(is_shown).first(self.vector_count if source == VECTOR else OTHER_COUNT)
        return Candidates.of(hits, len(searches.text), self.tables.history.photo_count)

    def features(self, searches: Searches, candidates: Candidates, named: Named) -> Matrix:
        """Return the features of every candidate, shape (N, F)."""
        words_B = named.tokens.number[np.searchsorted(named.text, searches.text)]
        words_N = words_B[candidates.row]
        score_N, covered_N = named.matches.at(words_N * named.matches.photo_count + candidates.place)
        taken_N, tables = self._taken(searches, candidates), self.tables
        text_N, place_N = searches.text[candidates.row], candidates.place
        closest_N = tables.photos.keywords.likeness(self.vectors.query_UD, text_N, place_N)
        words = Words(np.diff(named.tokens.start)[words_N], score_N, covered_N, closest_N)
        return feature_matrix(searches, candidates, tables.history, tables.photos, words, tables.tastes, taken_N)

    def _taken(self, searches: Searches, candidates: Candidates) -> NDArray[np.float64]:
        """Return what of the candidates the visitors took before (see `Pasts.taken`), shape (N,).

        Who took a photo for a query before is among those who asked it, so the tables know the query.
        """
        is_known_B, row_N = searches.query >= 0, candidates.row
        query_B = np.full(len(searches.query), UNKNOWN)
        query_B[is_known_B] = self.tables.queries[searches.query[is_known_B]]
        return self.pasts.taken(searches.visitor[row_N], candidates.place, query_B[row_N])

    def order(self, candidates: Candidates, matrix_NF: Matrix) -> Results:
        """Return the candidates in their final order: by score, equal scores by place, each picture once."""
        score_N = candidates.score.astype(np.float64) if self.reranker is None else self.reranker.scores(matrix_NF)
        number_N = np.lexsort((candidates.place, -score_N, candidates.row))
        picture_N = self.pictures[candidates.place[number_N]]
        _, first_N = np.unique(candidates.row[number_N] * len(self.pictures) + picture_N, return_index=True)
        number_N = number_N[np.sort(first_N)]
        return Results(candidates.row[number_N], candidates.place[number_N], score_N[number_N], number_N)


def _nameable(hits: Hits, stays: Stays, k: int) -> Hits:
    return hits.nameable(stays(hits.place), k)


def _hits_of(matches: Matches) -> Hits:
    row, place = np.divmod(matches.key, matches.photo_count)
    return Hits(row, place, matches.score)
