"""Candidates as of the search; searches that are alike; ties that favour nobody."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation import ranking as r
from models.evaluation.counting import rank_by_vectors


@given(st.integers(0, 10_000))
def test_queries_alike_are_ranked_once(seed: int) -> None:
    random = np.random.default_rng(seed)
    query_count = int(random.integers(0, 40))
    text_Q, target_Q, count_Q = random.integers(0, 3, (3, query_count))
    alike_Q, first_D = r.alike(text_Q, target_Q, count_Q)
    keys = list(zip(text_Q.tolist(), target_Q.tolist(), count_Q.tolist(), strict=True))
    assert [keys[first_D[d]] for d in alike_Q] == keys
    assert [keys[q] for q in first_D] == sorted(set(keys))


def test_equal_scores_find_a_photo_at_chance_level() -> None:
    photo_ids = [f"photo-{i:04}" for i in range(400)]
    places = np.empty(400, dtype=int)
    places[r.tie_order(photo_ids)] = np.arange(400)
    random = np.random.default_rng(1)
    # Conversions that favour low numbers, as when the first photos of a catalogue are the popular ones.
    target_Q = places[np.minimum(random.geometric(0.01, 20_000) - 1, 399)]
    always, once = r.Availability(np.zeros(400, int)), np.zeros(20_000, dtype=int)
    vectors = np.ones((1, 1), np.float32), np.ones((400, 1), np.float32), np.ones(400, bool)
    rank_Q = rank_by_vectors(*vectors, (once, target_Q, once + 1), always)
    assert np.mean(rank_Q <= 40) == pytest.approx(0.1, abs=0.04)
    assert np.mean(1 / rank_Q) == pytest.approx(np.mean(1 / np.arange(1, 401)), abs=0.02)


def test_ties_do_not_depend_on_the_order_of_the_catalogue() -> None:
    photo_ids = ["c", "猫", "a", "../b"]
    by_digest = sorted(photo_ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    for names in (photo_ids, photo_ids[::-1]):
        assert [names[i] for i in r.tie_order(names)] == by_digest


@given(st.integers(0, 100_000))
def test_which_photos_are_shown_is_what_a_plain_loop_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    photo_count, hidden_count, search_count = 6, int(random.integers(0, 7)), 20
    availability = r.Availability(
        since=random.integers(0, 4, photo_count),
        hidden=np.sort(random.choice(photo_count, hidden_count, replace=False)),
        hidden_at=random.integers(0, 6, (2, hidden_count)),
        group=np.array([0, 1, 1]),
        picture=random.integers(-1, 3, photo_count),
    )
    text_Q, asked_at_Q = random.integers(0, 3, search_count), random.integers(0, 6, search_count)
    shown_QP = availability.shown(text_Q, asked_at_Q)
    for row, (text, asked_at) in enumerate(zip(text_Q, asked_at_Q, strict=True)):
        hidden_at = dict(zip(availability.hidden, availability.hidden_at[availability.group[text]], strict=True))
        for place in range(photo_count):
            is_shown = availability.since[place] <= asked_at < hidden_at.get(place, 99)
            assert shown_QP[row, place] == is_shown
            assert availability.shows(*(np.array([one]) for one in (place, text, asked_at)))[0] == is_shown
    some = np.array([4, 1, 5])
    own = r.Availability(availability.since, availability.hidden, availability.hidden_at, availability.group).only(some)
    np.testing.assert_array_equal(own.shown(text_Q, asked_at_Q), shown_QP[:, some])


def test_photos_of_one_picture_are_told_together() -> None:
    availability = r.Availability(np.zeros(6, int), picture=np.array([7, -1, 3, 7, 3, 9]))
    assert availability.pictures.tolist() == [0, 1, 2, 0, 2, 5]
    places, counts = availability.same_picture(np.array([3, 1, 2]))
    assert places.tolist() == [0, 3, 1, 2, 4]
    assert counts.tolist() == [2, 1, 2]
    assert availability.special(0).tolist() == [True, False, True, True, True, False]
