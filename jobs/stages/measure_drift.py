"""Stage `measure_drift`: what the newest searches, photos and conversions have in common with those before.

Three questions: which share of the searches has a query, or a country, that the training window never had, in the test
window and on the last day; whether a day of the last week has fewer conversions than is usual; and how far the vectors
of the last day's searches lie from those of the days before, and the last week's photos from those of the weeks before.
Photos come in
batches and not every day, hence weeks. All is of this night and by its base, so a first night is compared too. The
limits are the gate's (`gate_release`). Table `days`: the log's last weeks. Table `newest`: see
`models.evaluation.drift`.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.arms import ZERO_SHOT
from jobs.config.params.embedding import MeasureDriftParams
from jobs.context import Inputs, RunContext
from jobs.datasets.evaluation import DRIFT, ConversionsFacts, DriftFacts, LowDayFacts, NewQueriesFacts, UnseenFacts
from jobs.evaluation.drift_inputs import drawn, photos_by_week, searches_by_day, vectors
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from models.evaluation.drift import FEWEST_PAST, lowest_day, newest_against_past, surprise, weekly_trend

SEARCHES, PHOTOS = "searches of the last day", "photos of the last week"


def run(ctx: RunContext, params: MeasureDriftParams, inputs: Inputs, staged: StagedRun) -> DriftFacts:
    """Count and compare; that nothing can be compared is a result, with its reason."""
    begun = time.perf_counter()
    lake, splits = ctx.lake, inputs["splits"]
    searches = searches_by_day(lake, splits, inputs["query_embeddings"], ZERO_SHOT, ctx.as_of)
    photos = photos_by_week(lake, splits, inputs["photo_embeddings"], ZERO_SHOT, ctx.as_of)
    rows, not_compared = [], {}
    for what, found, embedded in (
        (SEARCHES, searches, inputs["query_embeddings"]),
        (PHOTOS, photos, inputs["photo_embeddings"]),
    ):
        compared = _newest(ctx, params, what, found, embedded)
        if isinstance(compared, str):
            not_compared[what] = compared
        else:
            rows.append(compared)
    schema = pl.DataFrame(DRIFT.table("newest").schema.empty_table()).schema
    staged.write_table("newest", pl.DataFrame(rows, schema=schema))
    return DriftFacts(
        unseen=_unseen(lake, splits, "test"),
        unseen_before=_unseen(lake, splits, "validation") if splits.row_counts["validation"] else None,
        last_day_count=len(searches.filter(pl.col("period") == 0)),
        new_queries=_new_queries(lake, splits, searches),
        conversions=_conversions(ctx, params, inputs["validated"], staged),
        arm=ZERO_SHOT,
        not_compared=not_compared,
        seconds=round(time.perf_counter() - begun, 3),
    )


def _newest(
    ctx: RunContext, params: MeasureDriftParams, what: str, rows: pl.DataFrame, embedded: Manifest
) -> dict[str, Any] | str:
    """Return a row of the table `newest`, or why there is none."""
    seed = [ctx.seed, len(what)]
    sample = drawn(rows, params.sample_count, seed)
    counts = dict(sample.group_by("period").len().iter_rows())
    if 0 not in counts:
        return "there are none"
    if len(counts) <= FEWEST_PAST:
        return f"fewer than {FEWEST_PAST} of the periods before have at least half as many"
    periods = sample["period"].to_numpy()
    found = newest_against_past(vectors(ctx.lake, embedded, ZERO_SHOT, sample), periods, params.resample_count, seed)
    return {"vectors": what, "count": counts[0], "past_count": len(counts) - 1, **asdict(found)}


def _unseen(lake: Lake, splits: Manifest, window: str) -> UnseenFacts:
    """Return which share of a window's searches is new to the training window, by query and by country.

    Queries are normalised in the splits. A search whose country is not known is not from an unseen one.
    """
    asked = lake.read_table(splits, window, ["query", "country"])
    known = pl.scan_parquet(lake.table_uris(splits, "train"))
    shares = {}
    for column in ("query", "country"):
        seen = known.select(column).unique().collect()[column]
        is_new = (asked[column] != "") & ~asked[column].is_in(seen.implode())
        shares[column] = int(is_new.sum()) / len(asked)
    return UnseenFacts(search_count=len(asked), query_share=shares["query"], country_share=shares["country"])


def _new_queries(lake: Lake, splits: Manifest, searches: pl.DataFrame) -> NewQueriesFacts | None:
    """Return how new the last day's queries are; of the days before, those with at least half as many searches count.

    Shares are compared as arcsines of square roots, which scatter alike whatever the share.
    """
    known = lake.read_table(splits, "train", ["query"])["query"].unique()
    days = searches.group_by("period").agg((~pl.col("query").is_in(known.implode())).mean().alias("share"), pl.len())
    newest, past = days.filter(pl.col("period") == 0), days.filter(pl.col("period") > 0)
    if newest.is_empty():
        return None
    share, count = newest.select("share", "len").row(0)
    past_N = past.filter(pl.col("len") >= count / 2).sort("period")["share"].to_numpy()
    if len(past_N) < FEWEST_PAST:
        return None
    p_value = surprise(float(np.arcsin(np.sqrt(share))), np.arcsin(np.sqrt(past_N)))
    return NewQueriesFacts(share=share, usual=float(past_N.mean()), p_value=p_value)


def _conversions(
    ctx: RunContext, params: MeasureDriftParams, validated: Manifest, staged: StagedRun
) -> ConversionsFacts:
    """Write the table `days`; return where the conversions are going, and the lowest of the last days."""
    days = _days(ctx.lake, validated, ctx.as_of, params.trend_weeks)
    counts = days["conversion_count"].to_numpy()
    trend, low = weekly_trend(counts), lowest_day(counts)
    staged.write_table("days", days.with_columns(pl.Series("trend", trend.line_T)))
    low_day = None
    if low is not None:
        drop = 1 - low.count / low.usual if low.usual else 0.0
        day = days["conversion_date"].to_list()[-1 - low.days_before_last]
        low_day = LowDayFacts(day=day, count=low.count, usual=low.usual, drop=drop, p_value=low.p_value)
    return ConversionsFacts(
        last_week=trend.last_week, before=trend.before, drop=trend.drop, per_week=trend.per_week, low_day=low_day
    )


def _days(lake: Lake, validated: Manifest, as_of: datetime, weeks: int) -> pl.DataFrame:
    """Return the number of conversions of every day of the last weeks before `as_of`, or since the log begins."""
    at = pl.col("converted_at")
    log = pl.scan_parquet(lake.table_uris(validated, "conversions")).filter(at < as_of)
    counts = log.group_by(at.dt.date().alias("conversion_date")).agg(pl.len().cast(pl.Int64).alias("conversion_count"))
    found = counts.sort("conversion_date").collect()
    log_begins = found["conversion_date"].to_list()[0]
    last = (as_of - timedelta(days=1)).date()
    first = max(log_begins, last - timedelta(weeks=weeks) + timedelta(days=1))
    days = pl.DataFrame({"conversion_date": pl.date_range(first, last, eager=True)})
    days = days.join(found, on="conversion_date", how="left", maintain_order="left")
    return days.with_columns(pl.col("conversion_count").fill_null(0))
