"""Queries in this process, by DuckDB: the files of `sql/`, turned from Spark's SQL into its own.

Memory is bounded: what does not fit goes to temporary files below the state folder.
"""

from __future__ import annotations

import fcntl
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import fsspec
import polars as pl
from sqlglot import ErrorLevel, exp, parse_one
from sqlglot.dialects import DuckDB, Spark

from jobs.adapters.parquet_parts import SHARD, part_path, write_part, write_shards
from jobs.adapters.sql_files import load_sql
from jobs.adapters.task_pool import LocalPool, core_count
from jobs.config.settings import Settings
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun

_BATCH_ROWS = 131_072


class _SparkSQL(Spark):
    """Spark's SQL as our sessions have it: a cast that cannot be done is an error."""

    class Parser(Spark.Parser):
        STRICT_CAST = True


class _DuckSQL(DuckDB):
    """DuckDB's SQL, with functions that give what Spark's of the same name do."""

    class Generator(DuckDB.Generator):
        TRANSFORMS: ClassVar = {
            **DuckDB.Generator.TRANSFORMS,
            exp.CountIf: lambda self, node: f"COUNT(CASE WHEN {self.sql(node, 'this')} THEN 1 END)",  # a BIGINT
        }


@contextmanager
def duckdb_engine(settings: Settings) -> Iterator[DuckDBEngine]:
    """Give an engine; its temporary files are removed at the end."""
    with _temporary_folder(settings.state_dir / "queries") as folder:
        connection = _connect(settings, folder)
        engine = DuckDBEngine(connection)
        try:
            yield engine
        finally:
            engine.close()
            connection.close()


def _connect(settings: Settings, folder: Path) -> duckdb.DuckDBPyConnection:
    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{settings.query_memory_mb}MiB",
        "temp_directory": str(folder),
        "preserve_insertion_order": False,  # it would hold rows back for an order that no query asks for
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(config=options)
    connection.execute(f"SET threads = {core_count()}")  # DuckDB looks at those of the machine
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """Give the path of a folder that is gone at the end; those of processes that were killed are removed as well."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob("*.lock"):
        with suppress(OSError), left.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its process would hold it
            _remove(left)
    own = parent / f"{uuid.uuid4().hex}.lock"
    with own.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield own.with_suffix("")
        finally:
            _remove(own)


def _remove(lock: Path) -> None:
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    lock.unlink(missing_ok=True)


class DuckDBEngine(LocalPool):
    """A `QueryEngine` whose frames are names of views and tables of a database in memory."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__()
        self._connection = connection
        self._names = (f"frame_{number}" for number in count())

    def table(self, lake: Lake, manifest: Manifest, table: str) -> str:
        """Return a table of a committed run."""
        return self._view(f"SELECT * FROM {self._parquet(lake.table_uris(manifest, table))}")

    def files(self, uris: Sequence[str], columns: Sequence[str]) -> str:
        """Return the rows of Parquet files, and in `unit` the index of the file."""
        names = ", ".join(map(_quoted, columns))
        return self._view(f"SELECT {names}, CAST(file_index AS INT) AS unit FROM {self._parquet(uris)}")

    def frame(self, rows: pl.DataFrame) -> str:
        """Return rows that are in memory."""
        name = next(self._names)
        self._connection.register(name, rows.to_arrow())
        return name

    def run(self, name: str, views: Mapping[str, str], **markers: Any) -> str:
        """Run `sql/<name>.sql`."""
        return self._query(load_sql(name), views, markers)

    def select(self, frame: str, *expressions: str) -> str:
        """Return what expressions make of the rows."""
        return self._query(f"SELECT {', '.join(expressions)} FROM rows", {"rows": frame}, {})

    def where(self, frame: str, condition: str) -> str:
        """Return the rows that meet a condition."""
        return self._query(f"SELECT * FROM rows WHERE {condition}", {"rows": frame}, {})

    def union(self, frames: Sequence[str]) -> str:
        """Return the rows of frames."""
        return self._view(" UNION ALL ".join(f"SELECT * FROM {frame}" for frame in frames))

    def keep(self, frame: str) -> str:
        """Compute the rows once."""
        name = next(self._names)
        self._connection.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM {frame}")
        return name

    def collect(self, frame: str) -> pl.DataFrame:
        """Return the rows."""
        return pl.DataFrame(pl.from_arrow(self._connection.table(frame).to_arrow_table()))

    def write(self, frame: str, staged: StagedRun, table: str, file_count: int, by: str, order: Sequence[str]) -> None:
        """Write the rows as a table of a run, sorted by file and `order`."""
        schema, folder = staged.dataset.table(table).schema, staged.table_folder(table)
        shard = f"COALESCE(CAST('0x' || SUBSTR(MD5(CAST({_quoted(by)} AS TEXT)), 1, 8) AS BIGINT) % {file_count}, 0)"
        names = ", ".join(map(_quoted, schema.names))
        # kept: to make rows and to sort them at once would take the memory of both
        made = self.keep(self._view(f"SELECT {names}, {shard} AS {SHARD} FROM {frame}"))
        in_order = ", ".join(f"{_quoted(column)} NULLS FIRST" for column in (SHARD, *order))
        rows = self._connection.sql(f"FROM {made} ORDER BY {in_order}").to_arrow_reader(_BATCH_ROWS)
        if not write_shards(rows, staged.lake, folder, schema):
            write_part([], staged.lake, part_path(folder, 0), schema)
        self._connection.execute(f"DROP TABLE {made}")

    def _query(self, text: str, views: Mapping[str, str], markers: Mapping[str, Any]) -> str:
        """Return the rows of a query. Its views are named around it, so that its own names may be the same."""
        named = ", ".join(f"{_quoted(view)} AS NOT MATERIALIZED (FROM {frame})" for view, frame in views.items())
        return self._view(f"WITH {named} SELECT * FROM ({_translated(text, markers)})")

    def _view(self, text: str) -> str:
        name = next(self._names)
        self._connection.execute(f"CREATE TEMP VIEW {name} AS {text}")
        return name

    def _parquet(self, uris: Sequence[str]) -> str:
        if "://" in uris[0]:
            fs, _ = fsspec.url_to_fs(uris[0], use_listings_cache=False)
            protocols = [fs.protocol] if isinstance(fs.protocol, str) else fs.protocol
            if not any(map(self._connection.filesystem_is_registered, protocols)):
                self._connection.register_filesystem(fs)
        paths = ", ".join(_literal(uri) for uri in uris)
        return f"READ_PARQUET([{paths}], hive_partitioning = FALSE)"  # run ids in paths are no columns


def _translated(text: str, markers: Mapping[str, Any]) -> str:
    """Return a query of Spark's SQL in that of DuckDB, its markers replaced by values."""
    tree = _parsed(text).copy()
    for marker in list(tree.find_all(exp.Placeholder)):
        marker.replace(parse_one(_literal(markers[marker.name]), read="duckdb"))
    return tree.sql(_DuckSQL, comments=False, unsupported_level=ErrorLevel.RAISE)


@cache
def _parsed(text: str) -> exp.Expr:
    tree = parse_one(text, read=_SparkSQL)
    for call in tree.find_all(exp.Anonymous):
        if call.name.upper() == "XXHASH64":  # digests are compared with one another only
            call.set("this", "HASH")
    return tree


def _literal(value: Any) -> str:
    """Return a value as DuckDB writes it.

    >>> _literal("it's"), _literal(0.1), _literal({"click": 1.0})
    ("'it''s'", 'CAST(0.1 AS DOUBLE)', "MAP {'click': CAST(1.0 AS DOUBLE)}")
    """
    if isinstance(value, dict):
        return f"MAP {{{', '.join(f'{_literal(name)}: {_literal(one)}' for name, one in value.items())}}}"
    if isinstance(value, float):
        return f"CAST({value!r} AS DOUBLE)"
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.isoformat()}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
