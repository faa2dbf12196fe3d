"""Every query of sql/ against small cases kept as files.

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
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F  # noqa: N812

from jobs.adapters.sql_files import SQL_FOLDER, load_sql, run_sql
from jobs.config.settings import PROJECT_ROOT
from jobs.errors import MissingInput
from tests.errors import raises

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CASES = Path(__file__).resolve().parents[2] / "sql"
QUERIES = sorted(path.stem for path in SQL_FOLDER.glob("*.sql"))
CASE_FOLDERS = sorted(path.parent for path in CASES.glob("*/*/case.json"))


def read_frame(spark: SparkSession, path: Path) -> DataFrame:
    """Read a CSV file with a typed header."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    columns = [cell.split(":", 1) for cell in header]
    text = spark.createDataFrame(
        [[cell or None for cell in row] for row in rows], ", ".join(f"`{name}` string" for name, _ in columns)
    )
    return text.selectExpr(
        *(
            f"from_json(`{name}`, '{kind}') AS `{name}`"
            if kind.startswith("array")
            else f"CAST(`{name}` AS {kind}) AS `{name}`"
            for name, kind in columns
        )
    )


def read_markers(path: Path) -> dict[str, Any]:
    """Return the markers of a case as the Python values a stage binds."""
    parsers: dict[str, Callable[[Any], Any]] = {
        "timestamp": datetime.fromisoformat,
        "date": date.fromisoformat,
        "string": str,
        "int": int,
        "double": float,
        "map": lambda value: F.create_map(*(F.lit(one) for pair in value.items() for one in pair)),
    }
    markers = {}
    for typed_name, value in json.loads(path.read_text(encoding="utf-8"))["markers"].items():
        name, kind = typed_name.split(":", 1)
        markers[name] = parsers[kind](value)
    return markers


def rows_of(frame: DataFrame) -> Counter[str]:
    """Return the rows as text in Spark's own spelling, which needs no time zone of Python's."""
    return Counter(frame.selectExpr("to_json(struct(*), map('ignoreNullFields', 'false')) AS row").toPandas()["row"])


@pytest.mark.spark
@pytest.mark.parametrize("folder", CASE_FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_query_gives_the_expected_rows(spark: SparkSession, folder: Path) -> None:
    views = {path.stem: read_frame(spark, path) for path in folder.glob("*.csv") if path.stem != "expected"}
    expected = read_frame(spark, folder / "expected.csv")
    try:
        found = run_sql(spark, folder.parent.name, views, **read_markers(folder / "case.json"))
        assert found.dtypes == expected.dtypes
        assert rows_of(found) == rows_of(expected)
    finally:
        for view in views:
            spark.catalog.dropTempView(view)


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
