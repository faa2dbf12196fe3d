"""The state of the data: what was read, what was kept, what was set aside and why, images, and the leak audit."""

from __future__ import annotations

from typing import Any

from jobs.datasets.clean import ImagesFacts, ValidatedFacts
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.datasets.features import LEAK_AUDIT
from jobs.report.inputs import Night


def data_docs_folder(run_date: str) -> str:
    """Return the name of the folder, beside the published report, that holds the night's Data Docs."""
    return f"{run_date}-data-docs"


def quality(night: Night) -> dict[str, Any]:
    """Return the state of the data from the facts of validation and images, and from the photos that failed."""
    log = night.facts(ValidatedFacts)
    unusable = night.table(PHOTO_EMBEDDINGS, "quarantine").unique("photo_id", keep="first", maintain_order=True)
    return {
        "log": log,
        "read_count": sum(rows.input for rows in log.counts.values()),
        "quarantined_count": sum(rows.quarantined for rows in log.counts.values()),
        "reasons": _tallies(log.reasons),
        "repairs": _tallies(log.repairs),
        "warnings": _tallies(log.warnings),
        "images": night.facts(ImagesFacts),
        "unusable_images": unusable.group_by("reason").len().sort("len", "reason", descending=[True, False]).rows(),
        "unusable_image_count": unusable.height,
        "findings": night.table(LEAK_AUDIT, "findings").to_dicts(),
        "docs_link": f"{data_docs_folder(night.ctx.run_date.isoformat())}/index.html",
    }


def _tallies(counts: dict[str, dict[str, int]]) -> list[tuple[int, str, str]]:
    """Return the non-zero counts of all tables with table and name, the largest first; a row may have several."""
    rows = [(n, table, name) for table, by_name in counts.items() for name, n in by_name.items() if n]
    return sorted(rows, key=lambda row: (-row[0], *row[1:]))
