"""Stage `train_search`: fine-tune the base on the conversions of the training window, one model per arm.

Training stops early on the hit rate of a sample of the validation window's queries among the photos that were
there by its end (by the protocol 80/20: among all); the best weights are kept. Where that window is empty every pass
is made and the last weights are kept. A killed run goes on from its last checkpoint and ends with the same
models; finished arms are not trained again.

An incremental night goes on from the champion, where there is none from the models of the latest earlier night, with
the conversions that are new since and a sample of those before. Where there is neither it trains in full.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from jobs.config.params.arms import ZERO_SHOT
from jobs.config.params.training import TrainSearchParams
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES
from jobs.datasets.features import IMPRESSIONS, SPLITS
from jobs.datasets.models import BASE_MODEL, CHAMPION, SEARCH_MODELS
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun

log = logging.getLogger("nightlens")


def run(ctx: RunContext, params: TrainSearchParams) -> Manifest:
    """Commit the arms' models and training curves; facts say what each arm is and how its training went."""
    splits, images, base = (ctx.read(d) for d in (SPLITS, IMAGES, BASE_MODEL))
    earlier = None
    if params.retrain != "always":
        earlier = _find_earlier(ctx, params, base, datetime.fromisoformat(splits.facts["train_end"]))
        log.info("train_search: going on from %s", "nothing: in full" if earlier is None else earlier.reference)
    inputs = {"splits": splits, "images": images, "base_model": base}
    inputs |= {"impressions": ctx.read(IMPRESSIONS)} if params.reads_impressions else {}
    staged = ctx.begin(SEARCH_MODELS, params, inputs | ({} if earlier is None else {"earlier": earlier}))
    if staged.manifest is not None:
        return staged.manifest
    if params.retrain == "never":
        return _take_over(staged, earlier, ctx, params)
    from jobs.training.run_training import train_arms

    effective = params if earlier is None else fine_tuning_params(params)
    facts = train_arms(ctx, effective, staged, splits, images, base, earlier)
    facts |= {"trained_until": splits.facts["train_end"], "reused_from": None}
    manifest = staged.commit(facts | {"warm_started_from": None if earlier is None else earlier.reference})
    staged.checkpoints.clear()
    return manifest


def fine_tuning_params(params: TrainSearchParams) -> TrainSearchParams:
    """Return how a model that has learned already goes on: at lower rates, validated once a pass.

    At full rates it first loses what it had and wins it back later; with several validations in a short pass,
    training would stop in between.
    """
    rate = params.learning_rate * params.incremental_rate
    return params.model_copy(update={"learning_rate": rate, "evaluations_per_epoch": 1})


def _find_earlier(ctx: RunContext, params: TrainSearchParams, base: Manifest, train_end: datetime) -> Manifest | None:
    """Return the models of the latest earlier night that saw nothing past this night's training window.

    What is gone on from must also come from the same base: with another one, training starts over. Among these, the
    champion comes before what is newer, so that nothing is learned on from a model that was not found good enough.
    """
    usable = [
        manifest
        for manifest in ctx.lake.history(SEARCH_MODELS)
        if manifest.partition["run_date"] < ctx.run_date.isoformat()
        and datetime.fromisoformat(manifest.facts["trained_until"]) <= train_end
        and set(params.arms) <= set(manifest.facts["arms"])
    ]
    if usable and params.retrain == "incremental":
        usable = [manifest for manifest in usable if _base_digest(manifest) == base.facts["model_digest"]]
        champion = ctx.read(CHAMPION).facts
        usable = [manifest for manifest in usable if _is_of(manifest, champion)] or usable
    return usable[-1] if usable else None


def _is_of(manifest: Manifest, champion: dict[str, Any]) -> bool:
    """Say whether the champion is an arm of these models."""
    if champion["version"] is None:
        return False
    arm = manifest.facts["arms"].get(champion["arm"], {})
    return bool(arm.get("model_digest") == champion["model_digest"])


def _base_digest(manifest: Manifest) -> str:
    digest: str = manifest.facts["arms"][ZERO_SHOT]["model_digest"]
    return digest


def _take_over(staged: StagedRun, earlier: Manifest | None, ctx: RunContext, params: TrainSearchParams) -> Manifest:
    """Link the models of an earlier night."""
    if earlier is None:
        raise MissingInput(
            "no_earlier_models",
            f"retrain is 'never', but no night before {ctx.run_date} has models of {', '.join(params.arms)} trained "
            f"on conversions before the end of this night's training window only. Run this night with --retrain "
            f"always.",
            run_date=ctx.run_date,
            arms=params.arms,
        )
    log.info("train_search: taking over the models of %s", earlier.reference)
    for arm in earlier.facts["arms"]:
        staged.link_files(earlier, arm)
    staged.link_table(earlier, "curves")
    return staged.commit(earlier.facts | {"reused_from": earlier.reference})
