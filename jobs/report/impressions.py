"""What was shown: how often photos were taken and how long they were looked at, and at which places people look."""

from __future__ import annotations

from typing import Any

import polars as pl

from jobs.datasets.features import IMPRESSIONS, ImpressionsFacts
from jobs.report.inputs import Night


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
        "places": places.join(looked, on="position", how="left", maintain_order="left").to_dicts(),
    }
