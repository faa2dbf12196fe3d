"""Stage `measure_drift`: what the night's searches, photos and log have in common with what was known before.

Two questions are about the log: which share of the test window's searches has a query, or a country, that the training
window never had, and how many conversions a day there are. One is about the vectors: how far those of the searches and
of the photos lie from those of the latest earlier night of the same protocol, by one model. Its limits are the gate's
(`gate_release`). Table `days`: the log's last weeks. Table `shifts`: a row for searches and photos, see
`models.evaluation.drift`.

Facts: unseen and earlier_unseen (search_count, query_share, country_share; the latter None without an earlier night),
conversions (a day: last_week and before, the weeks before that; drop and per_week; None where the log is too short),
earlier_run_date, arm, earlier_arm, model_digest (None where nothing is compared), note (which vectors are not compared,
and why; empty if all are), seconds.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from jobs.config.params.embedding import MeasureDriftParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.evaluation import DRIFT
from jobs.datasets.features import SPLITS
from jobs.evaluation.drift_inputs import Night, Pair, earlier_night, photo_vectors, same_model, search_vectors
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest, fingerprint
from models.evaluation.drift import embedding_shift, weekly_trend

FEWEST = 20
"""Rows of a sample below which two samples would say nothing."""


def run(ctx: RunContext, params: MeasureDriftParams) -> Manifest:
    """Count, compare and commit; that nothing can be compared is a result, with its reason."""
    tonight = Night(ctx.run_date.isoformat(), *(ctx.read(d) for d in _OF_A_NIGHT))
    validated, earlier = ctx.read(VALIDATED), earlier_night(ctx, tonight)
    inputs = {"validated": validated, **tonight.inputs}
    if earlier is not None:
        inputs |= {f"earlier_{name}": manifest for name, manifest in earlier.inputs.items()}
    pair = None if earlier is None else same_model(tonight.models, earlier.models)
    # What the pair takes from facts is not part of the inputs' digests.
    staged = ctx.begin(DRIFT, params, inputs, {"pair": fingerprint(asdict(pair) if pair else {})})
    if staged.manifest is not None:
        return staged.manifest
    begun = time.perf_counter()
    days = _days(ctx.lake, validated, ctx.as_of, params.trend_weeks)
    trend = weekly_trend(days["conversion_count"].to_numpy())
    staged.write_table("days", days.with_columns(pl.Series("trend", trend.line_T)))
    shifts, note = _shifts(ctx, params, tonight, earlier, pair)
    staged.write_table("shifts", shifts)
    return staged.commit(
        {
            "unseen": _unseen(ctx.lake, tonight.splits),
            "earlier_unseen": None if earlier is None else _unseen(ctx.lake, earlier.splits),
            "conversions": {name: getattr(trend, name) for name in ("last_week", "before", "drop", "per_week")},
            "earlier_run_date": None if earlier is None else earlier.run_date,
            **(dict.fromkeys(("arm", "earlier_arm", "model_digest")) if pair is None else asdict(pair)),
            "note": note,
            "seconds": round(time.perf_counter() - begun, 3),
        }
    )


_SAMPLES = {"searches": search_vectors, "photos": photo_vectors}
_OF_A_NIGHT = (SPLITS, QUERY_EMBEDDINGS, PHOTO_EMBEDDINGS)


def _unseen(lake: Lake, splits: Manifest) -> dict[str, Any]:
    """Return which share of the test window's searches is new to the training window, by query and by country.

    Queries are normalised in the splits. A search whose country is not known is not from an unseen one.
    """
    asked = lake.read_table(splits, "test", ["query", "country"])
    known = pl.scan_parquet(lake.table_uris(splits, "train"))
    shares = {}
    for column in ("query", "country"):
        seen = known.select(column).unique().collect()[column]
        is_new = (asked[column] != "") & ~asked[column].is_in(seen.implode())
        shares[f"{column}_share"] = is_new.sum() / len(asked)
    return {"search_count": len(asked), **shares}


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
