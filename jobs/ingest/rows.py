"""The rows of a unit as columns: texts by name, their normal forms and times, where each stands, what its bytes showed.

Lines that are plainly well-formed are read by columns. All others, and those that hold a visitor's id where none should
be, go record by record through the tolerant reader (`jobs.ingest.records`); both give the same rows. Visitor ids end
here: no frame that leaves this module holds one. Keys such as the id of a search are digested too, each column's in its
own way: a site may use a visitor's id for them.
"""

from __future__ import annotations

import hashlib
import io
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from jobs.ingest.layout import LAYOUT
from jobs.ingest.records import MAX_LINES, Form, Record, mend_breaks, read_record
from jobs.ingest.source import Unit
from jobs.ingest.times import read_times, utc_time
from models.text import normalise_query

MAX_RECORD_TEXT = 8192
_BLOCK_BYTES = hashlib.sha256().block_size
# Visitor ids are UUIDs in every version. One in any other column has been shifted there by a missing or surplus
# delimiter; long hexadecimal runs are taken for one as well.
VISITOR_SHAPE = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{24,}")
_SHORTEST_ID = 24

REPAIRS = pl.List(pl.Struct({"repair": pl.String, "column": pl.String}))
_WHERE: dict[str, Any] = {
    "line": pl.Int64,  # of the unit, from 0
    "line_count": pl.Int32,
    "faults": pl.List(pl.String),  # why the columns cannot be told apart; they are all null then
    "is_utf8": pl.Boolean,
    "has_nul": pl.Boolean,
    "is_duplicate_of_previous": pl.Boolean,
    "has_stray_visitor_id": pl.Boolean,
    "repairs": REPAIRS,
    # null for plain rows: `UnitReader.describe` makes them of the bytes
    "record": pl.String,
    "record_sha256": pl.String,
}
_INSTANT = pl.Datetime("us", "UTC")
_ALL_WELL: dict[str, Any] = {
    "line_count": 1,
    "faults": [],
    "is_utf8": True,
    "has_nul": False,
    "has_stray_visitor_id": False,
    "repairs": [],
    "record": None,
    "record_sha256": None,
}

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def rows_schema(table: str) -> dict[str, Any]:
    """Return the columns of a table's rows: its texts, their normal forms, their times, then where each row stands."""
    columns = LAYOUT[table].columns
    names = [column.pseudonym or column.name for column in columns]
    names += [column.normal_form for column in columns if column.normal_form]
    times = [f"{column.name}_read" for column in columns if column.is_time]
    return dict.fromkeys(names, pl.String) | dict.fromkeys(times, _INSTANT) | _WHERE


def pseudonym(visitor_id: str, key: bytes) -> str:
    """Return the keyed pseudonym of a visitor id: HMAC-SHA256, the first 32 hex digits.

    >>> pseudonym("visitor", b"key") == pseudonym("visitor", b"key") != pseudonym("visitor", b"other key")
    True
    """
    return hider(key)(visitor_id)


@lru_cache(8)
def hider(key: bytes) -> Callable[[str], str]:
    """Return the function that makes pseudonyms by one key.

    The key is digested once for all of them (RFC 2104, section 4), which is twice as fast as `hmac.digest`.

    >>> import hmac
    >>> hider(b"key")("visitor") == hmac.digest(b"key", b"visitor", "sha256").hex()[:32]
    True
    """
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))

    def hide(visitor_id: str) -> str:
        within, around = inner.copy(), outer.copy()
        within.update(visitor_id.encode())
        around.update(within.digest())
        return around.digest()[:16].hex()

    return hide


# -- lines -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lines:
    """The lines of some text: line i is `data[starts[i]:ends[i]]`, without its line feed."""

    data: bytes
    starts: Ints
    ends: Ints

    @classmethod
    def of(cls, data: bytes) -> _Lines:
        ends = _places(data, b"\n")
        if data and not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        return cls(data, np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends, ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.starts[index] : self.ends[index]]

    def window(self, index: int) -> list[bytes]:
        """Return the line and those after it that may be of the same record."""
        last = min(index + MAX_LINES, len(self) - 1)
        return self.data[self.starts[index] : self.ends[last]].split(b"\n")

    def holding(self, sign: bytes) -> Bools:
        """Tell which lines hold a byte."""
        found = np.zeros(len(self), bool)
        if sign in self.data:
            found[np.searchsorted(self.ends, _places(self.data, sign))] = True
        return found

    def count(self, sign: bytes) -> Ints:
        """Count a byte in each line."""
        return np.bincount(np.searchsorted(self.ends, _places(self.data, sign)), minlength=len(self))

    @cached_property
    def end_in_cr(self) -> Bools:
        if b"\r" not in self.data:
            return np.zeros(len(self), bool)
        buffer = np.frombuffer(self.data, np.uint8)
        found: Bools = (self.ends > self.starts) & (buffer[np.maximum(self.ends - 1, 0)] == ord("\r"))
        return found

    @cached_property
    def in_utf8(self) -> Bools:
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return np.array([_is_utf8(self[index]) for index in range(len(self))], bool)
        return np.ones(len(self), bool)

    def joined(self, indices: Ints) -> bytes:
        """Return these lines, each with a line feed, without the carriage return of those that end in one."""
        if len(indices) == len(self) and not self.end_in_cr.any():
            return self.data
        starts, ends = self.starts[indices], self.ends[indices] - self.end_in_cr[indices]
        return b"".join(self.data[start:end] + b"\n" for start, end in zip(starts.tolist(), ends.tolist(), strict=True))


def _places(data: bytes, sign: bytes) -> Ints:
    return np.flatnonzero(np.frombuffer(data, np.uint8) == ord(sign))


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _well_formed(lines: _Lines, form: Form) -> tuple[Bools, Bools]:
    """Tell which lines are records that columns can be read of: without any quote, and with quotes as CSV has them.

    The tolerant reader would read each of these as a record by itself, and repair nothing of it.
    """
    is_odd = lines.holding(b"\0") | ~lines.in_utf8
    has_cr = lines.holding(b"\r")
    if has_cr.any():
        one_cr = lines.end_in_cr & (lines.count(b"\r") == 1)
        is_odd |= has_cr & ~(one_cr & form.is_crlf)
    is_blank = lines.ends - lines.end_in_cr == lines.starts
    has_quote = lines.holding(b'"')
    is_plain = (lines.count(form.delimiter) == form.column_count - 1) & ~(has_quote | is_odd | is_blank)
    return is_plain, _are_quoted_well(lines, form, has_quote & ~is_odd)


def _are_quoted_well(lines: _Lines, form: Form, wanted: Bools) -> Bools:
    """Tell which of the lines wanted are proper CSV of the right number of columns, with no tab inside quotes."""
    found = np.zeros(len(lines), bool)
    places = np.flatnonzero(wanted)
    if not len(places):
        return found
    delimiter = re.escape(form.delimiter.decode())
    field = rf'(?:"(?:[^"]|"")*"|[^{delimiter}"]*)'
    texts = pl.Series([lines[index].rstrip(b"\r").decode() for index in places.tolist()])
    bare = texts.str.replace_all(r'"(?:[^"]|"")*"', '"')
    # outside quotes as many delimiters as it takes; and no tab besides these, for a tab in quotes is repaired
    delimiters = bare.str.count_matches(form.delimiter.decode(), literal=True)
    tabs = texts.str.count_matches("\t", literal=True)
    is_proper = texts.str.contains(rf"^{field}(?:{delimiter}{field})*$") & (delimiters == form.column_count - 1)
    no_tab_within = tabs == (delimiters if form.delimiter == b"\t" else 0)
    found[places] = (is_proper & no_tab_within).to_numpy()
    return found


# -- rows --------------------------------------------------------------------------------------------------


class UnitReader:
    """Reads the rows of one unit.

    Of visitors whose pseudonyms are `forgotten` a row says where it stands and nothing else, with the fault
    "forgotten".
    """

    def __init__(self, unit: Unit, key: bytes, forgotten: frozenset[str] = frozenset()) -> None:
        self._forgotten, self.part, self._layout = forgotten, unit.part, LAYOUT[unit.part.table]
        self._records: _Records = _RecordsOfTexts(unit) if unit.part.is_parquet else _RecordsOfLines(unit)
        self._maker = _RowMaker(unit, key, forgotten)

    def rows(self) -> pl.DataFrame:
        """Return all rows, in the columns of `rows_schema`."""
        records = self._records.odd()
        frames = []
        for places, fields in self._records.plain():
            frame, is_odd = self._columns(places, fields)
            frames.append(frame.filter(~is_odd))
            records |= {index: self._records.read(index) for index in places[is_odd.to_numpy()].tolist()}
        repeated = self._records.repeated(records)
        made = [self._maker.make(records[index], index in repeated) for index in sorted(records)]
        schema = rows_schema(self.part.table)
        is_repeated = pl.col("line").is_in(sorted(repeated)) if repeated else pl.lit(value=False)
        plain = [one.with_columns(is_duplicate_of_previous=is_repeated).select(list(schema)) for one in frames]
        return pl.concat([*plain, pl.DataFrame(made, schema, orient="row")]).sort("line")

    def describe(self, line: int) -> tuple[str | None, str | None]:
        """Return the text of a record that begins on a line, visitors' ids hidden, and the SHA-256 of its bytes."""
        row = self._maker.make(self._records.read(line), is_duplicate=False)
        return row[-2], row[-1]

    def _columns(self, places: Ints, fields: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """Return well-formed records as rows, and which of them are for the tolerant reader all the same."""
        part = self.part
        fields, is_odd = self._without_ids(fields)
        nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(fields))
        series: dict[str, pl.Series] = {}
        for column in self._layout.columns:
            place = part.position(column)
            text = nothing if place is None else fields[str(place)]
            series[column.pseudonym or column.name] = text
            if column.normal_form:
                series[column.normal_form] = _mapped(text, normalise_query)
                if self._maker.visitor is not None:
                    is_odd |= _hold_ids(series[column.normal_form])
            if column.is_time:
                series[f"{column.name}_read"] = read_times(text)
        frame = pl.DataFrame(series).with_columns(line=pl.Series(places, dtype=pl.Int64))
        frame = frame.with_columns(pl.lit(value, _WHERE[name]).alias(name) for name, value in _ALL_WELL.items())
        return frame, is_odd

    def _without_ids(self, fields: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """Put pseudonyms and digests in the place of ids; tell which rows hold an id elsewhere, or one forgotten."""
        maker, hidden = self._maker, {}
        is_odd = pl.repeat(value=False, n=len(fields), eager=True)
        for index in maker.keys:
            hide_key = partial(maker.hide_key, index)
            hidden[str(index)] = _mapped(fields[str(index)], hide_key)
        if maker.visitor is None:
            return fields.with_columns(**hidden), is_odd
        visitors = fields[str(maker.visitor)]
        hidden[str(maker.visitor)] = _mapped(visitors, maker.hide)
        is_odd |= hidden[str(maker.visitor)].is_in(sorted(self._forgotten)).fill_null(value=False)
        for index in range(fields.width):
            if index != maker.visitor and index not in maker.keys:
                holds_id = _hold_ids(fields[str(index)])
                if index in maker.photos and self.part.has_long_ids and holds_id.any():
                    shifted = [text for text in visitors.unique().to_list() if maker.is_shifted((text or "").encode())]
                    holds_id &= visitors.is_in(shifted, nulls_equal=True)
                is_odd |= holds_id
        return fields.with_columns(**hidden), is_odd


class _Records(Protocol):
    """The records of a unit: those that columns can be read of, and the others one by one."""

    def odd(self) -> dict[int, Record]:
        """Return the records that are no plain ones, by the line they begin on."""

    def plain(self) -> Iterator[tuple[Ints, pl.DataFrame]]:
        """Yield the lines of all others, and their fields as texts, null where empty, in columns "0", "1" ..."""

    def read(self, index: int) -> Record:
        """Return the record that begins on a line."""

    def repeated(self, odd: dict[int, Record]) -> set[int]:
        """Return the lines on which records begin that are the record before, byte for byte."""


class _RecordsOfLines:
    """The records of a stretch of text."""

    def __init__(self, unit: Unit) -> None:
        self._unit, self._form = unit, unit.part.form
        self._lines = _Lines.of(unit.read())
        self._is_plain, self._is_quoted = _well_formed(self._lines, self._form)
        self._is_taken = np.zeros(len(self._lines), bool)

    def odd(self) -> dict[int, Record]:
        records, free = {}, 0
        for index in np.flatnonzero(~(self._is_plain | self._is_quoted)).tolist():
            if index >= free:
                records[index] = self.read(index)
                free = index + records[index].line_count
                self._is_taken[index:free] = True
        return records

    def plain(self) -> Iterator[tuple[Ints, pl.DataFrame]]:
        for wanted, quote in ((self._is_plain, None), (self._is_quoted, '"')):
            places = np.flatnonzero(wanted & ~self._is_taken)
            if len(places):
                text = self._lines.joined(places)
                if text.startswith(BOM_UTF8):  # the record's own: Polars takes one away
                    text = BOM_UTF8 + text
                fields = pl.read_csv(
                    io.BytesIO(text),
                    has_header=False,
                    separator=self._form.delimiter.decode(),
                    quote_char=quote,
                    infer_schema=False,
                    new_columns=[str(place) for place in range(self._form.column_count)],
                )
                yield places, fields if quote is None else fields.with_columns(pl.all().replace("", None))

    def read(self, index: int) -> Record:
        return read_record(self._lines.window(index), 0, self._form, index)

    def repeated(self, odd: dict[int, Record]) -> set[int]:
        lines, spans = self._lines, {index: record.line_count for index, record in odd.items()}
        found = {0} if len(lines) and lines[0] == self._unit.previous and spans.get(0, 1) == 1 else set()
        inner = {index + n for index, count in spans.items() for n in range(1, count)}
        lengths = lines.ends - lines.starts
        for index in (np.flatnonzero(lengths[1:] == lengths[:-1]) + 1).tolist():
            is_single = spans.get(index, 1) == 1 and index not in inner and index - 1 not in inner
            if is_single and spans.get(index - 1, 1) == 1 and lines[index] == lines[index - 1]:
                found.add(index)
        ends = {index + count: odd[index].raw for index, count in spans.items() if count > 1}
        return found | {index for index, raw in ends.items() if index in odd and odd[index].raw == raw}


class _RecordsOfTexts:
    """The rows of some row groups of a Parquet file. Line breaks and tabs in a text are repaired as in a quoted one."""

    def __init__(self, unit: Unit) -> None:
        self._texts = unit.read_texts()
        self._before = unit.read_text_before()
        is_odd = pl.any_horizontal(pl.all().str.contains(r"[\r\n\t\x00]").fill_null(value=False))
        self._is_odd = self._texts.select(is_odd).to_series()

    def odd(self) -> dict[int, Record]:
        return {index: self.read(index) for index in self._is_odd.arg_true().to_list()}

    def plain(self) -> Iterator[tuple[Ints, pl.DataFrame]]:
        places = (~self._is_odd).arg_true()
        if len(places):
            yield places.to_numpy().astype(np.int64), self._texts.filter(~self._is_odd)

    def read(self, index: int) -> Record:
        values = [(text or "").encode() for text in self._texts.row(index)]
        fields, repairs = mend_breaks(values)
        return Record(index, 1, b"\t".join(values), fields, None, repairs)

    def repeated(self, odd: dict[int, Record]) -> set[int]:
        rows = pl.concat([self._before, self._texts])
        same = [pl.col(name).eq_missing(pl.col(name).shift()) for name in rows.columns]
        places = rows.select(pl.all_horizontal(same)).to_series().arg_true().to_list()
        return {place - self._before.height for place in places if place > 0}


def _hold_ids(texts: pl.Series) -> pl.Series:
    """Tell which texts hold what looks like a visitor's id."""
    is_long = (texts.str.len_bytes() >= _SHORTEST_ID).fill_null(value=False)
    if not is_long.any():
        return is_long
    return is_long & texts.str.contains(VISITOR_SHAPE.pattern).fill_null(value=False)


def _mapped(texts: pl.Series, make: Callable[[str], str | None]) -> pl.Series:
    """Return what `make` makes of each text, called once for each different one."""
    known = texts.unique().drop_nulls()
    made = pl.Series([make(text) for text in known.to_list()], dtype=pl.String)
    return texts.replace_strict(known, made, default=None, return_dtype=pl.String)


class _RowMaker:
    """Makes rows of records, one by one: the plain version of what `UnitReader` does by columns."""

    def __init__(self, unit: Unit, key: bytes, forgotten: frozenset[str]) -> None:
        part, layout = unit.part, LAYOUT[unit.part.table]
        self._part, self._forgotten = part, forgotten
        self._is_of_visitors = layout.visitor is not None
        self._positions = [part.position(column) for column in layout.columns]
        self._normal_positions = [part.position(column) for column in layout.columns if column.normal_form]
        self._time_positions = [part.position(column) for column in layout.columns if column.is_time]
        self.visitor = part.position(layout.visitor) if layout.visitor else None
        self._visitors = next((shape for index, shape in part.form.shapes or () if index == self.visitor), None)
        self.photos = _there(part.position(column) for column in layout.columns if column.is_photo)
        self.keys = _there(part.position(column) for column in layout.columns if column.is_key)
        self.hide = hider(key)
        self._normalise = lru_cache(100_000)(normalise_query)
        self._column_count = len(self._positions) + len(self._normal_positions) + len(self._time_positions)

    def hide_key(self, index: int, text: str) -> str:
        """Return the digest of a key of the site's own; each column's are digested in its own way."""
        return self.hide(f"{self._part.header[index]} {text}")

    def is_shifted(self, visitor: bytes) -> bool:
        """Whether the visitor's column holds something else: the id may have been shifted into the photo's."""
        return self._visitors is not None and not self._visitors.fullmatch(visitor)

    def make(self, record: Record, is_duplicate: bool) -> tuple[Any, ...]:
        """Return a record's row."""
        where = (record.line, record.line_count)
        sha256 = hashlib.sha256(record.raw).hexdigest()
        is_utf8, has_nul = _is_utf8(record.raw), b"\0" in record.raw
        nothing = (None,) * self._column_count
        if record.fields is None:
            faults = [record.fault, *(["invalid_utf8"] if not is_utf8 else []), *(["embedded_nul"] if has_nul else [])]
            text = None if self._is_of_visitors else record.raw.decode(errors="replace")[:MAX_RECORD_TEXT]
            return (*nothing, *where, faults, is_utf8, has_nul, is_duplicate, False, [], text, sha256)
        fields = [field.decode(errors="replace") for field in record.fields]
        is_stray = self._hide_ids(fields, record.fields)
        if self._is_of_forgotten(fields, is_stray):
            return (*nothing, *where, ["forgotten"], True, False, False, False, [], None, None)
        texts = [(fields[i] or None) if i is not None else None for i in self._positions]
        normal = [self._normalise(fields[i]) if i is not None and fields[i] else None for i in self._normal_positions]
        if self.visitor is not None:
            hidden = [
                _hide_broken(one, fields[i], self.hide) if one is not None and i is not None else one
                for one, i in zip(normal, self._normal_positions, strict=True)
            ]
            is_stray, normal = is_stray or hidden != normal, hidden
        times = [utc_time(fields[i]) if i is not None else None for i in self._time_positions]
        header = self._part.header
        repairs = [{"repair": what, "column": header[i] if i is not None else None} for what, i in record.repairs]
        text = self._part.form.delimiter.decode().join(fields)[:MAX_RECORD_TEXT]
        return (*texts, *normal, *times, *where, [], is_utf8, has_nul, is_duplicate, is_stray, repairs, text, sha256)

    def _hide_ids(self, fields: list[str], raw: list[bytes]) -> bool:
        """Put pseudonyms and digests in the place of ids; tell whether a visitor's id stood elsewhere."""
        for index in self.keys:
            fields[index] = self.hide_key(index, fields[index]) if fields[index] else ""
        if self.visitor is None:
            return False
        own = self.photos if self._part.has_long_ids and not self.is_shifted(raw[self.visitor]) else ()
        return _hide_visitors(fields, self.visitor, self.keys, own, self.hide)

    def _is_of_forgotten(self, fields: list[str], is_stray: bool) -> bool:
        if self.visitor is None:
            return False
        strays = fields if is_stray else []
        return fields[self.visitor] in self._forgotten or any(one in text for text in strays for one in self._forgotten)


def _there(places: Iterable[int | None]) -> list[int]:
    return [place for place in places if place is not None]


def _hide_broken(normal: str, text: str, hide: Callable[[str], str]) -> str:
    """Replace visitor ids in a normal form that its text does not show, as invisible characters are in them."""
    return VISITOR_SHAPE.sub(lambda found: found[0] if found[0] in text else hide(found[0]), normal)


def _hide_visitors(
    fields: list[str], visitor: int, own: Sequence[int], photos: Sequence[int], hide: Callable[[str], str]
) -> bool:
    """Replace visitor ids by pseudonyms in place; return whether another column held one.

    Columns of the site's `own` keys are digested already. Ids of `photos` may look like visitors'.
    """
    is_stray = False
    for index, text in enumerate(fields):
        if index == visitor:
            fields[index] = hide(text) if text else text
        elif index not in own and index not in photos and len(text) >= _SHORTEST_ID and VISITOR_SHAPE.search(text):
            fields[index] = VISITOR_SHAPE.sub(lambda found: hide(found[0]), text)
            is_stray = True
    return is_stray
