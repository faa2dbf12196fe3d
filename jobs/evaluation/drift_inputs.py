"""The inputs of `measure_drift`: rows of the newest period and of the periods before, and their vectors.

A period is numbered by how many lie between it and the night's end: 0 is the newest. All rows are of this night, so one
model embeds them all, and no row is of two periods.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import polars as pl
import pyarrow as pa

from jobs.datasets.schema import VECTOR
from jobs.embedding.arm_vectors import batches_of_arm, query_arm
from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.drift import Floats

_PAST = 13
"""Periods before the newest that are looked at, at most."""


def searches_by_day(lake: Lake, splits: Manifest, queries: Manifest, arm: str, as_of: datetime) -> pl.DataFrame:
    """Return the searches of validation and test as the arm reads them: query, country, period (in days), who."""
    columns = ["query", "country", "photo_id", "converted_at", "visitor"]
    rows = pl.concat([lake.read_table(splits, window, columns) for window in ("validation", "test")])
    country = pl.col("country").fill_null("") if query_arm(queries, arm).uses_country else pl.lit("")
    rows = rows.sort("converted_at", "query", "country", "photo_id", "visitor").with_columns(country.alias("country"))
    return _in_periods(rows, "converted_at", as_of, 1).select("query", "country", "period", who="visitor")


def photos_by_week(lake: Lake, splits: Manifest, photos: Manifest, arm: str, as_of: datetime) -> pl.DataFrame:
    """Return the photos that have a vector: photo_id, period (in weeks, by submission), who (took them)."""
    embedded = pl.concat(_blocks(lake, photos, arm, ["photo_id"]))
    rows = lake.read_table(splits, "photos", ["photo_id", "submitted_at", "photographer"])
    rows = rows.join(embedded, on="photo_id", how="semi").sort("photo_id")
    who = pl.coalesce("photographer", "photo_id")
    return _in_periods(rows, "submitted_at", as_of, 7).select("photo_id", "period", who=who)


def _in_periods(rows: pl.DataFrame, at: str, end: datetime, days: int) -> pl.DataFrame:
    period = (pl.lit(end) - pl.col(at) - pl.duration(microseconds=1)).dt.total_days() // days
    return rows.filter(pl.col(at) < end).with_columns(period=period).filter(pl.col("period") <= _PAST)


def drawn(rows: pl.DataFrame, most: int, seed: list[int]) -> pl.DataFrame:
    """Return a random sample of each period with about equally many rows, one of everybody (`who`) in a period.

    Rows of one person are alike, and are not independent. There are as many rows of a period as of the newest, `most`
    at most. Periods of fewer than half as many are left out.
    """
    shuffled = rows[np.random.default_rng(seed).permutation(len(rows))]
    shuffled = shuffled.unique(["period", "who"], keep="first", maintain_order=True)
    count = min(most, len(shuffled.filter(pl.col("period") == 0)))
    enough = pl.len().over("period") >= max(1, count / 2)
    return shuffled.filter(enough).group_by("period", maintain_order=True).head(count).drop("who")


def vectors(lake: Lake, embeddings: Manifest, arm: str, wanted: pl.DataFrame) -> Floats:
    """Return the vectors, shape (N, D), of every row of `wanted`, in its order, holding little more than these."""
    keys = [name for name in wanted.columns if name != "period"]
    distinct = wanted.select(keys).unique()
    found = [rows.join(distinct, on=keys, how="semi") for rows in _blocks(lake, embeddings, arm, [*keys, "vector"])]
    column = wanted.join(pl.concat(found), on=keys, how="left", maintain_order="left")["vector"]
    if missing := column.null_count():
        raise BadInput(
            "vectors_missing",
            f"{embeddings.reference} has no vector of arm {arm!r} for {missing} of {len(wanted)} rows of its own night",
            run=embeddings.reference,
            arm=arm,
            missing_count=missing,
        )
    return column.explode().to_numpy().astype(np.float64).reshape(len(wanted), -1)


def _blocks(lake: Lake, embeddings: Manifest, arm: str, columns: list[str]) -> Iterator[pl.DataFrame]:
    """Yield an arm's rows block by block, an empty one first, so that there is always one."""
    schema = pa.schema([pa.field(name, VECTOR if name == "vector" else pa.string()) for name in columns])
    for block in itertools.chain([schema.empty_table()], batches_of_arm(lake, embeddings, arm, columns)):
        yield pl.DataFrame(pl.from_arrow(block))
