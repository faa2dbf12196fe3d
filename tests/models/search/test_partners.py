"""Partners: of the same text and shard, never the photo itself, each reachable, the same from a part of the shards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.search.counter_random import joint_ids
from models.search.partners import NONE, CoConverted, Indices

PHOTOS, TEXTS, SHARDS = 9, 4, 3
PHOTO_IDS = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, PHOTOS)
TEXT_IDS = np.arange(TEXTS) * 10**12
PAIRS = st.lists(st.tuples(st.integers(0, PHOTOS - 1), st.integers(0, TEXTS - 1)), max_size=30)
SHARD_NUMBERS = st.lists(st.integers(0, SHARDS - 1), min_size=PHOTOS, max_size=PHOTOS)


def sides(pairs: list[tuple[int, int]]) -> tuple[Indices, Indices]:
    photo_P, text_P = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    return photo_P, text_P


def pair_ids(photo_P: Indices, text_P: Indices) -> Indices:
    return joint_ids(PHOTO_IDS[photo_P], TEXT_IDS[text_P])


@given(PAIRS, SHARD_NUMBERS)
def test_a_partner_is_another_photo_of_text_and_shard_and_each_of_them_comes(
    pairs: list[tuple[int, int]], shards: list[int]
) -> None:
    photo_P, text_P = sides(pairs)
    co_converted = CoConverted.of(photo_P, text_P, np.array(shards), PHOTO_IDS)
    drawn = [co_converted.draw(photo_P, text_P, pair_ids(photo_P, text_P), seed=1, step=step) for step in range(150)]
    for place, (photo, text) in enumerate(pairs):
        others = {p for p, t in pairs if t == text and shards[p] == shards[photo] and p != photo}
        assert {int(partner_P[place]) for partner_P in drawn} == (others or {NONE})


@given(PAIRS, SHARD_NUMBERS, st.sets(st.integers(0, SHARDS - 1), min_size=1))
def test_a_part_of_the_shards_gives_its_photos_the_partners_of_all(
    pairs: list[tuple[int, int]], shards: list[int], held: set[int]
) -> None:
    photo_P, text_P = sides(pairs)
    shard_N = np.array(shards)
    everything = CoConverted.of(photo_P, text_P, shard_N, PHOTO_IDS)
    expected_P = everything.draw(photo_P, text_P, pair_ids(photo_P, text_P), seed=3, step=4)

    order = np.random.default_rng(len(pairs)).permutation(PHOTOS)  # what is held is numbered in another order
    own_N = order[np.isin(shard_N[order], list(held))]
    place_N = np.full(PHOTOS, NONE)
    place_N[own_N] = np.arange(len(own_N))
    is_own_P = place_N[photo_P] != NONE
    own_photo_P, own_text_P = place_N[photo_P[is_own_P]][::-1], text_P[is_own_P][::-1]
    part = CoConverted.of(own_photo_P, TEXTS - own_text_P, shard_N[own_N], PHOTO_IDS[own_N])
    found_P = part.draw(own_photo_P, TEXTS - own_text_P, pair_ids(own_N[own_photo_P], own_text_P), seed=3, step=4)
    found_P = np.where(found_P == NONE, NONE, own_N[found_P]) if len(own_N) else found_P
    assert found_P[::-1].tolist() == expected_P[is_own_P].tolist()


def test_partners_are_drawn_evenly_and_anew_at_every_step() -> None:
    photo_P, text_P = np.arange(5), np.zeros(5, np.int64)
    co_converted = CoConverted.of(photo_P, text_P, np.zeros(5, np.int64), np.array([40, -10, 30, 20, 0]))
    drawn = np.stack([co_converted.draw(photo_P, text_P, photo_P, seed=1, step=step) for step in range(2000)])
    for photo in photo_P:
        shares = np.bincount(drawn[:, photo], minlength=5) / len(drawn)
        assert shares == pytest.approx(np.where(photo_P == photo, 0, 0.25), abs=0.05)
    assert (np.corrcoef(drawn.T) - np.eye(5)).max() < 0.1


def test_repetitions_do_not_count_and_pairs_outside_the_log_have_partners_too() -> None:
    photo_P, text_P = np.array([0, 0, 1, 2]), np.array([5, 5, 5, 6])
    co_converted = CoConverted.of(photo_P, text_P, np.zeros(4, np.int64), np.array([3, 2, 1, 0]))
    asked = np.array([0, 1, 2, 3, 3, 3]), np.array([5, 5, 6, 6, 7, 4])
    assert co_converted.draw(*asked, np.arange(6), seed=0, step=0).tolist() == [1, 0, NONE, 2, NONE, NONE]


def test_two_photos_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="id"):
        CoConverted.of(np.array([0]), np.array([0]), np.zeros(2, np.int64), np.array([7, 7]))
