"""Random numbers by hashing: a published sequence, even, unrelated, and the same in any order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.search.counter_random import joint_ids, uniforms

INT64 = st.integers(-(2**63), 2**63 - 1)
SMALL = np.arange(20_000, dtype=np.int64)
ID_KINDS = {"small": SMALL, "far apart": SMALL * 10**14, "negative": -SMALL, "high bits": SMALL << 40}


def splitmix64(state: int) -> Iterator[int]:
    """Yield what the reference implementation does, https://prng.di.unimi.it/splitmix64.c."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        word = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
        yield word ^ (word >> 31)


def mixed(word: int) -> int:
    return next(splitmix64(word - 0x9E3779B97F4A7C15))


def test_the_reference_gives_the_published_sequence() -> None:
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert list(islice(splitmix64(1234567), 4)) == expected


@given(INT64, INT64, INT64, INT64)
def test_an_id_s_numbers_are_a_sequence_of_splitmix64(seed: int, stream: int, step: int, one: int) -> None:
    state = 0
    for part in (seed, stream, step):
        state = next(splitmix64(state + part))
    expected = [word >> 11 for word in islice(splitmix64(mixed(one + state)), 3)]
    found = uniforms(seed, stream, step, np.array([one], np.int64), 3)[0]
    assert [int(number * 2**53) for number in found] == expected


@given(INT64, INT64, INT64, st.lists(INT64, max_size=20), st.integers(0, 5))
def test_an_id_has_its_numbers_in_any_company(seed: int, stream: int, step: int, ids: list[int], count: int) -> None:
    id_U = np.array(ids, np.int64)
    together = uniforms(seed, stream, step, id_U, count)
    assert together.shape == (len(ids), count)
    assert ((together >= 0) & (together < 1)).all()
    order = np.random.default_rng(len(ids)).permutation(len(ids))
    assert (uniforms(seed, stream, step, id_U[order], count) == together[order]).all()
    for one, expected in zip(ids, together, strict=True):
        alone = uniforms(seed, stream, step, np.array([one], np.int64), count + 1)
        assert (alone[0, :count] == expected).all()


def test_no_global_state_is_read_or_moved() -> None:
    before = np.random.get_state()[1].tolist()
    np.testing.assert_array_equal(uniforms(1, 2, 3, SMALL, 2), uniforms(1, 2, 3, SMALL, 2))
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize("kind", ID_KINDS)
@pytest.mark.parametrize("seed", [0, 1, -5])
def test_they_are_even_and_unrelated(kind: str, seed: int) -> None:
    number_UK = uniforms(seed, 3, 11, ID_KINDS[kind], 3)
    count = len(number_UK)
    assert len(np.unique(number_UK)) == number_UK.size
    for number_U in number_UK.T:
        observed = np.bincount((number_U * 100).astype(np.int64), minlength=100)
        chi_square = ((observed - count / 100) ** 2 / (count / 100)).sum()
        assert 45 < chi_square < 175  # of 99 degrees of freedom: 5 deviations of 14 about 99, and skewed
    assert number_UK.mean(axis=0) == pytest.approx([0.5] * 3, abs=5 / (12 * count) ** 0.5)
    assert number_UK.var(axis=0) == pytest.approx([1 / 12] * 3, rel=0.04)
    in_turn = np.corrcoef(number_UK[1:, 0], number_UK[:-1, 0])[0, 1]
    between = np.corrcoef(number_UK.T)[np.triu_indices(3, 1)]
    assert np.abs([in_turn, *between]).max() < 5 / count**0.5


@pytest.mark.parametrize("other", [(1, 2, 4), (1, 3, 3), (2, 2, 3), (2, 1, 3), (3, 2, 1), (1, 3, 2), (-1, 2, 3)])
def test_other_seeds_streams_and_steps_are_unrelated(other: tuple[int, int, int]) -> None:
    one, two = uniforms(1, 2, 3, SMALL, 1)[:, 0], uniforms(*other, SMALL, 1)[:, 0]
    assert not (one == two).any()
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / len(SMALL) ** 0.5


def test_joint_ids_tell_every_two_and_their_order_apart() -> None:
    first, second = (side.ravel().astype(np.int64) for side in np.mgrid[-150:150, -150:150])
    joint = joint_ids(first, second)
    assert joint.dtype == np.int64
    assert len(np.unique(joint)) == len(joint)
