"""Stage `compare_retraining`: whether incremental training keeps up with full retraining, night after night.

Of every night it wants two variants of `train_variant`: `as_trained`, the night's own full arm, which went on from the
night before, and the full arm trained from the base. Both rank the same test queries. Test windows of consecutive
nights overlap, so the last row takes a visitor's queries of all nights together. Every training was made once: the
intervals speak of other searches, not of other seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.ablation import CompareRetrainingParams
from jobs.config.params.arms import AS_TRAINED, FULL
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.features import SPLITS
from jobs.datasets.models import VARIANT, TrainingFacts, VariantFacts
from jobs.datasets.reports import RETRAINING, RetrainingFacts
from jobs.errors import BadInput
from jobs.evaluation.integers import integers
from jobs.evaluation.ranking_task import Task, read_task
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from models.evaluation.metrics import columns
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters

METRIC = ("hit_rate", 10)
ALL_NIGHTS = "all"
TEXT_FILE = "retraining.md"
WAYS = {"incremental": AS_TRAINED, "full": FULL}


def choose(ctx: RunContext, params: CompareRetrainingParams, inputs: Inputs) -> Chosen:
    """Read the runs of every night; errors name the night and what it lacks."""
    found: Inputs = {}
    for day in _days(ctx, params):
        night = ctx.model_copy(update={"run_date": day})
        found |= {f"{way} {day}": night.read(VARIANT, variant=variant, repeat="0") for way, variant in WAYS.items()}
        found[f"splits {day}"] = night.read(SPLITS)
    return Chosen(found)


def run(ctx: RunContext, params: CompareRetrainingParams, inputs: Inputs, staged: StagedRun) -> RetrainingFacts:
    """Write the table of nights and retraining.md."""
    days = [str(day) for day in _days(ctx, params)]
    _check(days, inputs)
    nights = [_Night.read(ctx, day, inputs) for day in days]
    table = _table(nights)
    staged.write_table("nights", table)
    text = markdown(table, f"{ctx.catalogue}, {params.nights} nights to {ctx.run_date}")
    staged.write_file(TEXT_FILE, text.encode())
    return RetrainingFacts(nights=[night.day for night in nights])


def publish(ctx: RunContext, params: CompareRetrainingParams, inputs: Inputs, manifest: Manifest) -> None:
    """Copy retraining.md beside the reports."""
    target = ctx.settings.report_dir / ctx.catalogue / f"{ctx.run_date}-retraining.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(ctx.lake.read_file(manifest, TEXT_FILE))


def _days(ctx: RunContext, params: CompareRetrainingParams) -> list[date]:
    return [ctx.run_date - timedelta(days=back) for back in reversed(range(params.nights))]


@dataclass(frozen=True)
class _Night:
    """One night: its queries, the ranks both ways, and what the trainings took."""

    day: str
    task: Task
    ranks: dict[str, Any]
    trainings: dict[str, TrainingFacts]

    @classmethod
    def read(cls, ctx: RunContext, day: str, inputs: Inputs) -> _Night:
        """Read a night that was checked."""
        splits, runs = inputs[f"splits {day}"], {way: inputs[f"{way} {day}"] for way in WAYS}
        frames = {way: ctx.lake.read_table(run, "ranks").sort("query_id") for way, run in runs.items()}
        ranks = {way: frame["rank"].to_numpy() for way, frame in frames.items()}
        trainings = {way: VariantFacts.of(run).training for way, run in runs.items()}
        return cls(day, read_task(ctx.lake, splits), ranks, {way: one for way, one in trainings.items() if one})


def _check(days: list[str], inputs: Inputs) -> None:
    """Raise `BadInput` for runs of other splits, and for a night that did not go on from the one before."""
    for day in days:
        splits = inputs[f"splits {day}"]
        for run in (inputs[f"{way} {day}"] for way in WAYS):
            if run.input_runs["splits"] != splits.reference:
                raise BadInput(
                    "splits_differ",
                    f"{run.reference} ranked other splits than {splits.reference}: run it again",
                    runs=[run.reference],
                )
    for day in days:
        if VariantFacts.of(inputs[f"incremental {day}"]).warm_started_from is None:
            raise BadInput(
                "not_incremental",
                f"the model of {day} was trained in full: run its night with --retrain incremental",
                run_date=day,
            )


def _table(nights: list[_Night]) -> pl.DataFrame:
    rows = [_row(night.day, [night]) for night in nights] + [_row(ALL_NIGHTS, nights)]
    return pl.DataFrame(rows, schema=RETRAINING.table("nights").schema.names, orient="row")


def _row(name: str, nights: list[_Night]) -> tuple[Any, ...]:
    ranks = {way: np.concatenate([night.ranks[way] for night in nights]) for way in WAYS}
    asked = pl.concat(night.task.queries.select("visitor_id", "query") for night in nights).with_row_index()
    numbers = asked.select(pl.col("index").min().over(name).alias(name) for name in ("visitor_id", "query"))
    card = Scorecard.of(ranks, Clusters.of(*map(integers, numbers)))
    difference, column = card.difference("incremental", "full"), columns().index(METRIC)
    found = [float(part[column]) for part in (difference.value, difference.low, difference.high, difference.p_value)]
    pairs = [sum(night.trainings[way].pairs_seen for night in nights) for way in WAYS]
    seconds = [sum(night.trainings[way].seconds for night in nights) for way in WAYS]
    return (name, card.query_count, *(card.value(way, *METRIC) for way in WAYS), *found, *pairs, *seconds)


def markdown(table: pl.DataFrame, title: str) -> str:
    """Return the table as people read it."""
    return "\n".join([f"# Incremental against full training: {title}", "", *_lines(table)]) + "\n"


def _lines(table: pl.DataFrame) -> Iterator[str]:
    yield (
        "Hit rate@10 of the full arm on each night's test searches: gone on from the night before, and trained from "
        "the base, once each. Intervals: 95 %, paired, clustered by visitor and by query: they speak "
        "of other searches, not of other seeds; p is two-sided and of one night alone."
    )
    yield ""
    yield "| night | searches | incremental | full | difference | 95 % interval | p | pairs trained | seconds |"
    yield "|---|--:|--:|--:|--:|---|--:|--:|--:|"
    for row in table.iter_rows(named=True):
        yield (
            f"| {row['night']} | {row['query_count']:,} | {row['incremental']:.3f} | {row['full']:.3f} "
            f"| {row['difference']:+.3f} | {row['low']:+.3f} to {row['high']:+.3f} | {row['p_value']:.3f} "
            f"| {row['incremental_pairs']:,} against {row['full_pairs']:,} "
            f"| {row['incremental_seconds']:.0f} against {row['full_seconds']:.0f} |"
        )
