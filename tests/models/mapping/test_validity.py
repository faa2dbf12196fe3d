"""DBCV: a case worked by hand, an independent program, and what must not change it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from models.mapping.validity import OUTLIER, dbcv


def apart(points: list[float] | np.ndarray) -> np.ndarray:
    rows = np.asarray(points, float).reshape(len(points), -1)
    return np.linalg.norm(rows[:, None] - rows[None], axis=2)


def test_a_case_worked_by_hand() -> None:
    """Two clusters {0, 1, 3} on a line, a hundred apart, and two outliers.

    Core distances in one dimension are harmonic means: 2/(1 + 1/3) = 1.5, 2/(1 + 1/2) = 4/3, 2/(1/2 + 1/3) = 2.4. The
    tree joins 0 and 1 at 1.5, 1 and 3 at 2.4. Only the row in the middle is no leaf, so no edge is an inner one and
    both count: 2.4. The rows in the middle are 100 apart: (100 - 2.4) / 100 for both, times six of eight rows.
    """
    distance = apart([0, 1, 3, 100, 101, 103, 50, -400])
    label = np.array([0, 0, 0, 1, 1, 1, OUTLIER, OUTLIER])
    assert dbcv(distance, label, 1) == pytest.approx(0.976 * 6 / 8)


def by_definition(distance: np.ndarray, label: np.ndarray, dimension: int) -> float:
    """The paper's definitions, pair by pair; the spanning tree by Kruskal's algorithm."""
    clusters = [np.flatnonzero(label == one).tolist() for one in sorted(set(label.tolist()) - {OUTLIER})]
    core, inner, sparse = {}, {}, {}
    for number, rows in enumerate(clusters):
        for a in rows:
            powers = [(1 / distance[a, b]) ** dimension for b in rows if b != a]
            core[a] = (sum(powers) / len(powers)) ** (-1 / dimension)
        pairs = itertools.combinations(rows, 2)
        edges = sorted((max(core[a], core[b], distance[a, b]), distance[a, b], a, b) for a, b in pairs)
        part, tree = {a: a for a in rows}, []
        for length, _, a, b in edges:
            if part[a] != part[b]:
                tree.append((length, a, b))
                part = {row: part[b] if of == part[a] else of for row, of in part.items()}
        degree = {a: sum(a in edge[1:] for edge in tree) for a in rows}
        inner[number] = [a for a in rows if degree[a] > 1] or rows
        lengths = [length for length, a, b in tree if degree[a] > 1 and degree[b] > 1]
        sparse[number] = max(lengths or [length for length, _, _ in tree])
    total = 0.0
    for i, rows in enumerate(clusters):
        separation = min(
            max(core[a], core[b], distance[a, b])
            for j in range(len(clusters))
            if j != i
            for a in inner[i]
            for b in inner[j]
        )
        total += len(rows) * (separation - sparse[i]) / max(separation, sparse[i])
    return total / len(label)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dimension", [2, 5])
def test_it_is_what_the_definitions_say(seed: int, dimension: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(40, dimension)) + 3 * random.integers(0, 2, (40, 1))
    label = random.integers(-1, 4, 40)  # any division, good or bad
    assert dbcv(apart(rows), label, dimension) == pytest.approx(by_definition(apart(rows), label, dimension))


def test_many_dimensions_do_not_overflow_and_the_power_is_that_of_the_definition() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(30, 128)) + 4 * np.repeat([0, 1], 15)[:, None]
    label = np.repeat([0, 1], 15)
    assert dbcv(apart(rows) / 1e6, label, 1152) == pytest.approx(dbcv(apart(rows), label, 1152))
    assert dbcv(apart(rows), label, 128) == pytest.approx(by_definition(apart(rows), label, 128))


def test_good_divisions_are_above_bad_ones_and_outliers_count() -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(60, 2)) * 0.2 + np.repeat([[0, 0], [4, 0], [0, 4]], 20, axis=0)
    right = np.repeat([0, 1, 2], 20)
    halved = np.where(np.arange(60) % 2, right, OUTLIER)
    good, mixed = dbcv(apart(rows), right, 2), dbcv(apart(rows), right[::-1] * 0 + np.arange(60) % 3, 2)
    assert good > 0.8
    assert mixed < -0.5
    assert dbcv(apart(rows), halved, 2) < 0.55
    assert dbcv(apart(rows), 2 - right, 2) == pytest.approx(good)


def test_equal_rows_are_no_gap_of_the_arithmetic() -> None:
    rows = [0.0, 0.0, 1.0, 9.0, 9.0, 10.0]
    assert 0 < dbcv(apart(rows), np.array([0, 0, 0, 1, 1, 1]), 1) <= 1
    assert dbcv(apart([0.0] * 4), np.array([0, 0, 1, 1]), 1) == 0


@pytest.mark.parametrize("label", [[0, 0, 0, OUTLIER], [OUTLIER] * 4])
def test_below_two_clusters_there_is_nothing_to_measure(label: list[int]) -> None:
    assert math.isnan(dbcv(apart([0, 1, 2, 3]), np.array(label), 1))
