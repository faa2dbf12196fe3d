"""The log that recommenders learn from and look histories up in, as the splits have it: read file by file, as numbers.

A conversion takes 18 bytes here. Names of visitors and photos are never held for the whole log.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.ranking import Ints

_BEFORE, _TEST = ("train", "validation"), "test"
SECOND = 1e6
"""Microseconds, by which instants are numbered."""


def _files(lake: Lake, splits: Manifest, *columns: str) -> Iterator[tuple[str, pl.LazyFrame]]:
    """Give the window and the rows of every file, those of the test window last."""
    for name in (*_BEFORE, _TEST):
        for rows in lake.table_files(splits, name, list(columns)):
            yield name, rows.lazy()


def count_visitors(lake: Lake, splits: Manifest) -> pl.DataFrame:
    """Return who is in the log: visitor (the number), before and within (conversions before the test window, in it).

    `last_at` is the latest of them, in microseconds since 1970, UTC.
    """
    found = pl.DataFrame(
        schema={"visitor": pl.Int64(), "before": pl.UInt32(), "within": pl.UInt32(), "last_at": pl.Int64()}
    )
    for name, rows in _files(lake, splits, "visitor", "converted_at"):
        is_within = name == _TEST
        part = rows.group_by("visitor").agg(
            before=pl.lit(0, pl.UInt32) if is_within else pl.len().cast(pl.UInt32),
            within=pl.len().cast(pl.UInt32) if is_within else pl.lit(0, pl.UInt32),
            last_at=pl.col("converted_at").max().cast(pl.Int64),
        )
        both = pl.concat([found, part.collect()]).group_by("visitor")
        found = both.agg(pl.col("before", "within").sum(), pl.col("last_at").max())
    return found.sort("visitor")


def read_log(
    lake: Lake, splits: Manifest, photo_ids: pl.Series, visitors: pl.DataFrame
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return all conversions of `visitors` (visitor and place, each once), and the countries that their codes mean.

    Columns: place, item (the place among `photo_ids`), at (microseconds since 1970, UTC), country (-1: not known).
    Raises `BadInput` for a conversion of another photo.
    """
    places = visitors.select("visitor", pl.col("place").cast(pl.UInt32)).lazy()
    items = photo_ids.to_frame("photo_id").with_row_index("item").lazy()
    codes = {"": -1}
    parts = []
    for _, rows in _files(lake, splits, "visitor", "photo_id", "converted_at", "country"):
        chosen = rows.select("visitor", "photo_id", "converted_at", pl.col("country").fill_null(""))
        part = chosen.join(places, on="visitor").join(items, on="photo_id", how="left").collect()
        _refuse_unknown(part, splits)
        for name in part["country"].unique().sort():
            codes.setdefault(name, len(codes) - 1)
        at, code = pl.col("converted_at").cast(pl.Int64), pl.col("country").replace_strict(codes, return_dtype=pl.Int16)
        parts.append(part.select("place", "item", at=at, country=code))
    return pl.concat(parts), tuple(name for name in codes if name)


def _refuse_unknown(part: pl.DataFrame, splits: Manifest) -> None:
    if unknown := part["item"].null_count():
        example = part.filter(pl.col("item").is_null())["photo_id"][0]
        raise BadInput(
            "photos_outside_corpus",
            f"{unknown} conversions in {splits.reference} are of photos that are not in its corpus, such as "
            f"{example!r}. Rerun split_temporal.",
            run=splits.reference,
            photo_id=example,
        )


def name_visitors(lake: Lake, splits: Manifest, numbers: Ints) -> pl.Series:
    """Return the ids of visitors by their numbers, in that order."""
    asked = pl.DataFrame({"visitor": numbers})
    parts = [
        rows.join(asked.lazy(), on="visitor", how="semi").unique().collect()
        for _, rows in _files(lake, splits, "visitor", "visitor_id")
    ]
    return asked.join(pl.concat(parts).unique("visitor"), on="visitor", how="left", maintain_order="left")["visitor_id"]


def read_visitor(lake: Lake, splits: Manifest, visitor_id: str) -> pl.DataFrame:
    """Return photo_id, country and the seconds since 1970 UTC, `at`, of all that one visitor took."""
    files = _files(lake, splits, "visitor_id", "photo_id", "country", "converted_at")
    rows = pl.concat([rows.filter(visitor_id=visitor_id).collect() for _, rows in files])
    return rows.select("photo_id", "country", at=pl.col("converted_at").cast(pl.Int64) / SECOND)
