"""The whole search told plainly: every search by itself, all photos scored, one source after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.evaluation.ranking import NOT_FOUND
from models.keyword_match import Tokens, tokenise
from models.rerank.candidates import CONVERTED, CONVERTED_IN_COUNTRY, KEYWORDS, VECTOR, Candidates, Hits
from models.rerank.features import Searches, Words, feature_matrix
from models.rerank.search import OTHER_COUNT, Search
from models.rerank.vectors import SPARE, exact

BLOCK = 160


def best_by_vector(search: Search, searches: Searches, query_UD: np.ndarray, photo_PD: np.ndarray, k: int) -> Hits:
    """Return the best k photos of each search among all, as they are shown at the time."""
    texts, inverse = np.unique(searches.text, return_inverse=True)
    score_BP = (query_UD[texts] @ photo_PD.T)[inverse]
    score_BP[~search.availability.shown(searches.text, searches.asked_at)] = np.nan
    cost_BP = np.where(np.isfinite(score_BP), -score_BP, np.inf)
    last = min(k + SPARE, cost_BP.shape[1])
    bar_B1 = np.partition(cost_BP, last - 1, axis=1)[:, last - 1 : last]
    row, place = np.nonzero((cost_BP <= bar_B1) & np.isfinite(cost_BP))
    hits = Hits(row, place, np.zeros(len(row), np.float32))
    return exact(hits, query_UD[searches.text], photo_PD, place).best(k)


@dataclass(frozen=True)
class PlainSearch:
    """A `Search` with the vectors of all photos."""

    search: Search
    words: list[str]
    query_UD: np.ndarray
    photo_PD: np.ndarray

    def ranks(self, searches: Searches, target_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what `Search.ranks` does."""
        rank_Q, sources_Q = np.full(len(target_Q), NOT_FOUND, np.int32), np.zeros(len(target_Q), np.uint8)
        pictures = self.search.pictures
        for block, of_block, candidates, matrix in self.blocks(searches):
            results = self.search.order(candidates, matrix)
            target_B = target_Q[block]
            is_shown_B = self.search.availability.shows(target_B, of_block.text, of_block.asked_at)
            for row, target in enumerate(target_B):
                own = pictures[candidates.place] == pictures[target]
                named = candidates.sources[own & (candidates.row == row)]
                sources_Q[block[row]] = np.bitwise_or.reduce(named, initial=0)
                listed = results.place[results.row == row]
                found = np.flatnonzero(pictures[listed] == pictures[target])
                if is_shown_B[row] and len(found):
                    rank_Q[block[row]] = 1 + found[0]
        return rank_Q, sources_Q

    def blocks(self, searches: Searches) -> Iterator[tuple[np.ndarray, Searches, Candidates, np.ndarray]]:
        """Give the numbers of searches, these, their candidates and the features."""
        by_text = np.argsort(searches.text, kind="stable")
        for start in range(0, len(by_text), BLOCK):
            block = by_text[start : start + BLOCK]
            of_block = searches.of(block)
            candidates = self.candidates(of_block)
            yield block, of_block, candidates, self.features(of_block, candidates)

    def candidates(self, searches: Searches) -> Candidates:
        """Return what all sources name of what each search may be shown."""
        hits = {
            VECTOR: best_by_vector(self.search, searches, self.query_UD, self.photo_PD, self.search.vector_count),
            CONVERTED: self._converted(searches, by_country=False),
            CONVERTED_IN_COUNTRY: self._converted(searches, by_country=True),
            KEYWORDS: self._keywords(searches),
        }
        return Candidates.of(hits, len(searches.text), self.search.tables.history.photo_count)

    def closest(self, text: int, place: int) -> float:
        """Return the highest score among a photo's keywords, NaN if it has none."""
        known = self.search.tables.photos.keywords
        own = known.keyword_K[known.start_P[place] : known.start_P[place + 1]]
        query = np.rint(self.query_UD[text] * 4000).astype(np.int64)
        return float((known.vector_WD[own].astype(np.int64) @ query).max()) / 4000**2 if len(own) else np.nan

    def features(self, searches: Searches, candidates: Candidates) -> np.ndarray:
        """Return the features of every candidate."""
        score_N, covered_N = (np.zeros(len(candidates.row), np.float32) for _ in range(2))
        count_N = np.zeros(len(candidates.row), np.int64)
        for row, text in enumerate(searches.text):
            found = self.search.tables.keywords.matches(Tokens.of([self.words[text]]))
            own = slice(*np.searchsorted(candidates.row, (row, row + 1)))
            score_N[own], covered_N[own] = found.at(candidates.place[own])
            count_N[own] = len(tokenise(self.words[text]))
        closest_N = np.array(
            [self.closest(*pair) for pair in zip(searches.text[candidates.row], candidates.place, strict=True)]
        )
        words, tables = Words(count_N, score_N, covered_N, closest_N), self.search.tables
        taken_N = np.full(len(candidates.row), np.nan)
        for number, (row, place) in enumerate(zip(candidates.row, candidates.place, strict=True)):
            taken_N[number] = self._taken(searches.visitor[row], searches.query[row], place)
        return feature_matrix(searches, candidates, tables.history, tables.photos, words, tables.tastes, taken_N)

    def _taken(self, visitor: int, query: int, place: int) -> float:
        pasts = self.search.pasts
        own = pasts.query[pasts.key == visitor * pasts.photo_count + place] if visitor >= 0 else ()
        if not len(own):
            return np.nan
        return 2.0 if query >= 0 and self.search.tables.queries[query] in own else 1.0

    def _converted(self, searches: Searches, by_country: bool) -> Hits:
        history = self.search.tables.history
        tally = history.by_query_country_photo if by_country else history.by_query_photo
        width = history.photo_count * (history.country_count if by_country else 1)
        start_B, end_B = (np.searchsorted(tally.keys, (searches.query + past) * width) for past in (0, 1))
        parts = []
        for row in np.flatnonzero((searches.query >= 0) & (start_B < end_B)):
            part = slice(start_B[row], end_B[row])
            place, sums = tally.keys[part] % width, tally.sums[part]
            score = sums[:, 0] + (0 if by_country else sums[:, 1] / (sums[:, 0] + 1))
            if by_country:
                place, country = np.divmod(place, history.country_count)
                place, score = place[country == searches.country[row]], score[country == searches.country[row]]
            parts.append(self._best_shown(searches, row, place, score))
        return Hits.joined(parts)

    def _keywords(self, searches: Searches) -> Hits:
        parts = []
        for row, text in enumerate(searches.text):
            found = self.search.tables.keywords.matches(Tokens.of([self.words[text]]))
            parts.append(self._best_shown(searches, row, found.place, found.score))
        return Hits.joined(parts)

    def _best_shown(self, searches: Searches, row: int, place: np.ndarray, score: np.ndarray) -> Hits:
        hits = Hits(np.full(len(place), row), place, score)
        text, at = np.full(len(place), searches.text[row]), np.full(len(place), searches.asked_at[row])
        return hits.only(self.search.availability.shows(place, text, at)).best(OTHER_COUNT)
