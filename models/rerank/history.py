"""What past conversions say of photos, as of one instant: counts by photo, country, device and query. Only counting.

Shape letters: E events (past conversions), P photos, C countries, D devices, N pairs that are looked up.

One cutoff for a whole window, not one per search: every search of a window sees what was known when the window
began, as the counting baselines do, so that arms compare and training looks like the test. An event at or past
the cutoff changes nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    def at(self, key_N: Ints) -> Float64s:
        """Return the sums of each key, shape (N, weights), 0 for a key never seen."""
        if len(self.keys) == 0:
            return np.zeros((len(key_N), self.sums.shape[1]))
        place = np.searchsorted(self.keys, key_N).clip(max=len(self.keys) - 1)
        return np.where((self.keys[place] == key_N)[:, None], self.sums[place], 0.0)


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
        by_device = _count_devices(past, photo_count)
        exposure = np.clip((cutoff - available_at_P) / DAY, 0, 28).sum()
        weights = np.column_stack([one, decayed])
        query_photo = np.where(past.query >= 0, past.query * photo_count + past.photo, -1)
        triple = np.where(query_photo >= 0, query_photo * country_count + past.country, -1)
        return cls(
            cutoff=cutoff,
            country_count=country_count,
            photo_count=photo_count,
            photo_sums=np.column_stack(sums),
            last_at=np.where(np.isfinite(last_at_P), last_at_P, np.nan),
            country_share=(countries + 1.0) / (countries.sum() + country_count + 1),
            photo_devices=by_device,
            device_share=(by_device.sum(axis=0) + 1.0) / (by_device.sum() + len(DEVICES)),
            daily_rate=float(windows[2].sum() / exposure) if exposure > 0 else 0.0,
            by_photo_country=Tally.of(past.photo * country_count + past.country, weights),
            by_query=Tally.of(past.query, weights[:, :1]),
            by_query_photo=Tally.of(query_photo, weights),
            by_query_country_photo=Tally.of(triple, weights[:, :1]),
        )


def _count_devices(past: Events, photo_count: int) -> Float64s:
    is_known = past.device >= 0
    key = past.photo[is_known] * len(DEVICES) + past.device[is_known]
    counts = np.bincount(key, minlength=photo_count * len(DEVICES))
    return counts.reshape(photo_count, len(DEVICES)).astype(np.float64)
