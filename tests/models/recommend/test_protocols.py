"""How logs are cut: nothing that is asked for is learned, nothing is lost, and the one protocol that cheats does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.recommend.interactions import Interactions
from models.recommend.protocols import PROTOCOLS, Trial, folds, held_out, leave_cold, no_split, temporal
from tests.models.recommend.tastes import log_of

ITEMS = 8


@st.composite
def logs(draw: st.DrawFn) -> Interactions:
    visitors = draw(st.integers(1, 6))
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, visitors - 1), st.integers(0, ITEMS - 1), st.integers(0, 50), st.booleans()),
            min_size=1,
            max_size=40,
        )
    )
    visitor, item, at, likes = zip(*rows, strict=True)
    return log_of(visitor, item, at, np.where(likes, 1, -1), np.zeros(visitors), ITEMS, 100.0)


def pairs(log: Interactions) -> set[tuple[int, int]]:
    return set(zip(log.visitor_V[log.row_visitors()].tolist(), log.item_N.tolist(), strict=True))


def events(log: Interactions) -> list[tuple[int, int, float, float]]:
    columns = (log.visitor_V[log.row_visitors()], log.item_N, log.at_N, log.weight_N)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def check(trial: Trial) -> None:
    """What holds of every trial that does not cheat."""
    assert trial.excludes_seen
    assert (trial.truth.weight_N > 0).all()
    assert not pairs(trial.truth) & pairs(trial.histories)
    assert not pairs(trial.truth) & pairs(trial.log)


@given(log=logs(), start=st.integers(0, 60))
def test_a_night_learns_what_was_before_and_asks_for_what_came_then(log: Interactions, start: int) -> None:
    available_at = np.arange(ITEMS) * 10.0 - 30
    first_at = np.full(ITEMS, np.inf)
    np.minimum.at(first_at, log.item_N, log.at_N)
    trial = temporal(log, float(start), np.minimum(available_at, first_at), np.full(log.visitor_count, 4, np.int32))
    check(trial)
    assert trial.pool_J.tolist() == np.flatnonzero(np.minimum(available_at, first_at) < start).tolist()
    assert set(trial.log.item_N.tolist()) <= set(trial.pool_J.tolist())
    assert (trial.log.country_V == 4).all()  # those known before, in training alone
    assert (trial.histories.country_V == 0).all()
    assert (trial.log.at_N < start).all()
    assert (trial.histories.at_N < start).all()
    assert (trial.truth.at_N >= start).all()
    assert events(trial.log) == [event for event in events(log) if event[2] < start]
    later = [event for event in events(log) if event[2] >= start and event[3] > 0]
    assert events(trial.truth) == [event for event in later if event[:2] not in pairs(trial.log)]


@given(log=logs())
def test_without_a_split_all_is_known_and_all_is_asked_for(log: Interactions) -> None:
    trial = no_split(log)
    assert events(trial.log) == events(log)
    assert events(trial.truth) == events(log.liked())
    assert pairs(trial.truth) <= pairs(trial.histories)
    assert not trial.excludes_seen


@given(log=logs(), share=st.sampled_from([0.2, 0.5]))
def test_the_latest_share_of_every_history_is_held_out(log: Interactions, share: float) -> None:
    trial = held_out(log, share)
    check(trial)
    kept, whole = events(trial.log), events(log)
    for visitor in range(log.visitor_count):
        own = [event for event in whole if event[0] == visitor]
        early = [event for event in kept if event[0] == visitor]
        if len(own) < 2:
            assert early == own
            continue
        assert len(own) - len(early) == min(max(round(share * len(own)), 1), len(own) - 1)
        late = [event for event in own if event not in early]
        assert max(event[2] for event in early) <= min((event[2] for event in late), default=np.inf)


def test_a_share_that_is_none_is_refused() -> None:
    log = _line().before(1.0)
    with pytest.raises(ValueError, match=r"share of 1\.0"):
        held_out(log, 1.0)


@given(log=logs(), seed=st.integers(0, 9))
def test_of_a_fold_nothing_is_learned_and_everybody_is_in_one(log: Interactions, seed: int) -> None:
    trials = list(folds(log, seed, count=3))
    learned = [set(trial.log.visitor_V.tolist()) for trial in trials]
    everybody = set(range(log.visitor_count))
    for trial, others in zip(trials, learned, strict=True):
        check(trial)
        assert not set(trial.histories.visitor_V.tolist()) & others
    assert sorted(visitor for others in learned for visitor in everybody - others) == sorted(everybody)


@given(log=logs(), seed=st.integers(0, 9))
def test_cold_visitors_and_items_are_strange_to_what_was_learned(log: Interactions, seed: int) -> None:
    trial = leave_cold(log, seed, share=0.5)
    check(trial)
    assert not set(trial.truth.visitor_V.tolist()) & set(trial.log.visitor_V.tolist())
    assert not set(trial.truth.item_N.tolist()) & set(trial.pool_J.tolist())
    assert set(trial.log.item_N.tolist()) <= set(trial.pool_J.tolist())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_same_seed_cuts_the_same(name: str) -> None:
    first, second = PROTOCOLS[name](_line(), 7), PROTOCOLS[name](_line(), 7)
    assert [events(trial.truth) for trial in first] == [events(trial.truth) for trial in second]
    assert any(len(trial.truth.item_N) for trial in first)


def _line() -> Interactions:
    """Twelve visitors with six interactions each."""
    visitor = np.repeat(np.arange(12), 6)
    item = (visitor + np.tile(np.arange(6), 12)) % ITEMS
    return log_of(visitor, item, np.arange(72), np.ones(72), np.zeros(12), ITEMS, 100.0)
