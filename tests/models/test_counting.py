"""Ranks by counting against the plain ranking of all scores, on random corpora with ties, hidden photos and copies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation import counting as c
from models.evaluation.exact_scores import exact_scores, product_error
from models.evaluation.ranking import NOT_FOUND, Availability
from tests.plain_ranking import plain_list, rank_targets


def corpus(
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Availability, tuple[np.ndarray, ...]]:
    """Return vectors of texts and photos with many equal scores, which photos have one, and searches."""
    text_count, photo_count, query_count, group_count = random.integers(1, 9, 4) * random.integers(1, 4)
    dim, hidden_count = int(random.integers(1, 5)), int(random.integers(0, photo_count + 1))
    query_UD = random.integers(-1, 2, (text_count, dim)).astype(np.float32)
    photo_PD = random.choice(np.array([-0.3, 0.1, 1.0 / 3], np.float32), (photo_count, dim))
    has_vector_P = random.random(photo_count) < 0.9
    availability = Availability(
        since=random.integers(0, 3, photo_count),
        hidden=np.sort(random.choice(photo_count, hidden_count, replace=False)),
        hidden_at=random.integers(0, 6, (group_count, hidden_count)),
        group=random.integers(0, group_count, text_count),
        picture=random.integers(-1, 3, photo_count),
    )
    text_Q, target_Q = random.integers(0, text_count, query_count), random.integers(0, photo_count, query_count)
    asked_at_Q = availability.since[target_Q] + random.integers(0, 4, query_count)
    return query_UD, photo_PD, has_vector_P, availability, (text_Q, target_Q, asked_at_Q)


@given(st.integers(0, 1_000_000))
def test_ranks_are_those_of_all_scores_sorted(seed: int) -> None:
    query_UD, photo_PD, has_vector_P, availability, searches = corpus(np.random.default_rng(seed))
    score_UP = np.stack([c.exact_scores(np.tile(query, (len(photo_PD), 1)), photo_PD) for query in query_UD])
    score_UP[:, ~has_vector_P] = -np.inf
    plain_Q = rank_targets(score_UP, *searches, availability)
    assert c.rank_by_vectors(query_UD, photo_PD, has_vector_P, searches, availability).tolist() == plain_Q.tolist()


@given(st.integers(0, 1_000_000))
def test_counts_of_blocks_add_up(seed: int) -> None:
    """However photos are cut, if those of one picture stay together; and whatever the size of a tile."""
    random = np.random.default_rng(seed)
    query_UD, photo_PD, has_vector_P, availability, searches = corpus(random)
    whole_Q = c.rank_by_vectors(query_UD, photo_PD, has_vector_P, searches, availability)
    vector_PD = np.where(has_vector_P[:, None], photo_PD, np.float32(np.nan))
    lookups = c.Lookups.of(*searches, availability)
    targets = lookups.targets(c.scores_of_pairs(query_UD, vector_PD, lookups.text, lookups.place))
    is_special_P = availability.special(int(searches[2].min()))
    part_P = random.integers(0, 3, len(photo_PD))[availability.pictures]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(c, "TILE_TEXTS", int(random.integers(1, 4)))
        patch.setattr(c, "TILE_PHOTOS", int(random.integers(1, 4)))
        patch.setattr(c, "_PAIRS_AT_ONCE", int(random.integers(1, 4)))
        ahead_D = np.zeros(len(lookups.start), np.int64)
        for part in range(3):
            place_S, regular_count, of_special = c.arranged(np.flatnonzero(part_P == part), is_special_P, availability)
            block = c.Block(vector_PD[place_S], place_S, regular_count, of_special)
            ahead_D += c.count_ahead(query_UD, block, targets)
    assert lookups.ranks(ahead_D).tolist() == whole_Q.tolist()


@given(st.integers(0, 1_000_000), st.integers(1, 6))
def test_the_best_of_blocks_are_the_best_of_all(seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    query_UD, photo_PD, has_vector_P, availability, (text_Q, _, asked_at_Q) = corpus(random)
    vector_PD = np.where(has_vector_P[:, None], photo_PD, np.float32(np.nan))
    is_special_P = availability.special(int(asked_at_Q.min()))
    part_P = random.integers(0, 3, len(photo_PD))[availability.pictures]
    lists = []
    for part in range(3):
        place_S, regular_count, of_special = c.arranged(np.flatnonzero(part_P == part), is_special_P, availability)
        block = c.Block(vector_PD[place_S], place_S, regular_count, of_special)
        lists.append(c.best_listed(query_UD[text_Q], block, text_Q, asked_at_Q, k))
    for text, asked_at, parts in zip(text_Q, asked_at_Q, zip(*lists, strict=True), strict=True):
        score_P = c.exact_scores(np.tile(query_UD[text], (len(photo_PD), 1)), photo_PD)
        score_P[~has_vector_P] = -np.inf
        expected = [place for place in plain_list(score_P, text, asked_at, availability) if has_vector_P[place]][:k]
        places, scores = c.merged(parts, k)
        assert places.tolist() == expected
        assert scores.tolist() == score_P[expected].tolist()


def test_nearly_equal_scores_are_told_apart_by_exact_ones() -> None:
    """A product in single precision is off by more than what tells these photos apart, and any order of it may be."""
    random = np.random.default_rng(0)
    query_UD = random.normal(size=(3, 300)).astype(np.float32)
    photo_PD = np.repeat(random.normal(size=(1, 300)).astype(np.float32), 200, axis=0)
    photo_PD[np.arange(200), random.integers(0, 300, 200)] *= 1 + random.choice([-1, 0, 1], 200) * np.float32(1e-6)
    exact_UP = np.stack([exact_scores(query, photo_PD) for query in query_UD])
    always, text_Q = Availability(np.zeros(200, np.int64)), np.repeat(np.arange(3), 200)
    searches = text_Q, np.tile(np.arange(200), 3), np.ones(600, np.int64)
    plain_Q = rank_targets(exact_UP, *searches, always)
    assert len(np.unique(exact_UP)) > 20
    assert ((query_UD @ photo_PD.T) != exact_UP).any()
    found_Q = c.rank_by_vectors(query_UD, photo_PD, np.ones(200, bool), searches, always)
    assert found_Q.tolist() == plain_Q.tolist()


def test_a_product_that_is_off_by_what_single_precision_allows_changes_no_rank() -> None:
    random = np.random.default_rng(1)
    query_UD, photo_PD = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for vectors in (random.normal(size=(count, 64)).astype(np.float32) for count in (20, 500))
    )
    place_P, availability = np.arange(500), Availability(np.zeros(500, np.int64))
    lookups = c.Lookups.of(np.arange(20), random.integers(0, 500, 20), np.ones(20, np.int64), availability)
    targets = lookups.targets(c.scores_of_pairs(query_UD, photo_PD, lookups.text, lookups.place))
    error = np.float32(0.9 * product_error(query_UD, photo_PD).min())

    def worst(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return one @ other.T + random.choice([-error, error], (len(one), len(other)))

    block = c.Block(photo_PD, place_P, 500, availability.only(place_P[:0]))
    np.testing.assert_array_equal(
        c.count_ahead(query_UD, block, targets), c.count_ahead(query_UD, block, targets, worst)
    )


def test_a_photo_that_was_not_there_yet_is_refused_and_a_hidden_one_is_not_found() -> None:
    availability = Availability(np.array([5, 0]), np.array([1]), np.array([[3]]), np.zeros(1, np.int64))
    vectors = np.ones((2, 1), np.float32), np.array([True, True])
    once = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="1 of 1 targets"):
        c.rank_by_vectors(vectors[0][:1], *vectors, (once, once, np.array([4])), availability)
    found = c.rank_by_vectors(vectors[0][:1], *vectors, (once, once + 1, np.array([4])), availability)
    assert found.tolist() == [NOT_FOUND]
