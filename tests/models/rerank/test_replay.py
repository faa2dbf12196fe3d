"""A replay knows what had been counted before each search, and nothing at or after that."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.ranking import Availability
from models.keyword_match import KeywordMatch, Tokens
from models.rerank.features import FEATURES, Photos, Searches
from models.rerank.history import DAY, Events, History
from models.rerank.photo_keywords import PhotoKeywords
from models.rerank.replay import HOUR, Replay
from models.rerank.search import Search
from models.rerank.tables import Conversions, SearchTables, numbers_of
from models.rerank.vectors import listed

PHOTOS, TEXTS, START = 6, 4, 100 * DAY
QUERIES, COUNTRIES = np.array([10, 20, 30, 40], np.uint64), np.array(["DE", "FR", "FR", "US"])


def replay_of(random: np.random.Generator, count: int) -> Replay:
    """Before the window people in DE asked for the first text alone; the window's conversions are of all texts."""
    zeros, available = np.zeros(5, np.int64), np.zeros(PHOTOS, np.int64)
    past = Events(random.integers(0, PHOTOS, 5), zeros, zeros, zeros, random.integers(0, START, 5))
    tables = SearchTables(
        photos=Photos(available, np.ones(PHOTOS), np.zeros((PHOTOS, 2), np.float16), PhotoKeywords.none(PHOTOS)),
        history=History.of(past, START, available, 1, 7.0),
        keywords=KeywordMatch.of([["w"]] * PHOTOS, np.ones(PHOTOS, np.bool_)),
        queries=QUERIES[:1],
        countries=COUNTRIES[:1],
        tastes=np.zeros((1, 2), np.float32),
    )
    availability, unit = Availability(available), np.ones((TEXTS, 1), np.float32)
    vectors = listed(unit, np.ones((PHOTOS, 1), np.float32), availability, START, START + 3 * DAY, PHOTOS)
    tokens = Tokens.of(["w"] * TEXTS)
    search = Search(tables, tokens, vectors, availability, availability.pictures, reranker=None)
    text = random.integers(0, TEXTS, count)
    photo, device = random.integers(0, PHOTOS, count), random.integers(-1, 3, count)
    at = START + random.integers(0, 3 * 24, count) * HOUR + random.choice([0, 1, HOUR // 2, HOUR - 1], count)
    return Replay(search, Conversions(photo, QUERIES[text], COUNTRIES[text], device), at, QUERIES, COUNTRIES)


def searches_of(random: np.random.Generator, count: int) -> Searches:
    text, unknown = random.integers(0, TEXTS, count), np.full(count, -1)
    at = START + random.integers(0, 3 * 24, count) * HOUR + random.choice([0, 1, HOUR - 1], count)
    return Searches(text, unknown, unknown, unknown, unknown, at, unknown)


@given(st.integers(0, 10_000), st.sampled_from([1, 6, 24]))
def test_a_search_knows_what_was_converted_before_the_last_refresh(seed: int, hours: int) -> None:
    random = np.random.default_rng(seed)
    replay, searches = replay_of(random, int(random.integers(0, 40))), searches_of(random, 20)
    own, seen = replay.search.tables.history.photo_sums[:, 0], []
    for rows, asked, search in replay.refreshed(searches, hours * HOUR):
        seen += rows.tolist()
        known = [at // (hours * HOUR) * (hours * HOUR) for at in asked.asked_at]
        assert len(set(known)) == 1
        is_known = replay.at < known[0]
        history = search.tables.history
        added = np.bincount(replay.fresh.photo[is_known], minlength=PHOTOS)
        np.testing.assert_array_equal(history.photo_sums[:, 0], own + added)
        for text, query, country in zip(asked.text, asked.query, asked.country, strict=True):
            times = (is_known & (replay.fresh.query == QUERIES[text])).sum() + (5 if text == 0 else 0)
            assert history.by_query.at(np.array([query]))[0, 0] == times
            own_country = is_known & (replay.fresh.country == COUNTRIES[text])
            total = 5 + is_known.sum()
            known_count = len({"DE", *replay.fresh.country[is_known]})
            from_there = own_country.sum() + (5 if COUNTRIES[text] == "DE" else 0)
            assert history.country_share[country] == (from_there + 1) / (total + known_count + 1)
        assert history.cutoff == START
    assert sorted(seen) == list(range(20))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 6, 24]))
def test_every_feature_is_that_of_counts_made_anew(seed: int, hours: int) -> None:
    random = np.random.default_rng(seed)
    replay, searches = replay_of(random, int(random.integers(0, 60))), searches_of(random, 15)
    base = replay.search.tables
    for rows, asked, search in replay.refreshed(searches, hours * HOUR):
        known = replay.at < searches.asked_at[rows[0]] // (hours * HOUR) * (hours * HOUR)
        new = Conversions(*(getattr(replay.fresh, one.name)[known] for one in fields(Conversions)))
        tables = base.counting(base.counts.plus(new, base.photos.available_at))
        plainly = replace(
            asked,
            query=numbers_of(tables.queries, replay.query[asked.text]),
            country=numbers_of(tables.countries, replay.country[asked.text]),
        )
        found, expected = looked_at(search, asked), looked_at(replace(search, tables=tables), plainly)
        assert found.keys() == expected.keys()
        for name, value in found.items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


def looked_at(search: Search, searches: Searches) -> dict[str, np.ndarray]:
    """Return the candidates and their features by column."""
    named = search.named(searches)
    candidates = search.candidates(searches, named)
    columns = dict(zip(FEATURES, search.features(searches, candidates, named).T, strict=True))
    return columns | {one.name: getattr(candidates, one.name) for one in fields(candidates)}


@pytest.mark.parametrize(("offset", "is_known"), [(-1, True), (0, False), (1, False)])
def test_a_conversion_at_the_refresh_or_after_it_is_not_known(offset: int, is_known: bool) -> None:
    random = np.random.default_rng(3)
    replay, refresh = replay_of(random, 1), START + 5 * HOUR
    replay.at[0] = refresh + offset
    one = np.array([2])
    searches = Searches(one, -one, -one, -one, -one, np.array([refresh + HOUR - 1]), -one)
    ((_, _, search),) = replay.refreshed(searches, HOUR)
    assert search.tables.history.photo_sums[:, 0].sum() == 5 + is_known
