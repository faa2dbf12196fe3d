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

from jobs.config.params.arms import ZERO_SHOT
from jobs.config.params.training import TrainSearchParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.features import IMPRESSIONS, SplitsFacts
from jobs.datasets.models import CHAMPION, SEARCH_MODELS, BaseModelFacts, ChampionFacts, LiveModel, SearchModelsFacts
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun

log = logging.getLogger("nightlens")


def choose(ctx: RunContext, params: TrainSearchParams, inputs: Inputs) -> Chosen:
    """Find the models to go on from or to take over; `MissingInput` if nothing else is allowed and there are none."""
    more = {"impressions": ctx.read(IMPRESSIONS)} if params.reads_impressions else {}
    if params.retrain == "always":
        return Chosen(more)
    earlier = _find_earlier(ctx, params, inputs)
    log.info("train_search: going on from %s", "nothing: in full" if earlier is None else earlier.reference)
    if earlier is not None:
        return Chosen(more | {"earlier": earlier})
    if params.retrain == "never":
        raise MissingInput(
            "no_earlier_models",
            f"retrain is 'never', but no night before {ctx.run_date} has models of {', '.join(params.arms)} trained "
            f"on conversions before the end of this night's training window only. Run this night with --retrain "
            f"always.",
            run_date=ctx.run_date,
            arms=params.arms,
        )
    return Chosen(more)


def run(ctx: RunContext, params: TrainSearchParams, inputs: Inputs, staged: StagedRun) -> SearchModelsFacts:
    """Write the arms' models and training curves."""
    earlier = inputs.get("earlier")
    if params.retrain == "never":
        return _take_over(staged, inputs["earlier"])
    from jobs.training.run_training import train_arms

    effective = params if earlier is None else fine_tuning_params(params)
    return train_arms(ctx, effective, staged, inputs["splits"], inputs["images"], inputs["base_model"], earlier)


def fine_tuning_params(params: TrainSearchParams) -> TrainSearchParams:
    """Return how a model that has learned already goes on: at lower rates, validated once a pass.

    At full rates it first loses what it had and wins it back later; with several validations in a short pass,
    training would stop in between.
    """
    rate = params.learning_rate * params.incremental_rate
    return params.model_copy(update={"learning_rate": rate, "evaluations_per_epoch": 1})


def _find_earlier(ctx: RunContext, params: TrainSearchParams, inputs: Inputs) -> Manifest | None:
    """Return the models of the latest earlier night that saw nothing past this night's training window.

    Nor may anything of this night's test window have had a part in choosing their weights; models that do not say are
    left alone.

    What is gone on from must also come from the same base: with another one, training starts over. Among these, the
    champion comes before what is newer, so that nothing is learned on from a model that was not found good enough.
    """
    windows = SplitsFacts.of(inputs["splits"])
    found = [(manifest, SearchModelsFacts.of(manifest)) for manifest in ctx.lake.history(SEARCH_MODELS)]
    usable = [
        (manifest, trained)
        for manifest, trained in found
        if manifest.partition["run_date"] < ctx.run_date.isoformat()
        and trained.trained_until <= windows.train_end
        and trained.selected_until is not None
        and trained.selected_until <= windows.validation_end
        and set(params.arms) <= set(trained.arms)
    ]
    if usable and params.retrain == "incremental":
        base, live = BaseModelFacts.of(inputs["base_model"]), ChampionFacts.of(ctx.read(CHAMPION)).live
        usable = [one for one in usable if one[1].arms[ZERO_SHOT].model_digest == base.model_digest]
        usable = [one for one in usable if _is_of(one[1], live)] or usable
    return usable[-1][0] if usable else None


def _is_of(trained: SearchModelsFacts, live: LiveModel | None) -> bool:
    """Say whether the champion is an arm of these models."""
    own = None if live is None else trained.arms.get(live.arm)
    return own is not None and live is not None and own.model_digest == live.model_digest


def _take_over(staged: StagedRun, earlier: Manifest) -> SearchModelsFacts:
    """Link the models of an earlier night."""
    log.info("train_search: taking over the models of %s", earlier.reference)
    trained = SearchModelsFacts.of(earlier)
    for arm in trained.arms:
        staged.link_files(earlier, arm)
    staged.link_table(earlier, "curves")
    return trained.model_copy(update={"reused_from": earlier.reference})
