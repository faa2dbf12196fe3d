"""Fabricated runs of datasets: tables given in part, the declared rest filled with nulls."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from jobs.config.params.base import Params
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.schema import Dataset, Facts
from jobs.lake.manifest import Manifest
from tests.made_up_facts import made_up

SEARCH_COLUMNS = ["device_type", "orientation_filter", "position"]
LOG_COLUMNS = ["visitor_id", "query", "country", "photo_id", "converted_at", *SEARCH_COLUMNS]
"""What tests give of a conversion."""


def complete(frame: pl.DataFrame, schema: pa.Schema) -> pl.DataFrame:
    """Return the frame with every declared column, in order; those it lacks are null."""
    declared = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    if {"visitor_id", "visitor"} <= set(declared.columns) and "visitor_id" in frame and "visitor" not in frame:
        numbers = [None if name is None else zlib.crc32(str(name).encode()) for name in frame["visitor_id"]]
        frame = frame.with_columns(pl.Series("visitor", numbers, pl.Int64))  # the same in every table
    return pl.concat([declared, frame], how="diagonal_relaxed").select(declared.columns)


def commit_tables(
    ctx: RunContext,
    dataset: Dataset,
    tables: dict[str, pl.DataFrame] | None = None,
    *,
    label: str = "",
    params: Params | None = None,
    inputs: dict[str, Manifest] | None = None,
    facts: Facts | dict[str, Any] | None = None,
    shard_count: int = 1,
    files: dict[str, bytes] | None = None,
    folders: dict[str, Callable[[Path], object]] | None = None,
    **partition: str,
) -> Manifest:
    """Commit a fabricated run and make it current. `label` tells runs apart; without one their contents do.

    Tables not given are empty, or have one row of nulls if they must not be. `facts` are those that matter; the others
    are made up. `folders` says how files below a name are written into a local folder. Tables that have photo ids are
    cut into `shard_count` files by them.
    """
    tables, files = tables or {}, files or {}
    source = label or _digest(tables, (facts, files))
    staged = ctx.begin(dataset, params or Params(), inputs or {}, {"fabricated": source}, **partition)
    if staged.manifest is not None:
        return staged.manifest
    for name, data in files.items():
        staged.write_file(name, data)
    for name, write in (folders or {}).items():
        with staged.local_folder(name) as folder:
            write(folder)
    for table in dataset.tables:
        nothing = pl.DataFrame() if table.may_be_empty else pl.DataFrame({table.schema.names[0]: [None]})
        whole = complete(tables.get(table.name, nothing), table.schema)
        if shard_count == 1 or "photo_id" not in whole.columns:
            staged.write_table(table.name, whole)
            continue
        shard_of = [zlib.crc32(photo_id.encode()) % shard_count for photo_id in whole["photo_id"]]
        for shard in range(shard_count):
            staged.write_table(table.name, whole.filter(pl.Series(shard_of, dtype=pl.Int64) == shard), shard)
    return staged.commit(facts if isinstance(facts, Facts) else made_up(dataset.facts, **(facts or {})))


def _digest(tables: dict[str, pl.DataFrame], others: object) -> str:
    digest = hashlib.sha256(repr(others).encode())
    for name, frame in tables.items():
        digest.update(name.encode() + frame.write_ipc(None).getvalue())
    return digest.hexdigest()


def commit_validated(
    ctx: RunContext, photos: pl.DataFrame, conversions: pl.DataFrame, keywords: pl.DataFrame, label: str = ""
) -> Manifest:
    """Commit a run of the validated tables, as `validate_logs` would."""
    tables = {"photos": photos, "conversions": conversions, "keywords": keywords}
    return commit_tables(ctx, VALIDATED, tables, label=label)
