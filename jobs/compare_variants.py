"""Stage `compare_variants`: what each choice is worth, from the ranks of all variants on the same test queries.

A variant's figure is the mean over its repetitions; its interval and its difference to the full arm come from one
paired bootstrap that resamples visitors, so they speak of other visitors, not of other seeds: those are in the
deviation beside them. P-values of the differences are adjusted by Holm's method over the variants, by metric and k.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from jobs import datasets
from jobs.context import RunContext
from jobs.errors import BadInput
from jobs.evaluation.inputs import read_task
from jobs.lake import Manifest
from jobs.params import FULL, ZERO_SHOT, CompareVariantsParams
from models.evaluation.metrics import columns
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Floats, holm

METRIC, CUTOFFS = "hit_rate", (1, 5, 10, 25)
_HEADER = (
    *("variant", "repeats", "@1", "@5", "@10", "95 % interval", "deviation", "@25"),
    *("difference", "95 % interval", "p", "detectable"),
)


def run(ctx: RunContext, params: CompareVariantsParams) -> Manifest:
    """Commit the table of variants and ablation.md; `MissingInput` names the variant that was not trained."""
    if FULL not in params.variants:
        raise BadInput(f"the variants are compared with {FULL}: add it to --variants")
    splits = ctx.read(datasets.SPLITS)
    runs = {variant: _repeats(ctx, variant, params.repeats) for variant in params.variants}
    inputs = {f"{variant} {number}": run for variant, found in runs.items() for number, run in enumerate(found)}
    staged = ctx.begin(datasets.ABLATION, params, {"splits": splits, **inputs})
    if staged.manifest is not None:
        return staged.manifest
    _check_inputs(inputs, splits)
    task = read_task(ctx.lake, splits)
    ranks = {variant: [_ranks(ctx, run, len(task.targets)) for run in found] for variant, found in runs.items()}
    seed = [ctx.seed, zlib.crc32(b"ablation")]
    card = Scorecard.of_repeats(ranks, task.visitors, params.resample_count, seed)
    singles = {variant: [_single(one, task.visitors, seed) for one in several] for variant, several in ranks.items()}
    table = pl.DataFrame(
        list(_rows(card, singles)), schema=datasets.ABLATION.table("variants").schema.names, orient="row"
    )
    staged.write_table("variants", table.cast({"k": pl.Int32}))
    facts = {"reference": FULL, "query_count": card.query_count, "visitor_count": card.cluster_count}
    text = markdown(table, f"{ctx.catalogue}, {ctx.run_date}", facts)
    staged.write_file("ablation.md", text.encode())
    manifest = staged.commit(facts)
    target = ctx.settings.report_dir / ctx.catalogue / f"{ctx.run_date}-ablation.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return manifest


def _repeats(ctx: RunContext, variant: str, count: int) -> list[Manifest]:
    """Return the runs of a variant; that of the zero-shot base has nothing to repeat."""
    numbers = range(1 if variant == ZERO_SHOT else count)
    return [ctx.read(datasets.VARIANT, variant=variant, repeat=str(number)) for number in numbers]


def _check_inputs(runs: dict[str, Manifest], splits: Manifest) -> None:
    others = [name for name, run in runs.items() if run.input_runs["splits"] != splits.reference]
    if others:
        raise BadInput(
            f"trained on other splits than {splits.reference}: {', '.join(others)}. Run train_variant again."
        )


def _ranks(ctx: RunContext, run: Manifest, query_count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    frame = ctx.lake.read_table(run, "ranks").sort("query_id")
    if len(frame) != query_count:
        raise BadInput(f"{run.reference} has ranks of {len(frame)} queries, the test window has {query_count}")
    return frame["rank"].to_numpy()


def _single(rank_Q: Any, visitors: Any, seed: list[int]) -> Floats:
    means: Floats = Scorecard.of({"one": rank_Q}, visitors, 1, seed).means[0]
    return means


def _rows(card: Scorecard, singles: dict[str, list[Any]]) -> Iterator[tuple[Any, ...]]:
    for k in CUTOFFS:
        column = columns().index((METRIC, k))
        differences = {arm: card.difference(arm, FULL) for arm in card.arms if arm != FULL}
        adjusted = holm([float(one.p_value[column]) for one in differences.values()])
        p_values = dict(zip(differences, adjusted, strict=True))
        for arm in card.arms:
            found, values = card.estimates(arm), [float(one[column]) for one in singles[arm]]
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
            row = [arm, METRIC, k, *(float(part[column]) for part in (found.value, found.low, found.high))]
            row += [deviation, len(values)]
            if arm == FULL:
                yield (*row, None, None, None, None, None)
                continue
            difference = differences[arm]
            figures = [float(part[column]) for part in (difference.value, difference.low, difference.high)]
            yield (*row, *figures, float(p_values[arm]), float(difference.detectable[column]))


def markdown(table: pl.DataFrame, title: str, facts: dict[str, Any]) -> str:
    """Return the ablation as people read it: hit rates, and at 10 the difference to the full arm."""
    lines = [
        f"# What each choice is worth: {title}",
        "",
        f"{facts['query_count']:,} test searches of {facts['visitor_count']:,} visitors. Intervals: 95 %, paired "
        "bootstrap over visitors. The deviation is over repetitions with other seeds. Differences are to "
        f"`{facts['reference']}` at 10; p is two-sided and adjusted by Holm's method; the last column is the smallest "
        "difference that would have been found in four of five such comparisons.",
        "",
        f"| {' | '.join(_HEADER)} |",
        "|---|--:|--:|--:|--:|---|--:|--:|--:|---|--:|--:|",
    ]
    at_10 = table.filter(pl.col("k") == 10)
    for row in at_10.iter_rows(named=True):
        value = dict(table.filter(pl.col("variant") == row["variant"]).select("k", "value").iter_rows())
        cells: Sequence[str] = [
            row["variant"].replace("_", " "),
            str(row["repeats"]),
            *(f"{value[k]:.3f}" for k in (1, 5, 10)),
            f"{row['low']:.3f} to {row['high']:.3f}",
            "" if row["deviation"] is None else f"{row['deviation']:.4f}",
            f"{value[25]:.3f}",
            *_difference(row),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _difference(row: dict[str, Any]) -> list[str]:
    if row["difference"] is None:
        return ["", "", "", ""]
    interval = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
    return [f"{row['difference']:+.3f}", interval, f"{row['p_value_holm']:.3f}", f"{row['detectable']:.3f}"]
