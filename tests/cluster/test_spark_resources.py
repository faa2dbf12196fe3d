"""What Spark's standalone master assigns: a GPU of its own to every task, and no more slots than there are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.adapters.spark_session import spark_session
from jobs.config.params.arms import FULL
from jobs.config.settings import Settings
from jobs.errors import LostWork
from jobs.nights.stage_runner import run_stage
from tests.cluster.compose import Deployment
from tests.conftest import Contexts, make_settings
from tests.errors import raises
from tests.training_lake import BASE_PARAMS, SEARCH_PARAMS, commit_images, commit_splits

pytestmark = [pytest.mark.cluster, pytest.mark.spark, pytest.mark.timeout(900)]

ADDRESSES = ("4", "7")
"""What the machine is said to have: no two that a task could guess from its own number."""


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A master with one worker of two cores, and two GPUs that a script says there are."""
    folder = tmp_path_factory.mktemp("spark")
    script = folder / "gpus.sh"
    addresses = ", ".join(f'"{address}"' for address in ADDRESSES)
    script.write_text(f"""#!/bin/sh\necho '{{"name": "gpu", "addresses": [{addresses}]}}'\n""")
    script.chmod(0o755)
    made = Deployment(folder / "deployment", folder, "tiny")
    made.services["spark-worker"].replicas[1:] = []
    made.services["spark-worker"].environment["SPARK_WORKER_CORES"] = "2"
    made.services["spark-worker"].environment["SPARK_WORKER_OPTS"] = (
        f"-Dspark.worker.resource.gpu.amount=2 -Dspark.worker.resource.gpu.discoveryScript={script}"
    )
    try:
        made.start("spark-master", "spark-worker")
        yield f"spark://127.0.0.1:{made.ports['spark-master']}"
    finally:
        made.stop()


def on(master: str, state_dir: Path, **conf: str) -> Settings:
    own = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return make_settings(state_dir, spark_master=master, spark_conf=own | conf)


def test_tasks_side_by_side_have_gpus_of_their_own(master: str, tmp_path: Path) -> None:
    def where_it_runs(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give back the device of this task and from when until when it had it; local, for workers lack this module."""
        from jobs.embedding.workers import prepare_task

        device, begun = prepare_task(), time.time()
        for _ in batches:
            time.sleep(2)
        yield pa.RecordBatch.from_pylist([{"device": device, "begun": begun, "ended": time.time()}])

    resources = {"spark.executor.resource.gpu.amount": "2", "spark.task.resource.gpu.amount": "1"}
    with spark_session(on(master, tmp_path, **resources), "gpus") as spark:
        frame = spark.range(0, 6, 1, 6).mapInArrow(where_it_runs, "device string, begun double, ended double")
        rows = frame.collect()
    assert {row["device"] for row in rows} == {f"cuda:{address}" for address in ADDRESSES}
    pairs = [(one, other) for one in rows for other in rows if one["begun"] < other["begun"] < one["ended"]]
    assert pairs, "no two tasks ran at once"
    assert all(one["device"] != other["device"] for one, other in pairs)


def test_a_cluster_with_too_few_slots_for_a_training_is_told(
    master: str, tmp_path: Path, make_context: Contexts
) -> None:
    ctx = make_context()
    commit_splits(ctx, shard_count=3)
    commit_images(ctx, tmp_path / "photos")
    run_stage(ctx, "train_base", BASE_PARAMS)
    params = SEARCH_PARAMS.model_copy(update={"arms": (FULL,), "processes": 3})
    patience = {"spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "3"}
    told = ctx.model_copy(update={"settings": on(master, ctx.settings.state_dir, **patience)})
    with raises(LostWork, "too_few_slots", processes=3):
        run_stage(told, "train_search", params)
