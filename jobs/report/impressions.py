"""What was shown: how often photos were taken and how long they were looked at, and at which places people look."""

from __future__ import annotations

from typing import Any

import polars as pl

from jobs.datasets.evaluation import AS_SHOWN, EVALUATION, EvaluationFacts
from jobs.datasets.features import IMPRESSIONS, ImpressionsFacts
from jobs.report.inputs import Night
from jobs.report.names import arm


def shown(night: Night) -> dict[str, Any] | None:
    """Return the section, or None where the night has no log of what was shown.

    Rows are of all lists, of the lists of an arm, or of a place of all lists.
    """
    rates = night.table(IMPRESSIONS, "rates").fill_nan(None)
    if rates.is_empty():
        return None
    told = night.table(IMPRESSIONS, "examination").fill_nan(None)
    looked = told.select("position", "examination", "low", "high")
    whole = rates.filter(pl.col("position").is_null()).to_dicts()
    places = rates.filter(pl.col("arm").is_null(), pl.col("position").is_not_null()).sort("position")
    return {
        "facts": night.facts(ImpressionsFacts),
        "taken_share": whole[0]["taken_share"],
        "arms": whole,
        "off_policy": night.facts(EvaluationFacts).off_policy,
        "orders": _orders(night),
        "places": places.join(looked, on="position", how="left", maintain_order="left").to_dicts(),
    }


def _orders(night: Night) -> list[dict[str, Any]]:
    """Return a row per order of the lists, the best first: its name, and value and interval by metric."""
    rows: dict[str, dict[str, Any]] = {}
    for key, metric, *figures in night.table(EVALUATION, "off_policy").iter_rows():
        name = "As the site showed them" if key == AS_SHOWN else arm(key).name
        rows.setdefault(key, {"name": name})[metric] = figures
    return sorted(rows.values(), key=lambda row: -row["mrr"][0])
