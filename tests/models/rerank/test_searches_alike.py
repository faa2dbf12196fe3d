"""Searches answered together are answered as each by itself: by lists made for their texts, and those alike once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.ranking import NOT_FOUND, Availability
from models.rerank.candidates import SOURCES
from models.rerank.features import Searches
from models.rerank.history import DAY
from models.rerank.vectors import listed
from tests.models.rerank.plain import PlainSearch, best_by_vector
from tests.models.rerank.test_learning import ByColumns
from tests.models.rerank.world import COUNTRIES, Asked, World

COARSE = ByColumns(
    lambda column: np.round(
        3 * column["vector_score"]
        + np.nan_to_num(column["query_country_conversions"])
        + np.nan_to_num(column["device_affinity"])
        - column["photo_age_days"] / 40
    )
)
"""An order with many ties, in which all that tells searches apart counts."""


def asked_of(seed: int, vector_count: int = 12) -> Asked:
    """Few texts asked often, while photos come, are hidden and share pictures."""
    random = np.random.default_rng(seed)
    world = World.of(seed, photo_count=90, text_count=6, event_count=400, new_count=25)
    asked = world.asked(120, vector_count=vector_count, reranker=COARSE)
    hidden = np.flatnonzero(random.random(90) < 0.3)
    moments = world.cutoff + random.integers(0, 9 * DAY, (2, len(hidden)))
    always, never = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    hidden_at = np.where(random.random(moments.shape) < 0.3, random.choice([always, never], moments.shape), moments)
    group = np.arange(len(asked.query_UD)) % 2
    picture = random.integers(-30, 20, 90).clip(min=-1)
    availability = Availability(world.available_at.copy(), hidden, hidden_at, group, picture)
    availability.since[random.random(90) < 0.05] = never  # without a vector
    photo_PD = asked.photo_PD.copy()
    photo_PD[1::5] = photo_PD[::5]  # equal scores
    return replace(asked, photo_PD=photo_PD).shown_by(availability)


def plain_of(asked: Asked) -> PlainSearch:
    words = np.repeat([f"word{query}" for query in range(len(asked.query_UD) // COUNTRIES)], COUNTRIES).tolist()
    return PlainSearch(asked.search, words, asked.query_UD, asked.photo_PD)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 200_000, 1 << 28]))
def test_ranks_equal_those_of_every_search_by_itself(seed: int, block_bytes: int) -> None:
    asked = asked_of(seed)
    search = replace(asked.search, block_bytes=block_bytes)
    target = np.random.default_rng(seed).integers(0, 90, len(asked.target))
    ranks, sources = search.ranks(asked.searches, target)
    expected, expected_sources = plain_of(asked).ranks(asked.searches, target)
    np.testing.assert_array_equal(ranks, expected)
    np.testing.assert_array_equal(sources, expected_sources)
    assert (ranks != NOT_FOUND).any()
    assert len(set(sources.tolist())) > len(SOURCES)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000))
def test_candidates_and_features_equal_those_of_every_search_by_itself(seed: int) -> None:
    asked = asked_of(seed)
    plain = plain_of(asked)
    for _, searches, candidates, matrix in asked.blocks():
        expected = plain.candidates(searches)
        for name in ("row", "place", "score", "rank", "sources", "count"):
            np.testing.assert_array_equal(getattr(candidates, name), getattr(expected, name), err_msg=name)
        np.testing.assert_array_equal(matrix, plain.features(searches, expected))


def test_searches_alike_are_answered_once_and_others_are_not_alike() -> None:
    asked = asked_of(4)
    search, rows = asked.search, np.repeat(np.arange(20), 3)
    together = asked.searches.of(rows)
    together.asked_at[1::3] += 1
    together.asked_at[2::3] += DAY
    for _, searches in search.blocks(together):
        named = search.named(searches)
        alike, first = search.alike(searches, named)
        assert len(first) < len(alike)
        for row, like in enumerate(first[alike]):
            for name in ("text", "device", "orientation"):
                assert getattr(searches, name)[row] == getattr(searches, name)[like]
            one, other = (search.results(searches.of(np.array([n]))) for n in (row, like))
            assert one.place.tolist() == other.place.tolist()
            assert one.score.tolist() == other.score.tolist()
        assert len(np.unique(np.stack([searches.text[first], searches.asked_at[first] // DAY]), axis=1)) <= len(first)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 100))
def test_lists_name_what_the_vectors_of_all_photos_name(seed: int, k: int) -> None:
    asked = asked_of(seed, vector_count=k)
    first, last = int(asked.searches.asked_at.min()), int(asked.searches.asked_at.max())
    availability = asked.search.availability
    found = listed(asked.query_UD, asked.photo_PD, availability, first, last, k)
    assert not np.isin(found.special_X, np.unique(found.place_UK)).any()
    search = replace(asked.search, vectors=found, sources=("vector",))
    searches: Searches = asked.searches
    named = search.named(searches)
    candidates = search.candidates(searches, named)
    expected = best_by_vector(search, searches, asked.query_UD, asked.photo_PD, k)
    order = np.lexsort((expected.place, expected.row))
    np.testing.assert_array_equal(candidates.row, expected.row[order])
    np.testing.assert_array_equal(candidates.place, expected.place[order])
    np.testing.assert_array_equal(candidates.score, expected.score[order])
