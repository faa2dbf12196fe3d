"""Orders of lists that were shown in another order: a simulated logging policy whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.off_policy import (
    FEWEST_EFFECTIVE,
    inverse_propensity,
    order_values,
    ranks_in_lists,
)
from models.evaluation.statistics import Estimates

PLACES, LISTS, VISITORS, QUERIES = 8, 4000, 900, 700
EXAMINATION = np.arange(1.0, PLACES + 1) ** -1.0


class Log:
    """Lists that the site shows by a fixed noisy score of appeal; taken is what is looked at and appeals."""

    def __init__(self, seed: int, lists: int = LISTS, site_noise: float = 0.2) -> None:
        random = np.random.default_rng(seed)
        appeal_LK = random.beta(1, 3, (lists, PLACES))
        order_LK = np.argsort(-(appeal_LK + site_noise * random.normal(size=appeal_LK.shape)), axis=1)
        self.appeal = np.take_along_axis(appeal_LK, order_LK, axis=1).ravel()
        self.list = np.repeat(np.arange(lists), PLACES)
        self.place = np.tile(np.arange(PLACES), lists)
        self.propensity = EXAMINATION[self.place]
        self.visitor = np.repeat(random.integers(0, VISITORS, lists), PLACES)
        self.query = np.repeat(random.integers(0, QUERIES, lists), PLACES)
        self.is_taken = random.random(len(self.appeal)) < self.appeal * self.propensity
        rest = np.arange(len(self.list))
        by_score = {
            "shown": -self.place.astype(float),
            "best": self.appeal,
            "reversed": self.place.astype(float),
            "random": random.random(len(self.appeal)),
        }
        self.gain = np.column_stack([1 / ranks_in_lists(self.list, score, rest) for score in by_score.values()])

    @property
    def truth(self) -> np.ndarray:
        """The mean gain of what appeals, whatever place it was shown at."""
        return (self.gain * self.appeal[:, None]).sum(axis=0) / self.appeal.sum()


def found(log: Log, appeal_N: np.ndarray) -> Estimates:
    values = order_values(log.gain, appeal_N, log.visitor, log.query)
    assert values is not None
    return values[0]


def test_ranks_are_those_of_each_list_sorted_by_itself() -> None:
    random = np.random.default_rng(0)
    lists, scores = random.integers(0, 20, 200), random.integers(0, 5, 200).astype(float)
    found = ranks_in_lists(lists, scores, np.arange(200))
    for number in range(20):
        rows = np.flatnonzero(lists == number)
        by_hand = sorted(rows.tolist(), key=lambda row: (-scores[row], row))
        assert found[by_hand].tolist() == list(range(1, len(rows) + 1))


def test_the_truth_is_found_again_where_what_was_taken_is_far_off() -> None:
    """Counting what was taken says that the order shown is the best: it was looked at in that order."""
    log = Log(0, lists=20_000)
    naive = found(log, log.is_taken.astype(float))
    weighted = found(log, inverse_propensity(log.is_taken, log.propensity))
    assert naive.value[0] > naive.value[1]  # as shown before the best
    assert abs(naive.value - log.truth).max() > 0.1
    assert weighted.value == pytest.approx(log.truth, abs=0.02)
    assert weighted.value[1] == weighted.value.max()


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    inside = []
    for seed in range(60):
        log = Log(seed, lists=1000)
        values = found(log, inverse_propensity(log.is_taken, log.propensity))
        inside.append((values.low <= log.truth) & (log.truth <= values.high))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.04)


def test_degenerate_weights_give_no_figure() -> None:
    visitor, gain = np.arange(1000), np.full((1000, 1), 0.5)
    few = int(FEWEST_EFFECTIVE) - 1
    assert order_values(gain, np.where(visitor == 0, 1e6, 1.0), visitor, visitor) is None  # one counts for all
    assert order_values(gain[:few], np.ones(few), visitor[:few], visitor[:few]) is None
    assert order_values(gain[: few + 1], np.ones(few + 1), visitor[: few + 1], visitor[: few + 1]) is not None
    assert order_values(gain, np.ones(1000), visitor % few, visitor) is None
    assert order_values(gain, np.zeros(1000), visitor, visitor) is None
    assert order_values(gain[:0], np.zeros(0), visitor[:0], visitor[:0]) is None
