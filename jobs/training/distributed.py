"""Training an arm in several processes: Spark's TorchDistributor starts them, each reads the shards it holds.

On a cluster every process is a task of a barrier stage, with a GPU of its own if Spark has any to give; with a local
master they are processes of this machine. Of the training window's conversions the driver reads no more than which
photos they are of. What comes of the training is its last checkpoint in the lake, so a night that lost a process goes
on from there when it is run again.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import torch
import torch.distributed as dist
from pydantic import SecretStr

from jobs.adapters.spark_session import spark_session
from jobs.config.params.arms import ARMS, ZERO_SHOT
from jobs.config.params.training import TrainSearchParams
from jobs.config.settings import PROJECT_ROOT
from jobs.context import RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import SEARCH_MODELS, Reach, SearchModelsFacts
from jobs.errors import BadInput, LostWork, NightlensError
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.training.arm_inputs import ArmInputs, read_pairs, read_vocabulary
from jobs.training.arms import ArmsWritten, base_validation, load_model, report_failures, starting_model, train_arm
from jobs.training.inputs import model_errors_of, open_pixels
from models.errors import CodedError
from models.search.errors import ModelError
from models.search.keywords import KeywordVocabulary
from models.search.model import SearchModel
from models.search.training import finished_training
from models.search.world import World

log = logging.getLogger("nightlens")

TOO_FEW_SLOTS = "SPARK-24819"  # what Spark calls it
PATIENCE = timedelta(minutes=30)  # a process that is not heard of for so long is lost


@dataclass(frozen=True)
class Share:
    """What a process has to know; it is told which of them it is by the process group."""

    ctx: RunContext
    params: TrainSearchParams
    arm: str
    run_id: str
    splits: Manifest
    images: Manifest
    start: Manifest
    earlier: Manifest | None
    vocabulary: KeywordVocabulary


def train_arms_together(
    ctx: RunContext,
    params: TrainSearchParams,
    staged: StagedRun,
    splits: Manifest,
    images: Manifest,
    base_model: Manifest,
    earlier: Manifest | None,
) -> SearchModelsFacts:
    """Do what `train_arms` does in `params.processes` processes, one arm after the other."""
    shards = SplitsFacts.of(splits).shard_count
    if params.processes > shards:
        raise BadInput(
            "too_few_shards",
            f"{params.processes} training processes, but {splits.reference} is cut into {shards} shards: "
            f"run split_temporal with more (--shards), or train in fewer processes.",
            processes=params.processes,
            shards=shards,
        )
    base = load_model(ctx, base_model, ZERO_SHOT)
    pairs = read_pairs(ctx, params, splits, images, shards=())  # the validation window only
    written = ArmsWritten(staged, base_model, base, _base_hit_rates(ctx, base, pairs))
    vocabulary = read_vocabulary(ctx, splits, images)
    settings = ctx.settings.model_copy(update={"pseudonym_key": SecretStr("")})  # no process has a use for it
    told = ctx.model_copy(update={"settings": settings})
    counts, reach = pairs.counts, pairs.reach
    for arm in params.arms:
        start = base_model if earlier is None else earlier
        share = Share(told, params, arm, staged.run_id, splits, images, start, earlier, vocabulary)
        own_counts, reach = _run(ctx, share, staged)
        counts |= own_counts
        model = starting_model(params, ARMS[arm], _load_start(ctx, share), vocabulary)
        blob = staged.checkpoints.get(arm)
        if blob is None:
            raise NightlensError(
                "training_left_no_checkpoint",
                f"train_search: the processes of {arm} ended without a checkpoint",
                arm=arm,
            )
        written.add(arm, model, finished_training(model, blob))
    return written.finish(counts, reach, splits, earlier)


def _base_hit_rates(ctx: RunContext, base: SearchModel, pairs: ArmInputs) -> dict[str, float]:
    if not pairs.is_validated:
        return {}
    with model_errors_of("train_search"), open_pixels(pairs.photos, base, ctx.settings.state_dir) as pixels:
        return base_validation(base, pairs, pixels)


def _load_start(ctx: RunContext, share: Share) -> Any:
    return load_model(ctx, share.start, ZERO_SHOT if share.earlier is None else share.arm)


def _run(ctx: RunContext, share: Share, staged: StagedRun) -> tuple[dict[str, int], Reach]:
    """Start the processes and wait; return the counts of what they trained on, and what was in reach, all together."""
    # processes of this machine look for the project where this one found it
    os.environ["PYTHONPATH"] = os.pathsep.join(
        dict.fromkeys([str(PROJECT_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    )
    is_local = ctx.settings.spark_master.startswith(("local[", "local:")) or ctx.settings.spark_master == "local"
    with spark_session(ctx.settings, "train_search") as spark:
        from pyspark.ml.torch.distributor import TorchDistributor

        has_gpus = float(spark.conf.get("spark.task.resource.gpu.amount", "0") or 0) > 0
        use_gpu = "gpu" in spark.sparkContext.resources if is_local else has_gpus
        distributor = TorchDistributor(share.params.processes, local_mode=is_local, use_gpu=use_gpu)
        try:
            found: Any = distributor.run(train_share, share)
        except Exception as error:
            raise _what_went_wrong(ctx, share, staged, error) from error
    counts, reach = found
    return counts, reach


def _what_went_wrong(ctx: RunContext, share: Share, staged: StagedRun, error: Exception) -> NightlensError:
    """Return the reason that a process left behind, that there was no room for all of them, or that one was lost."""
    arm = share.arm
    if TOO_FEW_SLOTS in str(error):
        return LostWork(
            "too_few_slots",
            f"train_search: {share.params.processes} training processes, but the executors of "
            f"{ctx.settings.spark_master} have fewer slots for tasks: a worker is lost, or others use it. Bring "
            f"workers back and run the stage again, or train in fewer processes (--processes).",
            processes=share.params.processes,
            master=ctx.settings.spark_master,
        )
    for name in staged.checkpoints.names(suffix=".failed"):
        reason = staged.checkpoints.get(name)
        staged.checkpoints.remove(name)
        if reason is not None:
            left = CodedError(**json.loads(reason))
            return BadInput(left.code, f"train_search: {arm}: {left}", **left.named | {"arm": arm})
    return LostWork(
        "training_process_lost",
        f"train_search: a training process of {arm} was lost (its output is above: {error}). Run the stage again: it "
        f"goes on from the last checkpoint.",
        arm=arm,
    )


def train_share(share: Share) -> tuple[dict[str, int], Reach]:
    """Train as one of several processes; return the counts of what all of them train on, and what is in reach."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    has_gpu = torch.cuda.is_available()
    device = f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}" if has_gpu else "cpu"
    if has_gpu:
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ["LOCAL_WORLD_SIZE"])))
    dist.init_process_group("nccl" if has_gpu else "gloo", timeout=PATIENCE)
    world = World.joined(device)
    try:
        return _train(share, world)
    except (ModelError, NightlensError) as error:
        left = json.dumps(error.named | {"code": error.code, "text": str(error)}, default=str)
        _checkpoints(share).put(f"{share.arm}-{world.rank}.failed", left.encode())
        raise
    finally:
        dist.destroy_process_group()


def _train(share: Share, world: World) -> tuple[dict[str, int], Reach]:
    held = [shard for shard in range(SplitsFacts.of(share.splits).shard_count) if shard % world.size == world.rank]
    pairs = read_pairs(
        share.ctx,
        share.params,
        share.splits,
        share.images,
        share.earlier,
        held,
        with_validation=world.is_first,
    )
    choices = ARMS[share.arm]
    model = starting_model(share.params, choices, _load_start(share.ctx, share), share.vocabulary).to(world.device)
    store = _checkpoints(share)
    with open_pixels(pairs.photos, model, share.ctx.settings.state_dir) as pixels:
        train_arm(share.params, share.arm, choices, model, pairs, pixels, share.ctx.seed, store, world)
        report_failures(pixels)
    own = Counter(pairs.counts)
    names = ["log_pair_count", "train_pair_count", "train_pairs_without_image"]
    names += ["passed_over_count"] if share.params.reads_impressions else []
    totals = world.total([own[name] for name in names])
    return dict(zip(names, map(round, totals), strict=True)), _whole(pairs.reach, world)


def _whole(own: Reach, world: World) -> Reach:
    """Return what is in reach of all processes together."""
    photos, conversions = world.total([own.photo_count, own.conversion_count])
    own_latest = (own.latest_photo_at, own.latest_conversion_at)
    latest = world.highest([-math.inf if at is None else at.timestamp() for at in own_latest])
    photo_at, conversion_at = (datetime.fromtimestamp(at, UTC) if math.isfinite(at) else None for at in latest)
    return Reach(
        until=own.until,
        photo_count=round(photos),
        latest_photo_at=photo_at,
        conversion_count=round(conversions),
        latest_conversion_at=conversion_at,
    )


def _checkpoints(share: Share) -> Any:
    return share.ctx.lake.store("checkpoints", SEARCH_MODELS.name, share.run_id)
