"""Stage `register_model`: the night's MLflow run, and one arm as a model version with alias `challenger`.

A past night that is recomputed leaves the alias where it is.

The version is loaded back through MLflow and must embed as the model in the lake does before the alias moves.
The same model is registered once: a later night with equal weights gets the version there is, which stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobs.config.params.training import RegisterModelParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.models import REGISTRATION, RegistrationFacts, SearchModelsFacts
from jobs.errors import BadInput, MissingInput
from jobs.lake.manifest import fingerprint
from jobs.lake.staged_run import StagedRun

if TYPE_CHECKING:
    from jobs.adapters.mlflow_registry import Version
    from models.search.model import SearchModel


def choose(ctx: RunContext, params: RegisterModelParams, inputs: Inputs) -> Chosen:
    """Name the registry: with another password it is the same."""
    return Chosen(sources={"registry": fingerprint({"tracking_uri": ctx.settings.public_tracking_uri})})


def run(ctx: RunContext, params: RegisterModelParams, inputs: Inputs, staged: StagedRun) -> RegistrationFacts:
    """Log the night, register the arm, check it, then move `challenger`; `NightlensError` if the check fails."""
    from jobs.adapters import mlflow_registry, mlflow_runs
    from jobs.registration.check import check_version
    from jobs.registration.record import night_record
    from models.search.model import SearchModel

    arms = SearchModelsFacts.of(inputs["search_models"]).arms
    if params.arm not in arms:
        raise MissingInput(
            "arm_not_trained",
            f"{inputs['search_models'].reference} has no arm {params.arm!r}; it has {sorted(arms)}",
            arm=params.arm,
            arms=sorted(arms),
        )
    run_id = mlflow_runs.log_night(ctx.settings, ctx.catalogue, night_record(ctx, params.arm, inputs))
    with ctx.lake.local_folder(inputs["search_models"], params.arm) as folder:
        model = SearchModel.load(folder)
        version = _register(ctx, inputs, params.arm, model, folder, run_id)
        difference = check_version(ctx, inputs["splits"], version, model)
    mlflow_registry.set_tag(ctx.settings, version, "load_check", "passed")
    if not _is_past(ctx):
        mlflow_registry.set_alias(ctx.settings, version, mlflow_registry.CHALLENGER)
    mlflow_runs.finish_run(ctx.settings, run_id)
    facts = RegistrationFacts(
        model_name=version.name,
        version=version.number,
        arm=params.arm,
        model_digest=model.digest,
        mlflow_run_id=run_id,
        tracking_uri=ctx.settings.public_tracking_uri,
        run_page=mlflow_runs.run_page(ctx.settings, run_id),
        max_difference=difference,
        version_run_id=version.run_id,
        version_run_date=version.tags["run_date"],
    )
    staged.write_file("registration.json", facts.model_dump_json(indent=1).encode())
    return facts


def _is_past(ctx: RunContext) -> bool:
    """Tell whether a later night has registered its model: a past night that is recomputed challenges nobody."""
    nights = (manifest.partition["run_date"] for manifest in ctx.lake.history(REGISTRATION))
    return any(night > ctx.run_date.isoformat() for night in nights)


def _register(ctx: RunContext, inputs: Inputs, arm: str, model: SearchModel, folder: Path, run_id: str) -> Version:
    from jobs.adapters import mlflow_models
    from jobs.registration.card import ModelFacts, model_card
    from models.search.model import parameter_count

    search_models = inputs["search_models"]
    trained = SearchModelsFacts.of(search_models)
    if (digest := trained.arms[arm].model_digest) != model.digest:
        raise BadInput(
            "model_changed",
            f"arm {arm!r} of {search_models.reference} has digest {model.digest}, its facts say "
            f"{digest}: its files were changed. Delete that run's folder and rerun train_search.",
            arm=arm,
            run=search_models.reference,
        )
    described = ModelFacts(
        arm=arm,
        digest=model.digest,
        origin=model.config.origin,
        image_size=model.config.image.size,
        context_length=model.config.text_cfg["context_length"],
        dim=model.dim,
        parameter_count=parameter_count(model.parameters()),
        uses_country=model.uses_country,
        uses_keywords=model.uses_keywords,
    )
    tags = {
        "catalogue": ctx.catalogue,
        "run_date": ctx.run_date.isoformat(),
        "arm": arm,
        "model_digest": model.digest,
        "weights_sha256": search_models.files[f"{arm}/model.safetensors"].sha256,
        "trained_until": trained.trained_until.isoformat(),
        **({} if trained.selected_until is None else {"selected_until": trained.selected_until.isoformat()}),
        "lake_run": search_models.reference,
        "git_version": ctx.git_version,
        "code_version": ctx.code_version,
    }
    card = model_card(ctx, described, inputs["splits"], inputs["base_model"], search_models)
    return mlflow_models.register_version(ctx.settings, ctx.catalogue, run_id, folder, model.dim, tags, card)
