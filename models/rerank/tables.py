"""What a search knows of a catalogue besides vectors, as of one instant: photos, past conversions, words. Pure.

Shape letters: P photos, U distinct texts, B searches. Photos stand in the order that decides ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Ints
from models.keyword_match import KeywordMatch, token_ids
from models.rerank.features import ORIENTATIONS, Photos, Searches
from models.rerank.history import DEVICES, Events, History


@dataclass(frozen=True)
class Conversions:
    """Conversions by photo's place, `token_ids` of the query, code of the country, and device as in `Events`."""

    photo: Ints
    query: NDArray[np.uint64]
    country: NDArray[np.str_]
    device: Ints


@dataclass(frozen=True)
class Counts:
    """What of a search's tables changes with every conversion; `queries` and `countries` as in `SearchTables`."""

    history: History
    queries: NDArray[np.uint64]
    countries: NDArray[np.str_]

    def plus(self, fresh: Conversions, available_at_P: Ints) -> Counts:
        """Return the counts with further conversions as `History.plus` adds them; new queries and countries join."""
        queries, countries = np.union1d(self.queries, fresh.query), np.union1d(self.countries, fresh.country)
        history = self.history.renumbered(
            np.searchsorted(queries, self.queries), np.searchsorted(countries, self.countries), len(countries)
        )
        events = Events(
            photo=fresh.photo,
            query=np.searchsorted(queries, fresh.query),
            country=np.searchsorted(countries, fresh.country),
            device=fresh.device,
            at=np.full(len(fresh.photo), history.cutoff),
        )
        return Counts(history.plus(events, available_at_P), queries, countries)


@dataclass(frozen=True)
class SearchTables:
    """The tables of a search; the same whether they lie in memory or in mapped files.

    `queries` are the `token_ids` of the texts that somebody asked before, ascending: a query's place in them is its
    number in `history`, and so is a country's place in `countries` (codes, ascending, "" if it is not known).
    """

    photos: Photos
    history: History
    keywords: KeywordMatch
    queries: NDArray[np.uint64]
    countries: NDArray[np.str_]
    tastes: NDArray[np.float32]  # (C, K) of the countries: see `models.rerank.likeness`

    @property
    def counts(self) -> Counts:
        """What of the tables changes with every conversion."""
        return Counts(self.history, self.queries, self.countries)

    def counting(self, counts: Counts) -> SearchTables:
        """Return the same tables with other counts. Countries keep their tastes; new ones have none."""
        tastes = np.zeros((len(counts.countries), self.tastes.shape[1]), dtype=np.float32)
        tastes[np.searchsorted(counts.countries, self.countries)] = self.tastes
        counted = replace(self, history=counts.history, queries=counts.queries, countries=counts.countries)
        return replace(counted, tastes=tastes)

    def searches(
        self,
        text_B: Ints,
        words: Sequence[str],
        countries: Sequence[str],
        asked_at_B: Ints,
        devices: Sequence[str | None] | None = None,
        orientations: Sequence[str | None] | None = None,
        visitor_B: Ints | None = None,
    ) -> Searches:
        """Return searches by number: what they ask, `text_B`, is told by U `words` and `countries`.

        Devices, orientations and visitors (by number) are of each search; unknown ones, and None, say nothing.
        """
        query_U = numbers_of(self.queries, token_ids(words))
        country_U = numbers_of(self.countries, np.array(countries, dtype=np.str_))
        unknown = [None] * len(text_B)
        return Searches(
            text=text_B,
            query=query_U[text_B],
            country=country_U[text_B],
            device=_places(DEVICES, devices or unknown),
            orientation=_places(ORIENTATIONS, orientations or unknown),
            asked_at=asked_at_B,
            visitor=np.full(len(text_B), -1, dtype=np.int64) if visitor_B is None else visitor_B,
        )


def numbers_of(known: NDArray[np.uint64] | NDArray[np.str_], asked: NDArray[np.uint64] | NDArray[np.str_]) -> Ints:
    """Return the place of each asked value among the known ones, which ascend; -1 for others."""
    if not len(known):
        return np.full(len(asked), -1, dtype=np.int64)
    place = np.searchsorted(known, asked).clip(max=len(known) - 1)  # type: ignore[arg-type, type-var]
    return np.where(known[place] == asked, place, -1)


def _places(known: Sequence[str], values: Sequence[str | None]) -> Ints:
    """Return each value's place in `known`, -1 for None and for what is not in it."""
    numbers = {name: number for number, name in enumerate(known)}
    return np.array([numbers.get(value or "", -1) for value in values], dtype=np.int64)
