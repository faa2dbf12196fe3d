"""Stage `validate_logs`: read every table tolerantly, judge every row, keep the good, quarantine the bad.

The rules are the suites in great_expectations/; the columns they need from other rows and tables come from
sql/validate_*.sql. A row is clean or quarantined, never both, never neither: the stage counts. If too many rows of
a table are bad, or a critical rule is broken, nothing is committed and the evidence is kept in the lake's store.
Visitor ids become keyed pseudonyms while the files are read; nothing written here holds a raw one.
"""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING

from jobs.adapters.spark_session import loading_meanwhile, spark_session
from jobs.adapters.spark_tables import ROWS_PER_FILE, write_spark
from jobs.config.params.ingest import ValidateLogsParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.clean import VALIDATED, ValidatedFacts
from jobs.errors import NightlensError
from jobs.ingest import Source, find_source
from jobs.ingest.dataset_file import NAME
from jobs.ingest.forgotten import forgotten
from jobs.ingest.layout import LAYOUT
from jobs.ingest.log_end import data_end, last_days
from jobs.ingest.row_limits import check_limits, documents, min_shares, union
from jobs.ingest.rows import pseudonym
from jobs.lake.manifest import fingerprint
from jobs.lake.staged_run import StagedRun

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.ingest.row_validation import ValidatedTable

log = logging.getLogger("nightlens.progress")

_NAMES_IT = f". If it is one of the site's own, name it in {NAME} beside the tables."
_ADVICE = dict.fromkeys(("unknown_conversion_type", "unknown_device_type", "unknown_ordering"), _NAMES_IT)


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
    ends = last_days(source)
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
            min_shares(params),
            left_out,
        )
        try:
            tables.append(judge.judge("photos", data_end("photos", ends)))
            check_limits(ctx.lake, ctx.run_date, staged.run_id, params, tables)  # all else refers to photos
            for table in LAYOUT:
                if table != "photos":
                    tables.append(judge.judge(table, data_end(table, ends), photo_lookup(tables[0])))
            check_limits(ctx.lake, ctx.run_date, staged.run_id, params, tables)
            _write(staged, tables)
        finally:
            for judged in tables:
                judged.frame.unpersist()
    for name, data in documents(ctx.catalogue, ctx.run_date, tables).items():
        staged.write_file(name, data)
    return _facts(source, tables, ends)


def _key(ctx: RunContext) -> bytes:
    return ctx.settings.pseudonym_key.get_secret_value().encode()


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
    _write_table(staged, "quarantine", union(bad), sum(t.counts.quarantined for t in tables), order)
    repaired = [judged.repaired for judged in tables if judged.repairs] or [tables[0].repaired]
    repair_count = sum(sum(judged.repairs.values()) for judged in tables)
    _write_table(staged, "repairs", union(repaired), repair_count, [*order, "repair", "column"])


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


def _facts(source: Source, tables: list[ValidatedTable], ends: dict[str, date]) -> ValidatedFacts:
    return ValidatedFacts(
        dataset_version=source.version,
        part_files={table: [part.name for part in source.parts(table)] for table in LAYOUT},
        missing_columns={table: source.missing_columns(table) for table in LAYOUT},
        last_days=ends,
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
