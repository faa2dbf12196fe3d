"""The stages of a night in order: name, Params, module, and the command line that runs each.

Light on purpose: the DAG imports it. `command` and the command line's parser are inverse to each other.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jobs.config.params.ablation import CompareRetrainingParams, CompareVariantsParams, TrainVariantParams
from jobs.config.params.base import Params
from jobs.config.params.embedding import EmbedPhotosParams, EmbedQueriesParams, MapEmbeddingsParams, MeasureDriftParams
from jobs.config.params.evaluation import EvaluateParams, EvaluateRecommendersParams, EvaluateSimilarParams
from jobs.config.params.index import BuildIndexParams, VerifyIndexParams
from jobs.config.params.ingest import (
    AuditLeaksParams,
    FetchImagesParams,
    MeasureImpressionsParams,
    SplitTemporalParams,
    ValidateLogsParams,
)
from jobs.config.params.presets import PRESETS
from jobs.config.params.release import GateReleaseParams, MakeReleaseParams, PublishReportParams
from jobs.config.params.training import (
    RegisterModelParams,
    SnapshotChampionParams,
    TrainBaseParams,
    TrainRerankerParams,
    TrainSearchParams,
)
from jobs.errors import BadInput

if TYPE_CHECKING:
    from jobs.context import RunContext
    from jobs.lake.manifest import Manifest


@dataclass(frozen=True)
class StageSpec:
    """One stage: `jobs.stages.<name>.run(ctx, params) -> Manifest`, after the stages it reads from."""

    name: str
    params: type[Params]
    after: tuple[str, ...]
    summary: str
    timeout_minutes: int = 60
    uses_gpu: bool = False

    @property
    def module(self) -> str:
        """Name of the stage's module."""
        return f"jobs.stages.{self.name}"

    def load(self) -> Callable[[RunContext, Any], Manifest]:
        """Import the stage's module and return its `run`."""
        run: Callable[[RunContext, Any], Manifest] = importlib.import_module(self.module).run
        return run


STAGES: dict[str, StageSpec] = {
    spec.name: spec
    for spec in (
        StageSpec("validate_logs", ValidateLogsParams, (), "check every table, quarantine bad rows"),
        StageSpec("fetch_images", FetchImagesParams, ("validate_logs",), "find or download the images", 720),
        StageSpec("split_temporal", SplitTemporalParams, ("validate_logs",), "cut the log into windows"),
        StageSpec("audit_leaks", AuditLeaksParams, ("split_temporal",), "prove that no future is in training"),
        StageSpec(
            "measure_impressions",
            MeasureImpressionsParams,
            ("split_temporal",),
            "measure what was shown, and at which places people look",
        ),
        StageSpec("snapshot_champion", SnapshotChampionParams, ("audit_leaks",), "fetch the model that is live"),
        StageSpec(
            "train_base", TrainBaseParams, ("audit_leaks", "fetch_images"), "make the base checkpoint", 240, True
        ),
        StageSpec(
            "train_search",
            TrainSearchParams,
            ("train_base", "snapshot_champion", "measure_impressions"),
            "fine-tune the search arms",
            720,
            True,
        ),
        StageSpec("register_model", RegisterModelParams, ("train_search",), "log and register the challenger"),
        StageSpec(
            "embed_photos",
            EmbedPhotosParams,
            ("train_search",),
            "embed new and changed photos",
            720,
            True,
        ),
        StageSpec(
            "embed_queries",
            EmbedQueriesParams,
            ("train_search",),
            "embed the queries to be ranked",
            240,
            True,
        ),
        StageSpec(
            "measure_drift",
            MeasureDriftParams,
            ("embed_photos", "embed_queries"),
            "compare searches, photos and log with what was before",
        ),
        StageSpec("map_embeddings", MapEmbeddingsParams, ("embed_photos",), "lay the photos out, and cluster them"),
        StageSpec("build_index", BuildIndexParams, ("embed_photos",), "build the FAISS shards that changed", 240),
        StageSpec(
            "verify_index",
            VerifyIndexParams,
            ("build_index", "embed_queries"),
            "measure the index against exact search, and hold it against its limits",
        ),
        StageSpec(
            "train_reranker",
            TrainRerankerParams,
            ("embed_photos", "embed_queries"),
            "learn to reorder the challenger's best photos",
        ),
        StageSpec("evaluate", EvaluateParams, ("train_reranker",), "rank the test queries, all arms"),
        StageSpec(
            "evaluate_similar",
            EvaluateSimilarParams,
            ("embed_photos",),
            "rank photos by their likeness to a photo, all arms",
        ),
        StageSpec(
            "evaluate_recommenders",
            EvaluateRecommendersParams,
            ("embed_photos",),
            "recommend photos from visitors' histories, all methods",
        ),
        StageSpec(
            "make_release",
            MakeReleaseParams,
            ("build_index", "register_model"),
            "bind model, index, id map and vocabulary into a release",
        ),
        StageSpec(
            "gate_release",
            GateReleaseParams,
            ("make_release", "verify_index", "evaluate", "measure_drift"),
            "judge whether the release may go live",
        ),
        StageSpec(
            "publish_report",
            PublishReportParams,
            ("gate_release", "map_embeddings", "evaluate_similar", "evaluate_recommenders"),
            "write the night's report",
        ),
    )
}


ABLATION: dict[str, StageSpec] = {
    spec.name: spec
    for spec in (
        StageSpec("train_variant", TrainVariantParams, (), "train one variant and rank the test queries", 720, True),
        StageSpec("compare_variants", CompareVariantsParams, ("train_variant",), "compare the variants"),
        StageSpec("compare_retraining", CompareRetrainingParams, ("train_variant",), "compare ways to retrain"),
    )
}
"""The stages of the ablation, after a night's `train_base`; `train_variant` runs once per variant and repetition."""

ALL = STAGES | ABLATION
_PRESET_OF = {"train_variant": "train_search"}


def stage_params(stage: str, preset: str, overrides: dict[str, Any] | None = None) -> Params:
    """Return the Params of a stage: its defaults, then the preset's values, then `overrides`."""
    if preset not in PRESETS:
        raise BadInput("no_such_preset", f"unknown preset {preset!r}; there are {', '.join(PRESETS)}", preset=preset)
    values = PRESETS[preset].get(_PRESET_OF.get(stage, stage), {}) | (overrides or {})
    try:
        return ALL[stage].params.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadInput(
            "bad_parameters",
            f"parameters of {stage}: {faults}",
            stage=stage,
            parameters=[".".join(map(str, e["loc"])) for e in error.errors()],
        ) from error


def command(stage: str, options: dict[str, str], overrides: dict[str, str] | None = None) -> list[str]:
    """Return the arguments after `nightlens` that run a stage.

    `options` are those of the night (dataset, catalogue, run_date, run_id, preset, seed), `overrides` those of
    the stage's Params; values may be templates. Names become flags: run_date is --run-date.
    """
    arguments = [stage]
    for name, value in (options | (overrides or {})).items():
        arguments += ["--" + name.replace("_", "-"), value]
    return arguments
