"""Stage `compare_backtest`: what refitting on the days held back is worth, day by day and on all days together.

Of every day it wants the ranks of `rank_next_day`. Consecutive days share no search, so all days together are taken as
they are; a visitor who comes on several days is one cluster. Every tower was trained once: the intervals speak of other
searches, not of other seeds.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from jobs.config.params.ablation import CompareBacktestParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.backtest import HELD_BACK, NEXT_DAY, REFITTED, RERANKER_REFITTED, BacktestFacts, NextDayFacts
from jobs.datasets.features import SPLITS
from jobs.errors import BadInput
from jobs.evaluation.backtest import is_better, markdown, tables
from jobs.evaluation.ranking_task import read_task
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun

TEXT_FILE = "backtest.md"


def choose(ctx: RunContext, params: CompareBacktestParams, inputs: Inputs) -> Chosen:
    """Read the runs of every day; errors name the day and what it lacks."""
    found: Inputs = {}
    for day in _days(ctx, params):
        night = ctx.model_copy(update={"run_date": day})
        found |= {f"ranks {day}": night.read(NEXT_DAY), f"splits {day}": night.read(SPLITS)}
    return Chosen(found)


def run(ctx: RunContext, params: CompareBacktestParams, inputs: Inputs, staged: StagedRun) -> BacktestFacts:
    """Write the tables and backtest.md."""
    days = _days(ctx, params)
    facts = [NextDayFacts.of(inputs[f"ranks {day}"]) for day in days]
    _check(days, facts)
    rates, differences = tables([_searches(ctx, day, inputs) for day in days])
    staged.write_table("rates", rates)
    staged.write_table("differences", differences)
    text = markdown(rates, differences, facts, f"{ctx.catalogue}, {params.nights} days to {ctx.run_date}")
    staged.write_file(TEXT_FILE, text.encode())
    return BacktestFacts(
        days=tuple(days),
        is_refitting_better=is_better(differences, REFITTED, HELD_BACK),
        is_reranker_better=is_better(differences, RERANKER_REFITTED, HELD_BACK),
    )


def publish(ctx: RunContext, params: CompareBacktestParams, inputs: Inputs, manifest: Manifest) -> None:
    """Copy backtest.md beside the reports."""
    target = ctx.settings.report_dir / ctx.catalogue / f"{ctx.run_date}-{TEXT_FILE}"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(ctx.lake.read_file(manifest, TEXT_FILE))


def _days(ctx: RunContext, params: CompareBacktestParams) -> list[date]:
    return [ctx.run_date - timedelta(days=back) for back in reversed(range(params.nights))]


def _searches(ctx: RunContext, day: date, inputs: Inputs) -> pl.DataFrame:
    """Return a day's searches with the ranks by arm; `BadInput` if these are of other splits."""
    run, splits = inputs[f"ranks {day}"], inputs[f"splits {day}"]
    if run.input_runs["splits"] != splits.reference:
        raise BadInput(
            "splits_differ",
            f"{run.reference} ranked other splits than {splits.reference}: run it again",
            runs=[run.reference],
        )
    asked = read_task(ctx.lake, splits).queries.select(pl.col("query_id").cast(pl.Int64), "visitor_id", "query")
    ranks = ctx.lake.read_table(run, "ranks").pivot("arm", index="query_id", values="rank")
    searches = asked.join(ranks, on="query_id").join(ctx.lake.read_table(run, "searches"), on="query_id")
    return searches.with_columns(day=pl.lit(str(day)))


def _check(days: list[date], facts: list[NextDayFacts]) -> None:
    """Raise `BadInput` unless every day held back as many days and validated on as many."""
    if len({(one.held_back_days, one.validation_days) for one in facts}) > 1:
        told = {str(day): (one.held_back_days, one.validation_days) for day, one in zip(days, facts, strict=True)}
        raise BadInput(
            "windows_not_of_a_backtest",
            f"the days differ in how many days were held back and validated on: {told}. Run the whole series with "
            f"one --held-back-days of rank_next_day and one --validation-days of split_temporal (make backtest does).",
            windows=told,
        )
