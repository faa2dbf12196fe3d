"""Stage `audit_leaks`: prove, every night anew, that nothing of the future is in training.

Everything the splits hold, their windows included, is derived a second time from the validated tables, the run date
and the parameters, with queries of its own, and compared. What training may read: the train rows (query, country,
photo, count, and device, orientation filter and position of the row's own conversion), and of the photos with
`is_in_train` description and keywords. Neither keywords nor descriptions carry dates; they count as known since their
photo was submitted. Totals of the dump (views, downloads) are never known.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING

import polars as pl

from jobs.adapters.spark_session import spark_session
from jobs.adapters.spark_tables import read_spark
from jobs.adapters.sql_files import run_sql
from jobs.config.params.ingest import EIGHTY_TWENTY, AuditLeaksParams, SplitTemporalParams
from jobs.context import Inputs, RunContext
from jobs.datasets.features import SPLITS, LeakAuditFacts, SplitsFacts
from jobs.errors import BadInput, GateFailed
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from models.windows import END_OF_TIME, SPLIT_NAMES, Windows, instant

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger("nightlens")

QUERIES = {
    "timestamps": "audit_timestamps",
    "corpus": "audit_corpus",
    "vocabularies": "audit_vocabularies",
    "histories": "audit_histories",
    "statistics": "audit_statistics",
    "completeness": "audit_completeness",
}
"""The checks made in SQL; every query returns one text, `violation`, per fault. `windows` is made in Python."""

_EXAMPLE_COUNT = 3
_CHECKS_AT_A_TIME = 2  # planning and compiling a query leave most cores idle


def run(ctx: RunContext, params: AuditLeaksParams, inputs: Inputs, staged: StagedRun) -> LeakAuditFacts:
    """Write the findings if every check passes; else log them all and raise `GateFailed`."""
    validated, splits = inputs["validated"], inputs["splits"]
    if splits.input_runs["validated"] != validated.reference:
        raise BadInput(
            "inputs_outdated",
            f"{splits.reference} was made from {splits.input_runs['validated']}, but the validated tables are now "
            f"{validated.reference}. Run split_temporal again.",
            run=splits.reference,
        )
    with spark_session(ctx.settings, "audit_leaks") as spark:
        findings = _compare(spark, ctx, validated, splits)
    table = pl.DataFrame(findings)
    for finding in findings:
        log.info("audit %(check)s: %(status)s, %(violation_count)d violations. %(detail)s", finding)
    failed = table.filter(pl.col("status") == "failed")
    if not failed.is_empty():
        faults = "; ".join(f"{row['check']} ({row['violation_count']}: {row['detail']})" for row in failed.to_dicts())
        raise GateFailed(
            "leak_found",
            f"{failed.height} of {table.height} checks failed on {splits.reference}: {faults}. Nothing may be trained "
            f"on it. Run split_temporal again; if the audit still fails, its queries in sql/ are at fault.",
            checks=failed["check"].to_list(),
        )
    staged.write_table("findings", table)
    return LeakAuditFacts(check_count=table.height, violation_count=0)


def _derive_windows(
    spark: SparkSession, views: dict[str, DataFrame], as_of: datetime, params: SplitTemporalParams
) -> Windows:
    """Return the windows that night, log and parameters call for, whatever the splits declare."""
    if params.protocol == EIGHTY_TWENTY:
        markers = {"as_of": as_of, "validation_share": params.validation_share}
        [found] = run_sql(spark, "audit_quantiles", views, **markers).collect()
        if found["validation_end"] is None:
            raise BadInput(
                "nothing_to_cut",
                "the splits are cut by number, but the log has no row that could be cut. Run split_temporal.",
            )
        train_start, train_end, validation_end = (
            instant(found[name]) for name in ("train_start", "train_end", "validation_end")
        )
    else:
        validation_end = as_of - timedelta(days=params.test_days)
        train_end = validation_end - timedelta(days=params.validation_days)
        train_start = train_end - timedelta(days=params.train_days)
    return Windows(train_start, train_end, validation_end, as_of)


def _window_violations(splits: Manifest, windows: Windows, protocol: str) -> list[str]:
    called_for = {name: boundary.isoformat() for name, boundary in windows.boundaries.items()} | {"protocol": protocol}
    declared = SplitsFacts.of(splits).as_json()
    return [
        f"{name} is declared as {declared[name]}, should be {value}"
        for name, value in called_for.items()
        if declared[name] != value
    ]


def _column_violations(splits: Manifest) -> list[str]:
    """Name every column that is not declared: a total of the dump could hide under any name."""
    return [
        f"{table.name}.{column} is not a declared column"
        for table in SPLITS.tables
        for column in splits.tables[table.name].columns
        if column not in table.schema.names
    ]


def _compare(spark: SparkSession, ctx: RunContext, validated: Manifest, splits: Manifest) -> list[dict[str, str | int]]:
    """Run all checks; by the protocol 80/20 the corpus is all photos, by the other those submitted before `as_of`."""
    params = SplitTemporalParams.model_validate(splits.params)
    views = {name: read_spark(spark, ctx.lake, validated, name) for name in ("conversions", "photos", "keywords")}
    windows = _derive_windows(spark, views, ctx.as_of, params)
    corpus_end = END_OF_TIME if params.protocol == EIGHTY_TWENTY else windows.test_end
    markers = windows.boundaries | {"corpus_end": corpus_end}
    parts = [_split_rows(read_spark(spark, ctx.lake, splits, name), name) for name in SPLIT_NAMES]
    views["split_rows"] = reduce(lambda left, right: left.unionByName(right), parts)
    views["split_photos"] = read_spark(spark, ctx.lake, splits, "photos")
    views["split_keywords"] = read_spark(spark, ctx.lake, splits, "photo_keywords")
    views["matches"] = run_sql(spark, "audit_matches", views, **markers).persist()
    frames = {check: run_sql(spark, query, views, **markers) for check, query in QUERIES.items()}
    with ThreadPoolExecutor(_CHECKS_AT_A_TIME) as pool:
        counts = list(pool.map(lambda found: found.count(), frames.values()))
    findings = [_finding("windows", _window_violations(splits, windows, params.protocol))]
    for (check, found), count in zip(frames.items(), counts, strict=True):
        known = _column_violations(splits) if check == "statistics" else []
        examples = [row["violation"] for row in found.orderBy("violation").head(_EXAMPLE_COUNT)] if count else []
        findings.append(_finding(check, known + examples, len(known) + count))
    views["matches"].unpersist()
    return findings


def _split_rows(frame: DataFrame, split: str) -> DataFrame:
    return frame.selectExpr(f"'{split}' AS split", *SPLITS.table(split).schema.names)


def _finding(check: str, examples: list[str], violation_count: int | None = None) -> dict[str, str | int]:
    """Return one row of the findings; `examples` may be fewer than the violations."""
    count = len(examples) if violation_count is None else violation_count
    return {
        "check": check,
        "status": "failed" if count else "passed",
        "violation_count": count,
        "detail": "; ".join(examples[:_EXAMPLE_COUNT]),
    }
