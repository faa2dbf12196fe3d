"""Stage `register_model`: the night's MLflow run, and its release as a model version with alias `challenger`.

A past night that is recomputed leaves the alias where it is.

A version is the whole search of one release: its model, index, tables, reranker and rules about hidden photos. Before
the alias moves, it is loaded back through MLflow and must embed and find as the release in the lake does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.config.params.training import RegisterModelParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.models import REGISTRATION, RegistrationFacts, SearchModelsFacts
from jobs.datasets.releases import ReleaseFacts
from jobs.lake.manifest import fingerprint
from jobs.lake.staged_run import StagedRun
from jobs.releasing.published_pointer import label_of, name_of
from jobs.releasing.reader import MODEL, open_release

if TYPE_CHECKING:
    from jobs.adapters.mlflow_registry import Version

_MB = 1 << 20


def choose(ctx: RunContext, params: RegisterModelParams, inputs: Inputs) -> Chosen:
    """Name the registry (with another password it is the same), and the release's run, which another may equal."""
    registry = fingerprint({"tracking_uri": ctx.settings.public_tracking_uri})
    return Chosen(sources={"registry": registry, "release": inputs["release"].run_id})


def run(ctx: RunContext, params: RegisterModelParams, inputs: Inputs, staged: StagedRun) -> RegistrationFacts:
    """Log the night, register the release, check it, then move `challenger`; `NightlensError` if the check fails."""
    from jobs.adapters import mlflow_registry, mlflow_runs
    from jobs.registration.check import check_version
    from jobs.registration.record import night_record
    from jobs.registration.version_files import large_bytes

    release = inputs["release"]
    released = ReleaseFacts.of(release)
    run_id = mlflow_runs.log_night(ctx.settings, ctx.catalogue, night_record(ctx, released.arm, inputs))
    is_copied = large_bytes(release) <= params.max_copied_mb * _MB
    version = _register(ctx, inputs, run_id, is_copied)
    opened = open_release(ctx.lake, name_of(release, version.number), release.digest, with_pictures=True)
    difference = check_version(ctx, inputs["splits"], version, opened)
    mlflow_registry.set_tag(ctx.settings, version, "load_check", "passed")
    if not _is_past(ctx):
        mlflow_registry.set_alias(ctx.settings, version, mlflow_registry.CHALLENGER)
    mlflow_runs.finish_run(ctx.settings, run_id)
    facts = RegistrationFacts(
        model_name=version.name,
        version=version.number,
        arm=released.arm,
        model_digest=released.model_digest,
        mlflow_run_id=run_id,
        tracking_uri=ctx.settings.public_tracking_uri,
        run_page=mlflow_runs.run_page(ctx.settings, run_id),
        max_difference=difference,
        is_copied=is_copied,
    )
    staged.write_file("registration.json", facts.model_dump_json(indent=1).encode())
    return facts


def _is_past(ctx: RunContext) -> bool:
    """Tell whether a later night has registered its search: a past night that is recomputed challenges nobody."""
    nights = (manifest.partition["run_date"] for manifest in ctx.lake.history(REGISTRATION))
    return any(night > ctx.run_date.isoformat() for night in nights)


def _register(ctx: RunContext, inputs: Inputs, run_id: str, is_copied: bool) -> Version:
    from jobs.adapters import mlflow_models, mlflow_registry
    from jobs.registration.card import ModelFacts, model_card
    from jobs.registration.version_files import version_folder
    from models.search.model import SearchModel, parameter_count

    search_models, release = inputs["search_models"], inputs["release"]
    with ctx.lake.local_folder(release, MODEL) as folder:
        model = SearchModel.load(folder)
    trained, arm = SearchModelsFacts.of(search_models), ReleaseFacts.of(release).arm
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
        mlflow_registry.RELEASE_TAG: label_of(release),
        "arm": arm,
        "model_digest": model.digest,
        "weights_sha256": release.files[f"{MODEL}/model.safetensors"].sha256,
        "trained_until": trained.trained_until.isoformat(),
        **({} if trained.selected_until is None else {"selected_until": trained.selected_until.isoformat()}),
        "lake_run": search_models.reference,
        "git_version": ctx.git_version,
        "code_version": ctx.code_version,
    }
    card = model_card(ctx, label_of(release), described, inputs["splits"], inputs["base_model"], search_models)
    with version_folder(ctx.lake, release, model.dim, is_copied) as folder:
        return mlflow_models.register_version(ctx.settings, ctx.catalogue, run_id, folder, tags, card)
