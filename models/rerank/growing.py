"""Counts that grow while a window is played again: at each step as `Counts.plus` has them, at the cost of what is new.

Shape letters: P photos, Q queries that are asked, C countries, E conversions in the order of time, W weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Ints
from models.keyword_match import spans
from models.rerank.history import (
    Float64s,
    History,
    RaisedTally,
    Tally,
    daily_rate,
    exposure_days,
    shares,
)
from models.rerank.tables import Conversions, SearchTables, numbers_of


@dataclass(frozen=True)
class _Sums:
    """Sums by place, and how often each was counted since. What is added is one number, so steps do not matter."""

    now: Float64s  # (places, W), changed in place
    before: Float64s
    added: Ints  # (places,)
    place_E: Ints  # -1 where a conversion is not counted

    @classmethod
    def of(cls, before: Float64s, place_E: Ints) -> _Sums:
        return cls(np.array(before), before, np.zeros(len(before), dtype=np.int64), place_E)

    def add(self, part: slice) -> Ints:
        """Count some conversions and return their places."""
        place = self.place_E[part]
        place = place[place >= 0]
        np.add.at(self.added, place, 1)
        self.now[place] = self.before[place] + self.added[place, None]
        return place


def _tally(before: Tally, key_E: Ints) -> tuple[Tally, _Sums]:
    """Return a tally with all keys of conversions, whose sums grow."""
    keys = np.union1d(before.keys, key_E[key_E >= 0])
    start = np.zeros((len(keys), before.sums.shape[1]))
    start[np.searchsorted(keys, before.keys)] = before.sums
    sums = _Sums.of(start, np.where(key_E >= 0, np.searchsorted(keys, key_E), -1))
    return Tally(keys, sums.now), sums


class GrowingCounts:
    """The tables of a search with conversions put on top, one after another.

    Only some queries are counted, by their place in `queries`: those that are asked. `tables` is changed by each step.
    """

    def __init__(self, tables: SearchTables, fresh: Conversions, queries: NDArray[np.uint64]) -> None:
        """Begin without any of the conversions, which are in the order of time."""
        old = tables.history
        self._old, self._fresh, self._reached = old, fresh, 0
        self._exposure_days = exposure_days(old.cutoff, tables.photos.available_at)
        self._recent_count = float(old.photo_sums[:, 4].sum())
        self.queries, self._countries = np.unique(queries), tables.countries
        self._new_countries = np.setdiff1d(fresh.country, tables.countries)
        query_E, country_E = numbers_of(self.queries, fresh.query), self.country_numbers(fresh.country)
        self._country_E = country_E
        self._country_counts = np.concatenate([old.country_counts[:-1], np.zeros(len(self._new_countries) + 1)])
        country_count = len(self._country_counts) - 1
        pair_E = np.where(query_E >= 0, query_E * old.photo_count + fresh.photo, -1)
        triple_E = np.where(pair_E >= 0, pair_E * country_count + country_E, -1)
        self._photos = _Sums.of(old.photo_sums, fresh.photo)
        self._devices, self._last_at = np.array(old.photo_devices), np.array(old.last_at)
        nothing = Tally(np.zeros(0, dtype=np.int64), np.zeros((0, old.by_photo_country.sums.shape[1])))
        of_country, in_country = _tally(nothing, fresh.photo * country_count + country_E)
        by_query, of_query = _tally(self._asked(tables, old.by_query, 1, 1, 1), query_E)
        by_photo, of_photo = _tally(self._asked(tables, old.by_query_photo, old.photo_count, 1, 1), pair_E)
        by_triple, of_triple = _tally(
            self._asked(tables, old.by_query_country_photo, old.photo_count, old.country_count, country_count), triple_E
        )
        self._sums = (in_country, of_query, of_photo, of_triple)
        part_counts = (old.country_count, country_count)
        history = replace(
            old,
            country_count=country_count,
            photo_sums=self._photos.now,
            last_at=self._last_at,
            photo_devices=self._devices,
            by_photo_country=RaisedTally(old.by_photo_country.keys, old.by_photo_country.sums, of_country, part_counts),
            by_query=by_query,
            by_query_photo=by_photo,
            by_query_country_photo=by_triple,
        )
        self.tables = replace(tables, history=self._with_shares(history), queries=self.queries)

    def country_numbers(self, countries: NDArray[np.str_]) -> Ints:
        """Return the numbers of countries, -1 where no conversion comes from; new ones stand behind the old."""
        old, new = numbers_of(self._countries, countries), numbers_of(self._new_countries, countries)
        return np.where(old >= 0, old, np.where(new >= 0, len(self._countries) + new, -1))

    def reach(self, count: int) -> SearchTables:
        """Return the tables with the first so many conversions on top; at least as many as before."""
        part, self._reached = slice(self._reached, count), count
        places = self._photos.add(part)
        self._last_at[places] = float(self._old.cutoff)
        device = self._fresh.device[part]
        np.add.at(self._devices, (places[device >= 0], device[device >= 0]), 1)
        np.add.at(self._country_counts, self._country_E[part], 1)
        for sums in self._sums:
            sums.add(part)
        self.tables = replace(self.tables, history=self._with_shares(self.tables.history))
        return self.tables

    def _with_shares(self, history: History) -> History:
        """Return the history with the numbers that are of all photos; a country counts once somebody came from it."""
        new_counts = self._country_counts[len(self._countries) : -1]
        known_count = len(self._countries) + int((new_counts > 0).sum())
        share = (self._country_counts + 1.0) / (self._country_counts.sum() + known_count + 1)
        return replace(
            history,
            country_share=share,
            device_share=shares(self._devices.sum(axis=0)),
            daily_rate=daily_rate(self._recent_count + self._reached, self._exposure_days),
        )

    def _asked(self, tables: SearchTables, tally: Tally, photo_count: int, before: int, now: int) -> Tally:
        """Return what a tally says of the queries asked, by their new numbers and with the new count of countries.

        Its keys are (query * photo_count + photo) * before + country.
        """
        old_Q, width = numbers_of(tables.queries, self.queries), photo_count * before
        start, end = (np.searchsorted(tally.keys, (old_Q + past) * width) for past in (0, 1))
        count = np.where(old_Q >= 0, end - start, 0)
        at, number = spans(start, count), np.repeat(np.arange(len(old_Q)), count)
        photo, country = np.divmod(tally.keys[at] - old_Q[number] * width, before)
        return Tally((number * photo_count + photo) * now + country, tally.sums[at])
