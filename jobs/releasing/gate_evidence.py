"""The evidence of the gate, collected from what a night has committed."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl

from jobs.config.params.arms import CHAMPION_ARM
from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.gates import Difference, Distance, Drift, Evidence


def evidence(lake: Lake, inputs: dict[str, Manifest], latency_p99_milliseconds: float) -> Evidence:
    """Return what is known of the night's candidate, whose searches were timed by the caller.

    `inputs` are the runs by dataset name. Raises `BadInput` if the evaluation is of another arm than the release.
    """
    evaluation, champion = inputs["evaluation"], inputs["champion"].facts
    verdict, release = evaluation.facts["verdict"], inputs["release"].facts
    if verdict["challenger"] != release["arm"]:
        raise BadInput(
            "arms_differ",
            f"{evaluation.reference} is about arm {verdict['challenger']!r}, {inputs['release'].reference} holds "
            f"{release['arm']!r}. Rerun register_model and build_index with --arm {verdict['challenger']}.",
            evaluated=verdict["challenger"],
            released=release["arm"],
        )
    compared = _champion(champion, release["model_digest"], verdict["compared_with"])
    unusable = lake.read_table(inputs["photo_embeddings"], "quarantine", ["photo_id"])["photo_id"].n_unique()
    counts = inputs["validated"].facts["counts"].items()
    return Evidence(
        champion=compared,
        champion_note=str(evaluation.facts["champion_note"]),
        overall=Difference(
            verdict["difference"], verdict["low"], verdict["high"], evaluation.facts["test_query_count"]
        ),
        segments=_segments(lake, evaluation),
        index_recall=inputs["index_check"].facts["recall_at_10"],
        latency_p99_milliseconds=latency_p99_milliseconds,
        index_bytes=inputs["photo_index"].facts["bytes"],
        quarantined_shares={
            table: found["quarantined"] / found["input"] if found["input"] else 0.0 for table, found in counts
        },
        missing_image_share=unusable / evaluation.facts["corpus_photo_count"],
        drift=_drift(lake, inputs["drift"]),
    )


def _champion(
    champion: dict[str, Any], model_digest: str, compared_with: str
) -> Literal["compared", "same", "left_out", "none"]:
    if champion["version"] is None:
        return "none"
    if champion["model_digest"] == model_digest:
        return "same"
    return "compared" if compared_with == CHAMPION_ARM else "left_out"


def _segments(lake: Lake, evaluation: Manifest) -> dict[tuple[str, str], Difference]:
    """Return the differences of the primary metric, slice by slice, to what the verdict compares with."""
    verdict = evaluation.facts["verdict"]
    rows = lake.read_table(evaluation, "segment_comparisons").filter(
        pl.col("arm") == verdict["challenger"],
        pl.col("baseline") == verdict["compared_with"],
        pl.col("metric") == verdict["metric"],
        pl.col("k") == verdict["k"],
    )
    columns = ("segment_kind", "segment", "difference", "low", "high", "query_count")
    return {
        (kind, name): Difference(value, low, high, count)
        for kind, name, value, low, high, count in rows.select(columns).iter_rows()
    }


def _drift(lake: Lake, measured: Manifest) -> Drift:
    rows = lake.read_table(measured, "shifts", ["vectors", "mmd_squared", "low", "high"]).iter_rows()
    return Drift(
        unseen_query_share=measured.facts["unseen"]["query_share"],
        unseen_country_share=measured.facts["unseen"]["country_share"],
        conversion_drop=measured.facts["conversions"]["drop"],
        shifts={what: Distance(*found) for what, *found in rows},
        note=measured.facts["note"],
    )
