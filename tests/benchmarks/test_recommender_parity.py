"""The parity of recommenders on the log that NIGHTLENS_RECOMMENDER_LOG names, and that its judge is a right one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from jobs.recommending.external_log import Columns, read_log
from models.evaluation.statistics import Estimates
from models.recommend.interactions import Interactions
from models.recommend.judging import COLUMNS, visitor_metrics
from tests.benchmarks.measuring import READS_PEAKS
from tests.benchmarks.recommender_parity import MEASURES, K, judged, parity, verdicts

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200), READS_PEAKS]
LOG = os.environ.get("NIGHTLENS_RECOMMENDER_LOG", "")


def test_the_judge_of_both_sides_agrees_with_the_metrics_of_a_night() -> None:
    random, visitors, items = np.random.default_rng(0), 200, 60
    lists = np.stack([random.permutation(items)[:K] for _ in range(visitors)])
    lists[:20, 4:] = -1
    visitor_N, item_N = np.nonzero(random.random((visitors, items)) < 0.15)
    ones, nobody = np.ones(len(item_N), np.float32), np.full(visitors, -1, np.int32)
    truth = Interactions.of(visitor_N, item_N, ones.astype(float), ones, nobody, item_count=items, as_of=2.0)
    truths = [set(truth.item_N[truth.history(visitor)].tolist()) for visitor in range(visitors)]
    columns = [COLUMNS.index((measure, K)) for measure in MEASURES]
    np.testing.assert_allclose(judged(lists, truths), visitor_metrics(lists, truth)[:, columns])


def test_a_method_is_behind_if_its_whole_interval_is() -> None:
    end = np.ones(4)
    found = Estimates(np.array([-0.1, -0.02, -0.005, 0.1]), 0.005 * end, 1000 * end, -end, end)
    assert verdicts(found) == ["behind", "undecided", "level", "ahead"]


@pytest.mark.skipif(not LOG, reason="NIGHTLENS_RECOMMENDER_LOG names no log, such as MovieLens' u.data")
def test_no_method_is_behind_its_peers() -> None:
    assert parity(read_log(Path(LOG), Columns()).log, seeds=3, threads=1) == []
