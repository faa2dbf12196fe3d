"""Candidate generation: the photos that several sources name for each search, united. Only the choice, no order.

A source names a text's photos once, all that it may name at any time, best first: what a search is shown of them
depends on when it was made.

Shape letters: B searches, U texts, P photos, H hits of one source, N candidates of all searches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Floats, Ints
from models.keyword_match import spans
from models.rerank.history import History

VECTOR, CONVERTED, CONVERTED_IN_COUNTRY, KEYWORDS = "vector", "converted", "converted_in_country", "keywords"
SOURCES = (VECTOR, CONVERTED, CONVERTED_IN_COUNTRY, KEYWORDS)
"""What names candidates: the vector index, the photos most converted for the query (and from the search's country), and
keyword match."""


Stays = Callable[[Ints], NDArray[np.bool_]]
"""Tells of photos, by their places, whether every search may be shown them."""


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
        return self.only(np.lexsort((self.place, -self.score, self.row))).first(k)

    def first(self, k: int) -> Hits:
        """Return the first k of each search; hits of a search lie together."""
        return self.only(_number_within(self.row) <= k)

    def nameable(self, stays_H: NDArray[np.bool_], k: int) -> Hits:
        """Return those that may be among the best k at some time, best first: fewer than k that stay are ahead.

        `stays_H` tells which photos every search may be shown.

        >>> hits = Hits(np.zeros(3, np.int64), np.array([1, 2, 3]), np.float32([0.9, 0.8, 0.7]))
        >>> hits.nameable(np.array([False, True, True]), 1).place.tolist()
        [1, 2]
        """
        order = np.lexsort((self.place, -self.score, self.row))
        hits, stays_H = self.only(order), stays_H[order]
        ahead_H: Ints = np.cumsum(stays_H) - stays_H
        is_near_H: NDArray[np.bool_] = ahead_H - ahead_H[_first_within(hits.row)] < k
        return hits.only(is_near_H)

    def of_rows(self, row_B: Ints) -> Hits:
        """Return the hits of some rows, which are numbered anew and may repeat; hits are row by row."""
        start_B, end_B = np.searchsorted(self.row, row_B), np.searchsorted(self.row, row_B, side="right")
        hits = self.only(spans(start_B, end_B - start_B))
        return Hits(np.repeat(np.arange(len(row_B)), end_B - start_B), hits.place, hits.score)


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

    def sources_of(self, row_B: Ints, picture_B: Ints, pictures: Ints) -> NDArray[np.uint8]:
        """Return which sources named a picture in a search, shape (B,), as bits; 0 where none did."""
        key_N = self.row * len(pictures) + pictures[self.place]
        order = np.argsort(key_N, kind="stable")
        keys, start = np.unique(key_N[order], return_index=True)
        if not len(keys):
            return np.zeros(len(row_B), dtype=np.uint8)
        sources = np.bitwise_or.reduceat(self.sources[order], start)
        key_B = row_B * len(pictures) + picture_B
        at_B = np.searchsorted(keys, key_B).clip(max=len(keys) - 1)
        return np.where(keys[at_B] == key_B, sources[at_B], np.uint8(0))

    def of_searches(self, is_kept_B: NDArray[np.bool_]) -> Candidates:
        """Return the candidates of some searches, which keep their numbers."""
        kept = is_kept_B[self.row]
        return Candidates(
            row=self.row[kept],
            place=self.place[kept],
            score=self.score[kept],
            rank=self.rank[kept],
            sources=self.sources[kept],
            count=np.where(is_kept_B, self.count, 0),
        )


def most_converted(history: History, query_U: Ints, country_U: Ints | None, k: int, stays: Stays) -> Hits:
    """Return the photos most converted for each text's query, from its country where `country_U` is given.

    Those that may be among the best k, as `Hits.nameable` has it. Equal counts by decayed count where that is known,
    then by place.
    """
    tally, country_count = history.by_query_photo, 1
    if country_U is not None:
        tally, country_count = history.by_query_country_photo, history.country_count
    queries, query_U = np.unique(query_U, return_inverse=True)
    width = history.photo_count * country_count
    start, end = (np.searchsorted(tally.keys, (queries + past) * width) for past in (0, 1))
    count = np.where(queries >= 0, end - start, 0)
    number_H, at_H = np.repeat(np.arange(len(queries)), count), spans(start, count)
    photo_H, country_H = np.divmod(tally.keys[at_H], country_count)
    asked_U = query_U if country_U is None else np.where(country_U < 0, -1, query_U * country_count + country_U)
    asked, row_U = np.unique(asked_U, return_inverse=True)
    row_H = np.searchsorted(asked, number_H * country_count + country_H).clip(max=len(asked) - 1)
    is_asked_H = (asked[row_H] == number_H * country_count + country_H) & (tally.sums[at_H, 0] > 0)
    hits = Hits(row_H, photo_H % history.photo_count, _decisive(tally.sums[at_H])).only(is_asked_H)
    return hits.nameable(stays(hits.place), k).of_rows(row_U)


def _decisive(sums_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return counts, plus what of them has not decayed as a fraction, which decides between equal counts."""
    return sums_HW[:, 0] + (sums_HW[:, 1] / (sums_HW[:, 0] + 1) if sums_HW.shape[1] > 1 else 0)


def _first_within(row_H: Ints) -> Ints:
    """Return the place of the first hit of each hit's search; hits of a search lie together."""
    starts = np.flatnonzero(np.diff(row_H, prepend=-1))
    return np.repeat(starts, np.diff(starts, append=len(row_H)))


def _number_within(row_H: Ints) -> Ints:
    """Return the number of each hit within its search, from 1; hits of a search lie together."""
    return np.arange(len(row_H)) - _first_within(row_H) + 1
