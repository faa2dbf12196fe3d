"""What runs the queries of `sql/` over tables of the lake: DuckDB in this process, or Spark for what is too large.

Both run the same files and give the same rows, and what they write is the same bytes: the tests hold them equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import polars as pl

from jobs.adapters.task_pool import TaskPool
from jobs.config.settings import Settings
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun

Frame = Any
"""Rows of an engine, which only that engine can read. They are computed when they are collected, kept or written."""


class QueryEngine(TaskPool, Protocol):
    """Rows in, rows out. A column's type is as declared or computed; texts are ordered by their bytes, nulls first."""

    def table(self, lake: Lake, manifest: Manifest, table: str) -> Frame:
        """Return a table of a committed run; its files are checked as `Lake.table_uris` does."""

    def files(self, uris: Sequence[str], columns: Sequence[str]) -> Frame:
        """Return the rows of Parquet files, one at least, and in `unit` (int32) the index of the file in the list.

        A file that the list names twice gives its rows twice.
        """

    def frame(self, rows: pl.DataFrame) -> Frame:
        """Return rows that are in memory."""

    def run(self, name: str, views: Mapping[str, Frame], **markers: Any) -> Frame:
        """Run `sql/<name>.sql` over views, with its :markers bound to values; a dict is a map."""

    def select(self, frame: Frame, *expressions: str) -> Frame:
        """Return what expressions of Spark's SQL make of the rows: of each, or of all if they aggregate."""

    def where(self, frame: Frame, condition: str) -> Frame:
        """Return the rows that meet a condition in Spark's SQL."""

    def union(self, frames: Sequence[Frame]) -> Frame:
        """Return the rows of frames that have the same columns."""

    def keep(self, frame: Frame) -> Frame:
        """Compute the rows once, for several uses; the engine lets go of them at its end."""

    def collect(self, frame: Frame) -> pl.DataFrame:
        """Return the rows, in any order; they must fit into memory."""

    def write(
        self, frame: Frame, staged: StagedRun, table: str, file_count: int, by: str, order: Sequence[str]
    ) -> None:
        """Write the declared columns of the rows as a table of a run, as the same bytes whatever order they come in.

        The file of a row, and its number, depend on the text of the column `by` only. A file's rows are in the order
        of the columns `order`, which tell them apart.
        """


@contextmanager
def query_engine(settings: Settings, name: str, row_count: int) -> Iterator[QueryEngine]:
    """Give an engine for the queries of the stage `name`, whose tables have so many rows together."""
    if row_count >= settings.spark_from_rows:
        from jobs.adapters.spark_engine import spark_engine

        with spark_engine(settings, name, row_count) as engine:
            yield engine
    else:
        from jobs.adapters.duckdb_engine import duckdb_engine

        with duckdb_engine(settings) as engine:
            yield engine
