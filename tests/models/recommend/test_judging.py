"""What lists are worth: by hand, and against ir-measures."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from ir_measures import nDCG

from models.recommend.interactions import NONE, Interactions
from models.recommend.judging import (
    COLUMNS,
    DEPTH,
    beyond_accuracy,
    history_group,
    is_elsewhere,
    is_new_item,
    relevance,
    visitor_metrics,
)
from tests.models.recommend.tastes import log_of


def taken(rows: list[tuple[int, int]], visitors: int, items: int, countries: list[int] | None = None) -> Interactions:
    visitor, item = zip(*rows, strict=True)
    return log_of(visitor, item, np.arange(len(rows)), np.ones(len(rows)), countries or [0] * visitors, items)


def test_a_list_by_hand() -> None:
    truth = taken([(0, 3), (0, 3), (0, 1), (1, 0)], visitors=2, items=5)
    item_VK = np.array([[3, 0, 1, NONE], [4, NONE, NONE, NONE]])
    assert relevance(item_VK, truth).tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]
    found = dict(zip(COLUMNS, visitor_metrics(item_VK, truth).T.tolist(), strict=True))
    # item 3 was taken twice and counts once: two are right, at the places 1 and 3
    assert found["hit_rate", 10] == [1, 0]
    assert found["precision", 10] == [0.2, 0]
    assert found["recall", 10] == [1, 0]
    assert found["map", 10] == pytest.approx([(1 + 2 / 3) / 2, 0])


def test_metrics_equal_those_of_ir_measures() -> None:
    random = np.random.default_rng(0)
    visitors, items = 40, 150
    truth = taken([(v, int(i)) for v in range(visitors) for i in random.integers(0, items, 1 + v % 7)], visitors, items)
    item_VK = np.array([random.permutation(items)[:DEPTH] for _ in range(visitors)])
    item_VK[3, 5:] = NONE
    names = {"hit_rate": "Success", "map": "AP", "mrr": "RR", "precision": "P", "recall": "R"}
    measures = {
        (metric, k): nDCG @ k if metric == "ndcg" else ir_measures.parse_measure(f"{names[metric]}@{k}")
        for metric, k in COLUMNS
        if metric in names or metric == "ndcg"
    }
    qrels = [ir_measures.Qrel(str(v), str(i), 1) for v, i in zip(truth.row_visitors(), truth.item_N, strict=True)]
    run = [
        ir_measures.ScoredDoc(str(v), str(i), float(DEPTH - place))
        for v, row in enumerate(item_VK)
        for place, i in enumerate(row)
        if i != NONE
    ]
    expected = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    found = dict(zip(COLUMNS, visitor_metrics(item_VK, truth).mean(axis=0), strict=True))
    for column, measure in measures.items():
        assert found[column] == pytest.approx(expected[measure], abs=1e-9), column


def test_groups_by_history_and_country() -> None:
    rows = [(0, 0), (1, 0), (1, 1), *((2, i) for i in range(5)), *((3, 0) for _ in range(3))]
    log = taken(rows, visitors=5, items=7, countries=[0, 1, 0, NONE, 2])
    assert history_group(log) == ["1", "2-4", "5+", "2-4", "0"]
    assert is_elsewhere(log, log.country_V).tolist() == [False, True, False, False, True]
    assert is_new_item(log).tolist() == [False] * 5 + [True] * 2


def test_beyond_accuracy_of_lists_and_of_none() -> None:
    log = taken([(0, 0), (1, 0), (1, 1)], visitors=3, items=3)
    vectors = np.eye(3, dtype=np.float32)
    found = beyond_accuracy(np.array([[0, 1], [2, NONE], [NONE, NONE]]), vectors, log, candidate_count=3)
    assert found["coverage"] == 1.0
    assert found["diversity"] == 1.0  # the one list of two has two items across
    # 3 visitors and one more: item 0 has 3 of 4, item 1 has 2 of 4, item 2 has 1 of 4
    assert found["novelty"] == pytest.approx(((-np.log2(3 / 4) + 1) / 2 + 2) / 2)
    nothing = beyond_accuracy(np.full((2, 2), NONE), vectors, log, candidate_count=3)
    assert nothing["coverage"] == 0
    assert np.isnan(nothing["diversity"])
