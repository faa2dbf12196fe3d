"""Lists made in tasks are those of one call, to the bit of a score, wherever the visitors are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.adapters.task_pool import LocalPool, SparkPool, TaskPool, task_pool
from jobs.lake.staged_run import WorkerOutput
from jobs.recommending import lists_in_tasks
from jobs.recommending.lists_in_tasks import Scoring, cuts
from models.recommend.interactions import Interactions, Ints
from models.recommend.interface import Fitted
from models.recommend.lists import filled_lists
from models.recommend.methods import METHODS
from models.recommend.topk import VISITORS_PER_BLOCK, top_k
from models.recommend.training import Training
from models.recommend.two_tower import TwoTower
from tests.conftest import Contexts
from tests.models.recommend.tastes import features

VISITORS, ITEMS, K = 2 * VISITORS_PER_BLOCK + 300, 90, 12
ONE_BLOCK = VISITORS_PER_BLOCK * ITEMS
TWO_TOWER = "two_tower"


def likes() -> Interactions:
    random = np.random.default_rng(0)
    count = 4 * VISITORS
    return Interactions.of(
        random.integers(0, VISITORS, count),
        random.integers(0, ITEMS, count),
        random.random(count),
        np.ones(count, np.float32),
        random.integers(0, 3, VISITORS).astype(np.int32),
        item_count=ITEMS,
        as_of=1.0,
    )


@pytest.fixture(scope="module")
def log() -> Interactions:
    return likes()


@pytest.fixture(params=["popularity", "item_knn", "content", TWO_TOWER])
def fitted(request: pytest.FixtureRequest, log: Interactions) -> Fitted:
    return learned(request.param, log)


def learned(name: str, log: Interactions) -> Fitted:
    made = TwoTower(training=Training(pass_count=1)) if name == TWO_TOWER else METHODS[name]()
    return made.fit(log.take(np.arange(200)), features(ITEMS), seed=0)


def in_one_call(fitted: Fitted, log: Interactions, diversity: float) -> np.ndarray:
    """The lists of all visitors, made at once."""
    how = {"diversity": diversity, "pool_count": 30, "vectors": lambda: features(ITEMS).image_ID}
    return filled_lists(fitted, learned("popularity", log), log, K, **how)[0]


class OneByOne:
    """A pool that counts its tasks, and runs them here."""

    def __init__(self) -> None:
        self.task_count = 0

    def each(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        self.task_count = len(items)
        return [function(item) for item in items]


def lists(pool: TaskPool, folder: Path, fitted: Fitted, log: Interactions, diversity: float = 0.0) -> Ints:
    files = WorkerOutput(str(folder), "log", str(folder / "own"))
    options = {"diversity": diversity, "pool_count": 30, "excludes_seen": True}
    vectors = lambda: features(ITEMS).image_ID  # noqa: E731
    found, _ = Scoring(pool, files, 1024).lists(fitted, learned("popularity", log), log, K, vectors=vectors, **options)
    assert not [path for path in folder.rglob("*") if path.is_file()]  # nothing is left behind
    return found


def test_lists_are_the_same_however_the_visitors_are_cut(
    fitted: Fitted, log: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = in_one_call(fitted, log, diversity=0.0)
    for cells, count in ((1, 3), (2 * ONE_BLOCK, 2), (10 * ONE_BLOCK, 1)):
        monkeypatch.setattr(lists_in_tasks, "_CELLS_PER_TASK", cells)
        pool = OneByOne()
        np.testing.assert_array_equal(lists(pool, tmp_path, fitted, log), whole)
        assert pool.task_count == count


def test_lists_less_alike_are_the_same_however_the_visitors_are_cut(
    log: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log.take(np.arange(VISITORS_PER_BLOCK + 20))
    fitted = learned("mean_embedding", log)
    whole = in_one_call(fitted, log, diversity=0.5)
    plain = in_one_call(fitted, log, diversity=0.0)
    monkeypatch.setattr(lists_in_tasks, "_CELLS_PER_TASK", 1)
    found = lists(OneByOne(), tmp_path, fitted, log, diversity=0.5)
    np.testing.assert_array_equal(found, whole)
    assert not np.array_equal(found, plain)


def test_scores_are_the_same_to_the_bit_wherever_whole_blocks_are_cut(fitted: Fitted, log: Interactions) -> None:
    whole = top_k(fitted, log, K).score_VK
    for step in (VISITORS_PER_BLOCK, 2 * VISITORS_PER_BLOCK):
        parts = [
            top_k(fitted, log.take(np.arange(start, min(start + step, VISITORS))), K).score_VK
            for start in range(0, VISITORS, step)
        ]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_cuts_take_every_visitor_once_in_whole_blocks() -> None:
    for visitors, items in ((0, 5), (1, 1), (100_000, 100_000), (5000, 10**9)):
        found = cuts(visitors, items)
        assert [start for start, _ in found] == [0, *(end for _, end in found[:-1])]
        assert found[-1][1] == visitors
        assert all(start % VISITORS_PER_BLOCK == 0 for start, _ in found)


@pytest.mark.integration
def test_processes_make_the_lists_of_one_call(
    log: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    log = log.take(random.integers(0, VISITORS, 4 * VISITORS_PER_BLOCK))
    fitted = learned(TWO_TOWER, log)
    whole = in_one_call(fitted, log, diversity=0.0)
    monkeypatch.setattr(lists_in_tasks, "_CELLS_PER_TASK", 1)
    np.testing.assert_array_equal(lists(LocalPool(), tmp_path, fitted, log), whole)


@pytest.mark.integration
@pytest.mark.spark
def test_tasks_of_spark_make_the_lists_of_one_call(
    log: Interactions, make_context: Contexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = learned("item_knn", log)
    whole = in_one_call(fitted, log, diversity=0.0)
    monkeypatch.setattr(lists_in_tasks, "_CELLS_PER_TASK", 1)
    settings = make_context().settings.model_copy(update={"spark_from_rows": 1})
    with task_pool(settings, "lists", 1) as pool:
        assert isinstance(pool, SparkPool)
        np.testing.assert_array_equal(lists(pool, tmp_path, fitted, log), whole)


def test_what_tasks_share_is_found_in_an_object_store(tmp_path: Path) -> None:
    files = WorkerOutput(f"memory://{tmp_path.name}", "log", f"/{tmp_path.name}/log/own")
    with files.folder("shared") as folder:
        (folder / "a").write_bytes(b"1")
    with files.reading("shared") as folder:
        assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("a", b"1")]
    files.remove("")
    with files.reading("shared") as folder:
        assert not [*folder.iterdir()]
