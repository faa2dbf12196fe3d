"""The state of the data: what was read, what was kept, what was set aside and why, images, and the leak audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.datasets.clean import ImagesFacts, ValidatedFacts
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.datasets.features import LEAK_AUDIT
from jobs.report import formats
from jobs.report.inputs import Night

CHECKS = {
    "windows": "The windows are those the run date calls for",
    "timestamps": "Every row lies inside its window",
    "corpus": "The corpus holds only photos that existed by then",
    "vocabularies": "No words or ids in training from after the training window",
    "histories": "No visitor's later choices in training",
    "statistics": "No totals that were known only when the data set was written",
    "completeness": "Nothing that belongs into a window was lost",
}


@dataclass(frozen=True)
class TableQuality:
    """Rows of one table by where they went; `read` = `clean` + `quarantined`. Repaired rows are among the clean."""

    table: str
    read: int
    clean: int
    quarantined: int
    repaired: int

    @property
    def bad_share(self) -> float:
        """Share of the rows that are in quarantine."""
        return self.quarantined / self.read if self.read else 0.0

    @property
    def texts(self) -> tuple[str, ...]:
        """The row's cells after the table's name."""
        numbers = (self.read, self.clean, self.quarantined, self.repaired)
        return (*(formats.count(number) for number in numbers), formats.percent(self.bad_share, 2))


@dataclass(frozen=True)
class Tally:
    """How many rows of a table share a reason or a repair; a row may have several reasons."""

    table: str
    what: str
    count: str


@dataclass(frozen=True)
class Finding:
    """One check of the leak audit."""

    check: str
    meaning: str
    status: str
    violations: str
    detail: str


@dataclass(frozen=True)
class Quality:
    """The section as a whole. `docs_link` is relative to the published report."""

    dataset_version: str
    tables: tuple[TableQuality, ...]
    reasons: tuple[Tally, ...]
    repairs: tuple[Tally, ...]
    warnings: tuple[Tally, ...]
    images: tuple[tuple[str, str], ...]  # of all photos, by what became of the image
    unusable_images: tuple[tuple[str, str], ...]  # of the corpus, by reason
    unusable_image_count: int
    findings: tuple[Finding, ...]
    docs_link: str

    @property
    def read_count(self) -> int:
        """Rows of all tables."""
        return sum(table.read for table in self.tables)

    @property
    def quarantined_count(self) -> int:
        """Rows of all tables in quarantine."""
        return sum(table.quarantined for table in self.tables)

    @property
    def bad_share(self) -> float:
        """Share of all rows that are in quarantine."""
        return self.quarantined_count / self.read_count if self.read_count else 0.0


def data_docs_folder(run_date: str) -> str:
    """Return the name of the folder, beside the published report, that holds the night's Data Docs."""
    return f"{run_date}-data-docs"


def quality(night: Night) -> Quality:
    """Return the state of the data from the facts of validation and images, and from the photos that failed."""
    images, log = night.facts(ImagesFacts), night.facts(ValidatedFacts)
    statuses = {
        "Found in the data set": images.present_count,
        "Downloaded": images.fetched_count,
        "Missing": images.missing_count,
        "Refused": images.refused_count,
        "Failed": images.failed_count,
    }
    unusable = night.table(PHOTO_EMBEDDINGS, "quarantine").unique("photo_id", keep="first", maintain_order=True)
    unusable_by_reason = unusable.group_by("reason").len().sort("len", "reason", descending=[True, False])
    return Quality(
        dataset_version=log.dataset_version,
        tables=tuple(
            TableQuality(name, rows.input, rows.clean, rows.quarantined, rows.repaired)
            for name, rows in log.counts.items()
        ),
        reasons=_tallies(log.reasons),
        repairs=_tallies(log.repairs),
        warnings=_tallies(log.warnings),
        images=tuple((name, formats.count(number)) for name, number in statuses.items() if number),
        unusable_images=tuple((what.replace("_", " "), formats.count(n)) for what, n in unusable_by_reason.iter_rows()),
        unusable_image_count=unusable.height,
        findings=tuple(_finding(row) for row in night.table(LEAK_AUDIT, "findings").to_dicts()),
        docs_link=f"{data_docs_folder(night.ctx.run_date.isoformat())}/index.html",
    )


def _tallies(counts: dict[str, dict[str, int]]) -> tuple[Tally, ...]:
    """Return the non-zero counts of all tables, the largest first."""
    rows = [(-n, table, what) for table, by_name in counts.items() for what, n in by_name.items() if n]
    return tuple(Tally(table, what.replace("_", " "), formats.count(-n)) for n, table, what in sorted(rows))


def _finding(row: dict[str, Any]) -> Finding:
    return Finding(
        check=row["check"],
        meaning=CHECKS.get(row["check"], row["check"].replace("_", " ")),
        status=row["status"],
        violations=formats.count(row["violation_count"]),
        detail=row["detail"] or "",
    )
