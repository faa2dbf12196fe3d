"""The map: groups stay together, the same bytes every time, further rows where they belong, figures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.mapping.plane import (
    Floats,
    beside_known,
    distances,
    make_map,
    neighbours_kept,
    place_on_map,
    spread_out,
    steady_sample,
)

GROUPS, EACH, DIM = 4, 25, 16


def groups(each: int, seed: int) -> Floats:
    """Unit vectors around four directions, group after group."""
    rows = np.repeat(np.eye(GROUPS, DIM), each, axis=0)
    rows = rows + 0.08 * np.random.default_rng(seed).normal(size=rows.shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def vectors() -> Floats:
    return groups(EACH, 1)


@pytest.fixture(scope="module")
def made(vectors: Floats) -> Floats:
    return make_map(vectors, 10, 3)


def middles(map_N2: Floats, each: int) -> Floats:
    return map_N2.reshape(GROUPS, each, 2).mean(axis=1)


def test_groups_stay_together_and_apart_from_others(vectors: Floats, made: Floats) -> None:
    to_middles = np.linalg.norm(made[:, None] - middles(made, EACH)[None], axis=2)
    assert (to_middles.argmin(axis=1) == np.repeat(np.arange(GROUPS), EACH)).all()
    kept = neighbours_kept(distances(vectors), made, 10)
    assert kept > 0.5
    shuffled = made[np.random.default_rng(0).permutation(len(made))]
    assert neighbours_kept(distances(vectors), shuffled, 10) < 0.2


def test_equal_input_gives_an_equal_map(vectors: Floats, made: Floats) -> None:
    assert make_map(vectors.copy(), 10, 3).tobytes() == made.tobytes()


def test_further_rows_lie_in_their_group_and_the_map_stays(vectors: Floats, made: Floats) -> None:
    further, before = groups(5, 2), made.copy()
    placed = place_on_map(further, vectors, made, 10, 3)
    to_middles = np.linalg.norm(placed[:, None] - middles(made, EACH)[None], axis=2)
    assert (to_middles.argmin(axis=1) == np.repeat(np.arange(GROUPS), 5)).all()
    assert made.tobytes() == before.tobytes()
    assert place_on_map(further, vectors, made, 10, 3).tobytes() == placed.tobytes()
    assert place_on_map(further[:0], vectors, made, 10, 3).shape == (0, 2)


def test_where_a_row_lies_does_not_depend_on_the_others_placed_with_it(vectors: Floats, made: Floats) -> None:
    further = groups(5, 2)
    together, alone = place_on_map(further, vectors, made, 10, 3), place_on_map(further[7:8], vectors, made, 10, 3)
    np.testing.assert_allclose(alone[0], together[7], atol=1e-6)


def test_a_row_of_the_map_comes_to_lie_near_its_own_place(vectors: Floats, made: Floats) -> None:
    again = place_on_map(vectors, vectors, made, 10, 3)
    size = np.linalg.norm(made - made.mean(axis=0), axis=1).mean()
    assert np.median(np.linalg.norm(again - made, axis=1)) < 0.15 * size


def test_a_map_of_a_changed_model_resembles_the_one_it_starts_from(vectors: Floats, made: Floats) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(DIM, DIM)))
    other = groups(EACH, 9) @ turn  # another space: no coordinate means what it did
    turned = made @ np.array([[0.0, -1.0], [1.0, 0.0]])  # so that principal components are no help
    aligned = make_map(other, 10, 3, start_N2=turned)
    here, there = middles(aligned, EACH), middles(turned, EACH)
    cosine = (here * there).sum(axis=1) / np.linalg.norm(here, axis=1) / np.linalg.norm(there, axis=1)
    assert cosine.min() > 0.8
    assert neighbours_kept(distances(other), aligned, 10) > 0.5


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="12 rows"):
        make_map(np.eye(3), 30, 1)
    with pytest.raises(ValueError, match="3 rows"):
        place_on_map(np.eye(3), np.eye(3), np.zeros((3, 2)), 30, 1)
    with pytest.raises(ValueError, match="row"):
        beside_known(np.eye(3), np.zeros(3, bool), np.zeros((0, 2)))


def test_unknown_rows_start_beside_the_known_ones_most_like_them() -> None:
    vectors_ND = np.repeat(np.eye(2), 12, axis=0)
    is_known = np.arange(24) % 12 < 11
    known = np.where(np.arange(24)[is_known, None] < 12, [[1.0, 1.0]], [[5.0, 0.0]])
    start = beside_known(vectors_ND, is_known, known)
    assert start[[11, 23]].tolist() == [[1.0, 1.0], [5.0, 0.0]]


def test_distances_are_those_of_numpy_and_symmetric(vectors: Floats) -> None:
    found = distances(vectors)
    np.testing.assert_allclose(found, np.linalg.norm(vectors[:, None] - vectors[None], axis=2), atol=1e-7)
    assert (found == found.T).all()
    assert not found.diagonal().any()


def test_blocks_do_not_change_how_many_neighbours_are_kept() -> None:
    rows = np.random.default_rng(4).normal(size=(1100, 2))
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    assert neighbours_kept(apart, rows, 5) == 1.0
    assert neighbours_kept(apart, rows[::-1], 5) < 0.05


def test_two_samples_share_what_the_nights_share() -> None:
    ids = [f"photo {number}" for number in range(100)]
    first, second = steady_sample(ids, 50, 7), steady_sample([*ids, "new 1", "new 2"][::-1], 50, 7)
    assert len(first) == len(second) == 50
    assert len(set(first) & set(second)) >= 48
    assert steady_sample(ids, 50, 8) != first
    assert steady_sample(ids, 1000, 7) == sorted(ids)


def test_rows_spread_out_reach_every_corner_and_come_once() -> None:
    grid = np.stack(np.meshgrid(range(10), range(10)), axis=-1).reshape(-1, 2).astype(float)
    chosen = spread_out(grid, 4)
    assert {tuple(row) for row in grid[chosen]} == {(0, 0), (0, 9), (9, 0), (9, 9)}
    assert sorted(spread_out(np.zeros((5, 2)), 9, first=[3])) == [0, 1, 2, 3, 4]
    assert spread_out(grid, 3, first=[55, 0])[:2] == [55, 0]
