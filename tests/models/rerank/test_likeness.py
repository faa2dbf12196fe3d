"""Likeness to what was taken: short vectors, cosines with the others of a search, countries' tastes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rerank.features import FEATURES
from models.rerank.likeness import SHORT_DIM, country_tastes, likeness, short_basis, shortened, taste_match
from tests.models.rerank.world import World


def test_short_vectors_keep_the_dot_products_of_vectors_that_lie_in_few_directions() -> None:
    random = np.random.default_rng(0)
    vector_PD = (random.normal(size=(300, 20)) @ random.normal(size=(20, 100))).astype(np.float32)
    vector_PD /= np.linalg.norm(vector_PD, axis=1, keepdims=True)
    basis_DK = short_basis((vector_PD.T @ vector_PD).astype(np.float64))
    assert basis_DK.shape == (100, SHORT_DIM)
    short_PK = shortened(vector_PD, basis_DK).astype(np.float32)
    np.testing.assert_allclose(short_PK @ short_PK.T, vector_PD @ vector_PD.T, atol=5e-3)


def test_vectors_that_are_short_already_are_only_turned() -> None:
    vector_PD = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    short_PK = shortened(vector_PD, short_basis((vector_PD.T @ vector_PD).astype(np.float64))).astype(np.float32)
    np.testing.assert_allclose(short_PK @ short_PK.T, vector_PD @ vector_PD.T, rtol=2e-2, atol=2e-2)


@given(st.integers(0, 10_000))
def test_likeness_is_the_cosine_with_the_others_by_weight(seed: int) -> None:
    random = np.random.default_rng(seed)
    row_N = np.repeat([0, 2, 5], random.integers(1, 6, 3))
    vector_NK = random.normal(size=(len(row_N), 4)).astype(np.float32)
    weight_N = random.integers(0, 3, len(row_N)).astype(np.float64)
    vector_NK[random.random(len(row_N)) < 0.2] = 0
    found_N = likeness(vector_NK, weight_N, row_N)
    for number, row in enumerate(row_N):
        others = (row_N == row) & (np.arange(len(row_N)) != number)
        sum_K = (vector_NK[others] * weight_N[others, None]).sum(axis=0)
        length = np.linalg.norm(sum_K) * np.linalg.norm(vector_NK[number])
        if length < 1e-5:
            continue
        assert found_N[number] == pytest.approx(sum_K @ vector_NK[number] / length, abs=1e-4)
    is_alone = np.array(
        [not weight_N[(row_N == row) & (np.arange(len(row_N)) != n)].any() for n, row in enumerate(row_N)]
    )
    assert np.isnan(found_N[is_alone]).all()
    assert np.isnan(found_N[~vector_NK.any(axis=1)]).all()


def test_a_photo_without_a_past_is_alike_what_was_taken() -> None:
    world = World.of(3)
    named, is_new = {name: [] for name in FEATURES}, []
    for _, _, candidates, matrix in world.asked(60, vector_count=30).blocks():
        is_new.append(world.available_at[candidates.place] >= world.cutoff)
        for name, column in zip(FEATURES, matrix.T, strict=True):
            named[name].append(column)
    found = {name: np.concatenate(columns) for name, columns in named.items()}
    new = np.concatenate(is_new)
    for name in ("query_likeness", "country_taste"):
        assert np.isfinite(found[name][new]).mean() > 0.9, name
    assert np.isnan(found["photo_conversions"][new]).all()


def test_a_country_likes_what_it_takes_more_than_others_do() -> None:
    vector_PK = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float16)
    taken = {(0, 0): 3.0, (1, 1): 1.0, (2, 1): 1.0}  # of country 2 nothing
    pair_E = np.array([photo * 3 + country for photo, country in taken])
    taste_CK = country_tastes(pair_E, np.array(list(taken.values())), vector_PK, 3)
    mean_K = (3 * vector_PK[0] + vector_PK[1] + vector_PK[2]) / 5
    np.testing.assert_allclose(taste_CK[0], vector_PK[0] - mean_K, atol=1e-3)
    np.testing.assert_allclose(taste_CK[1], (vector_PK[1] + vector_PK[2]) / 2 - mean_K, atol=1e-3)
    assert not taste_CK[2].any()
    match = taste_match(vector_PK[[0, 0, 0, 0, 0]].astype(np.float32), np.array([0, 1, 2, -1, 7]), taste_CK)
    assert match[0] > 0 > match[1]
    assert np.isnan(match[2:]).all()
