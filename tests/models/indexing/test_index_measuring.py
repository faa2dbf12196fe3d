"""Recall counts what exact search finds, block by block; latencies are of the calls that were made."""

from __future__ import annotations

import time
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ann
from models.indexing.ids import Ints
from models.indexing.measuring import ExactSearch, latency
from tests.models.indexing.vectors import unit_vectors


def recall(query_QD: ann.Floats, photo_ND: ann.Floats, found: list[list[int]], block: int = 1000) -> float:
    search = ExactSearch(query_QD, len(found[0]), (np.array(found),))
    exact = search.scores(blocks(np.arange(len(photo_ND)), photo_ND, block))
    return float(exact.recall(search.found, 0, len(found[0])).mean())


def blocks(ids_N: Ints, photo_ND: ann.Floats, size: int) -> list[tuple[Ints, ann.Floats]]:
    return [(ids_N[start : start + size], photo_ND[start : start + size]) for start in range(0, len(ids_N), size)]


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
    search = ExactSearch(query_QD, k, (found_QK, found_QK[::-1].copy()))
    exact = search.scores(blocks(np.arange(photo_count), photo_ND, block))
    for cutoff in {1, k}:
        of = min(cutoff, photo_count)
        expected = [len(set(b[:of].tolist()) & set(f[:cutoff])) / of for b, f in zip(best, rows, strict=True)]
        np.testing.assert_allclose(exact.recall(search.found, 0, cutoff), expected)


@given(st.integers(2, 40), st.integers(1, 15), st.integers(0, 100), st.integers(1, 5))
def test_scores_summed_in_tasks_are_those_of_one_block_whatever_the_cut(
    photo_count: int, k: int, seed: int, tasks: int
) -> None:
    random = np.random.default_rng(seed)
    photo_ND, query_QD = unit_vectors(photo_count, seed), unit_vectors(4, seed + 1)
    found_QK = np.argsort(random.random((4, photo_count + 2)), axis=1)[:, :k] - 1  # -1 and an id that no photo has
    search, ids_N = ExactSearch(query_QD, k, (found_QK,)), np.arange(photo_count)
    whole = search.scores([(ids_N, photo_ND)])
    parts = np.array_split(random.permutation(photo_count), tasks)
    cut = reduce(add, (search.scores(blocks(ids_N[part], photo_ND[part], 7)) for part in parts))
    assert cut.photo_count == whole.photo_count == photo_count
    assert np.array_equal(cut.best_QK, whole.best_QK)
    assert np.array_equal(cut.of_found[0], whole.of_found[0])
    for query, row in enumerate(found_QK):  # one by one, in double precision
        expected = [
            np.float32((photo_ND[i] * query_QD[query].astype(float)).sum()) for i in row if 0 <= i < photo_count
        ]
        assert whole.of_found[0][query][(row >= 0) & (row < photo_count)].tolist() == expected


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
