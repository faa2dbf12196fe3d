"""Stage `compare_retraining`: whether incremental training keeps up with full retraining, night after night.

Of every night it wants two variants of `train_variant`: `as_trained`, the night's own full arm, which went on from the
night before, and the full arm trained from the base. Both rank the same test queries. Test windows of consecutive
nights overlap, so the last row resamples visitors with all their queries of all nights together.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.ablation import CompareRetrainingParams
from jobs.config.params.arms import AS_TRAINED, FULL
from jobs.context import RunContext
from jobs.datasets.features import SPLITS
from jobs.datasets.models import VARIANT
from jobs.datasets.reports import RETRAINING
from jobs.errors import BadInput
from jobs.evaluation.ranking_task import Task, read_task
from jobs.lake.manifest import Manifest
from models.evaluation.metrics import columns
from models.evaluation.scorecard import Scorecard

METRIC = ("hit_rate", 10)
ALL_NIGHTS = "all"
WAYS = {"incremental": AS_TRAINED, "full": FULL}


def run(ctx: RunContext, params: CompareRetrainingParams) -> Manifest:
    """Commit the table of nights and retraining.md; errors name the night and what it lacks."""
    dates = [ctx.run_date - timedelta(days=back) for back in reversed(range(params.nights))]
    nights = [ctx.model_copy(update={"run_date": day}) for day in dates]
    runs = {
        (night.run_date.isoformat(), way): night.read(VARIANT, variant=variant, repeat="0")
        for night in nights
        for way, variant in WAYS.items()
    }
    splits = {night.run_date.isoformat(): night.read(SPLITS) for night in nights}
    inputs = {f"splits {day}": manifest for day, manifest in splits.items()}
    inputs |= {f"{way} {day}": manifest for (day, way), manifest in runs.items()}
    staged = ctx.begin(RETRAINING, params, inputs)
    if staged.manifest is not None:
        return staged.manifest
    _check(splits, runs)
    ranked = [_Night.read(ctx, day, splits[day], runs) for day in splits]
    table = _table(ctx, params, ranked)
    staged.write_table("nights", table)
    text = markdown(table, f"{ctx.catalogue}, {params.nights} nights to {ctx.run_date}")
    staged.write_file("retraining.md", text.encode())
    manifest = staged.commit({"nights": [night.day for night in ranked]})
    target = ctx.settings.report_dir / ctx.catalogue / f"{ctx.run_date}-retraining.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return manifest


class _Night:
    """One night: its queries, the ranks both ways, and what the trainings took."""

    def __init__(self, day: str, task: Task, ranks: dict[str, Any], facts: dict[str, dict[str, Any]]) -> None:
        self.day, self.task, self.ranks, self.facts = day, task, ranks, facts

    @classmethod
    def read(cls, ctx: RunContext, day: str, splits: Manifest, runs: dict[tuple[str, str], Manifest]) -> _Night:
        frames = {way: ctx.lake.read_table(runs[day, way], "ranks").sort("query_id") for way in WAYS}
        task = read_task(ctx.lake, splits)
        ranks = {way: frame["rank"].to_numpy() for way, frame in frames.items()}
        return cls(day, task, ranks, {way: runs[day, way].facts for way in WAYS})


def _check(splits: dict[str, Manifest], runs: dict[tuple[str, str], Manifest]) -> None:
    """Raise `BadInput` for runs of other splits, and for a night that did not go on from the one before."""
    for (day, _), manifest in runs.items():
        if manifest.input_runs["splits"] != splits[day].reference:
            raise BadInput(
                "splits_differ",
                f"{manifest.reference} ranked other splits than {splits[day].reference}: run it again",
                runs=[manifest.reference],
            )
    for (day, way), manifest in runs.items():
        if way == "incremental" and manifest.facts["warm_started_from"] is None:
            raise BadInput(
                "not_incremental",
                f"the model of {day} was trained in full: run its night with --retrain incremental",
                run_date=day,
            )


def _table(ctx: RunContext, params: CompareRetrainingParams, nights: list[_Night]) -> pl.DataFrame:
    visitors = [night.task.queries["visitor_id"].to_numpy() for night in nights]
    rows = [
        _row(ctx, params, night.day, night.ranks, own, [night.facts])
        for night, own in zip(nights, visitors, strict=True)
    ]
    every_rank = {way: np.concatenate([night.ranks[way] for night in nights]) for way in WAYS}
    facts = [night.facts for night in nights]
    rows.append(_row(ctx, params, ALL_NIGHTS, every_rank, np.concatenate(visitors), facts))
    return pl.DataFrame(rows, schema=RETRAINING.table("nights").schema.names, orient="row")


def _row(
    ctx: RunContext,
    params: CompareRetrainingParams,
    name: str,
    ranks: dict[str, Any],
    visitors: Any,
    facts: list[dict[str, dict[str, Any]]],
) -> tuple[Any, ...]:
    seed = [ctx.seed, zlib.crc32(f"retraining {name}".encode())]
    clusters = np.unique(visitors.astype(str), return_inverse=True)[1]
    card = Scorecard.of(ranks, clusters, params.resample_count, seed)
    difference, column = card.difference("incremental", "full"), columns().index(METRIC)
    found = [float(part[column]) for part in (difference.value, difference.low, difference.high, difference.p_value)]
    sums = [sum(night[way][what] for night in facts) for what in ("pairs_seen", "seconds") for way in WAYS]
    return (name, card.query_count, *(card.value(way, *METRIC) for way in WAYS), *found, *sums)


def markdown(table: pl.DataFrame, title: str) -> str:
    """Return the table as people read it."""
    return "\n".join([f"# Incremental against full training: {title}", "", *_lines(table)]) + "\n"


def _lines(table: pl.DataFrame) -> Iterator[str]:
    yield (
        "Hit rate@10 of the full arm on each night's test searches: gone on from the night before, and trained from "
        "the base. Intervals: 95 %, paired bootstrap over visitors; p is two-sided and of one night alone."
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
