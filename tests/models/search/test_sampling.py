"""Sampling: nothing lost, and known positives as a plain loop finds them."""

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
    merge_pairs,
)

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


def stream(shard_P: np.ndarray, batch_size: int = 4, held: int = 0) -> PairStream:
    """Return the stream of all pairs or, of those in three shards, of the ones in the `held` first."""
    count_K = np.bincount(shard_P, minlength=3).astype(np.float64)
    kept = shard_P < held if held else np.ones(len(shard_P), np.bool_)
    return PairStream(shard_P[kept], count_K, batch_size=batch_size, seed=1)


def passes(pairs: PairStream, steps: int) -> list[int]:
    return [int(row) for step in range(steps) for row in pairs.rows(step)]


def test_a_pass_sees_every_pair_once() -> None:
    seen = passes(stream(np.zeros(10, np.int64)), steps=5)
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


@given(st.lists(st.integers(0, 40), min_size=30, max_size=90), st.integers(9, 40))
def test_batches_do_not_depend_on_who_holds_the_shards(photos: list[int], batch_size: int) -> None:
    shard_P = np.sort(np.array([0, 1, 2, *photos])) % 3  # no shard is empty
    whole = stream(shard_P, batch_size)
    part = stream(shard_P, batch_size, held=2)
    position = np.flatnonzero(shard_P < 2)
    for step in range(12):
        rows = whole.rows(step)
        assert abs(len(rows) - batch_size) <= 1  # a shard of less than a pair per batch may miss its turn
        assert position[part.rows(step)].tolist() == [row for row in rows.tolist() if shard_P[row] < 2]


def test_shards_give_their_share_and_every_pair_comes_as_often() -> None:
    shard_P = np.repeat([0, 1, 2], [30, 20, 10])
    pairs = stream(shard_P, batch_size=12)
    assert np.bincount(shard_P[pairs.rows(0)]).tolist() == [6, 4, 2]
    assert np.bincount(passes(pairs, steps=10), minlength=60).tolist() == [2] * 60
    assert pairs.first(8).tolist() == [row for step in (0, 1) for row in pairs.rows(step) if row < 30][:8]


def test_an_empty_first_shard_is_passed_over() -> None:
    pairs = stream(np.array([1, 1, 1, 2, 2, 2]), batch_size=6)
    assert sorted(pairs.rows(0).tolist()) == list(range(6))
    assert sorted(pairs.first(8).tolist()) == [0, 1, 2]
    none = np.zeros(0, np.int64)
    assert PairStream(none, np.ones(3), batch_size=4, seed=1).first(8).tolist() == []
