"""The tables that training reads, compared with tables derived a second time: every row, every declared column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa

from jobs.adapters.query_engine import Frame, QueryEngine
from jobs.auditing.violations import Violation
from jobs.datasets.features import IMPRESSIONS, SPLITS
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.windows import SPLIT_NAMES

_LONGEST = 80  # characters of a value in a message


@dataclass(frozen=True)
class Held:
    """How a table is held. `key` tells its rows apart; `made_up` is the check that names a row that nothing calls for.

    `checks` gives every other column the check that names a wrong value.
    """

    key: tuple[str, ...]
    made_up: str
    checks: Mapping[str, str]


_WINDOW = Held(
    key=("visitor_id", "query", "country", "photo_id"),
    made_up="histories",
    checks={
        "visitor": "histories",
        "converted_at": "timestamps",
        "conversion_count": "statistics",
        "weight": "statistics",
        "device_type": "histories",
        "orientation_filter": "histories",
        "position": "histories",
    },
)
HELD = dict.fromkeys(SPLIT_NAMES, _WINDOW) | {
    "photos": Held(
        key=("photo_id",),
        made_up="corpus",
        checks={
            "submitted_at": "timestamps",
            "description": "vocabularies",
            "photographer": "vocabularies",
            "is_in_train": "vocabularies",  # it says whose words training may read
        },
    ),
    "photo_keywords": Held(key=("photo_id", "keyword"), made_up="vocabularies", checks={"confidence": "vocabularies"}),
    "impressions.pairs": Held(
        key=("query", "country", "photo_id", "position"),
        made_up="histories",
        checks={"shown_count": "statistics", "taken_count": "statistics"},
    ),
}
"""How the tables that training reads are held, every column by a check."""

COLUMNS: dict[str, pa.Schema] = {table.name: table.schema for table in SPLITS.tables} | {
    "impressions.pairs": IMPRESSIONS.table("pairs").schema
}
"""The declared columns of these tables."""


def audited(
    engine: QueryEngine,
    lake: Lake,
    runs: Mapping[str, Manifest],
    views: dict[str, Frame],
    markers: dict[str, datetime],
) -> dict[str, Frame]:
    """Return the tables of `runs` (splits, impressions) as `found`, and as `derived` what the `views` call for.

    Both have all tables beneath one another: `table`, `key` and `cells` (arrays of text), their digests, and
    `is_outside`, whether a row by itself lies outside its window.
    """
    edges = [markers[name].isoformat() for name in ("train_start", "train_end", "validation_end", "test_end")]
    found = [
        _side(
            engine,
            engine.table(lake, runs["splits"], name),
            name,
            outside=f"NOT COALESCE(converted_at >= TIMESTAMP '{start}' AND converted_at < TIMESTAMP '{end}', FALSE)",
        )
        for name, (start, end) in zip(SPLIT_NAMES, pairwise(edges), strict=True)
    ]
    derived = [_side(engine, engine.run("audit_conversions", views, **markers), SPLIT_NAMES[0], label="split")]
    for dataset, table, name, query in (
        ("splits", "photos", "photos", "audit_photos"),
        ("splits", "photo_keywords", "photo_keywords", "audit_keywords"),
        ("impressions", "pairs", "impressions.pairs", "audit_pairs"),
    ):
        found.append(_side(engine, engine.table(lake, runs[dataset], table), name))
        derived.append(_side(engine, engine.run(query, views, **markers), name))
    return {"found": engine.union(found), "derived": engine.union(derived)}


def compare(engine: QueryEngine, tables: dict[str, Frame]) -> list[Violation]:
    """Return where the tables that `audited` gives differ from what was derived, faults of a kind as one."""
    # kept: to derive rows and to group them at once would take the memory of both
    digests = {
        side: engine.keep(engine.select(frame, "key_digest", "value_digest", "is_outside"))
        for side, frame in tables.items()
    }
    suspects = engine.keep(engine.run("audit_suspects", digests))
    if not engine.collect(engine.select(suspects, "COUNT(*) AS suspect_count")).item():
        return []
    faults = engine.collect(engine.run("audit_differences", tables | {"suspects": suspects}))
    return [_violation(row) for row in faults.sort("table", "fault").to_dicts()]


def undeclared_columns(splits: Manifest) -> list[Violation]:
    """Name every column that is not declared: a total of the dump could hide under any name."""
    return [
        Violation("statistics", f"{table.name}.{column} is not a declared column")
        for table in SPLITS.tables
        for column in splits.tables[table.name].columns
        if column not in table.schema.names
    ]


def _columns(table: str) -> list[str]:
    return [column for column in COLUMNS[table].names if column not in HELD[table].key]


def _side(engine: QueryEngine, frame: Frame, table: str, label: str = "", outside: str = "FALSE") -> Frame:
    """Return a table's rows as they are compared; `label` is the column that names the table, if it is of several."""
    name = label or f"'{table}'"
    key, values = HELD[table].key, _columns(table)
    return engine.select(
        frame,
        f"{name} AS `table`",
        f"ARRAY({_texts(table, key)}) AS key",
        f"ARRAY({_texts(table, values)}) AS cells",
        f"{outside} AS is_outside",
        f"{_digest(name, *key)} AS key_digest",
        f"{_digest(*values)} AS value_digest",
    )


def _texts(table: str, columns: Iterable[str]) -> str:
    """Return columns as texts in SQL; instants in UTC, without the zone that some engines write."""
    types = COLUMNS[table]
    plain = [
        f"CAST({column} AS TIMESTAMP_NTZ)" if pa.types.is_timestamp(types.field(column).type) else column
        for column in columns
    ]
    return ", ".join(f"CAST({column} AS STRING)" for column in plain)


def _digest(*columns: str) -> str:
    """Return a digest of columns in SQL. Spark leaves nulls out of one, so where they are goes into it too."""
    return f"XXHASH64({', '.join(f'{column}, {column} IS NULL' for column in columns)})"


def _violation(row: dict[str, Any]) -> Violation:
    table, fault, held = row["table"], row["fault"], HELD[row["table"]]
    was, should_be = (_short(value) for value in (row["was"], row["should_be"]))
    if fault.isdigit():
        column = _columns(table)[int(fault)]
        check, text = held.checks[column], f"{table}.{column} is {was}, should be {should_be}"
    else:
        check, text = {
            "made_up": (held.made_up, f"{table} has a row that the validated tables do not call for ({was})"),
            "lost": ("completeness", f"{table} lacks a row ({should_be})"),
            "doubled": ("completeness", f"{table} has a row {was} times, the validated tables {should_be} times"),
            "outside": ("timestamps", f"{table} has a row outside its window ({was})"),
        }[fault]
    key = ", ".join(f"{name}={_short(value)}" for name, value in zip(held.key, row["key"], strict=True))
    return Violation(check, f"{text} | {key}", row["fault_count"])


def _short(value: str | None) -> str:
    text = "null" if value is None else value
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
