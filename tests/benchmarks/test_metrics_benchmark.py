"""Metrics against ir-measures on 100,000 queries x 50 positions: equal values, time and memory as a table.

Run with `pytest -m benchmark tests/benchmarks/test_metrics_benchmark.py -s`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ir_measures as ir
import numpy as np
import pytest

from models.evaluation import metrics as m
from tests.benchmarks.measuring import READS_PEAKS, alone, forget_peak, memory_mib

QUERY_COUNT, DEPTH, K = 100_000, 50, 10
Values = dict[str, np.ndarray]
Cost = dict[str, float]


def several_relevant() -> np.ndarray:
    """0 or 1 per position, about three relevant photos a query, shape (Q, K)."""
    return (np.random.default_rng(0).random((QUERY_COUNT, DEPTH)) < 0.06).astype(np.int8)


def one_relevant() -> np.ndarray:
    """The same with exactly one, shape (Q, K)."""
    return (np.random.default_rng(1).integers(0, DEPTH, QUERY_COUNT)[:, None] == np.arange(DEPTH)).astype(np.int8)


def with_arrays(relevance_QK: np.ndarray) -> tuple[Values, Cost]:
    begun = time.perf_counter()
    count_Q = relevance_QK.sum(axis=1)
    values = {
        "Success": m.hit_rate(relevance_QK, K),
        "AP": m.average_precision(relevance_QK, count_Q, K),
        "RR": m.reciprocal_rank(relevance_QK, K),
        "nDCG": m.ndcg(relevance_QK, m.judged_of_counts(count_Q, K), K),
        "P": m.precision(relevance_QK, K),
        "R": m.recall(relevance_QK, count_Q, K),
    }
    return values, {"prepare": 0.0, "evaluate": time.perf_counter() - begun}


def with_ranks(relevance_QK: np.ndarray) -> tuple[Values, Cost]:
    begun = time.perf_counter()
    rank_Q = relevance_QK.argmax(axis=1) + 1
    prepared = time.perf_counter()
    values = dict(zip(("Success", "AP", "RR", "nDCG", "P", "R", "F1"), m.rank_metrics(rank_Q, [K]).T, strict=True))
    return values, {"prepare": prepared - begun, "evaluate": time.perf_counter() - prepared}


def with_oracle(relevance_QK: np.ndarray) -> tuple[Values, Cost]:
    begun = time.perf_counter()
    names = [f"{q:06}" for q in range(len(relevance_QK))]
    photos = [f"d{i}" for i in range(DEPTH)]
    scores = dict(zip(photos, range(DEPTH, 0, -1), strict=True))
    run = {name: dict(scores) for name in names}
    qrels = {name: dict(zip(photos, row, strict=True)) for name, row in zip(names, relevance_QK.tolist(), strict=True)}
    prepared = time.perf_counter()
    measures = [ir.Success @ K, ir.AP @ K, ir.RR @ K, ir.nDCG @ K, ir.P @ K, ir.R @ K]
    found: dict[str, dict[str, float]] = {measure.NAME: {} for measure in measures}
    for value in ir.iter_calc(measures, qrels, run):
        found[value.measure.NAME][value.query_id] = value.value
    done = time.perf_counter()
    values = {name: np.array([per_query[q] for q in names]) for name, per_query in found.items()}
    return values, {"prepare": prepared - begun, "evaluate": done - prepared}


def _measure(job: Callable[[np.ndarray], tuple[Values, Cost]], data: Callable[[], np.ndarray]) -> tuple[Values, Cost]:
    relevance_QK = data()
    before = forget_peak()
    values, cost = job(relevance_QK)
    return values, cost | {"mib": memory_mib("VmHWM") - before}


@pytest.mark.benchmark
@READS_PEAKS
@pytest.mark.parametrize(("job", "data"), [(with_arrays, several_relevant), (with_ranks, one_relevant)])
def test_metrics_equal_the_oracle_at_a_fraction_of_its_cost(job: Callable[..., Any], data: Callable[..., Any]) -> None:
    (values, cost), (expected, oracle_cost) = (alone(_measure, one, data) for one in (job, with_oracle))
    for measure in expected:
        np.testing.assert_allclose(values[measure], expected[measure], err_msg=measure)
    print(f"\n{data.__name__}: {QUERY_COUNT:,} queries x {DEPTH}; Success, AP, RR, nDCG, P and R @{K}, values equal")
    print(f"{'':<14}{'prepare s':>10}{'evaluate s':>12}{'peak MiB':>10}")
    for label, c in ((job.__name__, cost), ("ir-measures", oracle_cost)):
        print(f"{label:<14}{c['prepare']:>10.3f}{c['evaluate']:>12.3f}{c['mib']:>10.1f}")
    total, oracle_total = (c["prepare"] + c["evaluate"] for c in (cost, oracle_cost))
    faster, leaner = oracle_cost["evaluate"] / cost["evaluate"], oracle_cost["mib"] / max(cost["mib"], 0.1)
    print(f"{'ratio':<14}{'':>10}{faster:>11.0f}x{leaner:>9.0f}x   (with preparation {oracle_total / total:.0f}x)")
    assert oracle_total > 5 * total
    assert cost["mib"] < oracle_cost["mib"]
