"""Stage `train_search`: fine-tune the base on the conversions of the training window, one model per arm.

Training stops early on the hit rate of a sample of the validation window's queries among the photos that were
there by its end; the best weights are kept. A killed run goes on from its last checkpoint and ends with the same
models; finished arms are not trained again.
"""

from __future__ import annotations

import logging
from datetime import datetime

from jobs import datasets
from jobs.context import RunContext
from jobs.errors import MissingInput
from jobs.lake import Manifest, StagedRun
from jobs.params import TrainSearchParams

log = logging.getLogger("nightlens")


def run(ctx: RunContext, params: TrainSearchParams) -> Manifest:
    """Commit the arms' models and training curves; facts say what each arm is and how its training went."""
    splits, images, base = (ctx.read(d) for d in (datasets.SPLITS, datasets.IMAGES, datasets.BASE_MODEL))
    staged = ctx.begin(datasets.SEARCH_MODELS, params, {"splits": splits, "images": images, "base_model": base})
    if staged.manifest is not None:
        return staged.manifest
    if params.retrain == "never":
        return _take_over(ctx, params, staged, datetime.fromisoformat(splits.facts["train_end"]))
    from jobs.training.arms import train_arms

    facts = train_arms(ctx, params, staged, splits, images, base)
    manifest = staged.commit(facts | {"trained_until": splits.facts["train_end"], "taken_over_from": None})
    staged.checkpoints.clear()
    return manifest


def _take_over(ctx: RunContext, params: TrainSearchParams, staged: StagedRun, train_end: datetime) -> Manifest:
    """Link the models of the latest earlier night that saw nothing past this night's training window."""
    usable = [
        manifest
        for manifest in ctx.lake.history(datasets.SEARCH_MODELS)
        if manifest.partition["run_date"] < ctx.run_date.isoformat()
        and datetime.fromisoformat(manifest.facts["trained_until"]) <= train_end
        and set(params.arms) <= set(manifest.facts["arms"])
    ]
    if not usable:
        raise MissingInput(
            f"retrain is 'never', but no night before {ctx.run_date} has models of {', '.join(params.arms)} trained "
            f"on conversions before {train_end:%Y-%m-%d %H:%M} UTC only. Run this night with --retrain always."
        )
    earlier = usable[-1]
    log.info("train_search: taking over the models of %s", earlier.reference)
    for arm in earlier.facts["arms"]:
        staged.link_files(earlier, arm)
    staged.link_table(earlier, "curves")
    return staged.commit(earlier.facts | {"taken_over_from": earlier.reference})
