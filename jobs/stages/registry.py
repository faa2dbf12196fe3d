"""The stages of a night in order: params, the datasets that each reads and commits, and the command line that runs it.

The edges of the DAG, the runner and the error that says what to run first are made from this. Light on purpose: the DAG
imports it. `command` and the command line's parser are inverse to each other.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from jobs.config.params.ablation import (
    CompareBacktestParams,
    CompareRetrainingParams,
    CompareVariantsParams,
    RankNextDayParams,
    TrainVariantParams,
)
from jobs.config.params.base import Params
from jobs.config.params.embedding import EmbedPhotosParams, EmbedQueriesParams, MapEmbeddingsParams, MeasureDriftParams
from jobs.config.params.evaluation import (
    EvaluateParams,
    EvaluateRecommendersParams,
    EvaluateSimilarParams,
    MeasureLiveParams,
)
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

Group = Literal["data", "model", "vectors", "index", "evaluation", "release"]
GROUPS: dict[Group, str] = {
    "data": "check the log, find the images, cut the windows",
    "model": "train",
    "vectors": "embed photos and queries, and look at how they lie",
    "index": "build and verify the index",
    "evaluation": "rank, recommend, compare",
    "release": "bind, register, judge and report",
}
"""How Airflow groups the stages."""


@dataclass(frozen=True)
class StageSpec:
    """One stage: module `jobs.stages.<name>`, run by `jobs.nights.stage_runner` after the stages it reads from.

    `inputs` and `output` name datasets. `may_read` are those that the stage's `choose` takes by its params; `after`
    are stages that must have passed though nothing of theirs is read.
    """

    name: str
    params: type[Params]
    inputs: tuple[str, ...]
    output: str
    group: Group
    summary: str
    may_read: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    timeout_minutes: int = 60
    uses_gpu: bool = False

    @property
    def module(self) -> str:
        """Name of the stage's module."""
        return f"jobs.stages.{self.name}"

    def load(self) -> ModuleType:
        """Import the stage's module."""
        return importlib.import_module(self.module)


STAGES: dict[str, StageSpec] = {
    spec.name: spec
    for spec in (
        StageSpec(
            "validate_logs", ValidateLogsParams, (), "validated", "data", "check every table, quarantine bad rows"
        ),
        StageSpec(
            "fetch_images",
            FetchImagesParams,
            ("validated",),
            "images",
            "data",
            "find or download the images",
            timeout_minutes=720,
        ),
        StageSpec("split_temporal", SplitTemporalParams, ("validated",), "splits", "data", "cut the log into windows"),
        StageSpec(
            "measure_impressions",
            MeasureImpressionsParams,
            ("validated", "splits"),
            "impressions",
            "data",
            "measure what was shown, and at which places people look",
        ),
        StageSpec(
            "audit_leaks",
            AuditLeaksParams,
            ("validated", "splits", "impressions"),
            "leak_audit",
            "data",
            "prove that no future is in training",
        ),
        StageSpec(
            "snapshot_champion",
            SnapshotChampionParams,
            (),
            "champion",
            "model",
            "fetch the model that is live",
            after=("audit_leaks",),
        ),
        StageSpec(
            "measure_live",
            MeasureLiveParams,
            ("splits",),
            "live_day",
            "evaluation",
            "ask the release that is live the last day's searches",
            after=("snapshot_champion",),  # from then on no promotion is this night's
        ),
        StageSpec(
            "train_base",
            TrainBaseParams,
            ("splits", "images"),
            "base_model",
            "model",
            "make the base checkpoint",
            after=("audit_leaks",),
            timeout_minutes=240,
            uses_gpu=True,
        ),
        StageSpec(
            "train_search",
            TrainSearchParams,
            ("splits", "images", "base_model"),
            "search_models",
            "model",
            "fine-tune the search arms",
            may_read=("champion", "impressions"),
            timeout_minutes=720,
            uses_gpu=True,
        ),
        StageSpec(
            "embed_photos",
            EmbedPhotosParams,
            ("splits", "images", "search_models", "champion"),
            "photo_embeddings",
            "vectors",
            "embed new and changed photos",
            timeout_minutes=720,
            uses_gpu=True,
        ),
        StageSpec(
            "embed_queries",
            EmbedQueriesParams,
            ("splits", "search_models", "champion"),
            "query_embeddings",
            "vectors",
            "embed the queries to be ranked",
            timeout_minutes=240,
            uses_gpu=True,
        ),
        StageSpec(
            "measure_drift",
            MeasureDriftParams,
            ("validated", "splits", "query_embeddings", "photo_embeddings"),
            "drift",
            "vectors",
            "compare searches, photos and log with what was before",
        ),
        StageSpec(
            "map_embeddings",
            MapEmbeddingsParams,
            ("splits", "photo_embeddings"),
            "photo_map",
            "vectors",
            "lay the photos out, and cluster them",
        ),
        StageSpec(
            "build_index",
            BuildIndexParams,
            ("splits", "photo_embeddings"),
            "photo_index",
            "index",
            "build the FAISS shards that changed",
            timeout_minutes=240,
        ),
        StageSpec(
            "verify_index",
            VerifyIndexParams,
            ("splits", "photo_embeddings", "query_embeddings", "photo_index"),
            "index_check",
            "index",
            "measure the index against exact search, and hold it against its limits",
        ),
        StageSpec(
            "train_reranker",
            TrainRerankerParams,
            ("splits", "validated", "images", "search_models", "photo_embeddings", "query_embeddings"),
            "reranker",
            "evaluation",
            "learn to reorder the challenger's best photos",
        ),
        StageSpec(
            "evaluate",
            EvaluateParams,
            (
                *("validated", "images", "splits", "search_models", "champion", "photo_embeddings"),
                *("query_embeddings", "reranker", "impressions"),
            ),
            "evaluation",
            "evaluation",
            "rank the test queries, all arms",
        ),
        StageSpec(
            "evaluate_similar",
            EvaluateSimilarParams,
            ("validated", "images", "splits", "search_models", "champion", "photo_embeddings"),
            "similar",
            "evaluation",
            "rank photos by their likeness to a photo, all arms",
        ),
        StageSpec(
            "evaluate_recommenders",
            EvaluateRecommendersParams,
            ("splits", "search_models", "photo_embeddings"),
            "recommendation",
            "evaluation",
            "recommend photos from visitors' histories, all methods",
        ),
        StageSpec(
            "make_release",
            MakeReleaseParams,
            (
                *("validated", "images", "splits", "search_models"),
                *("photo_embeddings", "query_embeddings", "photo_index", "reranker", "recommendation"),
            ),
            "release",
            "release",
            "bind the search and the best recommender into a release",
        ),
        StageSpec(
            "register_model",
            RegisterModelParams,
            ("splits", "base_model", "search_models", "release"),
            "registration",
            "release",
            "log the night, and register its search",
        ),
        StageSpec(
            "gate_release",
            GateReleaseParams,
            (
                *("validated", "images", "splits", "champion", "photo_embeddings", "registration", "photo_index"),
                *("query_embeddings", "index_check", "reranker", "evaluation", "drift", "release"),
            ),
            "gate",
            "release",
            "judge whether the release may go live",
        ),
        StageSpec(
            "publish_report",
            PublishReportParams,
            (
                *("validated", "images", "splits", "leak_audit", "impressions", "champion", "live_day", "base_model"),
                *("search_models", "registration", "photo_embeddings", "query_embeddings", "drift", "photo_map"),
                *("photo_index", "index_check", "reranker", "evaluation", "similar", "recommendation", "release"),
                "gate",
            ),
            "report",
            "release",
            "write the night's report",
        ),
    )
}


ABLATION: dict[str, StageSpec] = {
    spec.name: spec
    for spec in (
        StageSpec(
            "train_variant",
            TrainVariantParams,
            ("splits", "validated", "images", "base_model"),
            "variant",
            "model",
            "train one variant and rank the test queries",
            may_read=("impressions", "search_models"),
            timeout_minutes=720,
            uses_gpu=True,
        ),
        StageSpec(
            "compare_variants",
            CompareVariantsParams,
            ("splits",),
            "ablation",
            "evaluation",
            "compare the variants",
            may_read=("variant", "evaluation"),
        ),
        StageSpec(
            "compare_retraining",
            CompareRetrainingParams,
            (),
            "retraining",
            "evaluation",
            "compare ways to retrain",
            may_read=("variant",),
        ),
        StageSpec(
            "rank_next_day",
            RankNextDayParams,
            ("splits", "validated", "images", "search_models"),
            "next_day",
            "evaluation",
            "ask the day's searches of the release before it, refitted and not",
            timeout_minutes=240,
            uses_gpu=True,
        ),
        StageSpec(
            "compare_backtest",
            CompareBacktestParams,
            (),
            "backtest",
            "evaluation",
            "say what refitting is worth",
            may_read=("next_day", "splits"),
        ),
    )
}
"""The stages of ablation and comparisons, which no night runs.

`train_variant` runs once per variant and repetition, after a night's `train_base`.
"""

ALL = STAGES | ABLATION
MAKERS = {spec.output: spec.name for spec in ALL.values()}
"""The stage that commits a dataset, by the dataset's name."""
_PRESET_OF = {"train_variant": "train_search", "rank_next_day": "train_reranker"}


def edges(specs: dict[str, StageSpec]) -> dict[str, tuple[str, ...]]:
    """Return which stages each waits for, of those given: an edge that others imply is left out.

    `specs` are in an order in which every stage comes after what it reads.

    >>> edges(STAGES)["evaluate"]
    ('train_reranker',)
    """
    needs: dict[str, tuple[str, ...]] = {}
    behind: dict[str, set[str]] = {}
    for spec in specs.values():
        read = [MAKERS[dataset] for dataset in (*spec.inputs, *spec.may_read)]
        direct = dict.fromkeys(stage for stage in (*read, *spec.after) if stage in specs)
        implied = set().union(*(behind[stage] for stage in direct))
        needs[spec.name] = tuple(stage for stage in direct if stage not in implied)
        behind[spec.name] = implied | set(direct)
    return needs


def stage_params(stage: str, preset: str, overrides: dict[str, Any] | None = None) -> Params:
    """Return the Params of a stage: its defaults, then the preset's values, then `overrides`."""
    if preset not in PRESETS:
        raise BadInput("no_such_preset", f"unknown preset {preset!r}; there are {', '.join(PRESETS)}", preset=preset)
    values = PRESETS[preset].get(_PRESET_OF.get(stage, stage), {}) | (overrides or {})
    return ALL[stage].params.checked(stage, values)


def command(stage: str, options: dict[str, str], overrides: dict[str, str] | None = None) -> list[str]:
    """Return the arguments after `nightlens` that run a stage.

    `options` are those of the night (dataset, catalogue, run_date, run_id, preset, seed), `overrides` those of
    the stage's Params; values may be templates. Names become flags: run_date is --run-date.
    """
    arguments = [stage]
    for name, value in (options | (overrides or {})).items():
        arguments += ["--" + name.replace("_", "-"), value]
    return arguments
