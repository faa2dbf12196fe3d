"""Exact ranks against a plain sort; candidates as of the query; ties that favour nobody."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation import ranking as r


def table_scorer(score_UP: np.ndarray) -> r.Scorer:
    return lambda text_B: score_UP[text_B]


def plain_rank(score_P: np.ndarray, is_candidate_P: np.ndarray, target: int) -> int:
    order = sorted(np.flatnonzero(is_candidate_P), key=lambda place: (-score_P[place], place))
    return order.index(target) + 1


@given(st.integers(0, 10_000))
def test_ranks_and_tops_equal_a_plain_sort(seed: int) -> None:
    random = np.random.default_rng(seed)
    text_count, photo_count, query_count = random.integers(1, 12, 3)
    score_UP = random.integers(0, 4, (text_count, photo_count)).astype(np.float32)  # few values: many ties
    score_UP[random.random(score_UP.shape) < 0.1] = -np.inf
    available_at_P = random.integers(0, 5, photo_count)
    text_Q = random.integers(0, text_count, query_count)
    target_Q = random.integers(0, photo_count, query_count)
    asked_at_Q = available_at_P[target_Q] + random.integers(0, 3, query_count)
    rank_Q = r.rank_targets(table_scorer(score_UP), text_Q, target_Q, asked_at_Q, r.Availability(available_at_P))
    tops = r.top_photos(table_scorer(score_UP), text_Q, asked_at_Q, r.Availability(available_at_P), 3)
    for q in range(query_count):
        is_candidate_P = available_at_P <= asked_at_Q[q]
        assert rank_Q[q] == plain_rank(score_UP[text_Q[q]], is_candidate_P, target_Q[q])
        places, scores = tops[q]
        shown = [p for p in np.flatnonzero(is_candidate_P) if score_UP[text_Q[q], p] > -np.inf]
        assert places.tolist() == sorted(shown, key=lambda p: (-score_UP[text_Q[q], p], p))[:3]
        assert scores.tolist() == score_UP[text_Q[q], places].tolist()


def test_blocks_do_not_change_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    score_UP = random.integers(0, 50, (40, 30)).astype(np.float64)
    text_Q, target_Q = random.integers(0, 40, 200), random.integers(0, 30, 200)
    times = np.ones(200, dtype=int), r.Availability(np.zeros(30, dtype=int))
    whole = r.rank_targets(table_scorer(score_UP), text_Q, target_Q, *times)
    for cells in (1, 7 * 30):
        monkeypatch.setattr(r, "CELLS_PER_BLOCK", cells)
        np.testing.assert_array_equal(r.rank_targets(table_scorer(score_UP), text_Q, target_Q, *times), whole)


@given(st.integers(0, 10_000))
def test_queries_alike_are_ranked_once(seed: int) -> None:
    random = np.random.default_rng(seed)
    query_count = int(random.integers(0, 40))
    text_Q, target_Q, count_Q = random.integers(0, 3, (3, query_count))
    alike_Q, first_D = r.alike(text_Q, target_Q, count_Q)
    keys = list(zip(text_Q.tolist(), target_Q.tolist(), count_Q.tolist(), strict=True))
    assert [keys[first_D[d]] for d in alike_Q] == keys
    assert [keys[q] for q in first_D] == sorted(set(keys))


def test_a_constant_scorer_gets_chance_level() -> None:
    photo_ids = [f"photo-{i:04}" for i in range(400)]
    places = np.empty(400, dtype=int)
    places[r.tie_order(photo_ids)] = np.arange(400)
    random = np.random.default_rng(1)
    # Conversions that favour low numbers, as when the first photos of a catalogue are the popular ones.
    target_Q = places[np.minimum(random.geometric(0.01, 20_000) - 1, 399)]
    constant = table_scorer(np.full((1, 400), 0.5, dtype=np.float32))
    always = r.Availability(np.zeros(400, int))
    rank_Q = r.rank_targets(constant, np.zeros(20_000, dtype=int), target_Q, np.ones(20_000, int), always)
    assert np.mean(rank_Q <= 40) == pytest.approx(0.1, abs=0.04)
    assert np.mean(1 / rank_Q) == pytest.approx(np.mean(1 / np.arange(1, 401)), abs=0.02)


def test_ties_do_not_depend_on_the_order_of_the_catalogue() -> None:
    photo_ids = ["c", "猫", "a", "../b"]
    by_digest = sorted(photo_ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    for names in (photo_ids, photo_ids[::-1]):
        assert [names[i] for i in r.tie_order(names)] == by_digest


def test_photos_of_the_future_are_no_candidates() -> None:
    score_UP = np.array([[3.0, 2.0, 1.0]])
    availability = r.Availability(np.array([5, 0, 0]))
    text_Q, target_Q = np.array([0, 0]), np.array([1, 1])
    rank_Q = r.rank_targets(table_scorer(score_UP), text_Q, target_Q, np.array([4, 5]), availability)
    assert rank_Q.tolist() == [1, 2]
    with pytest.raises(ValueError, match="1 of 2 targets"):
        r.rank_targets(table_scorer(score_UP), text_Q, np.array([0, 1]), np.array([4, 4]), availability)


def test_photos_without_a_vector_rank_last_and_are_not_shown() -> None:
    query_UD = np.array([[1.0, 0.0]], dtype=np.float32)
    photo_PD = np.array([[0.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    scorer = r.dense_scorer(query_UD, photo_PD, np.array([False, True, False, True]))
    text_Q, now_Q, always = np.zeros(4, dtype=int), np.ones(4, dtype=int), r.Availability(np.zeros(4, dtype=int))
    assert r.rank_targets(scorer, text_Q, np.arange(4), now_Q, always).tolist() == [3, 2, 4, 1]
    [(places, scores)] = r.top_photos(scorer, text_Q[:1], now_Q[:1], always, k=4)
    assert places.tolist() == [3, 1]
    assert scores.tolist() == [1.0, -1.0]


def test_a_score_that_is_nan_is_refused() -> None:
    zero = np.zeros(1, dtype=int)
    with pytest.raises(ValueError, match="NaN"):
        r.rank_targets(table_scorer(np.array([[np.nan]])), zero, zero, zero, r.Availability(zero))


@given(st.integers(0, 100_000))
def test_hidden_photos_and_equal_pictures_as_a_plain_loop_has_them(seed: int) -> None:
    """Any corpus from one photo on, any number of hidden photos, equal pictures, groups and searches."""
    random = np.random.default_rng(seed)
    text_count, photo_count, query_count, group_count = random.integers(1, 8, 4)
    hidden_count = int(random.integers(0, photo_count + 1))
    score_UP = random.integers(0, 4, (text_count, photo_count)).astype(np.float32)
    score_UP[random.random(score_UP.shape) < 0.1] = -np.inf
    availability = r.Availability(
        since=random.integers(0, 3, photo_count),
        hidden=np.sort(random.choice(photo_count, hidden_count, replace=False)),
        hidden_at=random.integers(0, 6, (group_count, hidden_count)),
        group=random.integers(0, group_count, text_count),
        picture=random.integers(-1, 3, photo_count),
    )
    text_Q, target_Q = random.integers(0, text_count, query_count), random.integers(0, photo_count, query_count)
    asked_at_Q = availability.since[target_Q] + random.integers(0, 4, query_count)
    rank_Q = r.rank_targets(table_scorer(score_UP), text_Q, target_Q, asked_at_Q, availability)
    tops = r.top_photos(table_scorer(score_UP), text_Q, asked_at_Q, availability, photo_count)
    for text, target, asked_at, rank, (places, _) in zip(text_Q, target_Q, asked_at_Q, rank_Q, tops, strict=True):
        gone = {
            place
            for place, at in zip(availability.hidden, availability.hidden_at[availability.group[text]], strict=True)
            if at <= asked_at
        }
        there = [place for place in range(photo_count) if availability.since[place] <= asked_at and place not in gone]
        pictures: list[int] = []
        shown = []
        for place in sorted(there, key=lambda place: (-score_UP[text, place], place)):
            picture = availability.picture[place] if availability.picture[place] >= 0 else -1 - place
            if picture not in pictures:
                pictures.append(picture)
                shown.append(place)
        own = availability.picture[target] if availability.picture[target] >= 0 else -1 - target
        assert rank == (pictures.index(own) + 1 if target in there else r.NOT_FOUND)
        assert places.tolist() == [place for place in shown if score_UP[text, place] > -np.inf]


def test_a_photo_is_a_candidate_until_it_is_hidden_and_in_its_group_alone() -> None:
    scorer, once = table_scorer(np.array([[3.0, 2.0, 1.0]] * 2)), np.array([0, 0, 0, 1])
    availability = r.Availability(np.zeros(3, dtype=int), np.array([0]), np.array([[5], [9]]), group=np.array([0, 1]))
    asked_at_Q = np.array([4, 5, 6, 6])
    assert r.rank_targets(scorer, once, np.full(4, 1), asked_at_Q, availability).tolist() == [2, 1, 1, 2]
    assert r.rank_targets(scorer, once, np.full(4, 0), asked_at_Q, availability).tolist() == [
        1,
        r.NOT_FOUND,
        r.NOT_FOUND,
        1,
    ]
