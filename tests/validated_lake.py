"""Fabricated runs of datasets: tables given in part, the declared rest filled with nulls."""

from __future__ import annotations

import zlib
from typing import Any

import polars as pl
import pyarrow as pa

from jobs.config.params.base import Params
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.schema import Dataset, Facts
from jobs.lake.manifest import Manifest
from tests.made_up_facts import made_up


def complete(frame: pl.DataFrame, schema: pa.Schema) -> pl.DataFrame:
    """Return the frame with every declared column, in order; those it lacks are null."""
    declared = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    return pl.concat([declared, frame], how="diagonal_relaxed").select(declared.columns)


def commit_tables(
    ctx: RunContext,
    dataset: Dataset,
    tables: dict[str, pl.DataFrame],
    *,
    label: str,
    params: Params | None = None,
    inputs: dict[str, Manifest] | None = None,
    facts: Facts | dict[str, Any] | None = None,
    shard_count: int = 1,
    files: dict[str, bytes] | None = None,
) -> Manifest:
    """Commit a fabricated run and make it current; tables not given are empty. `label` tells runs apart.

    `facts` are those that matter; the others are made up.

    Tables that have photo ids are cut into `shard_count` files by them.
    """
    staged = ctx.begin(dataset, params or Params(), inputs or {}, {"fabricated": label})
    if staged.manifest is not None:
        return staged.manifest
    for name, data in (files or {}).items():
        staged.write_file(name, data)
    for table in dataset.tables:
        whole = complete(tables.get(table.name, pl.DataFrame()), table.schema)
        if shard_count == 1 or "photo_id" not in whole.columns:
            staged.write_table(table.name, whole)
            continue
        shard_of = [zlib.crc32(photo_id.encode()) % shard_count for photo_id in whole["photo_id"]]
        for shard in range(shard_count):
            staged.write_table(table.name, whole.filter(pl.Series(shard_of, dtype=pl.Int64) == shard), shard)
    if isinstance(facts, Facts):
        return staged.commit(facts)
    return staged.commit(made_up(dataset.facts, **(facts or {})))


def commit_validated(
    ctx: RunContext, photos: pl.DataFrame, conversions: pl.DataFrame, keywords: pl.DataFrame, label: str = "validated"
) -> Manifest:
    """Commit a run of the validated tables, as `validate_logs` would."""
    tables = {"photos": photos, "conversions": conversions, "keywords": keywords}
    return commit_tables(ctx, VALIDATED, tables, label=label)
