"""Counts as of an instant: equal to a plain count, and blind to everything at or past it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rerank.history import DAY, DEVICES, Events, History, Tally
from tests.models.rerank.world import joined

PHOTOS, QUERIES, COUNTRIES = 7, 5, 3
CUTOFF = 40 * DAY
AVAILABLE = np.zeros(PHOTOS, dtype=np.int64)


def events(random: np.random.Generator, count: int, start: int, end: int) -> Events:
    return Events(
        random.integers(0, PHOTOS, count),
        random.integers(-1, QUERIES, count),
        random.integers(0, COUNTRIES, count),
        random.integers(-1, len(DEVICES), count),
        random.integers(start, end, count),
    )


@given(st.integers(0, 10_000))
def test_counts_equal_a_plain_count(seed: int) -> None:
    random = np.random.default_rng(seed)
    log = events(random, int(random.integers(0, 60)), 0, CUTOFF)
    history = History.of(log, CUTOFF, AVAILABLE, COUNTRIES, half_life_days=7.0)
    weight = 0.5 ** ((CUTOFF - log.at) / DAY / 7)
    for photo in range(PHOTOS):
        own = log.photo == photo
        days = [(own & (CUTOFF - log.at <= d * DAY)).sum() for d in (1, 7, 28)]
        assert history.photo_sums[photo].tolist() == pytest.approx([own.sum(), weight[own].sum(), *days])
        last = log.at[own].max() if own.any() else np.nan
        np.testing.assert_equal(history.last_at[photo], float(last))
        by_device = [(own & (log.device == device)).sum() for device in range(len(DEVICES))]
        assert history.photo_devices[photo].tolist() == by_device
        for country in range(COUNTRIES):
            there = own & (log.country == country)
            found = history.by_photo_country.at(np.array([photo * COUNTRIES + country]))[0]
            assert found.tolist() == pytest.approx([there.sum(), weight[there].sum()])
            for query in range(QUERIES):
                asked = own & (log.query == query)
                key = np.array([query * PHOTOS + photo])
                found = history.by_query_photo.at(key)[0]
                assert found.tolist() == pytest.approx([asked.sum(), weight[asked].sum()])
                assert history.by_query_country_photo.at(key * COUNTRIES + country)[0, 0] == (asked & there).sum()
    assert history.by_query.at(np.arange(QUERIES))[:, 0].tolist() == [(log.query == q).sum() for q in range(QUERIES)]


@given(st.integers(0, 10_000))
def test_counts_of_parts_of_the_log_join_to_those_of_the_whole(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [events(random, int(random.integers(0, 40)), 0, 2 * CUTOFF) for _ in range(2)]
    whole, first, second = (
        History.of(log, CUTOFF, AVAILABLE, COUNTRIES, half_life_days=7.0) for log in (joined(*parts), *parts)
    )
    found = first.joined(second, AVAILABLE)
    for field in dataclasses.fields(History):
        mine, expected = getattr(found, field.name), getattr(whole, field.name)
        if isinstance(expected, Tally):
            np.testing.assert_array_equal(mine.keys, expected.keys)
            mine, expected = mine.sums, expected.sums
        np.testing.assert_allclose(mine, expected, rtol=1e-12)


@given(st.integers(0, 10_000))
def test_nothing_at_or_past_the_cutoff_changes_anything(seed: int) -> None:
    random = np.random.default_rng(seed)
    log = events(random, 40, 0, CUTOFF)
    future = events(random, int(random.integers(1, 40)), CUTOFF, 2 * CUTOFF)
    future.at[0] = CUTOFF
    arguments = (CUTOFF, AVAILABLE, COUNTRIES, 7.0)
    plain, planted = History.of(log, *arguments), History.of(joined(log, future), *arguments)
    for name in History.__dataclass_fields__:
        ours, theirs = getattr(plain, name), getattr(planted, name)
        if isinstance(ours, Tally):
            np.testing.assert_equal((ours.keys, ours.sums), (theirs.keys, theirs.sums))
        else:
            np.testing.assert_equal(ours, theirs)


def test_an_event_just_before_the_cutoff_counts() -> None:
    one = np.array([0])
    history = History.of(Events(one, one, one, one, np.array([CUTOFF - 1])), CUTOFF, AVAILABLE, COUNTRIES, 7.0)
    assert history.photo_sums[0, 0] == 1
    assert history.photo_sums[0, 1] == pytest.approx(1)


def test_no_event_at_all() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    history = History.of(Events(nothing, nothing, nothing, nothing, nothing), CUTOFF, AVAILABLE, COUNTRIES, 7.0)
    assert history.photo_sums.sum() == 0
    assert history.by_query_photo.at(np.array([0, 3])).tolist() == [[0, 0], [0, 0]]
    assert (history.country_share > 0).all()
    assert history.country_share.sum() == pytest.approx(1)
    for unseen in (1, 7):  # countries that are asked from and have no conversion
        log = events(np.random.default_rng(unseen), 40, 0, CUTOFF)
        more = History.of(log, CUTOFF, AVAILABLE, COUNTRIES + unseen, 7.0)
        assert more.country_share.sum() == pytest.approx(1)
    assert history.device_share.tolist() == pytest.approx([1 / 3] * 3)
