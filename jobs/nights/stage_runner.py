"""Runs one stage: reads what it declares, skips what is done, commits what it finds."""

from __future__ import annotations

from jobs.config.params.base import Params
from jobs.context import Chosen, RunContext
from jobs.datasets.all import named
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest
from jobs.stages.registry import ALL, MAKERS, StageSpec


def run_stage(ctx: RunContext, name: str, params: Params) -> Manifest:
    """Run a stage of `ctx`'s night and return the manifest of its run, which may be one of before.

    A stage's module has `run(ctx, params, inputs, staged) -> Facts`, where `inputs` is by dataset name. It may have
    `choose(ctx, params, inputs) -> Chosen`, what the run depends on besides, and `publish(ctx, params, inputs,
    manifest)`, what is done with the run outside the lake, also when it was committed before. What `choose` has found,
    if anything, is the fifth argument of `run`. Raises `MissingInput` that names the stage to run first.
    """
    spec = ALL[name]
    stage = spec.load()
    inputs = {dataset: _read(ctx, spec, dataset) for dataset in spec.inputs}
    chosen = stage.choose(ctx, params, inputs) if hasattr(stage, "choose") else Chosen()
    inputs |= chosen.inputs
    staged = ctx.begin(named(spec.output), params, inputs, chosen.sources, **chosen.within)
    manifest = staged.manifest
    if manifest is None:
        found = () if chosen.found is None else (chosen.found,)
        manifest = staged.commit(stage.run(ctx, params, inputs, staged, *found))
        staged.checkpoints.clear()
    if hasattr(stage, "publish"):
        stage.publish(ctx, params, inputs, manifest)
    return manifest


def _read(ctx: RunContext, spec: StageSpec, dataset: str) -> Manifest:
    try:
        return ctx.read(named(dataset))
    except MissingInput as error:
        if error.code != "stage_not_run":
            raise
        raise MissingInput(
            "stage_not_run",
            f"{spec.name} needs {dataset!r} of {ctx.run_date}, which is not there ({error}). Run the stage that makes "
            f"it first: nightlens {MAKERS[dataset]}",
            stage=spec.name,
            dataset=dataset,
            run_first=MAKERS[dataset],
        ) from error
