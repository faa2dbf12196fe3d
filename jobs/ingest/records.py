"""Records from bytes: a tolerant reader of tab- or comma-separated lines. Pure; knows no table by name.

Only LF ends a line. CR LF is repaired. A field that begins with a quote is read as CSV: a doubled quote is a
quote, and line feeds and delimiters inside are the value's. Whatever cannot be read as so many columns is one
faulty record and never takes a good line with it:

- A line that is a proper record by itself (`is_whole`) is never part of another. A quoted field that would run over
  such a line, or over more than `MAX_LINES`, was never closed (`unbalanced_quote`): the line it begins on is bad
  alone.
- A line inside a quoted text may have the right number of columns by chance. `Form.shapes`, learned from the file's
  first records, tell it from a record: its values do not look like those of their columns.
- Broken lines in a row that make one record when joined are that record, cut by bare line feeds
  (`embedded_newline`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

MAX_LINES = 64
LEARNED_RECORDS = 4_000
MIN_SHAPE_SHARE = 0.95
_QUOTE = b'"'
_QUOTED = re.compile(rb'"(?:[^"]++|"")*+"')
_BREAKS = (("quoted_newline", re.compile(rb"[\r\n]+")), ("quoted_tab", re.compile(rb"\t+")))
_Repairs = tuple[tuple[str, int | None], ...]
Shapes = tuple[tuple[int, re.Pattern[bytes]], ...]
_KINDS = tuple(  # the tightest first; none of them lets white space pass but that of a time
    re.compile(kind)
    for kind in (
        rb"\d+",
        rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?",
        rb"\d{4}-\d\d-\d\d(?:[ T][\d:.,Z +-]*)?",
        rb"[0-9A-Fa-f-]{24,}",
        rb"[A-Za-z]+://\S+",
    )
)
_WORD = re.compile(rb"\S+")
_LONGEST_RUNS = 64
_MIN_WORD_SHARE = 0.999
_RUN = re.compile(rb"([A-Z]+)|([a-z]+)|([0-9]+)|([\x80-\xff]+)")
_RUN_KINDS = (rb"[A-Z]+", rb"[a-z]+", rb"[0-9]+", rb"[\x80-\xff]+")


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
    """How the records of one file look. `shapes` tells the values of some columns by their form, in column order.

    Shapes that are None are not known yet: every quoted field then runs to its closing quote.
    """

    delimiter: bytes
    column_count: int
    shapes: Shapes | None = ()
    is_crlf: bool = False  # every line ends in CR LF: that is no repair

    def matches(self, fields: list[bytes], shift: int = 0, since: int = 0) -> int:
        """Return how many shapes are found, those from number `since` on `shift` columns further right."""
        return sum(
            shape.fullmatch(fields[index + (shift if number >= since else 0)]) is not None
            for number, (index, shape) in enumerate(self.shapes or ())
        )

    def has_shapes(self, fields: list[bytes], other_than: Collection[int] = ()) -> bool:
        """Tell whether every value but those of some columns has the shape of its column, if that has one."""
        return all(shape.fullmatch(fields[i]) is not None for i, shape in self.shapes or () if i not in other_than)


def learn_form(data: bytes, delimiter: bytes, column_count: int, is_crlf: bool = False) -> Form:
    r"""Return the form of a file whose first records are `data`, which begins at a record.

    A column has a shape if 95 % of its values are alike: numbers, times, addresses, hexadecimal ids, words of one
    length, or made of the same runs of letters, digits and signs. Free text has none.

    >>> data = b"".join(b'SKU-%d,"shoe%s\nand, with commas, red",%d.5\n' % (n, b" big" * n, n) for n in range(30))
    >>> [(index, shape.pattern) for index, shape in learn_form(data, b",", 3).shapes][0]
    (0, b'[A-Z]+\\-[0-9]+')
    >>> [index for index, _ in learn_form(data, b",", 3).shapes]
    [0, 2]
    """
    form = Form(delimiter, column_count, None, is_crlf)
    records = islice(split_records(data, form), LEARNED_RECORDS)
    rows = [record.fields for record in records if record.fields is not None]
    return replace(form, shapes=learn_shapes(enumerate(zip(*rows, strict=True))))


def learn_shapes(columns: Iterable[tuple[int, tuple[bytes, ...]]]) -> Shapes:
    """Return the shapes of those columns, given by index and values, that have one (see `learn_form`)."""
    shapes = ((index, _shape(values)) for index, values in columns)
    return tuple((index, shape) for index, shape in shapes if shape is not None)


def _shape(values: tuple[bytes, ...]) -> re.Pattern[bytes] | None:
    """Return the tightest pattern that the values have; where more than 5 % are empty, it allows that."""
    counts = Counter(values)
    empty_count = counts.pop(b"", 0)
    filled_count = len(values) - empty_count
    for kind, share in (*((kind, MIN_SHAPE_SHARE) for kind in _KINDS), *_likely_shapes(counts)):
        if filled_count and sum(n for value, n in counts.items() if kind.fullmatch(value)) >= share * filled_count:
            is_optional = empty_count > (1 - MIN_SHAPE_SHARE) * len(values)
            return re.compile(rb"(?:" + kind.pattern + rb")?") if is_optional else kind
    return None


def _likely_shapes(counts: Counter[bytes]) -> Iterator[tuple[re.Pattern[bytes], float]]:
    """Yield the shapes that these values may have, and the share that must have each.

    Single words are most texts in some columns: a shape of words and no more is that of nearly all values, or of none.
    """
    runs: Counter[bytes] = Counter()
    lengths: Counter[int] = Counter()
    for value, count in counts.items():
        lengths[len(value)] += count
        if len(value) <= _LONGEST_RUNS:
            runs[_RUN.sub(_run_kind, value)] += count
    if runs:
        likeliest = runs.most_common(1)[0][0]
        is_word = len(likeliest) == 1
        if not is_word:
            yield _runs_pattern(likeliest), MIN_SHAPE_SHARE
        yield re.compile(rb"\S{%d}" % lengths.most_common(1)[0][0]), MIN_SHAPE_SHARE
        if is_word:
            yield _runs_pattern(likeliest), _MIN_WORD_SHARE
        yield _WORD, _MIN_WORD_SHARE


def _run_kind(run: re.Match[bytes]) -> bytes:
    assert run.lastindex is not None
    return b"%c" % (run.lastindex - 1)  # a control character stands for a run


def _runs_pattern(runs: bytes) -> re.Pattern[bytes]:
    parts = [_RUN_KINDS[sign] if sign < len(_RUN_KINDS) else re.escape(bytes((sign,))) for sign in runs]
    return re.compile(b"".join(parts))


def stands_alone(line: bytes, form: Form) -> bool:
    r"""Tell whether a line where a record begins is that record: as many columns, and every quote where CSV has it.

    >>> [stands_alone(line, Form(b"\t", 2)) for line in (b"a\tb\n", b'"a"\tb', b'a\t"b\n', b'a\tb"', b"a\n")]
    [True, True, False, False, False]
    """
    if _QUOTE in line:
        if not _strict_line(form.delimiter).fullmatch(line.rstrip(b"\r\n")):
            return False
        line = _QUOTED.sub(_QUOTE, line)
    return line.count(form.delimiter) == form.column_count - 1 and line.strip(b"\r\n") != b""


def is_whole(line: bytes, form: Form) -> bool:
    r"""Tell whether a line is a record wherever it stands, even behind a quote that was not closed.

    It stands alone and its values have the shapes of their columns. Where there are shapes, they outweigh a quote
    where CSV has none.

    >>> form = Form(b",", 2, ((0, re.compile(rb"[0-9]+")),))
    >>> [is_whole(line, form) for line in (b"1,red", b'1,5" heel', b"red, with laces", b'2,"open')]
    [True, True, False, False]
    """
    if not form.shapes:
        return form.shapes is not None and stands_alone(line, form)
    line = line.rstrip(b"\r\n")
    if _QUOTE not in line:
        return bool(line) and line.count(form.delimiter) == form.column_count - 1 and _has_shapes(line, form)
    fields = read_line(line, form.delimiter)
    return fields is not None and len(fields) == form.column_count and form.has_shapes(fields)


def _has_shapes(line: bytes, form: Form) -> bool:
    return form.has_shapes(line.split(form.delimiter))


@lru_cache
def _strict_line(delimiter: bytes) -> re.Pattern[bytes]:
    escaped = re.escape(delimiter)
    field = _QUOTED.pattern + rb"|[^" + escaped + rb'"]*+'
    return re.compile(rb"(?:" + field + rb")(?:" + escaped + rb"(?:" + field + rb"))*+")


def read_line(line: bytes, delimiter: bytes) -> list[bytes] | None:
    """Return the fields of a line without its end, quoted or not; None if a quote is not closed as it must be."""
    read = _read_quoted([line], 0, Form(delimiter, 0))
    return None if read is None else read[0]


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
        record = read_record(lines, index, form, first_line)
        yield record
        index += record.line_count


def read_record(lines: list[bytes], index: int, form: Form, first_line: int) -> Record:
    """Return the record that begins at `lines[index]`; it depends on no more than `MAX_LINES` lines after that."""
    line = lines[index]
    if _QUOTE in line:
        return _quoted(lines, index, form, first_line)
    if stands_alone(line, form):
        return _plain(line, form, first_line + index)
    return _broken(lines, index, form, first_line)


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
    inner = [one.rstrip(b"\r") for one in lines[start + 1 : start + line_count] if stands_alone(one, form)]
    if any(form.matches(read_line(one, form.delimiter) or []) > form.matches(fields) for one in inner):
        return Record(number, 1, line, None, "unbalanced_quote")  # a line in it looks more like a record than it does
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
        value, breaks = _mend(value)
        repairs += tuple((what, len(fields)) for what in breaks)
        fields.append(value)
        rest = text[closing + 1 :]
        if rest in (b"", b"\r"):
            return fields, used, rest == b"\r", repairs
        if not rest.startswith(form.delimiter):
            return None
        position = closing + 2


def mend_breaks(values: list[bytes]) -> tuple[list[bytes], _Repairs]:
    """Return values with a space for line breaks and tabs in them, and these repairs."""
    mended = [_mend(value) for value in values]
    return [value for value, _ in mended], tuple((what, n) for n, (_, breaks) in enumerate(mended) for what in breaks)


def _mend(value: bytes) -> tuple[bytes, list[str]]:
    breaks = []
    for what, pattern in _BREAKS:
        value, count = pattern.subn(b" ", value)
        breaks += [what] if count else []
    return value, breaks


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
        line = lines[following]
        if is_whole(line, form) and not (_closes(line, form) and not _is_record(lines[start], form)):
            return -1, text, used
        position = len(text)
        text = text + b"\n" + line
        used += 1


def _closes(line: bytes, form: Form) -> bool:
    """Tell whether the first quote of a line stands where the quote of a text that began before it would."""
    before, quote, rest = line.replace(b'""', b"").partition(_QUOTE)
    return bool(before and quote) and (rest.startswith(form.delimiter) or not rest.strip(b"\r"))


def _is_record(line: bytes, form: Form) -> bool:
    """Tell whether a line would be a record if quotes meant nothing."""
    fields = line.rstrip(b"\r").split(form.delimiter)
    quoted = [index for index, field in enumerate(fields) if _QUOTE in field]
    return len(fields) == form.column_count and form.has_shapes(fields, quoted)


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
    fields, joined = lines[start].split(form.delimiter), set()
    for index in range(start + 1, min(start + MAX_LINES, len(lines))):
        line = lines[index].removesuffix(b"\r")
        if _QUOTE in line or stands_alone(line, form):
            return 0
        first, *rest = line.split(form.delimiter)
        joined.add(len(fields) - 1)
        fields = [*fields[:-1], fields[-1] + b" " + first, *rest]
        if len(fields) >= form.column_count:
            is_record = len(fields) == form.column_count and form.has_shapes(fields, joined)
            return index - start + 1 if is_record else 0
    return 0


def _wrong_count(fields: list[bytes], form: Form) -> str:
    """Name the fault of a wrong number of columns: a delimiter inside a value shifts the columns behind it."""
    surplus = len(fields) - form.column_count
    if surplus < 0:
        return "too_few_columns"
    shifted = max((form.matches(fields, surplus, since) for since in range(len(form.shapes or ()))), default=0)
    return "embedded_tab" if shifted > form.matches(fields) else "too_many_columns"
