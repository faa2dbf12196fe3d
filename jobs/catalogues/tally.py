"""What becomes of a source's rows: counted by reason, each dropped one named with its file, line and value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import polars as pl

from jobs.ingest.rows import VISITOR_SHAPE

DROPPED_COLUMNS = ("source", "table", "file", "line", "reason", "value")
LONGEST_VALUE = 200
_NONE = pl.lit(None, pl.String)
_HINTS = {"replaced_text": '. Name the encoding in the mapping, such as encoding = "cp1252"'}


class Reason(NamedTuple):
    """Why a row is dropped: where `holds` is true. `value` is what explains it to a person."""

    name: str
    holds: pl.Expr
    value: pl.Expr = _NONE


@dataclass
class Tally:
    """What became of the rows of one table of a source; `read` is `used` and the sum of `dropped`.

    `examples` has the first row of every reason and guess: its file, its line (in JSON and Parquet: its row) and value.
    """

    source: str
    table: str
    has_visitors: bool
    dropped_file: BinaryIO
    used: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    guessed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    unused_columns: list[str] = field(default_factory=list)
    _pending: list[pl.DataFrame] = field(default_factory=list)  # what was dropped of the batch

    @property
    def read(self) -> int:
        """How many rows were read."""
        return self.used + self.dropped.total()

    def sift(self, batch: pl.DataFrame, reasons: Iterable[Reason]) -> pl.DataFrame:
        """Return the rows for which no reason holds; note the others by the first that does.

        A batch says in `file` and `line` where its rows are.
        """
        named = [(pl.lit(one.name), one.holds.fill_null(False), one.value.cast(pl.String)) for one in reasons]
        marked = batch.with_columns(
            reason=pl.coalesce(pl.when(holds).then(name) for name, holds, _ in named),
            value=pl.coalesce(*(pl.when(holds).then(pl.coalesce(value, pl.lit(""))) for _, holds, value in named)),
        )
        self.drop(marked.filter(pl.col("reason").is_not_null()))
        return marked.filter(pl.col("reason").is_null()).drop("reason", "value")

    def drop(self, rows: pl.DataFrame) -> None:
        """Note rows that are dropped: `file`, `line`, `reason` and `value`, and `user_id` if it is known.

        A value that is or may be a visitor's id is left out; where columns cannot be told apart, any value may be.
        """
        value = pl.col("value").str.replace_all(r"[\s\p{C}]+", " ").str.strip_chars()
        if self.has_visitors:
            user = pl.col("user_id") if "user_id" in rows.columns else pl.col("value")
            is_visitor = pl.col("value").str.contains(VISITOR_SHAPE.pattern) | (pl.col("value") == user)
            value = pl.when(~is_visitor.fill_null(False)).then(value)
        value = pl.when(value != "").then(value.str.slice(0, LONGEST_VALUE))
        where = {"source": pl.lit(self.source), "table": pl.lit(self.table)}
        self._pending.append(rows.with_columns(**where, value=value).select(DROPPED_COLUMNS))

    def use(self, rows: pl.DataFrame) -> None:
        """Note the rows of a batch that are used, and write those that were dropped, in the order of the file.

        `is_replaced` says which hold text that was not read.
        """
        told = pl.concat(self._pending).sort("line", maintain_order=True)
        self._pending.clear()
        told.write_csv(self.dropped_file, include_header=False, separator="\t")
        self.dropped += Counter(told["reason"].to_list())
        for row in told.unique("reason", keep="first", maintain_order=True).to_dicts():
            self._example(row["reason"], row)
        self.used += len(rows)
        self.guess("replaced_text", rows, pl.col("is_replaced"))

    def guess(self, what: str, rows: pl.DataFrame, holds: pl.Expr) -> None:
        """Note the rows in which something was guessed."""
        guessed = rows.filter(holds)
        if len(guessed):
            self.guessed[what] += len(guessed)
            self._example(what, guessed.select("file", "line").row(0, named=True))

    def _example(self, what: str, row: dict[str, Any]) -> None:
        self.examples.setdefault(what, {key: row[key] for key in ("file", "line", "value") if row.get(key) is not None})

    def told(self) -> str:
        """Return the reasons for which rows were dropped, each with its count and its first row."""
        return ", ".join(
            f"{name} {count:,}{_first(self.examples, name)}" for name, count in sorted(self.dropped.items())
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as the report holds it."""
        counts = {"dropped": dict(sorted(self.dropped.items())), "guessed": dict(sorted(self.guessed.items()))}
        more = {"examples": dict(sorted(self.examples.items())), "unused_columns": self.unused_columns}
        return {"read": self.read, "used": self.used, **counts, **more}


def as_notes(tally: dict[str, Any]) -> list[str]:
    """Return a line for every reason and guess of a tally in the report, and for the columns that are not used."""
    notes = []
    for what in ("dropped", "guessed"):
        for name, count in tally[what].items():
            notes.append(f"{what} {name} {count:,}{_first(tally['examples'], name)}{_HINTS.get(name, '')}")
    if tally["unused_columns"]:
        notes.append(f"columns not used: {', '.join(tally['unused_columns'])}")
    return notes


def _first(examples: dict[str, dict[str, Any]], what: str) -> str:
    example = examples.get(what)
    if example is None:
        return ""
    value = f": {example['value']!r}" if "value" in example else ""
    return f" (first in {example['file']}, line {example['line']:,}{value})"
