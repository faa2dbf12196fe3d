"""A wrong value, a null, a value of the future in any declared column, and doubled and removed rows: all are named."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import polars as pl

from jobs.adapters.query_engine import query_engine
from jobs.auditing.tables import COLUMNS, HELD, audited, compare
from jobs.config.params.ingest import MeasureImpressionsParams, SplitTemporalParams
from jobs.datasets.clean import VALIDATED
from jobs.datasets.features import IMPRESSIONS, SPLITS
from jobs.nights.stage_runner import run_stage
from models.windows import SPLIT_NAMES, Windows
from tests.conftest import Contexts
from tests.validated_lake import commit_tables

AS_OF = datetime(2025, 12, 29, tzinfo=UTC)
DAYS = {"test_days": 7, "validation_days": 3, "train_days": 30}
FUTURE = {pl.Datetime: timedelta(days=400), pl.Float64: 1000.0, pl.Int64: 1000, pl.Int32: 1000}
WAYS = ("swapped", "null", "future")
ROW_COUNT = 40


def world() -> dict[str, pl.DataFrame]:
    """Return validated tables in which no two rows have a value in common that could stand for the other's."""
    numbers = range(ROW_COUNT)
    photos = pl.DataFrame(
        {
            "photo_id": [f"p{n:02}" for n in numbers],
            "submitted_at": [AS_OF - timedelta(days=100 if n % 2 else 5, minutes=n) for n in numbers],
            "description": [f"description {n}" for n in numbers],
            "photographer": [f"photographer {n}" for n in numbers],
        }
    )
    keywords = photos.select("photo_id").with_columns(
        keyword=pl.format("keyword {}", "photo_id"), confidence=pl.int_range(ROW_COUNT) / ROW_COUNT
    )
    rows = [
        {
            "visitor_id": f"v{n:02}",
            "query": f"query {n}",
            "country": f"C{n}",
            "photo_id": f"p{n | 1:02}",  # those submitted long ago
            "converted_at": AS_OF - timedelta(days=days, minutes=10 * n + repeat),
            "weight": n + 1 + repeat / 10,
            "device_type": f"device {n}",
            "orientation_filter": f"filter {n}",
            "position": n + 1,
            "source_file": "conversions.tsv000",
            "source_line": 1000 * days + 10 * n + repeat,
        }
        for days in (20, 8, 3)
        for n in numbers
        for repeat in range(1 + n % 3)
    ]
    conversions = pl.DataFrame(rows).with_columns(pl.col("position").cast(pl.Int32))
    shown = [
        {
            "shown_at": AS_OF - timedelta(days=20, minutes=n),
            "visitor_id": f"v{repeat}",
            "query_id": f"s{n}",
            "query": f"query {n}",
            "country": f"C{n}",
            "photo_id": f"p{n:02}",
            "position": n + 1,
            "interaction": "click" if repeat < n % 2 else "shown",
        }
        for n in numbers
        for repeat in range(1 + n % 3)
    ]
    impressions = pl.DataFrame(shown).with_columns(pl.col("position").cast(pl.Int32))
    return {"photos": photos, "conversions": conversions, "keywords": keywords, "impressions": impressions}


def planted(table: str, honest: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return a table with every fault in a row of its own, and how many of each kind that are."""
    key, columns = HELD[table].key, honest.columns
    rows = honest.sort(key).rows(named=True)
    assert len(rows) > len(WAYS) * len(columns) + 2
    faults: dict[str, int] = {}
    changed = iter(range(len(rows)))
    for column, kind in honest.schema.items():
        for way in WAYS:
            number = next(changed)
            value = rows[number][column]
            other = next(row[column] for row in reversed(rows) if row[column] != value)  # of a row that stays
            if way == "null":
                rows[number][column] = None
            elif way == "swapped" or kind == pl.Boolean:
                rows[number][column] = other
            else:
                rows[number][column] = f"{value} of later" if kind == pl.String else value + FUTURE[kind.base_type()]
        for fault in ("made_up", "lost") if column in key else (column,):
            faults[fault] = faults.get(fault, 0) + len(WAYS)
    doubled, removed = next(changed), next(changed)
    faults["doubled"], faults["lost"] = 1, faults["lost"] + 1
    if len(key) == 1:  # another row's key makes two of that
        faults["doubled"], faults["made_up"] = 2, faults["made_up"] - 1
    kept = [row for number, row in enumerate(rows) if number != removed]
    return pl.DataFrame([*kept, rows[doubled]], schema=honest.schema, orient="row"), faults


def test_a_wrong_value_in_any_declared_column_is_named(make_context: Contexts) -> None:
    for name, columns in COLUMNS.items():
        assert sorted([*HELD[name].key, *HELD[name].checks]) == sorted(columns.names)
    ctx = make_context(run_date=AS_OF.date() - timedelta(days=1))
    validated = commit_tables(ctx, VALIDATED, world())
    honest = {
        "splits": run_stage(ctx, "split_temporal", SplitTemporalParams(**DAYS)),
        "impressions": run_stage(ctx, "measure_impressions", MeasureImpressionsParams()),
    }
    run_of = {name: name.split(".") if "." in name else ["splits", name] for name in HELD}
    tables = {name: planted(name, ctx.lake.read_table(honest[run], table)) for name, (run, table) in run_of.items()}
    wrong = {
        dataset.name: commit_tables(
            ctx,
            dataset,
            {table: tables[name][0] for name, (run, table) in run_of.items() if run == dataset.name},
            inputs={"validated": validated},
            facts=honest[dataset.name].facts,
        )
        for dataset in (SPLITS, IMPRESSIONS)
    }
    markers = Windows.before(AS_OF, **DAYS).boundaries | {"corpus_end": AS_OF}
    with query_engine(ctx.settings, "test", 0) as engine:
        views = {name: engine.table(ctx.lake, validated, name) for name in world()}
        assert compare(engine, audited(engine, ctx.lake, honest, views, markers)) == []
        found = compare(engine, audited(engine, ctx.lake, wrong, views, markers))
    named = {(fault.text.split("|")[0].split("(")[0].strip(), fault.check): fault.count for fault in found}
    assert sum(named.values()) == sum(fault.count for fault in found)
    expected: dict[tuple[str, str], int] = {}
    for name, (_, faults) in tables.items():
        held = HELD[name]
        texts = {
            "made_up": (f"{name} has a row that the validated tables do not call for", held.made_up),
            "lost": (f"{name} lacks a row", "completeness"),
            "doubled": (f"{name} has a row 2 times, the validated tables 1 times", "completeness"),
        }
        expected |= {texts[fault]: count for fault, count in faults.items() if fault in texts}
    values = {where: count for where, count in named.items() if re.match(r"[\w.]+ is ", where[0])}
    assert {(*where.split(" ")[0].rsplit(".", 1), check): count for (where, check), count in values.items()} == {
        (name, column, check): len(WAYS) for name in HELD for column, check in HELD[name].checks.items()
    }
    outside = {where: count for where, count in named.items() if "outside its window" in where[0]}
    assert outside == {(f"{name} has a row outside its window", "timestamps"): 2 for name in SPLIT_NAMES}
    assert {where: count for where, count in named.items() if where not in values | outside} == expected
