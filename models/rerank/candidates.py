"""Candidate generation: the photos that several sources name for each search, united. Only the choice, no order.

Shape letters: B searches, P photos, H hits of one source, N candidates of all searches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Floats, Ints
from models.rerank.history import History, Tally

VECTOR, CONVERTED, CONVERTED_IN_COUNTRY, KEYWORDS = "vector", "converted", "converted_in_country", "keywords"
SOURCES = (VECTOR, CONVERTED, CONVERTED_IN_COUNTRY, KEYWORDS)
"""What names candidates: the vector index, the photos most converted for the query (and from the search's country), and
keyword match."""


@dataclass(frozen=True)
class Hits:
    """What one source names, in any order: `row` is the search, `place` the photo; the higher the score, the better."""

    row: Ints
    place: Ints
    score: Floats

    @classmethod
    def joined(cls, parts: list[Hits]) -> Hits:
        """Return the hits of several parts as one."""
        nothing = np.zeros(0, dtype=np.int64)
        row, place, score = (
            np.concatenate([nothing, *(getattr(part, name) for part in parts)]) for name in ("row", "place", "score")
        )
        return cls(row, place, score)

    def only(self, kept_H: NDArray[np.bool_] | Ints) -> Hits:
        """Return some of the hits, given by a mask or by their numbers."""
        return Hits(self.row[kept_H], self.place[kept_H], self.score[kept_H])

    def best(self, k: int) -> Hits:
        """Return the best k of each search, best first, search by search; of equal scores the earlier place first.

        >>> hits = Hits(np.array([1, 0, 0]), np.array([4, 7, 2]), np.float32([0.1, 0.5, 0.5]))
        >>> hits.best(1).place.tolist()
        [2, 4]
        """
        order = np.lexsort((self.place, -self.score, self.row))
        hits = self.only(order)
        return hits.only(_number_within(hits.row) <= k)


@dataclass(frozen=True)
class Candidates:
    """The candidates of B searches, search by search and in each by place; a search may have none.

    `score` and `rank` (1 for the best) are by vector, NaN for a photo that the vector index did not name.
    """

    row: Ints
    place: Ints
    score: NDArray[np.float32]
    rank: NDArray[np.float32]
    sources: NDArray[np.uint8]  # bit i is set where SOURCES[i] named the photo
    count: Ints  # candidates of each search

    @classmethod
    def of(cls, hits: Mapping[str, Hits], search_count: int, photo_count: int) -> Candidates:
        """Unite what the sources name; each photo is a candidate of a search once. Vector hits are `Hits.best`."""
        key_by_source = {source: found.row * photo_count + found.place for source, found in hits.items()}
        key_N = np.unique(np.concatenate(list(key_by_source.values())))
        sources = np.zeros(len(key_N), dtype=np.uint8)
        for source, key_H in key_by_source.items():
            sources[np.searchsorted(key_N, key_H)] |= np.uint8(1 << SOURCES.index(source))
        score_N, rank_N = (np.full(len(key_N), np.nan, dtype=np.float32) for _ in range(2))
        found = hits[VECTOR]
        at_H = np.searchsorted(key_N, key_by_source[VECTOR])
        score_N[at_H], rank_N[at_H] = found.score, _number_within(found.row)
        row, place = np.divmod(key_N, photo_count)
        return cls(row, place, score_N, rank_N, sources, np.bincount(row, minlength=search_count))


class Shown(Protocol):
    """Tells which photos a search may be shown."""

    def __call__(self, row_H: Ints, place_H: Ints) -> NDArray[np.bool_]:
        """Tell it of pairs of a search's row and a photo's place."""


def top_hits(score_BP: Floats, k: int) -> Hits:
    """Return at least the best k photos of each row by dense scores, and those tied with the last of them.

    NaN and -inf (not available, no vector) are never hits.

    >>> found = top_hits(np.array([[0.5, 0.9, 0.5], [np.nan, -np.inf, 0.1]]), 2)
    >>> found.row.tolist(), found.place.tolist()
    ([0, 0, 0, 1], [0, 1, 2, 2])
    """
    cost_BP = np.where(np.isfinite(score_BP), -score_BP, np.inf)
    k = min(k, cost_BP.shape[1])
    bar_B1 = np.partition(cost_BP, k - 1, axis=1)[:, k - 1 : k]
    row, place = np.nonzero((cost_BP <= bar_B1) & np.isfinite(cost_BP))
    return Hits(row, place, -cost_BP[row, place].astype(np.float32))


def most_converted(history: History, query_B: Ints, country_B: Ints | None, k: int, is_shown: Shown) -> Hits:
    """Return the k photos most converted for each search's query, from its country where `country_B` is given.

    Equal counts by decayed count where that is known, then by place.
    """
    tally = history.by_query_photo if country_B is None else history.by_query_country_photo
    width = history.photo_count * (1 if country_B is None else history.country_count)
    start_B, end_B = (np.searchsorted(tally.keys, (query_B + past) * width) for past in (0, 1))
    parts = []
    for row in np.flatnonzero((query_B >= 0) & (start_B < end_B)):
        part = slice(start_B[row], end_B[row])
        place_H, score_H = tally.keys[part] % width, _decisive(tally, part)
        if country_B is not None:
            place_H, country_H = np.divmod(place_H, history.country_count)
            place_H, score_H = place_H[country_H == country_B[row]], score_H[country_H == country_B[row]]
        row_H = np.full(len(place_H), row)
        is_kept_H = is_shown(row_H, place_H)
        parts.append(Hits(row_H, place_H, score_H).only(is_kept_H).best(k))
    return Hits.joined(parts)


def _decisive(tally: Tally, part: slice) -> NDArray[np.float64]:
    """Return counts, plus what of them has not decayed as a fraction, which decides between equal counts."""
    sums = tally.sums[part]
    return sums[:, 0] + (sums[:, 1] / (sums[:, 0] + 1) if sums.shape[1] > 1 else 0)


def _number_within(row_H: Ints) -> Ints:
    """Return the number of each hit within its search, from 1; hits of a search lie together."""
    return np.arange(len(row_H)) - np.searchsorted(row_H, row_H) + 1
