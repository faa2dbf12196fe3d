"""How many bad rows a table may have. Beyond that nothing of it is used, and the evidence is kept."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

from jobs.config.params.ingest import ValidateLogsParams
from jobs.datasets.clean import VALIDATED
from jobs.errors import GateFailed
from jobs.lake.catalogue import Lake

HOURLY = "refresh_counts"
"""The attempt that is no night's."""

if TYPE_CHECKING:
    from jobs.ingest.judged_table import JudgedTable


_LIMITS = '`make nightly LIMITS="--max-bad-share 0.1"`; also --max-critical-share, --max-without-photo-share'


def min_shares(params: ValidateLogsParams) -> dict[str, float]:
    """Return the limits as the suites know them."""
    return {
        "min_good_share": 1 - params.max_bad_share,
        "min_critical_share": 1 - params.max_critical_share,
        "min_photo_share": 1 - params.max_without_photo_share,
    }


def check_limits(
    lake: Lake, run_date: date, attempt: str, params: ValidateLogsParams, tables: list[JudgedTable]
) -> None:
    """Raise `GateFailed` and keep the evidence if a table has too many bad rows or breaks a critical rule.

    The evidence lies in the lake under the name of the `attempt`.
    """
    failed = [t for t in tables if t.bad_share > params.max_bad_share or t.verdict.broken]
    if not failed:
        return
    store = lake.store("rejected", attempt)
    store.clear()
    for name, data in documents(lake.catalogue, run_date, tables).items():
        store.put(name, data)
    rows = lake.store("rejected", attempt, "quarantine")
    for judged in failed:
        for info in judged.files["quarantine"]:
            rows.put(info.path.rsplit("/", 1)[1], lake.fs.cat_file(f"{lake.root}/{info.path}"))
    advice = [_about_photos(lake, judged) for judged in failed if _lacks_photos(judged)]
    shown, limits = "`nightlens quarantine` shows the bad rows; they", f"raise the limit ({_LIMITS})"
    if attempt == HOURLY:
        shown, limits = "The bad rows", "let the next night raise the limit"
    raise GateFailed(
        "too_many_bad_rows",
        f"{' '.join(_complaint(judged, params) for judged in failed)} Nothing was committed. {' '.join(advice[:1])}"
        f"{shown}, validation.json and Data Docs are in {lake.uri(store.folder)}. Mend the data, {limits}, or "
        f"change the rules (great_expectations/{failed[0].table}.json).",
        tables=[judged.table for judged in failed],
    )


def _complaint(judged: JudgedTable, params: ValidateLogsParams) -> str:
    """Say which limit a table is over, by how much, with the first row of each of the five most frequent reasons."""
    top = sorted(judged.reasons.items(), key=lambda item: (-item[1], item[0]))[:5]
    found = [
        f"{reason} {count:,}" + (f" (first {first})" if (first := judged.first(reason)) else "")
        for reason, count in top
    ]
    limits = [
        f"{rule.reason} {rule.failed_count / max(1, judged.counts.input):.1%}, allowed are {rule.max_share:.1%}"
        for rule in judged.verdict.broken
    ]
    if judged.bad_share > params.max_bad_share:
        besides = ", those without a photo not counted" if judged.counts.without_photo else ""
        limits.insert(0, f"{judged.bad_share:.1%} in all{besides}, allowed are {params.max_bad_share:.1%}")
    return (
        f"{judged.table}: {judged.counts.quarantined:,} of {judged.counts.input:,} rows are bad, over the limit with "
        f"{'; '.join(limits)}. Reasons: {', '.join(found)}."
    )


def _lacks_photos(judged: JudgedTable) -> bool:
    return any(rule.reason == "unknown_photo_id" for rule in judged.verdict.broken)


def _about_photos(lake: Lake, judged: JudgedTable) -> str:
    """Say whether the photos that a table names and the table of photos lacks were there on an earlier night."""
    missing = set(judged.without_photo["photo_id"])
    history = lake.history(VALIDATED)
    text = f"The rows of {judged.table} name {len(missing):,} photos that the table of photos lacks. "
    if not history:
        return (
            f"{text}If the site removed them, raise --max-without-photo-share; else a part of that table is missing. "
        )
    earlier = lake.read_table(history[-1], "photos", ["photo_id"])["photo_id"]
    gone = len(missing.intersection(earlier.to_list()))
    return (
        f"{text}{gone:,} of them were there on the night of {history[-1].partition['run_date']}: if the site removed "
        f"them, raise --max-without-photo-share; else a part of the table of photos is missing. The others never "
        f"were: their ids are wrong. "
    )


def documents(catalogue: str, run_date: date, tables: list[JudgedTable]) -> dict[str, bytes]:
    """Return validation.json and the Data Docs pages by name."""
    from jobs.adapters.expectations import render_index, render_page

    summary = {judged.table: judged.as_json() for judged in tables}
    title = f"Data quality of {catalogue}, {run_date}"
    counts = {judged.table: judged.counts.as_json() | {"new": judged.new_row_count} for judged in tables}
    index = render_index([judged.verdict for judged in tables], counts, title)
    pages = {f"data_docs/{judged.table}.html": render_page(judged.verdict, judged.values).encode() for judged in tables}
    text = json.dumps(
        {"run_date": run_date.isoformat(), "tables": summary}, indent=1, sort_keys=True, ensure_ascii=False
    )
    return {"validation.json": text.encode(), "data_docs/index.html": index.encode(), **pages}
