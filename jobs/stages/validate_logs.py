"""Stage `validate_logs`: read what is new of every table, judge every row, keep the good, quarantine the bad.

The rules are the suites in great_expectations/; what they need from other rows and tables comes from sql/judge_*.sql.
A stretch of a file that an earlier night read is not read again (`jobs.ingest.kept_rows`). A row is clean or
quarantined, never both, never neither: the stage counts. If too many rows of a table are bad, or a critical rule is
broken, nothing is committed and the evidence is kept in the lake's store. Visitor ids become keyed pseudonyms while the
files are read; nothing written here holds a raw one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from jobs.adapters.query_engine import query_engine
from jobs.config.params.ingest import ValidateLogsParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.clean import VALIDATED, ValidatedFacts
from jobs.errors import LostWork
from jobs.ingest import Source, find_source
from jobs.ingest.dataset_file import NAME
from jobs.ingest.forgotten import forgotten
from jobs.ingest.layout import LAYOUT
from jobs.ingest.row_limits import check_limits, documents, min_shares
from jobs.ingest.rows import pseudonym
from jobs.lake.manifest import Manifest, fingerprint
from jobs.lake.staged_run import StagedRun
from jobs.runtime.code_version import stage_version

if TYPE_CHECKING:
    from jobs.ingest.judged_table import JudgedTable
    from jobs.ingest.judging import Judge

log = logging.getLogger("nightlens.progress")

_NAMES_IT = f". If it is one of the site's own, name it in {NAME} beside the tables."
_ADVICE = dict.fromkeys(("unknown_conversion_type", "unknown_device_type", "unknown_ordering"), _NAMES_IT)


@dataclass(frozen=True)
class Log:
    """What was found: the log's files, the visitors whose rows are left out, and the night before, if there was one."""

    source: Source
    left_out: list[str]
    before: Manifest | None
    known: frozenset[str]  # digests of the units that it had


def choose(ctx: RunContext, params: ValidateLogsParams, inputs: Inputs) -> Chosen:
    """Find the log's files, the visitors whose rows are left out, and what the night before had read of the files."""
    source, left_out = find_source(ctx.dataset_uri, params.conversions_folder), forgotten(ctx.lake)
    earlier = [
        run
        for run in ctx.lake.history(VALIDATED)
        if run.partition["run_date"] < ctx.run_date.isoformat() and "units" in run.tables
    ]
    before = earlier[-1] if earlier else None
    known = frozenset(ctx.lake.read_table(before, "units", ["sha256"])["sha256"]) if before else frozenset()
    digests = source.digests | {"pseudonym_key": pseudonym("", _key(ctx))}
    digests |= {"forgotten": fingerprint({"visitors": left_out})} if left_out else {}
    digests |= {"known": fingerprint({"units": sorted(known)})} if known else {}
    return Chosen(sources=digests, found=Log(source, left_out, before, known))


def run(ctx: RunContext, params: ValidateLogsParams, inputs: Inputs, staged: StagedRun, found: Log) -> ValidatedFacts:
    """Validate the data set; `GateFailed` says which table failed by how much, and where the evidence is."""
    from jobs.adapters.expectations import Inspector
    from jobs.ingest.judging import Judge

    tables: list[JudgedTable] = []
    with query_engine(ctx.settings, "validate_logs", found.source.row_count) as engine:
        judge = Judge(
            engine=engine,
            lake=ctx.lake,
            inspector=Inspector(f"{ctx.catalogue} {ctx.run_date}", ctx.as_of),
            source=found.source,
            key=_key(ctx),
            burst_limit=params.bot_conversions_per_minute,
            min_shares=min_shares(params),
            version=stage_version("jobs.ingest.settled_units"),
            forgotten=found.left_out,
            known=found.known,
        )
        _say_what_changed(judge, found.before)
        tables.append(judge.judge("photos"))
        check_limits(ctx.lake, ctx.run_date, staged.run_id, params, tables)  # all else refers to photos
        photos = judge.known_photos(tables[0])
        tables += [judge.judge(table, photos) for table in LAYOUT if table != "photos"]
        check_limits(ctx.lake, ctx.run_date, staged.run_id, params, tables)
    if forgotten(ctx.lake) != found.left_out:
        judge.forget_what_was_read()
        raise LostWork(
            "forgotten_meanwhile", "a visitor was forgotten while the log was read: run the same command again"
        )
    _write(staged, tables)
    for name, data in documents(ctx.catalogue, ctx.run_date, tables).items():
        staged.write_file(name, data)
    return _facts(judge, tables)


def _say_what_changed(judge: Judge, before: Manifest | None) -> None:
    """Say so if kept rows cannot be taken over, and why."""
    read_by = {} if before is None else before.facts["read_by"]
    changed = [name for name, digest in judge.read_by.items() if read_by.get(name, digest) != digest]
    if before is not None and changed:
        night = before.partition["run_date"]
        log.info("%s changed since the night of %s: every row is read again", " and ".join(changed), night)


def _key(ctx: RunContext) -> bytes:
    return ctx.settings.pseudonym_key.get_secret_value().encode()


def _write(staged: StagedRun, tables: list[JudgedTable]) -> None:
    """Let the run consist of the units' files, and say what was found."""
    for judged in tables:
        staged.link_parts(judged.table, judged.files[judged.table])
        log.info("%s: %s", judged.table, ", ".join(f"{n:,} {kind}" for kind, n in judged.counts))
        for rule, samples in zip(judged.verdict.rules, judged.samples, strict=True):
            if rule.severity == "warn" and not rule.is_met:
                row = f"{judged.table}: {rule.reason} in {rule.failed_count:,} rows, which are used; first {samples[0]}"
                log.warning("%s%s", row, _ADVICE.get(rule.reason, ""))
    for name in ("quarantine", "repairs"):
        staged.link_parts(name, [info for judged in tables for info in judged.files[name]])
    units = [
        (
            judged.table,
            one.unit.part.name,
            one.unit.first_line,
            one.facts.row_count,
            one.unit.sha256,
            one.name,
            one.is_new,
        )
        for judged in tables
        for one in judged.units
    ]
    staged.write_table("units", pl.DataFrame(units, VALIDATED.table("units").schema.names, orient="row"))


def _facts(judge: Judge, tables: list[JudgedTable]) -> ValidatedFacts:
    source = judge.source
    return ValidatedFacts(
        dataset_version=source.version,
        part_files={table: [part.name for part in source.parts(table)] for table in LAYOUT},
        missing_columns={table: source.missing_columns(table) for table in LAYOUT},
        last_days=judge.last_days,
        read_by=judge.read_by,
        counts={judged.table: judged.counts for judged in tables},
        new_rows={judged.table: judged.new_row_count for judged in tables},
        bad_share={judged.table: round(judged.bad_share, 6) for judged in tables},
        reasons={judged.table: judged.reasons for judged in tables},
        repairs={judged.table: judged.repairs for judged in tables},
        warnings={
            judged.table: {rule.reason: rule.failed_count for rule in judged.verdict.rules if not rule.is_met}
            for judged in tables
        },
        data_docs="data_docs/index.html",
    )
