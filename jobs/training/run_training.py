"""Training the arms of a night, in one process or in several."""

from __future__ import annotations

from jobs.config.params.arms import ARMS, ZERO_SHOT
from jobs.config.params.training import TrainSearchParams
from jobs.context import RunContext
from jobs.datasets.models import SearchModelsFacts
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.training.arm_inputs import read_pairs
from jobs.training.arms import ArmsWritten, base_validation, load_model, report_failures, starting_model, train_arm
from jobs.training.inputs import (
    model_errors_of,
    open_pixels,
)


def train_arms(
    ctx: RunContext,
    params: TrainSearchParams,
    staged: StagedRun,
    splits: Manifest,
    images: Manifest,
    base_model: Manifest,
    earlier: Manifest | None = None,
) -> SearchModelsFacts:
    """Train the arms of `params`, write models and curves into a run and return its facts.

    With `earlier` models, go on from them with what is new since.
    """
    if params.processes > 1:
        from jobs.training.distributed import train_arms_together

        return train_arms_together(ctx, params, staged, splits, images, base_model, earlier)
    base = load_model(ctx, base_model, ZERO_SHOT)
    pairs = read_pairs(ctx, params, splits, images, earlier)
    with model_errors_of("train_search"), open_pixels(pairs.photos, base, ctx.settings.state_dir) as pixels:
        written = ArmsWritten(staged, base_model, base, base_validation(base, pairs, pixels))
        for arm in params.arms:
            start = base if earlier is None else load_model(ctx, earlier, arm)
            model = starting_model(params, ARMS[arm], start, pairs.vocabulary())
            written.add(
                arm, model, train_arm(params, arm, ARMS[arm], model, pairs, pixels, ctx.seed, staged.checkpoints)
            )
        report_failures(pixels)
    return written.finish(pairs.counts, pairs.reach, splits, earlier)
