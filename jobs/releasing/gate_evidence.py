"""The evidence of the gate, collected from what a night has committed."""

from __future__ import annotations

import math

import polars as pl

from jobs.config.params.arms import CHAMPION_ARM
from jobs.datasets.clean import ValidatedFacts
from jobs.datasets.evaluation import DriftFacts, EvaluationFacts, VerdictFacts
from jobs.datasets.indexes import IndexCheckFacts, PhotoIndexFacts
from jobs.datasets.models import ChampionFacts, LiveModel
from jobs.datasets.releases import ReadingCosts, ReleaseFacts
from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing.reader_check import ReaderCheck
from jobs.reranking.saved import reranker_digest
from models.gates import Champion, Difference, Drift, Evidence, LowDay


def evidence(lake: Lake, inputs: dict[str, Manifest], costs: ReadingCosts, read: ReaderCheck) -> Evidence:
    """Return what is known of the night's candidate, whose searches were timed and read by the caller.

    `inputs` are the runs by dataset name. Raises `BadInput` if the evaluation is of another arm than the release.
    """
    evaluation, release = EvaluationFacts.of(inputs["evaluation"]), ReleaseFacts.of(inputs["release"])
    verdict = evaluation.verdict
    if evaluation.base_arm != release.arm:
        raise BadInput(
            "arms_differ",
            f"{inputs['evaluation'].reference} is about arm {evaluation.base_arm!r}, {inputs['release'].reference} "
            f"holds {release.arm!r}. Rerun register_model and build_index with --arm {evaluation.base_arm}.",
            evaluated=evaluation.base_arm,
            released=release.arm,
        )
    recall = IndexCheckFacts.of(inputs["index_check"])
    unusable = lake.read_table(inputs["photo_embeddings"], "quarantine", ["photo_id"])["photo_id"].n_unique()
    return Evidence(
        champion=_champion(ChampionFacts.of(inputs["champion"]).live, inputs["release"], verdict.compared_with),
        champion_note=evaluation.champion_note,
        overall=Difference(
            verdict.difference, verdict.low, verdict.high, evaluation.test_query_count, verdict.detectable
        ),
        segments=_segments(lake, inputs["evaluation"], verdict),
        counting=verdict.counting,
        lost_in_reading=read.evaluated - read.read,
        index_recall=recall.recall_at_10,
        index_recall_low=recall.recall_at_10_low,
        open_seconds=costs.open_seconds,
        bytes_per_photo=costs.bytes_per_photo,
        memory_mb=math.nan if costs.memory_mb is None else costs.memory_mb,
        latency_p99_milliseconds=costs.latency_p99_milliseconds,
        index_bytes=PhotoIndexFacts.of(inputs["photo_index"]).bytes,
        quarantined_shares=_quarantined_shares(ValidatedFacts.of(inputs["validated"])),
        missing_image_share=unusable / evaluation.corpus_photo_count,
        drift=_drift(lake, inputs["drift"]),
    )


def _quarantined_shares(facts: ValidatedFacts) -> dict[str, float]:
    """Return the shares of the tables that have rows: of none there is no share that could be small enough."""
    return {table: share for table, share in facts.bad_share.items() if facts.counts[table].input}


def _champion(live: LiveModel | None, release: Manifest, compared_with: str) -> Champion:
    if live is None:
        return "none"
    mine = ReleaseFacts.of(release).model_digest, reranker_digest(release)
    if mine == (live.model_digest, "" if live.reranker is None else live.reranker.files_digest):
        return "same"
    return "compared" if compared_with == CHAMPION_ARM else "left_out"


def _segments(lake: Lake, evaluation: Manifest, verdict: VerdictFacts) -> dict[tuple[str, str], Difference]:
    """Return the differences of the primary metric, slice by slice, to what the verdict compares with."""
    rows = lake.read_table(evaluation, "segment_comparisons").filter(
        pl.col("arm") == verdict.challenger,
        pl.col("baseline") == verdict.compared_with,
        pl.col("metric") == verdict.metric,
        pl.col("k") == verdict.k,
    )
    columns = ("segment_kind", "segment", "difference", "low", "high", "query_count", "detectable")
    return {(kind, name): Difference(*figures) for kind, name, *figures in rows.select(columns).iter_rows()}


def _drift(lake: Lake, measured: Manifest) -> Drift:
    found = DriftFacts.of(measured)
    low, queries = found.conversions.low_day, found.new_queries
    p_values = dict(lake.read_table(measured, "newest", ["vectors", "p_value"]).iter_rows())
    if queries is not None:
        p_values["queries of the last day"] = queries.p_value
    return Drift(
        unseen_query_share=found.unseen.query_share,
        unseen_country_share=found.unseen.country_share,
        last_day_count=found.last_day_count,
        conversion_drop=found.conversions.drop,
        low_day=None if low is None else LowDay(low.drop, low.p_value),
        p_values=p_values,
        not_compared=found.not_compared,
    )
