"""What past conversions say of photos, as of one instant: counts by photo, country, device and query. Only counting.

Shape letters: E events (past conversions), P photos, C countries, D devices, N pairs that are looked up.

One cutoff for a whole window, not one per search: every search of a window sees what was known when the window
began, as the counting baselines do, so that arms compare and training looks like the test. An event at or past
the cutoff changes nothing here.

What is known later can be put on top (`History.plus`): it counts as if made at the cutoff, which stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Ints

Float64s = NDArray[np.float64]
DAY = 86_400_000_000
"""Microseconds, the unit of all instants here."""
DEVICES = ("mobile", "tablet", "desktop")
"""The devices by number, from the smallest screen to the largest, so that trees can part them by size."""


@dataclass(frozen=True)
class Events:
    """Past conversions by number. Query -1 is a text that is never looked up; its events count for photos alone.

    Device -1 is unknown.
    """

    photo: Ints
    query: Ints
    country: Ints
    device: Ints
    at: Ints

    def before(self, cutoff: int) -> Events:
        """Return the events strictly before the cutoff."""
        kept = self.at < cutoff
        return Events(self.photo[kept], self.query[kept], self.country[kept], self.device[kept], self.at[kept])


@dataclass(frozen=True)
class Tally:
    """Weights summed by key, looked up by key: sorted keys and one column of sums per weight."""

    keys: Ints
    sums: Float64s  # (keys, weights)

    @classmethod
    def of(cls, key_E: Ints, weight_EW: Float64s) -> Tally:
        """Sum the weights of equal keys; negative keys are left out."""
        kept = key_E >= 0
        keys, place = np.unique(key_E[kept], return_inverse=True)
        sums = np.zeros((len(keys), weight_EW.shape[1]))
        for column, weight_E in enumerate(weight_EW[kept].T):
            sums[:, column] = np.bincount(place, weights=weight_E, minlength=len(keys))
        return cls(keys, sums)

    def plus(self, key_E: Ints) -> Tally:
        """Return the tally with one more of each key, which weighs 1 in every column; negative keys are left out."""
        more = Tally.of(key_E, np.ones((len(key_E), self.sums.shape[1])))
        place = np.searchsorted(self.keys, more.keys)
        known = self.keys[place.clip(max=len(self.keys) - 1)] if len(self.keys) else np.full(len(place), -1)
        is_new = known != more.keys
        keys = np.insert(self.keys, place[is_new], more.keys[is_new])
        sums = np.insert(self.sums, place[is_new], 0.0, axis=0)
        sums[np.searchsorted(keys, more.keys)] += more.sums
        return Tally(keys, sums)

    def joined(self, other: Tally) -> Tally:
        """Return the sums of both."""
        return Tally.of(np.concatenate([self.keys, other.keys]), np.concatenate([self.sums, other.sums]))

    def at(self, key_N: Ints) -> Float64s:
        """Return the sums of each key, shape (N, weights), 0 for a key never seen."""
        if len(self.keys) == 0:
            return np.zeros((len(key_N), self.sums.shape[1]))
        place = np.searchsorted(self.keys, key_N).clip(max=len(self.keys) - 1)
        return np.where((self.keys[place] == key_N)[:, None], self.sums[place], 0.0)


@dataclass(frozen=True)
class RaisedTally(Tally):
    """A tally with more put on top, whose keys have a second part of more values: `part_counts` before and now."""

    added: Tally
    part_counts: tuple[int, int]

    def at(self, key_N: Ints) -> Float64s:
        """Return the sums of each key, of both."""
        before, now = self.part_counts
        first_N, second_N = np.divmod(key_N, now)
        is_old_N = (key_N >= 0) & (second_N < before)
        return super().at(np.where(is_old_N, first_N * before + second_N, -1)) + self.added.at(key_N)


@dataclass(frozen=True)
class History:
    """Everything known at `cutoff`. Decayed counts weigh an event of age t days by 2^(-t / half-life)."""

    cutoff: int
    country_count: int
    photo_count: int
    photo_sums: Float64s  # (P, 5): count, decayed, last day, last 7 days, last 28 days
    last_at: Float64s  # NaN without a conversion
    country_share: Float64s  # (C + 1,): of all events, smoothed: never 0, 1 in all; the last is of any other country
    photo_devices: Float64s  # (P, D): count by device, where it is known
    device_share: Float64s  # (D,): of all events whose device is known, smoothed: never 0
    daily_rate: float  # events per photo that was there, and day, over the last 28 days
    by_photo_country: Tally  # count, decayed
    by_query: Tally  # count
    by_query_photo: Tally  # count, decayed
    by_query_country_photo: Tally  # count

    @classmethod
    def of(
        cls, events: Events, cutoff: int, available_at_P: Ints, country_count: int, half_life_days: float
    ) -> History:
        """Count the events strictly before `cutoff` (microseconds)."""
        past = events.before(cutoff)
        photo_count = len(available_at_P)
        age_days = (cutoff - past.at) / DAY
        one, decayed = np.ones(len(age_days)), 0.5 ** (age_days / half_life_days)
        windows = [(age_days <= days).astype(np.float64) for days in (1, 7, 28)]
        sums = [np.bincount(past.photo, weights=w, minlength=photo_count) for w in (one, decayed, *windows)]
        last_at_P = np.full(photo_count, -np.inf)
        np.maximum.at(last_at_P, past.photo, past.at.astype(np.float64))
        countries = np.bincount(past.country, minlength=country_count + 1)
        by_device = count_devices(past, photo_count)
        weights = np.column_stack([one, decayed])
        query_photo = np.where(past.query >= 0, past.query * photo_count + past.photo, -1)
        triple = np.where(query_photo >= 0, query_photo * country_count + past.country, -1)
        return cls(
            cutoff=cutoff,
            country_count=country_count,
            photo_count=photo_count,
            photo_sums=np.column_stack(sums).astype(np.float64),  # of no events numpy counts integers
            last_at=np.where(np.isfinite(last_at_P), last_at_P, np.nan),
            country_share=shares(countries),
            photo_devices=by_device,
            device_share=shares(by_device.sum(axis=0)),
            daily_rate=daily_rate(float(windows[2].sum()), exposure_days(cutoff, available_at_P)),
            by_photo_country=Tally.of(past.photo * country_count + past.country, weights),
            by_query=Tally.of(past.query, weights[:, :1]),
            by_query_photo=Tally.of(query_photo, weights),
            by_query_country_photo=Tally.of(triple, weights[:, :1]),
        )

    def joined(self, other: History, available_at_P: Ints) -> History:
        """Return what both count, of further events: with the same cutoff, half-life, photos and countries."""
        photo_sums, by_device = self.photo_sums + other.photo_sums, self.photo_devices + other.photo_devices
        return replace(
            self,
            photo_sums=photo_sums,
            last_at=np.fmax(self.last_at, other.last_at),
            country_share=shares(self.country_counts + other.country_counts),
            photo_devices=by_device,
            device_share=shares(by_device.sum(axis=0)),
            daily_rate=daily_rate(float(photo_sums[:, 4].sum()), exposure_days(self.cutoff, available_at_P)),
            by_photo_country=self.by_photo_country.joined(other.by_photo_country),
            by_query=self.by_query.joined(other.by_query),
            by_query_photo=self.by_query_photo.joined(other.by_query_photo),
            by_query_country_photo=self.by_query_country_photo.joined(other.by_query_country_photo),
        )

    def plus(self, events: Events, available_at_P: Ints) -> History:
        """Return the history with further conversions, whenever they were made, as if made at the cutoff.

        Each weighs 1 in every window and in decayed counts. It costs as much as the tables are long, not the log.
        """
        count_P = np.bincount(events.photo, minlength=self.photo_count)
        photo_sums = self.photo_sums + count_P[:, None]
        by_device = self.photo_devices + count_devices(events, self.photo_count)
        query_photo = np.where(events.query >= 0, events.query * self.photo_count + events.photo, -1)
        triple = np.where(query_photo >= 0, query_photo * self.country_count + events.country, -1)
        countries = self.country_counts + np.bincount(events.country, minlength=self.country_count + 1)
        return replace(
            self,
            photo_sums=photo_sums,
            last_at=np.where(count_P > 0, float(self.cutoff), self.last_at),
            country_share=shares(countries),
            photo_devices=by_device,
            device_share=shares(by_device.sum(axis=0)),
            daily_rate=daily_rate(float(photo_sums[:, 4].sum()), exposure_days(self.cutoff, available_at_P)),
            by_photo_country=self.by_photo_country.plus(events.photo * self.country_count + events.country),
            by_query=self.by_query.plus(events.query),
            by_query_photo=self.by_query_photo.plus(query_photo),
            by_query_country_photo=self.by_query_country_photo.plus(triple),
        )

    def renumbered(self, query_Q: Ints, country_C: Ints, country_count: int) -> History:
        """Return the history with other numbers: query q is called `query_Q[q]`, and countries likewise.

        The new numbers ascend, so tallies keep their order.
        """

        def of_country(key: Ints) -> Ints:
            rest, country = np.divmod(key, self.country_count)
            return rest * country_count + country_C[country]

        def of_query(key: Ints) -> Ints:
            query, photo = np.divmod(key, self.photo_count)
            return query_Q[query] * self.photo_count + photo

        countries = np.zeros(country_count + 1)
        countries[country_C] = self.country_counts[:-1]
        pairs, country = np.divmod(self.by_query_country_photo.keys, self.country_count)
        return replace(
            self,
            country_count=country_count,
            country_share=shares(countries),
            by_photo_country=replace(self.by_photo_country, keys=of_country(self.by_photo_country.keys)),
            by_query=replace(self.by_query, keys=query_Q[self.by_query.keys]),
            by_query_photo=replace(self.by_query_photo, keys=of_query(self.by_query_photo.keys)),
            by_query_country_photo=replace(
                self.by_query_country_photo, keys=of_query(pairs) * country_count + country_C[country]
            ),
        )

    @property
    def country_counts(self) -> Float64s:
        """The events by country, and of any other country, shape (C + 1,): what the shares were made of."""
        event_count = self.photo_sums[:, 0].sum()
        counts: Float64s = np.rint(self.country_share * (event_count + self.country_count + 1) - 1)
        return counts


def shares(counts: Float64s | Ints) -> Float64s:
    """Return the smoothed shares of counts: never 0, 1 in all."""
    found: Float64s = (counts + 1.0) / (counts.sum() + len(counts))
    return found


def daily_rate(recent_count: float, exposure_days: float) -> float:
    """Return the events of the last 28 days per photo and day."""
    return float(recent_count / exposure_days) if exposure_days > 0 else 0.0


def exposure_days(cutoff: int, available_at_P: Ints) -> float:
    """Return on how many of the last 28 days photos were there, all together."""
    return float(np.clip((cutoff - available_at_P) / DAY, 0, 28).sum())


def count_devices(past: Events, photo_count: int) -> Float64s:
    """Return the events by photo and device, shape (P, D), where the device is known."""
    is_known = past.device >= 0
    key = past.photo[is_known] * len(DEVICES) + past.device[is_known]
    counts = np.bincount(key, minlength=photo_count * len(DEVICES))
    return counts.reshape(photo_count, len(DEVICES)).astype(np.float64)
