"""Spark SQL kept in files: `sql/<name>.sql`, plain text with :named markers, run over temporary views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.config.settings import PROJECT_ROOT
from jobs.errors import MissingInput

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SQL_FOLDER = PROJECT_ROOT / "sql"


def load_sql(name: str) -> str:
    """Return the text of `sql/<name>.sql`; `MissingInput` lists the queries there are."""
    path = SQL_FOLDER / f"{name}.sql"
    if not path.exists():
        known = sorted(found.stem for found in SQL_FOLDER.glob("*.sql"))
        raise MissingInput("no_such_query", f"no query {name!r} in {SQL_FOLDER}; known: {known}", query=name)
    return path.read_text()


def run_sql(spark: SparkSession, name: str, views: dict[str, DataFrame], **markers: Any) -> DataFrame:
    """Run `sql/<name>.sql` over `views` (view name to frame) with its :markers bound to typed values."""
    for view, frame in views.items():
        frame.createOrReplaceTempView(view)
    found = spark.sql(load_sql(name), args=markers)
    for view in views:  # the rows know their views without the names
        spark.catalog.dropTempView(view)
    return found
