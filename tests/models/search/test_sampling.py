"""Sampling: nothing lost, rare photos more often, and known positives as a plain loop finds them."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.search.sampling import (
    KnownPositives,
    PairStream,
    count_pairs,
    inverse_propensities,
    merge_pairs,
    shard_masses,
)

POSITIONS = st.lists(st.one_of(st.integers(1, 2**31 - 1), st.integers(1, 30), st.just(np.nan)), max_size=40)
PAIRS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=40)


@given(PAIRS, st.sets(st.integers(0, 8)), st.sets(st.integers(0, 8)))
def test_known_combinations_of_a_batch(pairs: list[tuple[int, int]], photos: set[int], texts: set[int]) -> None:
    photo_P, text_P = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    known = KnownPositives.of(photo_P, text_P, photo_count=9)
    photo_U, text_V = np.array(sorted(photos), np.int64), np.array(sorted(texts, reverse=True), np.int64)
    found = known.among(photo_U, text_V)
    expected = {(photo, text) for photo, text in pairs if photo in photos and text in texts}
    assert found.shape == (2, len(expected))
    assert {(int(photo_U[u]), int(text_V[v])) for u, v in found.T} == expected


@given(PAIRS)
def test_merged_pairs_are_each_there_once(pairs: list[tuple[int, int]]) -> None:
    photo_P, text_P = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    photos, texts, weights = merge_pairs(photo_P, text_P)
    merged = list(zip(photos.tolist(), texts.tolist(), strict=True))
    assert merged == sorted(set(pairs))
    counts = np.exp(weights - 1)
    assert np.allclose(counts, [pairs.count(pair) for pair in merged], rtol=1e-5)


@given(POSITIONS, st.floats(0, 2), st.floats(1, 50))
def test_what_was_further_down_counts_no_less_and_never_more_than_the_cap(
    positions: list[float], exponent: float, cap: float
) -> None:
    position_R = np.array(positions, np.float64)
    weight_R = inverse_propensities(position_R, exponent, cap)
    is_known = ~np.isnan(position_R)
    assert ((weight_R >= 1) & (weight_R <= cap)).all()
    assert (weight_R[~is_known] == 1).all()
    order = np.argsort(position_R[is_known])
    assert (np.diff(weight_R[is_known][order]) >= 0).all()
    assert (inverse_propensities(position_R, 0.0, cap) == 1).all()
    assert (weight_R[position_R == 1] == 1).all()


@given(PAIRS, st.randoms(use_true_random=False))
def test_rows_that_weigh_differently_keep_their_pairs(pairs: list[tuple[int, int]], random: Random) -> None:
    photo_R, text_R = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    weight_R = np.array([random.uniform(1, 10) for _ in pairs])
    by_pair = {pair: [w for w, other in zip(weight_R, pairs, strict=True) if other == pair] for pair in pairs}
    *plain, counts = merge_pairs(photo_R, text_R)
    *merged, weights = merge_pairs(photo_R, text_R, weight_R)
    assert np.array_equal(merged, plain)
    means = [np.mean(by_pair[pair]) for pair in zip(*(side.tolist() for side in merged), strict=True)]
    assert weights == pytest.approx(counts * np.array(means), rel=1e-5)
    assert np.array_equal(merge_pairs(photo_R, text_R, np.ones(len(pairs)))[2], counts)
    order = random.sample(range(len(pairs)), len(pairs))
    ours, theirs = count_pairs(photo_R, text_R, weight_R), count_pairs(photo_R[order], text_R[order], weight_R[order])
    assert all(np.array_equal(own, other) for own, other in zip(ours, theirs, strict=True))
    assert list(zip(*(side.tolist() for side in ours[:2]), strict=True)) == sorted(pairs)
    assert sorted(ours[2]) == pytest.approx(sorted(weight_R), rel=1e-6)


def stream(
    photo_P: np.ndarray, exponent: float = 0.0, shard_P: np.ndarray | None = None, batch_size: int = 4, held: int = 0
) -> PairStream:
    """Return the stream of all pairs or, of those in three shards, of the ones in the `held` first."""
    shard_P = np.zeros(len(photo_P), np.int64) if shard_P is None else shard_P
    masses = shard_masses(photo_P, shard_P, 3, exponent)
    kept = shard_P < held if held else np.ones(len(photo_P), np.bool_)
    return PairStream(photo_P[kept], shard_P[kept], masses, exponent=exponent, batch_size=batch_size, seed=1)


def passes(pairs: PairStream, steps: int) -> list[int]:
    return [int(row) for step in range(steps) for row in pairs.rows(step)]


def test_without_an_exponent_a_pass_sees_every_pair_once() -> None:
    seen = passes(stream(np.zeros(10, np.int64)), steps=5)
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


@pytest.mark.parametrize(("exponent", "share"), [(1.0, 1 / 2), (0.5, 10 / (10 + 1900**0.5))])
def test_an_exponent_evens_out_how_often_photos_come(exponent: float, share: float) -> None:
    photo_P = np.array([0] * 1900 + [1] * 100)
    seen = passes(stream(photo_P, exponent), steps=500)
    assert len(seen) == len(photo_P)
    assert (photo_P[seen] == 1).mean() == pytest.approx(share, abs=0.05)


@given(st.lists(st.integers(0, 40), min_size=30, max_size=90), st.sampled_from((0.0, 0.7)), st.integers(9, 40))
def test_batches_do_not_depend_on_who_holds_the_shards(photos: list[int], exponent: float, batch_size: int) -> None:
    photo_P = np.sort(np.array([0, 1, 2, *photos]))  # no shard is empty
    shard_P = photo_P % 3
    whole = stream(photo_P, exponent, shard_P, batch_size)
    part = stream(photo_P, exponent, shard_P, batch_size, held=2)
    position = np.flatnonzero(shard_P < 2)
    for step in range(12):
        rows = whole.rows(step)
        assert abs(len(rows) - batch_size) <= 1  # a shard of less than a pair per batch may miss its turn
        assert position[part.rows(step)].tolist() == [row for row in rows.tolist() if shard_P[row] < 2]


def test_shards_give_their_share_and_every_pair_comes_as_often() -> None:
    photo_P = np.arange(60)
    shard_P = np.repeat([0, 1, 2], [30, 20, 10])
    pairs = stream(photo_P, 0.0, shard_P, batch_size=12)
    assert np.bincount(shard_P[pairs.rows(0)]).tolist() == [6, 4, 2]
    assert np.bincount(passes(pairs, steps=10), minlength=60).tolist() == [2] * 60
    assert pairs.first(8).tolist() == [row for step in (0, 1) for row in pairs.rows(step) if row < 30][:8]


def test_an_empty_first_shard_is_passed_over() -> None:
    photo_P = np.arange(6)
    pairs = stream(photo_P, 0.0, np.array([1, 1, 1, 2, 2, 2]), batch_size=6)
    assert sorted(pairs.rows(0).tolist()) == list(range(6))
    assert sorted(pairs.first(8).tolist()) == [0, 1, 2]
    none = np.zeros(0, np.int64)
    assert PairStream(none, none, np.ones(3), exponent=0.0, batch_size=4, seed=1).first(8).tolist() == []
