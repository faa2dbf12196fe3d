"""The ablation of the night, where there was one: what each choice of the search model is worth."""

from __future__ import annotations

from typing import Any

import polars as pl

from jobs.config.params.arms import FULL, RERANKED
from jobs.datasets.evaluation import EVALUATION
from jobs.datasets.reports import AblationFacts
from jobs.report.inputs import Night
from jobs.report.names import variant
from jobs.report.tables import (
    CUTOFFS,
    PERCENT,
    POINTS,
    PRIMARY,
    PRIMARY_K,
    arms_chart,
    by_key,
    cell,
    difference,
)


def ablation(night: Night) -> dict[str, Any] | None:
    """Return the comparison of variants on the night's searches; None if there is none."""
    manifest = night.ablation
    if manifest is None:
        return None
    facts = AblationFacts.of(manifest)
    variants, steps = (
        night.ctx.lake.read_table(manifest, table).filter(metric=PRIMARY) for table in ("variants", "steps")
    )
    ends = {"low": pl.col("difference_low"), "high": pl.col("difference_high")}
    found, less = by_key(variants, "variant", "k"), by_key(variants.with_columns(**ends), "variant", "k")
    arms = [variant(key) for key in variants["variant"].unique(maintain_order=True)]
    return {
        "full": variant(facts.reference),
        "facts": facts,
        "cutoffs": CUTOFFS,
        "chart": arms_chart(
            "ablation",
            "Hit rate@10 of every variant",
            [(one, found[one.key, PRIMARY_K]) for one in arms],
            FULL,
            detail="({interval})",
            note="{name}: {value}, 95% interval {interval}",
            spoken="{name}: {value} ({interval})",
            lead="Dots with 95% intervals, and a line at the full arm.",
            line_at=found[FULL, PRIMARY_K]["value"],
        ),
        "rows": [
            {
                "variant": one,
                "cells": {k: cell(found[one.key, k], PERCENT) for k in CUTOFFS},
                "figures": found[one.key, PRIMARY_K],
                "difference": difference(less[one.key, PRIMARY_K], POINTS),
            }
            for one in arms
        ],
        "steps": [
            {"base": variant(base), "variant": variant(key), "difference": difference(row, POINTS)}
            for (base, key), row in by_key(steps.filter(k=PRIMARY_K), "base", "variant").items()
        ],
        "reranked": variant(RERANKED),
        "reranked_base": facts.reranked and not facts.reranked.note and variant(facts.reranked.base_arm),
        "is_earlier": manifest.input_runs.get(f"{RERANKED} 0") != night.manifest(EVALUATION).reference,
        "reference": manifest.reference,
    }
