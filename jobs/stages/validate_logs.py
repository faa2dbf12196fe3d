"""Stage `validate_logs`: read every table tolerantly, judge every row, keep the good, quarantine the bad.

The rules are the suites in great_expectations/; the columns they need from other rows and tables come from
sql/validate_*.sql. A row is clean or quarantined, never both, never neither: the stage counts. If too many rows of
a table are bad, or a critical rule is broken, nothing is committed and the evidence is kept in the lake's store.
Visitor ids become keyed pseudonyms while the files are read; nothing written here holds a raw one.
"""

from __future__ import annotations

import json
import logging
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from jobs.adapters.spark_session import loading_meanwhile, spark_session
from jobs.adapters.spark_tables import ROWS_PER_FILE, write_parts, write_spark
from jobs.config.params.ingest import ValidateLogsParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.clean import VALIDATED, ValidatedFacts
from jobs.errors import GateFailed, NightlensError
from jobs.housekeeping.forget_visitor import forgotten
from jobs.ingest import Source, find_source, last_plausible_day
from jobs.ingest.dataset_file import NAME
from jobs.ingest.layout import LAYOUT
from jobs.ingest.log_end import count_days, log_end
from jobs.ingest.rows import pseudonym
from jobs.lake.manifest import fingerprint
from jobs.lake.staged_run import StagedRun

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.ingest.row_validation import ValidatedTable

log = logging.getLogger("nightlens.progress")

_TIMES = {
    "photos": "photo_submitted_at",
    "conversions": "converted_at",
    "collections": "photo_collected_at",
    "impressions": "shown_at",
}
_NAMES_IT = f". If it is one of the site's own, name it in {NAME} beside the tables."
_ADVICE = dict.fromkeys(("unknown_conversion_type", "unknown_device_type", "unknown_ordering"), _NAMES_IT)
_LOGS = ("conversions", "impressions")


def choose(ctx: RunContext, params: ValidateLogsParams, inputs: Inputs) -> Chosen:
    """Find the log's files, and the visitors whose rows are left out."""
    source, left_out = find_source(ctx.dataset_uri, params.conversions_folder), forgotten(ctx.lake)
    digests = source.digests | {"pseudonym_key": pseudonym("", _key(ctx))}
    digests |= {"forgotten": fingerprint({"visitors": left_out})} if left_out else {}
    return Chosen(sources=digests, found=(source, left_out))


def run(
    ctx: RunContext,
    params: ValidateLogsParams,
    inputs: Inputs,
    staged: StagedRun,
    found: tuple[Source, list[str]],
) -> ValidatedFacts:
    """Validate the data set; `GateFailed` says which table failed by how much, and where the evidence is."""
    source, left_out = found
    last_days = _last_days(source)
    tables: list[ValidatedTable] = []
    with loading_meanwhile("jobs.ingest.row_validation"), spark_session(ctx.settings, "validate_logs") as spark:
        from jobs.adapters.expectations import Inspector
        from jobs.ingest.row_validation import Judge, photo_lookup

        judge = Judge(
            spark,
            Inspector(f"{ctx.catalogue} {ctx.run_date}", ctx.as_of),
            source,
            _key(ctx),
            params.bot_conversions_per_minute,
            {
                "min_good_share": 1 - params.max_bad_share,
                "min_critical_share": 1 - params.max_critical_share,
                "min_photo_share": 1 - params.max_without_photo_share,
            },
            left_out,
        )
        try:
            tables.append(judge.judge("photos", _data_end("photos", last_days)))
            _check_limits(ctx, staged, params, tables)  # all else refers to photos
            for table in LAYOUT:
                if table != "photos":
                    tables.append(judge.judge(table, _data_end(table, last_days), photo_lookup(tables[0])))
            _check_limits(ctx, staged, params, tables)
            _write(staged, tables)
        finally:
            for judged in tables:
                judged.frame.unpersist()
    for name, data in _documents(ctx, tables).items():
        staged.write_file(name, data)
    return _facts(source, tables, last_days)


def _key(ctx: RunContext) -> bytes:
    return ctx.settings.pseudonym_key.get_secret_value().encode()


def _last_days(source: Source) -> dict[str, date]:
    """Return the last plausible day of every table that has times."""
    counts = {table: count_days(source.parts(table), *_time_names(table)) for table in _TIMES}
    return {table: last_plausible_day(days) for table, days in counts.items() if days}


def _time_names(table: str) -> tuple[str, ...]:
    return next(column.names for column in LAYOUT[table].columns if column.name == _TIMES[table])


def _data_end(table: str, last_days: dict[str, date]) -> date:
    """Return the first day at which a row of `table` is from the future.

    Conversions and impressions end with their own log. Photos and memberships may come from a later dump than the
    log, not from an earlier one: they end with whatever ends last.
    """
    if table in _LOGS and table in last_days:
        return log_end([last_days[table]])
    return log_end(last_days.values() or [date.max.replace(year=9998)])


def _check_limits(ctx: RunContext, staged: StagedRun, params: ValidateLogsParams, tables: list[ValidatedTable]) -> None:
    """Raise `GateFailed` and keep the evidence if a table has too many bad rows or breaks a critical rule."""
    failed = [t for t in tables if t.bad_share > params.max_bad_share or t.verdict.broken]
    if not failed:
        return
    store = ctx.lake.store("rejected", staged.run_id)
    store.clear()
    for name, data in _documents(ctx, tables).items():
        store.put(name, data)
    rows = ctx.lake.store("rejected", staged.run_id, "quarantine")
    write_parts(_union([judged.quarantine for judged in failed]).drop("unit"), ctx.lake, rows.folder)
    advice = [_about_photos(ctx, judged) for judged in failed if _lacks_photos(judged)]
    raise GateFailed(
        "too_many_bad_rows",
        f"{' '.join(_complaint(judged, params) for judged in failed)} Nothing was committed. {' '.join(advice[:1])}"
        f"`nightlens quarantine` shows the bad rows; they, validation.json and Data Docs are in "
        f'{ctx.lake.uri(store.folder)}. Mend the data, raise the limit (`make nightly LIMITS="--max-bad-share 0.1"`; '
        f"also --max-critical-share, --max-without-photo-share), or change the rules "
        f"(great_expectations/{failed[0].table}.json).",
        tables=[judged.table for judged in failed],
    )


def _complaint(judged: ValidatedTable, params: ValidateLogsParams) -> str:
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


def _lacks_photos(judged: ValidatedTable) -> bool:
    return any(rule.reason == "unknown_photo_id" for rule in judged.verdict.broken)


def _about_photos(ctx: RunContext, judged: ValidatedTable) -> str:
    """Say whether the photos that a table names and the table of photos lacks were there on an earlier night."""
    missing = {row[0] for row in judged.frame.where("NOT photo_is_known").select("photo_id").distinct().collect()}
    history = ctx.lake.history(VALIDATED)
    text = f"The rows of {judged.table} name {len(missing):,} photos that the table of photos lacks. "
    if not history:
        return (
            f"{text}If the site removed them, raise --max-without-photo-share; else a part of that table is missing. "
        )
    earlier = ctx.lake.read_table(history[-1], "photos", ["photo_id"])["photo_id"]
    gone = len(missing.intersection(earlier.to_list()))
    return (
        f"{text}{gone:,} of them were there on the night of {history[-1].partition['run_date']}: if the site removed "
        f"them, raise --max-without-photo-share; else a part of the table of photos is missing. The others never "
        f"were: their ids are wrong. "
    )


def _write(staged: StagedRun, tables: list[ValidatedTable]) -> None:
    """Write the clean tables, the quarantine and the repairs."""
    for judged in tables:
        _write_table(staged, judged.table, judged.clean, judged.counts.clean, ["source_file", "source_line"])
        log.info("%s: %s", judged.table, ", ".join(f"{n:,} {kind}" for kind, n in judged.counts))
        for rule, samples in zip(judged.verdict.rules, judged.samples, strict=True):
            if rule.severity == "warn" and not rule.is_met:
                row = f"{judged.table}: {rule.reason} in {rule.failed_count:,} rows, which are used; first {samples[0]}"
                log.warning("%s%s", row, _ADVICE.get(rule.reason, ""))
    order = ["table", "source_file", "source_line"]
    bad = [judged.quarantine for judged in tables if judged.counts.quarantined] or [tables[0].quarantine]
    _write_table(staged, "quarantine", _union(bad), sum(t.counts.quarantined for t in tables), order)
    repaired = [judged.repaired for judged in tables if judged.repairs] or [tables[0].repaired]
    repair_count = sum(sum(judged.repairs.values()) for judged in tables)
    _write_table(staged, "repairs", _union(repaired), repair_count, [*order, "repair", "column"])


def _union(frames: list[DataFrame]) -> DataFrame:
    return reduce(lambda one, other: one.union(other), frames)


def _write_table(staged: StagedRun, table: str, frame: DataFrame, row_count: int, order: list[str]) -> None:
    """Write rows as the same bytes whatever order they come in, and check that they are as many as were judged.

    The number of files depends on `row_count` only, and the file of a row on the part of the input it came from.
    """
    from pyspark.sql import Observation
    from pyspark.sql import functions as F  # noqa: N812

    names = VALIDATED.table(table).schema.names
    ordered = frame.repartition(1 + row_count // ROWS_PER_FILE, "unit").sortWithinPartitions(*order).select(*names)
    written = Observation()
    observed = ordered.observe(written, F.count("*").alias("rows"))
    write_spark(observed, staged, table)
    if written.get["rows"] != row_count:
        raise NightlensError(
            "row_counts_differ",
            f"{table}: {written.get['rows']} rows written, {row_count} judged; nothing is committed",
            table=table,
        )


def _documents(ctx: RunContext, tables: list[ValidatedTable]) -> dict[str, bytes]:
    """Return validation.json and the Data Docs pages by name."""
    from jobs.adapters.expectations import render_index, render_page

    summary = {judged.table: judged.as_json() for judged in tables}
    title = f"Data quality of {ctx.catalogue}, {ctx.run_date}"
    counts = {judged.table: judged.counts.as_json() for judged in tables}
    index = render_index([judged.verdict for judged in tables], counts, title)
    pages = {f"data_docs/{judged.table}.html": render_page(judged.verdict, judged.values).encode() for judged in tables}
    text = json.dumps(
        {"run_date": ctx.run_date.isoformat(), "tables": summary}, indent=1, sort_keys=True, ensure_ascii=False
    )
    return {"validation.json": text.encode(), "data_docs/index.html": index.encode(), **pages}


def _facts(source: Source, tables: list[ValidatedTable], last_days: dict[str, date]) -> ValidatedFacts:
    return ValidatedFacts(
        dataset_version=source.version,
        part_files={table: [part.name for part in source.parts(table)] for table in LAYOUT},
        missing_columns={table: source.missing_columns(table) for table in LAYOUT},
        last_days=last_days,
        counts={judged.table: judged.counts for judged in tables},
        bad_share={judged.table: round(judged.bad_share, 6) for judged in tables},
        reasons={judged.table: judged.reasons for judged in tables},
        repairs={judged.table: judged.repairs for judged in tables},
        warnings={
            judged.table: {rule.reason: rule.failed_count for rule in judged.verdict.rules if not rule.is_met}
            for judged in tables
        },
        data_docs="data_docs/index.html",
    )
