"""Faults put into the conversions: the kinds of damage that real logs show, and where each one is.

A fault turns one good row into a bad one. A carriage return, a lower-case country and a quoted line break leave it
usable.
"""

from __future__ import annotations

import csv
import io
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

COLUMNS = (
    "converted_at",
    "conversion_type",
    "keyword",
    "photo_id",
    "anonymous_user_id",
    "conversion_country",
    "device_type",
    "search_orientation_filter",
    "search_ordering",
    "position",
)
_KEYWORD = COLUMNS.index("keyword")
_BURST_ROWS, _BURST_SECONDS = 70, 50
_FEWEST_ROWS_WITH_BURST = 10_000
_BOT = "b07b07b0-7b07-4b07-8b07-b07b07b07b07"


@dataclass(frozen=True)
class Row:
    """One record of the log: its fields or, where they do not tell it, the bytes that stand in their place."""

    fields: tuple[str, ...]
    raw: bytes | None = None
    fault: str | None = None

    def encode(self) -> bytes:
        """Return the record with its line end."""
        return encode(self.fields) if self.raw is None else self.raw + b"\n"

    def having(self, column: str, value: str) -> Row:
        """Return the row with another value in a column; `{}` in it stands for the value that was there."""
        at = COLUMNS.index(column)
        value = value.replace("{}", self.fields[at])
        return replace(self, fields=(*self.fields[:at], value, *self.fields[at + 1 :]))

    def with_query(self, template: str) -> bytes:
        """Return the record, without its line end or quotes; `{}` in the template stands for the query as it is."""
        query = template.replace("{}", self.fields[_KEYWORD].strip().replace('"', ""))
        fields = [*self.fields[:_KEYWORD], query, *self.fields[_KEYWORD + 1 :]]
        return "\t".join(fields).encode(errors="surrogateescape")


def encode(fields: Sequence[str]) -> bytes:
    """Return a record as the tables hold it: tab-separated, quoted as in CSV where needed."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter="\t", lineterminator="\n").writerow(fields)
    return buffer.getvalue().encode()


def timestamp(moment: datetime) -> str:
    """Return a time as PostgreSQL writes it: no zeros at the end of the fraction, no fraction on a whole second.

    >>> timestamp(datetime(2026, 3, 2, 5, 4, 3, 250000)), timestamp(datetime(2026, 3, 2))
    ('2026-03-02 05:04:03.25', '2026-03-02 00:00:00')
    """
    whole = moment.strftime("%Y-%m-%d %H:%M:%S")
    return f"{whole}.{moment.microsecond:06d}".rstrip("0") if moment.microsecond else whole


_VALUES: dict[str, tuple[str, tuple[str, ...]]] = {
    "bad_country": ("conversion_country", ("GER", "1", "U$", "united states")),
    "blank_keyword": ("keyword", (" ", "\u00a0", "\u3000", "\u2003 ")),
    "control_characters": ("keyword", ("{}\x07", "{}\x1b[31m", "{}\x08", "{}\u202e")),
    "future_timestamp": ("converted_at", ("2034-05-11 08:00:00.5", "2071-01-01 00:00:00")),
    "malformed_photo_id": ("photo_id", ("0000000000 ", "a\u200b000000000", "a" * 200)),
    "malformed_timestamp": ("converted_at", ("yesterday", "2026-13-41 25:61:00", "0000-00-00 00:00:00", "2026-04-01T")),
    "null_converted_at": ("converted_at", ("",)),
    "null_country": ("conversion_country", ("",)),
    "null_keyword": ("keyword", ("",)),
    "null_photo_id": ("photo_id", ("",)),
    "null_user_id": ("anonymous_user_id", ("",)),
    "unknown_photo_id": ("photo_id", ("zzzzzzzzzz0", "-----------", "notA_photo1")),
}
"""Faults that are another value in one column."""

_BYTES: dict[str, Callable[[Row], bytes]] = {
    "blank_line": lambda row: b"",
    "carriage_return": lambda row: encode(row.fields)[:-1] + b"\r",
    "embedded_newline": lambda row: row.with_query("{}\n{}"),
    "embedded_nul": lambda row: row.with_query("{}\0{}"),
    "embedded_tab": lambda row: row.with_query("{}\t{}"),
    "invalid_utf8": lambda row: row.with_query("caf\udce9 \udcff"),
    "overlong_keyword": lambda row: row.with_query(" ".join(["{}"] * 300)),
    "quoted_newline": lambda row: row.with_query('"{}\n{}"'),
    "too_few_columns": lambda row: encode(row.fields[: 2 + len(row.fields[3]) % 5])[:-1],
    "too_many_columns": lambda row: encode((*row.fields, "extra", "extra"))[:-1],
    "unbalanced_quote": lambda row: row.with_query('"{}'),
}
"""Faults in how a row is written."""

_OTHERS = ("before_photo_was_submitted", "duplicate_row", "lowercase_country")
KINDS_OF_FAULT = tuple(sorted((*_VALUES, *_BYTES, *_OTHERS, "bot_burst")))


def spoil(rows: Sequence[Row], submissions: Sequence[tuple[datetime, str]], seed: int) -> list[Row]:
    """Return the rows, in the order of time, with about one in 250 spoilt and, in a long log, one burst of a bot.

    `submissions` are the times and ids of all photos, in the order of time. Every kind of fault appears.
    """
    rng = np.random.default_rng([seed, 5])
    spoilt = list(rows)
    kinds = [kind for kind in KINDS_OF_FAULT if kind != "bot_burst"]
    each = max(1, len(rows) // 250 // len(kinds))
    # well apart, so that one fault never touches another
    places = rng.permutation(np.arange(10, len(rows) - 10, 8))[: each * len(kinds)]
    for position, place in enumerate(sorted(places.tolist())):
        kind = kinds[(position * 7) % len(kinds)]
        spoilt[place] = replace(_spoilt(rows[place], kind, submissions, rng), fault=kind)
        if kind == "duplicate_row":
            spoilt[place] = replace(rows[place - 1], fault=kind)
    if len(rows) >= _FEWEST_ROWS_WITH_BURST:
        spoilt = _with_burst(spoilt, rng)
    return spoilt


def _spoilt(row: Row, kind: str, submissions: Sequence[tuple[datetime, str]], rng: np.random.Generator) -> Row:
    if kind in _VALUES:
        column, choices = _VALUES[kind]
        return row.having(column, choices[rng.integers(len(choices))])
    if kind in _BYTES:
        return replace(row, raw=_BYTES[kind](row))
    if kind == "lowercase_country":
        return row.having("conversion_country", row.fields[COLUMNS.index("conversion_country")].lower())
    if kind == "before_photo_was_submitted":
        at = datetime.fromisoformat(row.fields[0] + "+00:00")
        later = bisect(submissions, (at + timedelta(minutes=1), ""))
        if later < len(submissions):
            return row.having("photo_id", submissions[int(rng.integers(later, len(submissions)))][1])
        return row.having("converted_at", timestamp(submissions[0][0] - timedelta(days=1)))
    return row


def _with_burst(rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
    """Return the rows and, somewhere in the middle, many of one visitor within a minute."""
    good = [position for position, row in enumerate(rows) if row.fault is None]
    place = good[int(len(good) * rng.uniform(0.3, 0.7))]
    start = datetime.fromisoformat(rows[place].fields[0])
    before = [position for position in good if position < place]  # their photos existed
    burst = []
    for step, position in enumerate(rng.choice(before, _BURST_ROWS, replace=False).tolist()):
        at = start + timedelta(milliseconds=7 + step * _BURST_SECONDS * 1000 // _BURST_ROWS)
        row = rows[position].having("converted_at", timestamp(at)).having("anonymous_user_id", _BOT)
        burst.append(replace(row.having("conversion_country", "US"), fault="bot_burst"))
    return [*rows[: place + 1], *burst, *rows[place + 1 :]]
