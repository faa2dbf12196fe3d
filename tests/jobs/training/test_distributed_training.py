"""Arms trained in two processes under Spark: the same as in one, resumed when one is lost, clear when they fail."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from jobs.config.params.ablation import TrainVariantParams
from jobs.config.params.arms import FULL
from jobs.context import RunContext
from jobs.datasets.features import SPLITS
from jobs.datasets.models import ArmFacts, SearchModelsFacts
from jobs.errors import BadInput, LostWork
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.training.distributed import Share
from models.search.checkpoint import unpack
from tests.conftest import Contexts
from tests.errors import raises
from tests.models.search.conftest import COLOURS
from tests.training_lake import BASE_PARAMS, SEARCH_PARAMS, commit_images, commit_shown, commit_splits, conversions

ALONE = SEARCH_PARAMS.model_copy(update={"arms": (FULL,), "epochs": 6, "batch_size": 24})
TOGETHER = ALONE.model_copy(update={"processes": 2})

pytestmark = [pytest.mark.spark, pytest.mark.integration]


@pytest.fixture
def make_night(make_context: Contexts, tmp_path: Path) -> Contexts:
    def make(*broken: str, shard_count: int = 3, **changes: object) -> RunContext:
        ctx = make_context(**changes)
        commit_splits(ctx, shard_count=shard_count)
        commit_images(ctx, tmp_path / "photos", *broken)
        run_stage(ctx, "train_base", BASE_PARAMS)
        return ctx

    return make


def own_arm(manifest: Manifest) -> ArmFacts:
    return SearchModelsFacts.of(manifest).arms[FULL]


@pytest.mark.parametrize("hard_from", ["mined", "shown"])
def test_two_processes_train_the_arm_that_one_trains(make_night: Contexts, hard_from: str) -> None:
    ctx = make_night("red-0", "blue-2")
    colours = list(COLOURS)
    shown = [(word, "GB", f"{other}-1", 1, 5, 0) for word in colours for other in colours[:5]]
    commit_shown(ctx, {1: 1.0}, shown)
    hard = {"hard_share": 0.5, "hard_from": hard_from}
    together, alone = (run_stage(ctx, "train_search", params.model_copy(update=hard)) for params in (TOGETHER, ALONE))
    names = (
        "train_pair_count",
        "log_pair_count",
        "validation_query_count",
        "train_pairs_without_image",
        "passed_over_count",
        "challenger",
        "reach",
    )
    assert [together.facts[name] for name in names] == [alone.facts[name] for name in names]
    own, other = own_arm(together), own_arm(alone)
    assert own.keyword_count == other.keyword_count
    for name in ("steps", "pairs_seen", "stopped_because"):
        assert getattr(own.training, name) == getattr(other.training, name), name
    curves = [ctx.lake.read_table(manifest, "curves").filter(arm=FULL) for manifest in (together, alone)]
    assert curves[0].drop("value").equals(curves[1].drop("value"))
    losses = [curve.filter(name="loss")["value"].to_list() for curve in curves]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert len(losses[0]) >= 4
    assert ctx.lake.store("checkpoints", "search_models", together.run_id).names() == []


@pytest.mark.slow
def test_two_processes_train_without_a_validation_window(make_night: Contexts) -> None:
    ctx = make_night()
    commit_splits(ctx, "published", shard_count=3, validation=conversions((0,), 1).clear())
    manifest = run_stage(ctx, "train_search", TOGETHER)
    own = own_arm(manifest)
    assert (own.best_validation_hit_rate, own.training.best_step) == (None, None)
    assert own.training.stopped_because == "all epochs done"
    assert manifest.facts["validation_query_count"] == 0
    assert set(ctx.lake.read_table(manifest, "curves")["name"]) == {"loss", "logit_scale", "logit_bias"}


def training_processes() -> list[int]:
    """Return the process ids of the training processes below this one, not of what started them."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()[1:]]
    below = {os.getpid()}
    for _ in range(4):
        below |= {int(pid) for pid, parent, *_ in rows if int(parent) in below}
    return [int(pid) for pid, _, args in rows if int(pid) in below and re.search(r"python\S* -u \S+train\.py", args)]


@pytest.mark.slow
def test_executors_of_a_cluster_train_the_arm_that_one_process_trains(make_night: Contexts) -> None:
    ctx = make_night()
    settings = ctx.settings.model_copy(update={"spark_master": "local-cluster[2,1,1024]"})
    together = run_stage(ctx.model_copy(update={"settings": settings}), "train_search", TOGETHER)
    alone = run_stage(ctx, "train_search", ALONE)
    curves = [ctx.lake.read_table(manifest, "curves").filter(arm=FULL, name="loss") for manifest in (together, alone)]
    assert len(curves[0]) >= 4
    assert curves[0]["value"].to_list() == pytest.approx(curves[1]["value"].to_list(), rel=1e-3)


@pytest.mark.slow
def test_a_lost_process_fails_the_stage_and_the_rerun_goes_on(
    make_night: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = make_night()
    long = TOGETHER.model_copy(update={"epochs": 150, "patience": 10_000, "checkpoint_seconds": 0.0})
    checkpoints = Path(ctx.lake.root, "store", "checkpoints", "search_models")

    def kill_one() -> None:
        while not list(checkpoints.glob(f"*/{FULL}")):
            time.sleep(0.1)
        os.kill(max(training_processes()), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with raises(LostWork, "training_process_lost", arm=FULL):
        run_stage(ctx, "train_search", long)
    killer.join()
    (left,) = checkpoints.glob(f"*/{FULL}")
    _, state = unpack(left.read_bytes())
    assert 0 < state["result"]["steps"] < 150  # what the rerun goes on from; of another training it is refused
    manifest = run_stage(ctx, "train_search", long)
    unbroken = run_stage(make_night(catalogue="unbroken"), "train_search", long)
    assert own_arm(manifest).training.steps == own_arm(unbroken).training.steps == 150
    assert manifest.digest == unbroken.digest


@pytest.mark.slow
def test_what_went_wrong_in_a_process_is_said(make_night: Contexts) -> None:
    ctx = make_night()
    with raises(BadInput, "loss_not_finite", arm=FULL):
        run_stage(ctx, "train_search", TOGETHER.model_copy(update={"learning_rate": 1e30}))


def test_the_reason_that_a_process_left_behind_is_said_and_forgotten(
    make_night: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.ml.torch.distributor import TorchDistributor

    ctx = make_night()

    def fail(_: object, __: object, share: Share) -> None:
        store = ctx.lake.store("checkpoints", "search_models", share.run_id)
        left = {"code": "loss_not_finite", "text": "the loss is nan at step 3", "step": 3}
        store.put(f"{share.arm}-1.failed", json.dumps(left).encode())
        raise RuntimeError("Command failed with return code 1")

    monkeypatch.setattr(TorchDistributor, "run", fail)
    with raises(BadInput, "loss_not_finite", arm=FULL, step=3) as caught:
        run_stage(ctx, "train_search", TOGETHER)
    assert "the loss is nan at step 3" in str(caught.value)
    [left] = Path(ctx.lake.root, "store", "checkpoints", "search_models").iterdir()
    assert list(left.glob("*.failed")) == []


def test_a_cluster_without_room_for_all_processes_is_told(
    make_night: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.ml.torch.distributor import TorchDistributor

    def refuse(*_: object) -> None:
        raise RuntimeError(
            "[SPARK-24819]: Barrier execution mode does not allow run a barrier stage that requires more"
        )

    monkeypatch.setattr(TorchDistributor, "run", refuse)
    with raises(LostWork, "too_few_slots", processes=2):
        run_stage(make_night(), "train_search", TOGETHER)


def test_what_cannot_be_is_refused_before_anything_starts(make_night: Contexts) -> None:
    with raises(BadInput, "too_few_shards", processes=4, shards=3):
        run_stage(make_night(), "train_search", TOGETHER.model_copy(update={"processes": 4}))
    with pytest.raises(ValueError, match="processes"):
        TrainVariantParams(processes=2)


def test_shards_and_the_whole_are_the_same_log(make_night: Contexts) -> None:
    whole, cut = make_night(shard_count=1, catalogue="whole"), make_night(catalogue="cut")
    manifests = [run_stage(ctx, "train_search", ALONE) for ctx in (whole, cut)]
    rows = [ctx.read(SPLITS).row_counts for ctx in (whole, cut)]
    assert rows[0] == rows[1]
    counts = [{k: v for k, v in m.facts.items() if k.endswith("_count")} for m in manifests]
    assert counts[0] == counts[1]
    first, second = (
        pl.concat([ctx.lake.read_shards(ctx.read(SPLITS), "train", [shard]) for shard in range(3)])
        for ctx in (whole, cut)
    )
    assert first.drop("shard").sort(pl.all()).equals(second.drop("shard").sort(pl.all()))
    assert second["shard"].n_unique() == 3
