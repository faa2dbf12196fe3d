"""`nightlens quarantine`: the rows that a night's validation kept out, with reason, file, line and text.

They are those of the committed run, or, of a night that validation refused, the evidence that it left in the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl
from rich.table import Column

from jobs.datasets.clean import VALIDATED
from jobs.errors import MissingInput
from jobs.ingest.row_limits import HOURLY
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.runtime.terminal import table_lines

_REFUSED = "rejected"
_COLUMNS = ("table", "source_file", "source_line", "reasons", "record")
_ESCAPES = {code: f"\\x{code:02x}" for code in range(32)} | {9: "\\t", 10: "\\n", 13: "\\r"}


@dataclass(frozen=True)
class Evidence:
    """Where a night's bad rows are. `at` is when they were left there, `manifest` is None if the night was refused."""

    run_date: str
    at: datetime
    place: str
    manifest: Manifest | None

    def rows(self, lake: Lake) -> pl.LazyFrame:
        """Return the bad rows, read when they are collected."""
        if self.manifest is None:
            return pl.scan_parquet(lake.store(_REFUSED, self.place, "quarantine").uris(".parquet"))
        return pl.scan_parquet(lake.table_uris(self.manifest, "quarantine"))


@dataclass(frozen=True)
class Quarantine:
    """Bad rows of a night, of one table and reason or of all.

    `counts` has table, reason and rows, the most first; a row counts for each of its reasons. `rows` are the first of
    `row_count`, in the order of their files.
    """

    heading: str
    counts: pl.DataFrame
    rows: pl.DataFrame
    row_count: int


def find_evidence(lake: Lake, run_date: date | None) -> Evidence:
    """Return the bad rows of a night, or of the latest; of what was left for one night, the last.

    Raises `MissingInput` if no night, or not this one, was validated.
    """
    found = [*_committed(lake), *_refused(lake)]
    asked = [one for one in found if run_date is None or one.run_date == run_date.isoformat()]
    if not asked:
        nights = ", ".join(sorted({one.run_date for one in found})) or "none"
        raise MissingInput(
            "night_not_validated",
            f"{lake.catalogue} has no validated rows{'' if run_date is None else f' of the night of {run_date}'}. "
            f"Nights that were validated or refused: {nights}. Name one by --run-date, or run one: make nightly",
            run_date=run_date,
        )
    return max(asked, key=lambda one: (one.run_date, one.at))


def read_quarantine(lake: Lake, run_date: date | None, table: str, reason: str, limit: int) -> Quarantine:
    """Return the bad rows of a night, `limit` of them at most, of all tables and reasons if these are empty.

    Raises `MissingInput` naming what there is if no bad row is of this table and for this reason.
    """
    evidence = find_evidence(lake, run_date)
    every = evidence.rows(lake)
    of_table = every if not table else every.filter(pl.col("table") == table)
    wanted = of_table if not reason else of_table.filter(pl.col("reasons").list.contains(reason))
    counts = _counts(wanted)
    if (table or reason) and counts.is_empty():
        there = ", ".join(f"{name} {why}" for name, why, _ in _counts(every).iter_rows()) or "none"
        asked = " and ".join([*([f"table {table}"] if table else []), *([f"reason {reason}"] if reason else [])])
        raise MissingInput(
            "not_in_quarantine",
            f"the quarantine of the night of {evidence.run_date} has no row with {asked}. It has: {there}.",
            table=table,
            reason=reason,
        )
    row_count = int(wanted.select(pl.len()).collect().item())
    rows = wanted.select(_COLUMNS).sort("table", "source_file", "source_line").head(limit).collect()
    state = "committed" if evidence.manifest is not None else "refused by validation, nothing was committed"
    heading = f"{lake.catalogue}, night of {evidence.run_date} ({state}), rows in quarantine: {row_count:,}"
    return Quarantine(heading, counts, rows, row_count)


def _counts(rows: pl.LazyFrame) -> pl.DataFrame:
    counted = rows.select("table", reason="reasons").explode("reason").group_by("table", "reason").agg(rows=pl.len())
    return counted.sort("rows", "table", "reason", descending=[True, False, False]).collect()


def _committed(lake: Lake) -> Iterator[Evidence]:
    for run in lake.history(VALIDATED):
        yield Evidence(run.partition["run_date"], lake.made_current_at(run), run.reference, run)


def _refused(lake: Lake) -> Iterator[Evidence]:
    for run_id in lake.store(_REFUSED).names():
        if run_id == HOURLY:  # of no night
            continue
        store = lake.store(_REFUSED, run_id)
        run_date = json.loads(store.get("validation.json") or b"{}").get("run_date")
        if run_date is not None:
            yield Evidence(run_date, store.modified_at("validation.json"), run_id, None)


def render_table(found: Quarantine, width: int) -> str:
    """Return counts and rows as tables for a terminal of so many cells; the text of a row gets what is left."""
    if not found.row_count:
        return found.heading
    counts = [Column("table", no_wrap=True), Column("reason", no_wrap=True), Column("rows", justify="right")]
    columns = [*(Column(name, no_wrap=True) for name in ("table", "file", "line", "reasons")), Column("record")]
    lines = [
        found.heading,
        "",
        *table_lines(counts, ((table, why, f"{count:,}") for table, why, count in found.counts.iter_rows()), width),
    ]
    if len(found.rows):
        left = f"; --limit {found.row_count} shows all" if len(found.rows) < found.row_count else ""
        lines += ["", f"the first {len(found.rows):,} of {found.row_count:,} rows{left}", ""]
        lines += table_lines(columns, _cells(found.rows), width)
    return "\n".join(lines)


def render_tsv(found: Quarantine) -> str:
    r"""Return counts and rows as tab-separated text, each with a header, an empty line between them.

    Tabs, line ends and other control characters of a value are written as in `\t`.
    """
    counts = [
        ("table", "reason", "rows"),
        *((table, why, str(count)) for table, why, count in found.counts.iter_rows()),
    ]
    rows = [("table", "file", "line", "reasons", "record"), *_cells(found.rows)]
    blocks = (["\t".join(cell.translate(_ESCAPES) for cell in row) for row in block] for block in (counts, rows))
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _cells(rows: pl.DataFrame) -> Iterator[tuple[str, ...]]:
    for table, file, line, reasons, record in rows.iter_rows():
        yield table, file, str(line), ", ".join(reasons), record or ""
