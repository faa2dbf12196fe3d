"""Recent conversions mixed into a model's scores: decay, nothing from the future, and what tuning finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.evaluation import trending
from models.evaluation.ranking import Availability, Ints, Scorer, dense_scorer, rank_targets
from models.evaluation.trending import HOUR, Conversions, Mixture, Searches, mixed_ranks, tune

PHOTO_COUNT = 12
AVAILABLE = Availability(np.zeros(PHOTO_COUNT, dtype=np.int64))


def numbers(*values: float) -> Ints:
    return np.array(values, dtype=np.int64)


def test_a_conversion_weighs_half_after_each_half_life() -> None:
    past = Conversions(numbers(3, 3, 3, 8), numbers(0, 1, 1, 2), numbers(0, 12, 24, 24) * HOUR, 4)
    found_SP = past.decayed(numbers(3, 3, 8, 5), numbers(24, 36, 36, 36) * HOUR, 12).toarray()
    assert_allclose(
        found_SP,
        [
            [0.25, 0.5, 0, 0],  # the conversion at the instant itself is not before it
            [0.125, 0.25 + 0.5, 0, 0],
            [0, 0, 0.5, 0],
            [0, 0, 0, 0],  # nobody has asked that
        ],
    )
    assert_array_equal(past.between(numbers(3, 3, 8), numbers(0, 1, 0) * HOUR, numbers(24, 25, 24) * HOUR), [2, 2, 0])


def test_what_is_too_old_is_not_counted() -> None:
    past = Conversions(numbers(0, 0), numbers(0, 1), numbers(0, HOUR), 2)
    assert_allclose(past.decayed(numbers(0), numbers(8 * HOUR), 1).toarray(), [[0, 2**-7]])


def test_counts_are_those_of_a_plain_loop_however_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    key_N, photo_N, at_N = (rng.integers(0, top, 400) for top in (5, 7, 90 * HOUR))
    key_S, as_of_S = rng.integers(0, 6, 60), rng.integers(0, 100 * HOUR, 60)
    expected_SP = np.zeros((60, 7))
    for row, (key, as_of) in enumerate(zip(key_S, as_of_S, strict=True)):
        for one, photo, at in zip(key_N, photo_N, at_N, strict=True):
            if one == key and as_of - 7 * 5 * HOUR <= at < as_of:
                expected_SP[row, photo] += 2 ** -((as_of - at) / (5 * HOUR))
    past = Conversions(key_N, photo_N, at_N, 7)
    whole_SP = past.decayed(key_S, as_of_S, 5).toarray()
    assert_allclose(whole_SP, expected_SP, rtol=1e-5)
    monkeypatch.setattr(trending, "ROWS_AT_ONCE", 30)
    assert_array_equal(past.decayed(key_S, as_of_S, 5).toarray(), whole_SP)


@dataclass(frozen=True)
class World:
    """400 searches for one of 8 queries within ten days; after 100 hours, query 0 is all about photo 11."""

    searches: Searches
    by_words: Conversions
    by_photo: Conversions

    @classmethod
    def of(cls, searches: Searches, is_known_Q: np.ndarray) -> World:
        words, photo, at = (values[is_known_Q] for values in (searches.words, searches.target, searches.asked_at))
        both = [Conversions(key, photo, at, PHOTO_COUNT) for key in (words, np.zeros_like(words))]
        return cls(searches, *both)

    def ranks(self, *mixtures: Mixture) -> np.ndarray:
        return mixed_ranks(SCORER, self.searches, self.by_words, self.by_photo, AVAILABLE, mixtures)


def make_scorer() -> Scorer:
    rng = np.random.default_rng(1)
    query_UD, photo_PD = (rng.normal(size=(count, 4)).astype(np.float32) for count in (8, PHOTO_COUNT))
    return dense_scorer(query_UD, photo_PD, np.arange(PHOTO_COUNT) != 5)


SCORER = make_scorer()


@pytest.fixture(name="world")
def fixture_world() -> World:
    rng = np.random.default_rng(9)
    at_Q = np.sort(rng.integers(0, 240 * HOUR, 400))
    text_Q, target_Q = rng.integers(0, 8, 400), rng.integers(0, PHOTO_COUNT, 400)
    target_Q[(text_Q == 0) & (at_Q > 100 * HOUR)] = 11
    return World.of(Searches(text_Q, text_Q, target_Q, at_Q, at_Q // HOUR * HOUR), np.full(400, fill_value=True))


def test_without_weights_the_ranks_are_the_models_own(world: World) -> None:
    asked = world.searches
    own_Q = rank_targets(SCORER, asked.text, asked.target, asked.asked_at, AVAILABLE)
    assert_array_equal(world.ranks(Mixture(24, 0, 0)), [own_Q])


def test_scores_rise_by_counts_in_units_of_their_spread(world: World) -> None:
    found_Q = world.ranks(Mixture(6, 1, 1), Mixture(24, 0.7, 0.2))[1]
    asked = world.searches
    for row in (0, 150, 399):
        score_P = SCORER(asked.text[[row]])[0].astype(np.float64)
        spread = score_P[np.isfinite(score_P)].std()
        for weight, counts, key in ((0.7, world.by_words, int(asked.words[row])), (0.2, world.by_photo, 0)):
            count_P = counts.decayed(numbers(key), asked.known_until[[row]], 24).toarray()[0]
            score_P = score_P + weight * spread * np.log2(1 + count_P)
        target = asked.target[row]
        is_tied_P = (score_P == score_P[target]) & (np.arange(PHOTO_COUNT) < target)
        assert found_Q[row] == 1 + np.count_nonzero((score_P > score_P[target]) | is_tied_P)


def test_nothing_that_comes_later_changes_a_rank(world: World) -> None:
    whole_Q = world.ranks(Mixture(24, 2, 0.5))[0]
    cut = 200
    past = World.of(world.searches, world.searches.asked_at < world.searches.known_until[cut])
    short_Q = past.ranks(Mixture(24, 2, 0.5))[0]
    assert_array_equal(short_Q[: cut + 1], whole_Q[: cut + 1])
    assert (short_Q != whole_Q).any(), "later searches do know more"


def test_tuning_finds_a_trend_and_helps_those_who_ask_for_it(world: World) -> None:
    mixture, rates = tune(SCORER, world.searches, world.by_words, world.by_photo, AVAILABLE, k=2)
    assert mixture.query_weight > 0
    assert rates[mixture] > rates[Mixture(24, 0, 0)] + 0.03
    alone_Q, mixed_Q = world.ranks(Mixture(24, 0, 0), mixture) <= 2
    is_rising_Q = (world.searches.text == 0) & (world.searches.asked_at > 110 * HOUR)
    assert mixed_Q[is_rising_Q].mean() > 0.75 > 0.25 > alone_Q[is_rising_Q].mean()


def test_where_conversions_say_nothing_the_model_is_left_alone(world: World) -> None:
    silent = World.of(world.searches, np.full(400, fill_value=False))
    mixture, rates = tune(SCORER, silent.searches, silent.by_words, silent.by_photo, AVAILABLE)
    assert (mixture.query_weight, mixture.photo_weight) == (0, 0)
    assert len(set(rates.values())) == 1


def test_what_may_be_luck_is_not_taken(world: World) -> None:
    rng = np.random.default_rng(5)
    asked = world.searches
    photo_N, at_N = rng.integers(0, PHOTO_COUNT, 90), rng.integers(0, 240 * HOUR, 90)
    noise = Conversions(np.zeros_like(photo_N), photo_N, at_N, PHOTO_COUNT)
    nothing = Conversions(numbers(), numbers(), numbers(), PHOTO_COUNT)
    columns = (asked.text, asked.words, asked.target, asked.asked_at, asked.known_until)
    some = Searches(*(column[::4] for column in columns))
    mixture, rates = tune(SCORER, some, nothing, noise, AVAILABLE, k=4)
    assert (mixture.query_weight, mixture.photo_weight) == (0, 0)
    assert max(rates.values()) > rates[mixture], "some mixture was lucky"
