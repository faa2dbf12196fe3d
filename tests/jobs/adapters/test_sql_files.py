"""Every query of sql/ against small cases kept as files, by each engine that runs it.

`tests/sql/<query>/<case>/` holds `case.json` ({"markers": {"name:type": value}}), one `<view>.csv` per view and
`expected.csv`. Headers are `name:type` with Spark's type names; an empty field is null, arrays are JSON. Rows are
compared as multisets, column names and types exactly.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.adapters.duckdb_engine import duckdb_engine
from jobs.adapters.query_engine import QueryEngine
from jobs.adapters.sql_files import SQL_FOLDER, load_sql
from jobs.config.settings import PROJECT_ROOT, Settings
from jobs.errors import MissingInput
from tests.errors import raises

CASES = Path(__file__).resolve().parents[2] / "sql"
QUERIES = sorted(path.stem for path in SQL_FOLDER.glob("*.sql"))
CASE_FOLDERS = sorted(path.parent for path in CASES.glob("*/*/case.json"))
BY_ENGINES = ("audit_", "split_", "number_visitors")
"""How the names of queries begin that DuckDB runs as well; the others are for Spark alone."""

TYPES: dict[str, Any] = {
    "string": pl.String,
    "int": pl.Int32,
    "bigint": pl.Int64,
    "float": pl.Float32,
    "double": pl.Float64,
    "boolean": pl.Boolean,
    "timestamp": pl.Datetime("us", "UTC"),
}
VALUES: dict[str, Callable[[str], Any]] = {
    "string": str,
    "int": int,
    "bigint": int,
    "double": float,
    "boolean": {"true": True, "false": False}.__getitem__,
    "timestamp": datetime.fromisoformat,
}
MARKERS: dict[str, Callable[[Any], Any]] = {
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "string": str,
    "int": int,
    "double": float,
    "map": dict,
}


def type_of(kind: str) -> Any:
    """Return a type by Spark's name of it."""
    if inner := re.fullmatch("array<(.*)>", kind):
        return pl.List(type_of(inner[1]))
    if fields := re.fullmatch("struct<(.*)>", kind):
        return pl.Struct({name.strip(): type_of(one.strip()) for name, one in re.findall(r"(\w+):([^,]+)", fields[1])})
    return TYPES[kind]


def read_frame(path: Path) -> pl.DataFrame:
    """Read a CSV file with a typed header."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    columns = []
    for place, cell in enumerate(header):
        name, kind = cell.split(":", 1)
        parse = VALUES.get(kind, json.loads)
        values = [parse(row[place]) if row[place] else None for row in rows]
        columns.append(pl.Series(name, values, type_of(kind)))
    return pl.DataFrame(columns)


def read_markers(path: Path) -> dict[str, Any]:
    """Return the markers of a case as the Python values a stage binds."""
    typed = json.loads(path.read_text(encoding="utf-8"))["markers"].items()
    named = [(*name.split(":", 1), value) for name, value in typed]
    return {name: MARKERS[kind](value) for name, kind, value in named}


def check_case(engine: QueryEngine, folder: Path) -> None:
    """Run a case; columns, types and rows are those expected."""
    views = {path.stem: engine.frame(read_frame(path)) for path in folder.glob("*.csv") if path.stem != "expected"}
    expected = read_frame(folder / "expected.csv")
    found = engine.collect(engine.run(folder.parent.name, views, **read_markers(folder / "case.json")))
    assert found.schema == expected.schema
    assert Counter(found.write_ndjson().splitlines()) == Counter(expected.write_ndjson().splitlines())


def name_of(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


@pytest.mark.parametrize(
    "folder", [folder for folder in CASE_FOLDERS if folder.parent.name.startswith(BY_ENGINES)], ids=name_of
)
def test_duckdb_gives_the_expected_rows(folder: Path, settings: Settings) -> None:
    with duckdb_engine(settings) as engine:
        check_case(engine, folder)


@pytest.mark.spark
@pytest.mark.parametrize("folder", CASE_FOLDERS, ids=name_of)
def test_spark_gives_the_expected_rows(spark: object, folder: Path, settings: Settings) -> None:
    from jobs.adapters.spark_engine import spark_engine

    with spark_engine(settings, "test", 0) as engine:
        check_case(engine, folder)


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_has_a_case_and_a_caller(query: str) -> None:
    assert any(folder.parent.name == query for folder in CASE_FOLDERS), f"no case in {CASES / query}"
    callers = [path for path in (PROJECT_ROOT / "jobs").rglob("*.py") if re.search(rf'"{query}"', path.read_text())]
    assert callers, f"no module of jobs/ names {query!r}"


def test_every_case_has_its_query() -> None:
    assert {folder.parent.name for folder in CASE_FOLDERS} <= set(QUERIES)
    assert {path.name for path in CASES.iterdir()} <= set(QUERIES)


def test_an_unknown_query_names_the_known_ones() -> None:
    with raises(MissingInput, "no_such_query", query="nonsense"):
        load_sql("nonsense")
