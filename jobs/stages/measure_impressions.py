"""Stage `measure_impressions`: what the log of what was shown says, and at which places people look.

Rates of being taken and times of being looked at are as logged, by arm and place, from the training window's start to
the run date. How often places are looked at, and what was passed over, is learned by training where it is asked for, so
it comes from the training window alone. Without such a log the tables are empty and `note` says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.ingest import MeasureImpressionsParams
from jobs.context import Inputs, RunContext
from jobs.datasets.features import IMPRESSIONS, ImpressionsFacts, SplitsFacts
from jobs.evaluation.shown_lists import LIST, read_shown
from jobs.lake.staged_run import StagedRun
from models.evaluation.impressions import Examination, Share, estimate_examination, mean_by_visitor

ARM_COUNT = 6  # arms that are shown by themselves, those of the most impressions
_NO_LOG = "no log of what was shown (impressions.tsv000) reaches into this night"
_NO_PLACE = (
    "nothing was shown for one query at several places and taken at the first, so how far people look cannot be told"
)


def run(ctx: RunContext, params: MeasureImpressionsParams, inputs: Inputs, staged: StagedRun) -> ImpressionsFacts:
    """Measure; a night without such a log writes empty tables."""
    start, train_end = SplitsFacts.of(inputs["splits"]).windows["train"]
    shown = read_shown(ctx.lake, inputs["validated"], start, ctx.as_of)
    # read by itself: what was shown in the window may have been taken after it
    learned = read_shown(ctx.lake, inputs["validated"], start, train_end)
    found = _examination(learned, params, ctx.seed)
    staged.write_table("rates", _typed("rates", _rates(shown, params)))
    staged.write_table("examination", _typed("examination", _examination_rows(found)))
    staged.write_table("pairs", _pairs(learned))
    note = _NO_LOG if shown.is_empty() else "" if np.isfinite(found.value).any() else _NO_PLACE
    at = pl.col("shown_at")
    first_at, last_at = shown.select(at.min().alias("first"), at.max().alias("last")).row(0)
    return ImpressionsFacts(
        note=note,
        impression_count=len(shown),
        list_count=len(shown.select(LIST).unique()),
        visitor_count=shown["visitor"].n_unique(),
        window_count=len(learned),
        first_at=first_at,
        last_at=last_at,
    )


def _rates(shown: pl.DataFrame, params: MeasureImpressionsParams) -> list[dict[str, Any]]:
    """Return the rows of the table `rates`: every arm and all together, by place and over all places."""
    named = shown["arm"].drop_nulls().value_counts(sort=True).sort("count", "arm", descending=[True, False])
    parts: list[tuple[str | None, pl.DataFrame]] = [(None, shown)] if len(shown) else []
    if len(named) > 1:
        parts += [(arm, shown.filter(pl.col("arm") == arm)) for arm in named["arm"].head(ARM_COUNT)]
    rows = []
    for arm, part in parts:
        by_place = part.filter(pl.col("position") <= params.place_count).partition_by("position", as_dict=True)
        cut = [(None, part), *((place, by_place[place,]) for (place,) in sorted(by_place))]
        rows += [{"arm": arm, "position": place, **_rate(group)} for place, group in cut]
    return rows


def _rate(group: pl.DataFrame) -> dict[str, Any]:
    visitor_R = group["visitor"].to_numpy()
    taken = mean_by_visitor(group["is_taken"].cast(pl.Float64).to_numpy(), visitor_R)
    seconds = group["dwell_seconds"].fill_null(np.nan).to_numpy()
    dwell = mean_by_visitor(seconds, visitor_R)
    return {
        "shown_count": len(group),
        "visitor_count": group["visitor"].n_unique(),
        "taken_count": int(group["is_taken"].sum()),
        **_estimate("taken_share", taken),
        "dwell_count": dwell.count,
        **_estimate("dwell_seconds", dwell),
    }


def _estimate(name: str, share: Share) -> dict[str, float | None]:
    prefix = name.partition("_")[0]
    ends = {name: share.value, f"{prefix}_low": share.low, f"{prefix}_high": share.high}
    return {key: None if np.isnan(value) else value for key, value in ends.items()}


def _examination(learned: pl.DataFrame, params: MeasureImpressionsParams, seed: int) -> Examination:
    asked = learned.drop_nulls("seek")
    pair = asked.select(pl.struct("seek", "country", "photo_id").rank("dense").cast(pl.Int64))
    return estimate_examination(
        pair.to_series().to_numpy(),
        asked["position"].cast(pl.Int64).to_numpy(),
        asked["is_taken"].to_numpy(),
        asked["visitor"].to_numpy(),
        params.place_count,
        resample_count=params.resample_count,
        seed=seed,
    )


def _examination_rows(found: Examination) -> list[dict[str, Any]]:
    columns = zip(found.value, found.low, found.high, found.counts, strict=True)
    return [
        {"position": place, "examination": value, "low": low, "high": high, "shown_count": int(count)}
        for place, (value, low, high, count) in enumerate(columns, start=1)
        if np.isfinite(value)
    ]


def _pairs(learned: pl.DataFrame) -> pl.DataFrame:
    """Return how often each photo was shown for each query from each country at each place, and taken."""
    counted = (
        learned.drop_nulls("query")
        .group_by("query", "country", "photo_id", "position")
        .agg(pl.len().cast(pl.Int64).alias("shown_count"), pl.col("is_taken").sum().cast(pl.Int64).alias("taken_count"))
    )
    return counted.sort("query", "country", "photo_id", "position")


def _typed(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = pl.DataFrame(IMPRESSIONS.table(table).schema.empty_table()).schema
    return pl.DataFrame(rows, schema=schema)
