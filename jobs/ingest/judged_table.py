"""A table after its rows were told apart: its units, its counts, and the first rows that fail each rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from jobs.adapters.expectations import Verdict
from jobs.datasets.clean import RowCounts
from jobs.ingest.kept_rows import UnitFacts
from jobs.ingest.source import Unit
from jobs.lake.manifest import FileInfo


@dataclass(frozen=True)
class Sample:
    """A row that fails a rule: the value, if there is one, and where it stands."""

    value: str | None
    file: str
    line: int

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line:,}"
        return where if self.value is None else f"{self.value!r} in {where}"


@dataclass(frozen=True)
class ReadUnit:
    """A unit that is kept, under which name, and whether the last night did not have its rows yet."""

    unit: Unit
    name: str
    facts: UnitFacts
    is_new: bool


@dataclass(frozen=True)
class JudgedTable:
    """One table after its rows were told apart; `reasons` and `repairs` count by name. `files` are by table."""

    table: str
    verdict: Verdict
    counts: RowCounts
    reasons: dict[str, int]
    repairs: dict[str, int]
    samples: list[list[Sample]]  # for every rule of the verdict, a few rows that fail it
    files: dict[str, list[FileInfo]]
    units: list[ReadUnit]
    exceptions: pl.DataFrame  # the rows of which the night has anything to say (see `Judge`)

    @property
    def new_row_count(self) -> int:
        """Rows that the last night did not have."""
        return sum(one.facts.row_count for one in self.units if one.is_new)

    @property
    def without_photo(self) -> pl.DataFrame:
        """The rows that name a photo which the table of photos lacks, in the columns of the table's query."""
        return self.exceptions.filter(~pl.col("photo_is_known"))

    @property
    def bad_share(self) -> float:
        """Quarantined rows among all rows, those left out that are bad only because their photo is not there."""
        return (self.counts.quarantined - self.counts.without_photo) / max(1, self.counts.input)

    @property
    def values(self) -> list[list[str]]:
        """For every rule of the verdict, a few values that fail it; nulls and repetitions left out."""
        return [list(dict.fromkeys(s.value for s in found if s.value is not None)) for found in self.samples]

    def first(self, reason: str) -> Sample | None:
        """Return the first row that fails a rule of this reason; None if the reader found the fault."""
        found = [s for rule, s in zip(self.verdict.rules, self.samples, strict=True) if rule.reason == reason and s]
        return min((samples[0] for samples in found), key=lambda s: (s.file, s.line), default=None)

    def as_json(self) -> dict[str, Any]:
        """Return what validation.json says of the table."""
        rules = [
            {
                "reason": rule.reason,
                "severity": rule.severity,
                "expectation": rule.expectation,
                "column": rule.column,
                "failed_count": rule.failed_count,
                "new_failed_count": rule.new_failed_count,
                "is_met": rule.is_met,
                "samples": values,
            }
            for rule, values in zip(self.verdict.rules, self.values, strict=True)
        ]
        found = {"bad_share": self.bad_share, "reasons": self.reasons, "repairs": self.repairs}
        counts = {"counts": self.counts.as_json(), "new_row_count": self.new_row_count}
        return {**counts, **found, "expectations": rules}
