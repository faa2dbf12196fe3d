"""What a night makes of one kept unit: its good rows, its bad ones with all their reasons, its repairs, and the counts.

Content-addressed too: the name digests the kept unit, where it stands, and what the night's rules found of its rows. So
a unit of which nothing changed since an earlier night is neither read nor written; its files are linked.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from jobs.datasets.clean import VALIDATED, RowCounts
from jobs.ingest.kept_rows import Reading, rows_store, with_records
from jobs.ingest.source import Unit
from jobs.lake.files import LakeFiles, Store
from jobs.lake.manifest import FileInfo

STORE = "settled"
WITHOUT_PHOTO = frozenset({"unknown_photo_id", "quarantined_photo"})
"""Reasons that lie in the table of photos."""

Found = Mapping[int, Sequence[int]]
"""Of some rows of a unit, by their places, the numbers of the night's rules that they fail."""


class Outcome(BaseModel):
    """What became of a unit. `reasons` and `repairs` count rows by name; `files` are by table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    counts: RowCounts
    reasons: dict[str, int]
    repairs: dict[str, int]
    files: dict[str, FileInfo]


@dataclass(frozen=True)
class Unsettled:
    """A kept unit, and what the night's rules found of its rows."""

    unit: Unit
    kept: str
    forgotten: str  # tells whose rows were left out of it
    found: Found

    @property
    def name(self) -> str:
        """The name of its outcome."""
        stands = [self.unit.part.name, self.unit.first_line]
        found = sorted((place, list(numbers)) for place, numbers in self.found.items())
        return hashlib.sha256(json.dumps([self.kept, self.forgotten, stands, found]).encode()).hexdigest()[:32]


def settled_store(lake: LakeFiles, table: str) -> Store:
    """Return where the outcomes of a table's units are: `<name>.json`, and beside it the files that it names."""
    return lake.store(STORE, table)


def read_outcome(store: Store, name: str, there: Mapping[str, int]) -> Outcome | None:
    """Return an outcome if it is there whole; `there` are the sizes of what the store has."""
    if f"{name}.json" not in there:
        return None
    with store.reading(f"{name}.json") as file:
        outcome = Outcome.model_validate_json(file.read())
    is_whole = all(there.get(info.path.rsplit("/", 1)[1]) == info.byte_count for info in outcome.files.values())
    return outcome if is_whole else None


def settle(root_uri: str, catalogue: str, reading: Reading, one: Unsettled) -> Outcome:
    """Write what becomes of a unit into a catalogue of the lake; return it."""
    lake = LakeFiles(root_uri, catalogue)
    rows = _read(rows_store(lake, reading.table), one.kept)
    names = [rule.reason if rule.severity != "warn" else None for rule in reading.rules]
    bad = rows.filter(pl.col("is_refused") | pl.col("place").is_in(list(one.found)))
    reasons = [
        sorted(row["faults"] or {names[n] for n in [*(row["failed"] or ()), *one.found.get(row["place"], ())]} - {None})
        for row in bad.select("place", "faults", "failed").iter_rows(named=True)
    ]
    bad = bad.with_columns(reasons=pl.Series(reasons, dtype=pl.List(pl.String))).filter(
        pl.col("reasons").list.len() > 0
    )
    good = rows.join(bad.select("place"), on="place", how="anti", maintain_order="left") if len(bad) else rows
    repairs = _repairs(good)
    tables = {
        reading.table: good,
        "quarantine": with_records(bad, pl.lit(value=True), lambda: reading.open(one.unit)),
        "repairs": repairs,
    }
    store, stands = settled_store(lake, reading.table), {"table": reading.table, "source_file": one.unit.part.name}
    outcome = Outcome(
        counts=RowCounts(
            input=len(rows),
            clean=len(good),
            quarantined=len(bad),
            unreadable=len(bad) - bad["faults"].null_count(),
            without_photo=sum(WITHOUT_PHOTO.issuperset(one) for one in bad["reasons"].to_list()),
            repaired=repairs["line"].n_unique(),
        ),
        reasons=_counted(bad["reasons"].explode()),
        repairs=_counted(repairs["repair"]),
        files={
            table: _write(store, f"{one.name}.{table}.parquet", table, frame, stands, one.unit.first_line)
            for table, frame in tables.items()
            if len(frame)
        },
    )
    store.put(f"{one.name}.json", outcome.model_dump_json().encode())
    return outcome


def _read(store: Store, name: str) -> pl.DataFrame:
    with store.reading(f"{name}.parquet") as file:
        return pl.DataFrame(pl.from_arrow(pq.read_table(file, page_checksum_verification=True)))


def _repairs(good: pl.DataFrame) -> pl.DataFrame:
    done = good.filter(pl.col("repairs").list.len() > 0).select("line", "repairs").explode("repairs")
    return done.select("line", *(pl.col("repairs").struct.field(name) for name in ("repair", "column")))


def _counted(names: pl.Series) -> dict[str, int]:
    return dict(sorted(Counter(names.drop_nulls().to_list()).items()))


def _write(
    store: Store, name: str, table: str, rows: pl.DataFrame, stands: dict[str, str], first_line: int
) -> FileInfo:
    schema = VALIDATED.table(table).schema
    source = {key: pl.lit(value) for key, value in stands.items() if key in schema.names}
    placed = rows.with_columns(**source, source_line=pl.col("line") + first_line)
    buffer = io.BytesIO()
    pq.write_table(placed.select(schema.names).to_arrow().cast(schema), buffer, compression="zstd")
    store.put(name, buffer.getvalue())
    return store.lake.measure(f"{store.folder}/{name}", len(rows))
