"""Stage `audit_leaks`: prove, every night anew, that nothing of the future is in training.

Everything the splits hold, their windows and facts included, and what was shown in the training window, is derived a
second time from the validated tables, the run date and the parameters, with queries of its own, and compared: every row
and every declared column. What training may read: the train rows, the pairs that were shown, and of the photos with
`is_in_train` description and keywords. Neither keywords nor
descriptions carry dates; they count as known since their photo was submitted. Totals of the dump (views, downloads) are
never known. The validated tables themselves are compared with those of the last night, by their sizes.
"""

from __future__ import annotations

import logging
from datetime import date, datetime

import polars as pl

from jobs.adapters.query_engine import QueryEngine, query_engine
from jobs.auditing.facts import corpus_end, derive_facts, derive_windows, false_facts
from jobs.auditing.sizes import TIMES, Sizes, count_rows, odd_sizes, size_rows
from jobs.auditing.tables import audited, compare, undeclared_columns
from jobs.auditing.violations import Violation, findings
from jobs.config.params.ingest import AuditLeaksParams, SplitTemporalParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.features import LEAK_AUDIT, LeakAuditFacts, SplitsFacts
from jobs.errors import BadInput, GateFailed
from jobs.lake.staged_run import StagedRun

log = logging.getLogger("nightlens")

SIZES = "sizes"
CHECKS = (
    *("windows", "facts", "timestamps", "corpus", "vocabularies", "histories", "statistics", "completeness"),
    SIZES,
)
_LAST_NIGHT = "last_night"
_MAKERS = {"splits": "split_temporal", "impressions": "measure_impressions"}


def choose(ctx: RunContext, params: AuditLeaksParams, inputs: Inputs) -> Chosen:
    """Find the last night before this one whose sizes are known; there is none before the first."""
    history = [
        run
        for run in ctx.lake.history(LEAK_AUDIT)
        if run.partition["run_date"] < ctx.run_date.isoformat() and "sizes" in run.tables
    ]
    return Chosen(inputs={_LAST_NIGHT: history[-1]} if history else {})


def run(ctx: RunContext, params: AuditLeaksParams, inputs: Inputs, staged: StagedRun) -> LeakAuditFacts:
    """Write the findings and sizes if every check passes; else log them all and raise `GateFailed`."""
    validated, splits = inputs["validated"], inputs["splits"]
    for made, of in (("splits", "validated"), ("impressions", "splits")):
        if inputs[made].identity["inputs"][of] != inputs[of].digest:  # a run of the same content will do
            raise BadInput(
                "inputs_outdated",
                f"{inputs[made].reference} was made from {inputs[made].input_runs[of]}, but {of} is now "
                f"{inputs[of].reference}. Run {_MAKERS[made]} again.",
                run=inputs[made].reference,
            )
    last_night = inputs.get(_LAST_NIGHT)
    last_day = date.fromisoformat(last_night.partition["run_date"]) if last_night else None
    last_end = ctx.as_of - (ctx.run_date - last_day) if last_day else ctx.as_of
    photo_count = validated.row_counts["photos"]
    with query_engine(ctx.settings, "audit_leaks", sum(validated.row_counts[name] for name in TIMES)) as engine:
        violations, sizes = _compare(engine, ctx, inputs, last_end)
    if last_night is not None:
        violations += odd_sizes(
            sizes,
            ctx.lake.read_table(last_night, "sizes"),
            (photo_count, LeakAuditFacts.of(last_night).photo_count),
            (ctx.as_of, last_end),
            params.max_size_ratio,
        )
    compared = f"compared with the night of {last_day}" if last_day else "a first night: nothing to compare with"
    table = pl.DataFrame(findings(CHECKS, violations, {"sizes": compared}))
    _judge(table, params, splits.reference)
    staged.write_table("findings", table)
    staged.write_table("sizes", size_rows(sizes))
    return LeakAuditFacts(check_count=table.height, violation_count=0, photo_count=photo_count, compared_with=last_day)


def _compare(
    engine: QueryEngine, ctx: RunContext, inputs: Inputs, last_end: datetime
) -> tuple[list[Violation], dict[str, Sizes]]:
    """Return all that is wrong with the splits, and the sizes of the validated tables."""
    validated, splits = inputs["validated"], inputs["splits"]
    params = SplitTemporalParams.model_validate(splits.params)
    views = {name: engine.table(ctx.lake, validated, name) for name in TIMES}
    windows = derive_windows(engine, views, ctx.as_of, params)
    facts = derive_facts(engine, views, validated, params, windows)
    markers = windows.boundaries | {"corpus_end": corpus_end(params, windows)}
    violations = [
        *false_facts(SplitsFacts.of(splits), facts),
        *undeclared_columns(splits),
        *compare(engine, audited(engine, ctx.lake, inputs, views, markers)),
    ]
    return violations, count_rows(engine, views, ctx.as_of, last_end)


def _judge(table: pl.DataFrame, params: AuditLeaksParams, splits: str) -> None:
    """Log the findings; `GateFailed` if a check failed."""
    for finding in table.to_dicts():
        log.info("audit %(check)s: %(status)s, %(violation_count)d violations. %(detail)s", finding)
    failed = table.filter(pl.col("status") == "failed")
    if failed.is_empty():
        return
    faults = "; ".join(f"{row['check']} ({row['violation_count']}: {row['detail']})" for row in failed.to_dicts())
    told = f"{failed.height} of {table.height} checks failed on {splits}: {faults}. Nothing may be trained on it."
    if failed["check"].to_list() == [SIZES]:
        raise GateFailed(
            "odd_table_size",
            f"{told} The data set is not what it was the last night: look at its files. If that is meant, allow it "
            f'with a ratio above {params.max_size_ratio:g}: `make nightly LIMITS="--max-size-ratio 10"`.',
            checks=[SIZES],
        )
    raise GateFailed(
        "leak_found",
        f"{told} Run split_temporal again; if the audit still fails, its queries in sql/ are at fault.",
        checks=failed["check"].to_list(),
    )
