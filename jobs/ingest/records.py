"""Records from bytes: a tolerant reader of tab- or comma-separated lines. Pure; knows no table by name.

Only LF ends a line. CR LF is repaired. A field that begins with a quote is read as CSV: a doubled quote is a
quote, and line feeds and delimiters inside are the value's. Whatever cannot be read as so many columns is one
faulty record and never takes a good line with it:

- A line that is a proper record by itself (`is_whole`) is never part of another. A quoted field that would run over
  such a line, or over more than `MAX_LINES`, was never closed (`unbalanced_quote`): the line it begins on is bad
  alone.
- Broken lines in a row that make one record when joined are that record, cut by bare line feeds
  (`embedded_newline`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

MAX_LINES = 64
_QUOTE = b'"'
_QUOTED = re.compile(rb'"(?:[^"]++|"")*+"')
_BREAKS = (("quoted_newline", re.compile(rb"[\r\n]+")), ("quoted_tab", re.compile(rb"\t+")))
_Repairs = tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record: where it stands, its bytes, and either its fields or the fault for which it has none."""

    line: int
    line_count: int
    raw: bytes  # all its lines, without the last line end
    fields: list[bytes] | None
    fault: str | None = None
    repairs: _Repairs = ()  # (what was repaired, column index or None)


@dataclass(frozen=True)
class Form:
    """How the records of one file look. `shapes` tells the values of some columns by their form, in column order."""

    delimiter: bytes
    column_count: int
    shapes: tuple[tuple[int, re.Pattern[bytes]], ...] = ()
    is_crlf: bool = False  # every line ends in CR LF: that is no repair

    def matches(self, fields: list[bytes], shift: int = 0, since: int = 0) -> int:
        """Return how many shapes are found, those from number `since` on `shift` columns further right."""
        return sum(
            shape.fullmatch(fields[index + (shift if number >= since else 0)]) is not None
            for number, (index, shape) in enumerate(self.shapes)
        )


def is_whole(line: bytes, delimiter: bytes, column_count: int) -> bool:
    r"""Tell whether a line is a record by itself: the right number of columns, and every quote where CSV has it.

    >>> [is_whole(line, b"\t", 2) for line in (b"a\tb\n", b'"a"\tb', b'a\t"b\n', b'a\tb"', b"a\n")]
    [True, True, False, False, False]
    """
    if _QUOTE in line:
        if not _strict_line(delimiter).fullmatch(line.rstrip(b"\r\n")):
            return False
        line = _QUOTED.sub(_QUOTE, line)
    return line.count(delimiter) == column_count - 1 and line.strip(b"\r\n") != b""


@lru_cache
def _strict_line(delimiter: bytes) -> re.Pattern[bytes]:
    field = _QUOTED.pattern + rb"|[^" + delimiter + rb'"]*+'
    return re.compile(rb"(?:" + field + rb")(?:" + delimiter + rb"(?:" + field + rb"))*+")


def split_records(data: bytes, form: Form, first_line: int = 2) -> Iterator[Record]:
    r"""Yield the records of `data`, which begins at a record; `first_line` is the number of its first line.

    Every line is in exactly one record.

    >>> form = Form(b"\t", 2)
    >>> [(r.line, r.line_count, r.fields, r.fault) for r in split_records(b'1\ta\n2\t"b\nc"\n3', form)]
    [(2, 1, [b'1', b'a'], None), (3, 2, [b'2', b'b c'], None), (5, 1, None, 'too_few_columns')]
    """
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    index = 0
    while index < len(lines):
        line = lines[index]
        if _QUOTE in line:
            record = _quoted(lines, index, form, first_line)
        elif is_whole(line, form.delimiter, form.column_count):
            record = _plain(line, form, first_line + index)
        else:
            record = _broken(lines, index, form, first_line)
        yield record
        index += record.line_count


def _plain(line: bytes, form: Form, number: int) -> Record:
    if not line.endswith(b"\r"):
        return Record(number, 1, line, line.split(form.delimiter))
    return Record(number, 1, line, line[:-1].split(form.delimiter), None, _line_end_repair(form))


def _line_end_repair(form: Form) -> _Repairs:
    return () if form.is_crlf else (("carriage_return", None),)


def _quoted(lines: list[bytes], start: int, form: Form, first_line: int) -> Record:
    """Read the record that begins on a line with a quote."""
    read = _read_quoted(lines, start, form)
    number, line = first_line + start, lines[start]
    if read is None:
        return Record(number, 1, line, None, "unbalanced_quote")
    fields, line_count, has_cr, repairs = read
    raw = b"\n".join(lines[start : start + line_count])
    if len(fields) != form.column_count:
        if line_count > 1:
            return Record(number, 1, line, None, "unbalanced_quote")
        return Record(number, 1, line, None, _wrong_count(fields, form))
    return Record(number, line_count, raw, fields, None, (_line_end_repair(form) if has_cr else ()) + repairs)


def _read_quoted(lines: list[bytes], start: int, form: Form) -> tuple[list[bytes], int, bool, _Repairs] | None:
    """Return (fields, lines used, whether CR LF ends them, repairs); None if a quote is not closed as it must be."""
    text, used, position = lines[start], 1, 0
    fields: list[bytes] = []
    repairs: _Repairs = ()
    while True:
        if text[position : position + 1] != _QUOTE:
            end = text.find(form.delimiter, position)
            if end < 0:
                has_cr = text.endswith(b"\r")
                return [*fields, text[position : len(text) - has_cr]], used, has_cr, repairs
            fields.append(text[position:end])
            position = end + 1
            continue
        closing, text, used = _closing_quote(text, position + 1, lines, start, used, form)
        if closing < 0:
            return None
        value = text[position + 1 : closing].replace(b'""', _QUOTE)
        for what, pattern in _BREAKS:
            value, count = pattern.subn(b" ", value)
            repairs += ((what, len(fields)),) if count else ()
        fields.append(value)
        rest = text[closing + 1 :]
        if rest in (b"", b"\r"):
            return fields, used, rest == b"\r", repairs
        if not rest.startswith(form.delimiter):
            return None
        position = closing + 2


def _closing_quote(
    text: bytes, position: int, lines: list[bytes], start: int, used: int, form: Form
) -> tuple[int, bytes, int]:
    """Return (index of the closing quote or -1, the text with the lines taken in, lines used)."""
    while True:
        quote = text.find(_QUOTE, position)
        if quote >= 0 and text[quote + 1 : quote + 2] == _QUOTE:
            position = quote + 2
            continue
        if quote >= 0:
            return quote, text, used
        following = start + used
        if used >= MAX_LINES or following >= len(lines):
            return -1, text, used
        if is_whole(lines[following], form.delimiter, form.column_count) or _looks_whole(lines[following], form):
            return -1, text, used
        position = len(text)
        text = text + b"\n" + lines[following]
        used += 1


def _looks_whole(line: bytes, form: Form) -> bool:
    """Tell whether a line with quotes where CSV has none is a record for all that: as many columns, every shape."""
    read = _read_quoted([line], 0, form) if form.shapes else None
    return read is not None and len(read[0]) == form.column_count and form.matches(read[0]) == len(form.shapes)


def _broken(lines: list[bytes], start: int, form: Form, first_line: int) -> Record:
    """Name the fault of a line without quotes that has a wrong number of columns."""
    line, number = lines[start], first_line + start
    stripped = line.removesuffix(b"\r")
    if not stripped:
        return Record(number, 1, line, None, "blank_line")
    fields = stripped.split(form.delimiter)
    if len(fields) < form.column_count:
        line_count = _joinable(lines, start, form)
        if line_count:
            return Record(number, line_count, b"\n".join(lines[start : start + line_count]), None, "embedded_newline")
    return Record(number, 1, line, None, _wrong_count(fields, form))


def _joinable(lines: list[bytes], start: int, form: Form) -> int:
    """Return how many broken lines from `start` make one record when joined, or 0 if none do."""
    fields = lines[start].split(form.delimiter)
    for index in range(start + 1, min(start + MAX_LINES, len(lines))):
        line = lines[index].removesuffix(b"\r")
        if _QUOTE in line or is_whole(line, form.delimiter, form.column_count):
            return 0
        first, *rest = line.split(form.delimiter)
        fields = [*fields[:-1], fields[-1] + b" " + first, *rest]
        if len(fields) >= form.column_count:
            is_record = len(fields) == form.column_count and form.matches(fields) == len(form.shapes)
            return index - start + 1 if is_record else 0
    return 0


def _wrong_count(fields: list[bytes], form: Form) -> str:
    """Name the fault of a wrong number of columns: a delimiter inside a value shifts the columns behind it."""
    surplus = len(fields) - form.column_count
    if surplus < 0:
        return "too_few_columns"
    shifted = max((form.matches(fields, surplus, since) for since in range(len(form.shapes))), default=0)
    return "embedded_tab" if shifted > form.matches(fields) else "too_many_columns"
