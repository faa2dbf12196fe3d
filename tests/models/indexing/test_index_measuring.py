"""Recall counts what exact search finds, block by block; latencies are of the calls that were made."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ann
from models.indexing.measuring import ExactSearch, latency
from tests.models.indexing.vectors import unit_vectors


def recall(query_QD: ann.Floats, photo_ND: ann.Floats, found: list[list[int]], block: int = 1000) -> float:
    exact = ExactSearch(query_QD, len(found[0]), [np.array(found)])
    for start in range(0, len(photo_ND), block):
        exact.add(np.arange(len(photo_ND))[start : start + block], photo_ND[start : start + block])
    return float(exact.recall(0, len(found[0])).mean())


def test_recall_counts_found_of_the_best() -> None:
    photo_ND = np.eye(4, dtype=np.float32)
    query_QD = np.array([[0.8, 0.5, 0.3, 0.1], [0.1, 0.3, 0.5, 0.8]], dtype=np.float32)
    assert recall(query_QD, photo_ND, [[0, 1], [3, 2]]) == 1.0
    assert recall(query_QD, photo_ND, [[0, 2], [3, 2]]) == 0.75
    assert recall(query_QD, photo_ND, [[0, -1], [-1, -1]]) == 0.25


@pytest.mark.parametrize("block", [1, 2, 100])
def test_recall_does_not_care_which_of_equal_photos_was_found(block: int) -> None:
    photo_ND = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)  # three copies of each of two pictures
    query_QD = np.array([[1.0, 0.0]], dtype=np.float32)
    for rows in ([0, 1], [1, 2], [2, 0]):
        assert recall(query_QD, photo_ND, [rows], block) == 1.0
    assert recall(query_QD, photo_ND, [[0, 3]], block) == 0.5


@given(st.integers(1, 40), st.integers(1, 15), st.integers(0, 100), st.integers(1, 50))
def test_recall_in_blocks_is_that_of_sorting_everything(photo_count: int, k: int, seed: int, block: int) -> None:
    photo_ND, query_QD = unit_vectors(photo_count, seed), unit_vectors(4, seed + 1)
    best = np.argsort(-(query_QD @ photo_ND.T), axis=1)
    random = np.random.default_rng(seed)
    rows = [random.permutation(photo_count)[:k].tolist() for _ in query_QD]
    found_QK = np.array([row + [-1] * (k - len(row)) for row in rows])
    exact = ExactSearch(query_QD, k, [found_QK, found_QK[::-1].copy()])
    for start in range(0, photo_count, block):
        exact.add(np.arange(photo_count)[start : start + block], photo_ND[start : start + block])
    for cutoff in {1, k}:
        of = min(cutoff, photo_count)
        expected = [len(set(b[:of].tolist()) & set(f[:cutoff])) / of for b, f in zip(best, rows, strict=True)]
        np.testing.assert_allclose(exact.recall(0, cutoff), expected)


def test_latency_is_of_calls_of_the_size_asked_for_without_the_first() -> None:
    sizes = []

    def search(query_BD: ann.Floats) -> None:
        time.sleep(0.05 if not sizes else 0.002)
        sizes.append(len(query_BD))

    found = latency(search, unit_vectors(10, 1), 4, least_calls=20, max_seconds=10)
    assert set(sizes) == {4}  # the rest of two is no batch
    assert found.call_count == 20 == len(sizes) - 1
    assert 2 <= found.p50_ms <= found.p99_ms < 50


def test_slow_calls_end_when_the_time_is_over() -> None:
    found = latency(lambda _: time.sleep(0.02), unit_vectors(50, 1), 1, least_calls=50, max_seconds=0.1)
    assert 1 <= found.call_count < 50
