"""Rates with intervals, and how often places are looked at: recovered from simulated logs whose bias is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from models.evaluation.impressions import (
    Examination,
    estimate_examination,
    examination_weights,
    mean_by_visitor,
)

PLACES = 10


def simulate(
    examination_K: np.ndarray, seed: int = 0, pair_count: int = 3000, rows: int = 60_000, moves: int = 2
) -> tuple[np.ndarray, ...]:
    """A ranking that puts what appeals on top and moves photos by a few places: pairs, places, taken, visitors."""
    random = np.random.default_rng(seed)
    appeal_L = np.sort(random.beta(1, 4, pair_count))[::-1]
    home_L = 1 + np.arange(pair_count) * PLACES // pair_count
    pair_R = random.integers(0, pair_count, rows)
    place_R = np.clip(home_L[pair_R] + random.integers(-moves, moves + 1, rows), 1, PLACES)
    is_taken_R = random.random(rows) < appeal_L[pair_R] * examination_K[place_R - 1]
    return pair_R, place_R, is_taken_R, random.integers(0, 4000, rows)


def estimate(log: tuple[np.ndarray, ...], resample_count: int = 0) -> Examination:
    pair_R, place_R, is_taken_R, visitor_R = log
    return estimate_examination(pair_R, place_R, is_taken_R, visitor_R, PLACES, resample_count=resample_count)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_a_known_bias_is_found_again(exponent: float) -> None:
    truth = np.arange(1.0, PLACES + 1) ** -exponent
    found = estimate(simulate(truth, rows=200_000))
    assert found.value == pytest.approx(truth, rel=0.2)
    assert abs(np.log(found.value[1:] / truth[1:])).mean() < 0.1


def test_the_naive_rate_by_place_is_far_off_where_this_is_not() -> None:
    """What stands on top appeals more: its rate says twice, and nobody's eyes do."""
    truth = np.ones(PLACES)
    log = simulate(truth, rows=200_000)
    rate = [log[2][log[1] == place].mean() for place in range(1, PLACES + 1)]
    assert rate[-1] / rate[0] < 0.2
    assert estimate(log).value[-1] > 0.8


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = np.arange(1.0, PLACES + 1) ** -0.7
    inside = []
    for seed in range(8):
        found = estimate(simulate(truth, seed, pair_count=400, rows=12_000), resample_count=60)
        inside.append(((found.low <= truth) & (truth <= found.high))[1:].mean())
        assert found.low[0] == found.high[0] == 1
    assert np.mean(inside) > 0.8


def test_the_fit_is_the_maximum_that_a_general_optimiser_finds() -> None:
    """The same likelihood, with the pairs conditioned away: who took what, given how much of the pair was taken."""
    pair_R, place_R, is_taken_R, _ = log = simulate(np.arange(1.0, PLACES + 1) ** -0.7, 3, pair_count=60, rows=2500)
    shown_LK, taken_LK = np.zeros((2, 60, PLACES))
    np.add.at(shown_LK, (pair_R, place_R - 1), 1)
    np.add.at(taken_LK, (pair_R, place_R - 1), is_taken_R)

    def loss(log_theta: np.ndarray) -> float:
        weight_LK = shown_LK * np.exp(np.concatenate([[0.0], log_theta]))
        share_LK = weight_LK / weight_LK.sum(axis=1, keepdims=True)
        return -float((taken_LK * np.log(np.where(taken_LK > 0, share_LK, 1.0))).sum())

    best = minimize(loss, np.zeros(PLACES - 1), method="BFGS")
    assert estimate(log).value == pytest.approx(np.exp(np.concatenate([[0.0], best.x])), rel=2e-3)


def test_a_place_that_nothing_leads_to_is_not_told() -> None:
    # pair 0 links places 1 and 2, pair 1 places 4 and 5; place 3 never moves
    pair_R = np.array([0, 0, 0, 1, 1, 2])
    place_R = np.array([1, 1, 2, 4, 5, 3])
    is_taken_R = np.array([True, True, True, True, True, True])
    found = estimate_examination(pair_R, place_R, is_taken_R, np.arange(6), 6)
    assert found.value[:2].tolist() == pytest.approx([1.0, 1.0])
    assert np.isnan(found.value[2:]).all()
    assert found.counts.tolist() == [2, 1, 0, 1, 1, 0]


def test_without_a_photo_taken_at_the_first_place_no_place_is_told() -> None:
    # both pairs were shown at places 1 and 2, and taken at 2 and 3 alone
    pair_R, place_R = np.array([0, 0, 1, 1, 1]), np.array([1, 2, 1, 2, 3])
    is_taken_R = np.array([False, True, False, True, True])
    found = estimate_examination(pair_R, place_R, is_taken_R, np.arange(5), 3, resample_count=20)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.counts.tolist() == [2, 2, 1]


def test_a_place_where_nothing_was_taken_is_not_told_as_never_looked_at() -> None:
    pair_R, place_R = np.tile([0, 0, 0], 40), np.tile([1, 2, 3], 40)
    is_taken_R = np.tile([True, True, False], 40)
    found = estimate_examination(pair_R, place_R, is_taken_R, np.arange(120), 3, resample_count=50)
    assert found.value.tolist() == pytest.approx([1.0, 1.0, np.nan], nan_ok=True)
    assert np.isnan([found.low[2], found.high[2]]).all()
    assert examination_weights(np.array([3.0]), found.value, 10.0) == pytest.approx(1.0)


def test_an_interval_needs_resamples_that_tell() -> None:
    """One visitor alone took at the first place: more than a third of the resamples leave it, and the measure, out."""
    pair_R, place_R, visitor_R = np.zeros(40, np.int64), np.tile([1, 2], 20), np.arange(40)
    is_taken_R = (place_R == 2) | (visitor_R == 0)
    found = estimate_examination(pair_R, place_R, is_taken_R, visitor_R, 2, resample_count=100)
    assert found.value.tolist() == pytest.approx([1.0, 20.0])
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("row_count", [0, 3])
def test_a_log_that_tells_nothing_tells_nothing(row_count: int) -> None:
    rows = np.arange(row_count)
    found = estimate_examination(rows, rows + 1, np.ones(row_count, np.bool_), rows, 4, resample_count=50)
    assert np.isnan(found.value).all()
    assert np.isnan(found.high).all()


def test_places_past_the_last_that_is_asked_for_are_left_out() -> None:
    log = simulate(np.arange(1.0, PLACES + 1) ** -0.5)
    pair_R, place_R, is_taken_R, visitor_R = log
    first = place_R <= 4
    part = estimate_examination(pair_R[first], place_R[first], is_taken_R[first], visitor_R[first], 4)
    assert estimate_examination(pair_R, place_R, is_taken_R, visitor_R, 4).value.tolist() == part.value.tolist()


def test_a_rate_counts_impressions_and_its_interval_visitors() -> None:
    """Ten visitors saw a hundred photos each and took all or none: the interval is that of ten, not of a thousand."""
    visitor_R = np.repeat(np.arange(10), 100)
    taken_R = (visitor_R % 2).astype(float)
    share = mean_by_visitor(taken_R, visitor_R)
    assert (share.count, share.value) == (1000, 0.5)
    half = 1.96 * math.sqrt(0.25 / 10)
    assert 1 < (share.high - share.low) / (2 * half) < 1.4  # ten are few: Student's t, not the normal distribution


def test_nothing_known_is_no_rate() -> None:
    share = mean_by_visitor(np.array([np.nan]), np.array([1]))
    assert share.count == 0
    assert np.isnan([share.value, share.low, share.high]).all()


def test_weights_undo_the_bias() -> None:
    """Takes per place, weighted, are in proportion to what appeals there, as if every place were looked at."""
    truth = np.arange(1.0, PLACES + 1) ** -1.0
    pair_R, place_R, is_taken_R, _ = simulate(truth, rows=300_000)
    weight_R = examination_weights(place_R.astype(float), truth, 100.0)
    appealing = simulate(np.ones(PLACES), rows=300_000)
    unbiased = np.bincount(appealing[0], appealing[2], 3000)
    weighted, raw = (np.bincount(pair_R, is_taken_R * w, 3000) for w in (weight_R, np.ones(len(weight_R))))
    deep = slice(1500, 3000)
    assert weighted[deep].sum() == pytest.approx(unbiased[deep].sum(), rel=0.06)
    assert raw[deep].sum() < 0.3 * unbiased[deep].sum()


def test_weights_need_the_first_place() -> None:
    with pytest.raises(ValueError, match="first place"):
        examination_weights(np.array([1.0]), np.array([np.nan, 0.5]), 10.0)
