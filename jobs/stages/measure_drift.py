"""Stage `measure_drift`: what the night's searches, photos and log have in common with what was known before.

Two questions are about the log: which share of the test window's searches has a query, or a country, that the training
window never had, and how many conversions a day there are. One is about the vectors: how far those of the searches and
of the photos lie from those of the latest earlier night of the same protocol, by one model. Its limits are the gate's
(`gate_release`). Table `days`: the log's last weeks. Table `shifts`: a row for searches and photos, see
`models.evaluation.drift`.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from jobs.config.params.embedding import MeasureDriftParams
from jobs.context import Chosen, RunContext
from jobs.datasets.evaluation import DRIFT, ConversionsFacts, DriftFacts, UnseenFacts
from jobs.evaluation.drift_inputs import Night, Pair, earlier_runs, photo_vectors, same_model, search_vectors
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from models.evaluation.drift import embedding_shift, weekly_trend

FEWEST = 20
"""Rows of a sample below which two samples would say nothing."""


def choose(ctx: RunContext, params: MeasureDriftParams, inputs: dict[str, Manifest]) -> Chosen:
    """Choose the night to compare with."""
    return Chosen(earlier_runs(ctx, inputs))


def run(ctx: RunContext, params: MeasureDriftParams, inputs: dict[str, Manifest], staged: StagedRun) -> DriftFacts:
    """Count and compare; that nothing can be compared is a result, with its reason."""
    begun = time.perf_counter()
    tonight, earlier = Night.tonight(inputs), Night.earlier(inputs)
    pair = None if earlier is None else same_model(tonight.models, earlier.models)
    days = _days(ctx.lake, inputs["validated"], ctx.as_of, params.trend_weeks)
    trend = weekly_trend(days["conversion_count"].to_numpy())
    staged.write_table("days", days.with_columns(pl.Series("trend", trend.line_T)))
    shifts, note = _shifts(ctx, params, tonight, earlier, pair)
    staged.write_table("shifts", shifts)
    return DriftFacts(
        unseen=_unseen(ctx.lake, tonight.splits),
        earlier_unseen=None if earlier is None else _unseen(ctx.lake, earlier.splits),
        conversions=ConversionsFacts(
            last_week=trend.last_week, before=trend.before, drop=trend.drop, per_week=trend.per_week
        ),
        earlier_run_date=None if earlier is None else earlier.run_date,
        arm=None if pair is None else pair.arm,
        earlier_arm=None if pair is None else pair.earlier_arm,
        model_digest=None if pair is None else pair.model_digest,
        note=note,
        seconds=round(time.perf_counter() - begun, 3),
    )


_SAMPLES = {"searches": search_vectors, "photos": photo_vectors}


def _unseen(lake: Lake, splits: Manifest) -> UnseenFacts:
    """Return which share of the test window's searches is new to the training window, by query and by country.

    Queries are normalised in the splits. A search whose country is not known is not from an unseen one.
    """
    asked = lake.read_table(splits, "test", ["query", "country"])
    known = pl.scan_parquet(lake.table_uris(splits, "train"))
    shares = {}
    for column in ("query", "country"):
        seen = known.select(column).unique().collect()[column]
        is_new = (asked[column] != "") & ~asked[column].is_in(seen.implode())
        shares[column] = int(is_new.sum()) / len(asked)
    return UnseenFacts(search_count=len(asked), query_share=shares["query"], country_share=shares["country"])


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


def _shifts(
    ctx: RunContext, params: MeasureDriftParams, tonight: Night, earlier: Night | None, pair: Pair | None
) -> tuple[pl.DataFrame, str]:
    """Return the table `shifts`, and what it lacks and why."""
    schema = dict(pl.DataFrame(DRIFT.table("shifts").schema.empty_table()).schema)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    if earlier is None:
        notes.append("no earlier night by this protocol has vectors to compare with")
    elif pair is None:
        notes.append(
            f"the night of {earlier.run_date} has another base and shares no model with this one, and vectors of two "
            "models do not compare"
        )
    else:
        for number, (what, read) in enumerate(_SAMPLES.items()):
            arms = ((tonight, pair.arm), (earlier, pair.earlier_arm))
            now, before = (read(ctx.lake, night, arm, params.sample_count, ctx.seed) for night, arm in arms)
            if min(len(now), len(before)) < FEWEST:
                notes.append(f"fewer than {FEWEST} {what} of one night are too few to compare")
                continue
            found = embedding_shift(now, before, params.resample_count, [ctx.seed, number])
            counts = {"count": len(now), "earlier_count": len(before)}
            rows.append({"vectors": what, **counts, **asdict(found)})
    return pl.DataFrame(rows, schema=schema), "; ".join(notes)
