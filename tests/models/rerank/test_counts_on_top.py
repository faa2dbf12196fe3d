"""Conversions put on top of counts: equal to counting them with the rest, as made at the cutoff."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rerank.history import DAY, DEVICES, Events, History
from models.rerank.tables import Conversions, Counts

PHOTOS = 7
CUTOFF = 40 * DAY
HALF_LIFE_DAYS = 7.0
AVAILABLE = np.arange(PHOTOS) * 7 * DAY  # the last one after the cutoff
QUERIES = np.array([3, 5, 8, 13, 21, 34], dtype=np.uint64)
COUNTRIES = np.array(["", "BR", "DE", "FR", "ZA"])


def conversions(random: np.random.Generator, count: int, queries: Any, countries: Any) -> Conversions:
    return Conversions(
        random.integers(0, PHOTOS, count),
        random.choice(queries, count).astype(np.uint64),
        random.choice(countries, count).astype(np.str_),
        random.integers(-1, len(DEVICES), count),
    )


def joined(*parts: Conversions) -> Conversions:
    return Conversions(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Conversions)))


def some(log: Conversions, kept: Any) -> Conversions:
    return Conversions(*(getattr(log, one.name)[kept] for one in fields(Conversions)))


def counted(log: Conversions, at: Any) -> Counts:
    queries, query = np.unique(log.query, return_inverse=True)
    countries, country = np.unique(log.country, return_inverse=True)
    events = Events(log.photo, query, country, log.device, at)
    return Counts(History.of(events, CUTOFF, AVAILABLE, len(countries), HALF_LIFE_DAYS), queries, countries)


def arrays(value: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(value):
        one = getattr(value, field.name)
        found |= arrays(one, f"{prefix}{field.name}.") if is_dataclass(one) else {f"{prefix}{field.name}": one}
    return found


def assert_alike(found: Counts, wanted: Counts) -> None:
    """Equal in every array; a weight of an event a microsecond old is nearly 1."""
    left, right = arrays(found), arrays(wanted)
    assert left.keys() == right.keys()
    for name, value in left.items():
        if np.asarray(value).dtype.kind == "f":
            np.testing.assert_allclose(value, right[name], rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(value, right[name], err_msg=name)


def log_of(seed: int) -> tuple[Conversions, Any, Conversions, np.random.Generator]:
    """Return conversions with their times, and later ones of which some ask and come from elsewhere."""
    random = np.random.default_rng(seed)
    old = conversions(random, int(random.integers(0, 60)), QUERIES[1::2], COUNTRIES[:3])
    at = random.integers(0, CUTOFF, len(old.photo))
    return old, at, conversions(random, int(random.integers(1, 30)), QUERIES, COUNTRIES), random


@given(st.integers(0, 10_000))
def test_it_equals_counting_all_with_the_later_ones_just_before_the_cutoff(seed: int) -> None:
    old, at, new, _ = log_of(seed)
    found = counted(old, at).plus(new, AVAILABLE)
    wanted = counted(joined(old, new), np.concatenate([at, np.full(len(new.photo), CUTOFF - 1)]))
    last_at = np.where(wanted.history.last_at == CUTOFF - 1, CUTOFF, wanted.history.last_at)
    assert_alike(found, replace(wanted, history=replace(wanted.history, last_at=last_at)))
    assert np.nanmax(found.history.last_at) == CUTOFF  # no feature of an age is below zero


@given(st.integers(0, 10_000))
def test_two_steps_equal_one_and_no_conversion_changes_nothing(seed: int) -> None:
    old, at, new, random = log_of(seed)
    before = counted(old, at)
    is_first = random.random(len(new.photo)) < 0.5
    both = before.plus(some(new, is_first), AVAILABLE).plus(some(new, ~is_first), AVAILABLE)
    assert_alike(both, before.plus(new, AVAILABLE))
    for name, value in arrays(before.plus(some(new, slice(0)), AVAILABLE)).items():
        np.testing.assert_array_equal(value, arrays(before)[name], err_msg=name)


def test_what_was_counted_is_not_changed_in_place() -> None:
    old, at, new, _ = log_of(1)
    before = counted(old, at)
    for array in arrays(before).values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False  # as mapped files are
    assert before.plus(new, AVAILABLE).history.photo_sums.sum() == pytest.approx(
        before.history.photo_sums.sum() + 5 * len(new.photo)
    )
