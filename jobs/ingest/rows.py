"""Rows for Spark from units of part files: text columns by name, where they stand, and what the bytes showed.

Runs in Spark's Python workers, one task per unit. Visitor ids end here: no batch that leaves this module holds one.
Keys such as the id of a search are digested too, each column's in its own way: a site may use a visitor's id for them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.ingest.layout import LAYOUT, Unit
from jobs.ingest.records import Record, split_records
from jobs.ingest.times import utc_time
from models.text import normalise_query

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BATCH_ROWS = 4096
MAX_RECORD_TEXT = 8192
# Visitor ids are UUIDs in every version. One in any other column has been shifted there by a missing or surplus
# delimiter; long hexadecimal runs are taken for one as well.
VISITOR_SHAPE = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{24,}")

_REPAIR = pa.struct([("repair", pa.string()), ("column", pa.string())])
_WHERE = pa.schema(
    [
        ("unit", pa.int32()),
        ("source_file", pa.string()),
        ("source_line", pa.int64()),
        ("line_count", pa.int32()),
        ("faults", pa.list_(pa.string())),  # why the columns cannot be told apart; they are all null then
        ("is_utf8", pa.bool_()),
        ("has_nul", pa.bool_()),
        ("is_duplicate_of_previous", pa.bool_()),
        ("has_stray_visitor_id", pa.bool_()),
        ("repairs", pa.list_(_REPAIR)),
        ("record", pa.string()),
        ("record_sha256", pa.string()),
    ]
)
_INSTANT = pa.timestamp("us", "UTC")
_SPARK_TYPES = {
    _INSTANT: "timestamp",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.string(): "string",
    pa.bool_(): "boolean",
    pa.list_(pa.string()): "array<string>",
    pa.list_(_REPAIR): "array<struct<repair: string, column: string>>",
}


def rows_schema(table: str) -> pa.Schema:
    """Return the columns of a table's rows: its texts, their normal forms, their times, then where each row stands."""
    columns = LAYOUT[table].columns
    names = [column.pseudonym or column.name for column in columns]
    names += [column.normal_form for column in columns if column.normal_form]
    times = [(f"{column.name}_read", _INSTANT) for column in columns if column.is_time]
    return pa.schema([*((name, pa.string()) for name in names), *times, *_WHERE])


def pseudonym(visitor_id: str, key: bytes) -> str:
    """Return the keyed pseudonym of a visitor id: HMAC-SHA256, the first 32 hex digits.

    >>> pseudonym("visitor", b"key") == pseudonym("visitor", b"key") != pseudonym("visitor", b"other key")
    True
    """
    return hmac.digest(key, visitor_id.encode(), "sha256").hex()[:32]


def read_rows(
    spark: SparkSession, table: str, units: list[Unit], key: bytes, forgotten: Collection[str] = ()
) -> DataFrame:
    """Return the rows of a table's units as a Spark frame with one partition per unit, in order.

    Of visitors whose pseudonyms are `forgotten` a row says where it stands and nothing else, with the fault
    "forgotten". The key goes to the workers with the function and is no part of any plan.
    """
    left_out = frozenset(forgotten)

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from unit_batches(units[number], key, left_out)

    schema = ", ".join(f"`{field.name}` {_SPARK_TYPES[field.type]}" for field in rows_schema(table))
    return spark.range(0, len(units), 1, max(1, len(units))).mapInArrow(read, schema)


def unit_batches(unit: Unit, key: bytes, forgotten: frozenset[str] = frozenset()) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one unit in batches of at most `BATCH_ROWS`."""
    schema = rows_schema(unit.part.table)
    batch: list[tuple[Any, ...]] = []
    make_row = _row_maker(unit, key, forgotten)
    previous = unit.previous
    for record in split_records(unit.read(), unit.part.form, unit.first_line):
        batch.append(make_row(record, record.raw == previous))
        previous = record.raw
        if len(batch) == BATCH_ROWS:
            yield _to_arrow(batch, schema)
            batch = []
    if batch:
        yield _to_arrow(batch, schema)


def _to_arrow(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(values, type=field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _row_maker(unit: Unit, key: bytes, forgotten: frozenset[str]) -> Callable[[Record, bool], tuple[Any, ...]]:
    """Return the function that makes a row of a record of this unit."""
    part, layout = unit.part, LAYOUT[unit.part.table]
    positions = [part.position(column) for column in layout.columns]
    normal_positions = [part.position(column) for column in layout.columns if column.normal_form]
    time_positions = [part.position(column) for column in layout.columns if column.is_time]
    visitor = part.position(layout.visitor) if layout.visitor else None
    visitors = next((shape for index, shape in part.form.shapes or () if index == visitor), None)
    photos = [index for column in layout.columns if column.is_photo and (index := part.position(column)) is not None]
    keys = [index for column in layout.columns if column.is_key and (index := part.position(column)) is not None]
    delimiter = part.form.delimiter.decode()
    hide = lru_cache(100_000)(lambda text: pseudonym(text, key))
    normalise = lru_cache(100_000)(normalise_query)
    column_count = len(positions) + len(normal_positions) + len(time_positions)

    def make(record: Record, is_duplicate: bool) -> tuple[Any, ...]:
        where = (unit.number, part.name, record.line, record.line_count)
        sha256 = hashlib.sha256(record.raw).hexdigest()
        is_utf8, has_nul = _is_utf8(record.raw), b"\0" in record.raw
        if record.fields is None:
            faults = [record.fault, *(["invalid_utf8"] if not is_utf8 else []), *(["embedded_nul"] if has_nul else [])]
            text = record.raw.decode(errors="replace")[:MAX_RECORD_TEXT] if layout.visitor is None else None
            flags = (is_utf8, has_nul, is_duplicate, False)
            return (*(None,) * column_count, *where, faults, *flags, [], text, sha256)
        fields = [field.decode(errors="replace") for field in record.fields]
        for index in keys:
            fields[index] = hide(f"{part.header[index]} {fields[index]}") if fields[index] else ""
        is_stray = False
        if visitor is not None:
            # where the visitor's column holds something else, the id may have been shifted into the photo's
            is_shifted = visitors is not None and not visitors.fullmatch(record.fields[visitor])
            own = photos if part.has_long_ids and not is_shifted else ()
            is_stray = _hide_visitors(fields, visitor, keys, own, hide)
        strays = fields if is_stray else []
        if visitor is not None and (fields[visitor] in forgotten or any(one in t for t in strays for one in forgotten)):
            return (*(None,) * column_count, *where, ["forgotten"], True, False, False, False, [], None, None)
        texts = [(fields[i] or None) if i is not None else None for i in positions]
        normal = [normalise(fields[i]) if i is not None and fields[i] else None for i in normal_positions]
        if visitor is not None:
            hidden = [
                _hide_broken(one, fields[i], hide) if one is not None and i is not None else one
                for one, i in zip(normal, normal_positions, strict=True)
            ]
            is_stray, normal = is_stray or hidden != normal, hidden
        times = [utc_time(fields[i]) if i is not None else None for i in time_positions]
        repairs = [{"repair": what, "column": part.header[i] if i is not None else None} for what, i in record.repairs]
        text = delimiter.join(fields)[:MAX_RECORD_TEXT]
        return (*texts, *normal, *times, *where, [], is_utf8, has_nul, is_duplicate, is_stray, repairs, text, sha256)

    return make


def _hide_broken(normal: str, text: str, hide: Callable[[str], str]) -> str:
    """Replace visitor ids in a normal form that its text does not show, as invisible characters are in them."""
    return VISITOR_SHAPE.sub(lambda found: found[0] if found[0] in text else hide(found[0]), normal)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _hide_visitors(
    fields: list[str], visitor: int, own: Collection[int], photos: Collection[int], hide: Callable[[str], str]
) -> bool:
    """Replace visitor ids by pseudonyms in place; return whether another column held one.

    Columns of the site's `own` keys are digested already. Ids of `photos` may look like visitors'.
    """
    is_stray = False
    for index, text in enumerate(fields):
        if index == visitor:
            fields[index] = hide(text) if text else text
        elif index not in own and index not in photos and len(text) >= 24 and VISITOR_SHAPE.search(text):
            fields[index] = VISITOR_SHAPE.sub(lambda found: hide(found[0]), text)
            is_stray = True
    return is_stray
