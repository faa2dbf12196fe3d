"""Rules that are asked every night: those about other rows and tables, and those that change from night to night.

A query says of every row what others say of it (sql/judge_*.sql). The rows of which a rule may say anything but that
all is well are the night's exceptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from jobs.adapters.expectations import Counted
from jobs.ingest.columns import typed
from jobs.ingest.judged_table import ReadUnit, Sample
from jobs.ingest.kept_rows import NIGHTLY, SAMPLE_COUNT, Reading, read_sample, shown
from jobs.ingest.rows import rows_schema
from jobs.ingest.rules import Rule, fails
from jobs.lake.files import Store

_SAMPLED = 3_000  # rows of a table that Great Expectations judges, about


def unusual_sql(rule: Rule) -> str:
    """Return the condition, in SQL, of the rows that may fail a rule of the night, or that it asks nothing of."""
    match rule.expectation, rule.kwargs:
        case "expect_column_values_to_be_in_set", {"value_set": [bool(value)]}:
            return f"{rule.column} IS NULL OR {rule.column} <> {str(value).upper()}"
        case "expect_column_values_to_be_between", limits:
            tests = [f"{rule.column} IS NULL"]
            for name, sign in (("min_value", "<="), ("max_value", ">=")):
                if name in limits:
                    value = limits[name]
                    limit = f"TIMESTAMP '{value} 00:00:00'" if isinstance(value, str) else repr(float(value))
                    is_strict = limits.get(f"strict_{name[:3]}", False)
                    tests.append(f"{rule.column} {sign if is_strict else sign[0]} {limit}")
            return " OR ".join(tests)
    raise rule.refused("a rule about other rows asks for yes or no, or for a value between limits.")


def no_exceptions(reading: Reading) -> pl.DataFrame:
    """Return no exceptions, in the columns of the table's query."""
    places: dict[str, Any] = {"unit": pl.Int32, "place": pl.Int32, "line": pl.Int64, "photo_id": pl.String}
    times = dict.fromkeys(times_of(reading), pl.Datetime("us", "UTC"))
    made = {
        name: pl.Float64 if isinstance(value, float) else pl.Boolean for name, value in NIGHTLY[reading.table].items()
    }
    return pl.DataFrame(schema=places | times | made)


def failing_rows(found: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """Return the night's exceptions with a Boolean column "0", "1" ... per rule, and the `numbers` of those failed."""
    nightly = {number: rule for number, rule in enumerate(reading.rules) if reading.is_nightly(rule)}
    made = found.with_columns(fails(rule, found.schema[rule.column]).alias(str(n)) for n, rule in nightly.items())
    numbers = pl.concat_list(pl.when(pl.col(str(n))).then(pl.lit(n, pl.Int16)) for n in nightly).list.drop_nulls()
    return made.with_columns(numbers=numbers)


def times_of(reading: Reading) -> list[str]:
    """Return the columns with times that a rule compares with the end of the log."""
    return list(dict.fromkeys(rule.column for rule in reading.rules if rule.is_of_night))


def count_failing(reading: Reading, units: Sequence[ReadUnit], exceptions: pl.DataFrame) -> list[Counted]:
    """Return, by rule, how many rows fail it and of how many it asks nothing."""
    counted = []
    for number, rule in enumerate(reading.rules):
        missing = sum(one.facts.missing[number] for one in units)
        failed = sum(one.facts.failed[number] for one in units)
        if reading.is_nightly(rule):
            failed = int(exceptions[str(number)].sum())
        if rule.column in NIGHTLY[reading.table]:
            missing = exceptions[rule.column].null_count()
        counted.append(Counted(failed, missing))
    return counted


def first_failing(reading: Reading, units: Sequence[ReadUnit], exceptions: pl.DataFrame) -> list[list[Sample]]:
    """Return the first rows, in the order of the files, that fail each rule."""
    first: list[list[Sample]] = []
    for number, rule in enumerate(reading.rules):
        if reading.is_nightly(rule):
            rows = exceptions.filter(pl.col(str(number))).head(SAMPLE_COUNT)
            found = list(zip(rows["unit"].to_list(), shown(rows, rule), rows["line"].to_list(), strict=True))
        else:
            found = [(n, *pair) for n, one in enumerate(units) for pair in one.facts.samples[number]]
        places = [(value, units[n].unit, line) for n, value, line in found[:SAMPLE_COUNT]]
        first.append([Sample(value, unit.part.name, unit.first_line + line) for value, unit, line in places])
    return first


def oracle_sample(store: Store, reading: Reading, units: Sequence[ReadUnit], exceptions: pl.DataFrame) -> pl.DataFrame:
    """Return rows for Great Expectations: of new units, or of all if none is new, and the night's failing ones."""
    parts, count = [], 0
    for number, one in enumerate(units):
        if count < _SAMPLED and (one.is_new or not any(other.is_new for other in units)):
            parts.append(read_sample(store, one.name).with_columns(unit=pl.lit(number, pl.Int32)))
            count += len(parts[-1])
    nightly = [str(n) for n, rule in enumerate(reading.rules) if reading.is_nightly(rule)]
    first = pl.concat([exceptions.filter(pl.col(name)).head(SAMPLE_COUNT) for name in nightly] or [exceptions.clear()])
    columns = [*NIGHTLY[reading.table], *times_of(reading)]
    late = first.select("unit", "place", *columns).unique(["unit", "place"], maintain_order=True)
    alone = pl.concat([no_sample(reading), *parts], how="diagonal")
    alone = alone.join(
        exceptions.select("unit", "place", *NIGHTLY[reading.table], is_found=True), on=["unit", "place"], how="left"
    )
    alone = alone.with_columns(
        pl.when("is_found").then(pl.col(name)).otherwise(pl.lit(value)).alias(name)
        for name, value in NIGHTLY[reading.table].items()
    )
    sample = pl.concat([alone.drop("is_found"), late], how="diagonal_relaxed")
    return sample.select(*dict.fromkeys(rule.column for rule in reading.rules))


def no_sample(reading: Reading) -> pl.DataFrame:
    """Return no rows, in the columns that rules about single rows ask of."""
    rows = typed(reading.table, pl.DataFrame(schema=rows_schema(reading.table)), reading.weights)
    asked = dict.fromkeys(rule.column for rule in reading.alone.values())
    times = [name for name in times_of(reading) if name not in asked]
    return rows.select(*asked, *times, unit=pl.lit(0, pl.Int32), place=pl.lit(0, pl.Int32)).clear()
