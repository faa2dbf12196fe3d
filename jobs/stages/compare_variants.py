"""Stage `compare_variants`: what each choice is worth, from the ranks of all variants on the same test queries.

A variant's figure is the mean over its repetitions; its interval and its difference to the full arm speak of other
visitors, other queries and other seeds (see `RepeatedScorecard`). Each difference is one of all variants' by its metric
and k. The reranked arm, trained once, is taken to vary with its seed as the others do in the middle.
The reranked arm is not trained here: its ranks are those of the night's evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.ablation import CompareVariantsParams
from jobs.config.params.arms import FULL, RERANKED, STEPS, ZERO_SHOT
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.models import VARIANT
from jobs.datasets.reports import ABLATION, AblationFacts, RerankedFacts
from jobs.errors import BadInput
from jobs.evaluation.ranking_task import read_task
from jobs.evaluation.variants import markdown
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from models.evaluation.metrics import columns
from models.evaluation.scorecard import RepeatedScorecard

METRIC, CUTOFFS = "hit_rate", (1, 5, 10, 25)
TEXT_FILE = "ablation.md"

Runs = dict[str, list[Manifest]]
"""The repetitions of every variant."""


def choose(ctx: RunContext, params: CompareVariantsParams, inputs: Inputs) -> Chosen:
    """Read the variants; `MissingInput` names the one that was not trained."""
    runs = {variant: _repeats(ctx, variant, params.repeats) for variant in params.variants}
    named = {f"{variant} {number}": run for variant, found in runs.items() for number, run in enumerate(found)}
    return Chosen(named, found=runs)


def run(ctx: RunContext, params: CompareVariantsParams, inputs: Inputs, staged: StagedRun, runs: Runs) -> AblationFacts:
    """Write the table of variants and ablation.md."""
    splits = inputs["splits"]
    _check_inputs(inputs, splits)
    epochs, reranked = _common_epochs(runs), _reranked_facts(runs)
    if reranked is not None and reranked.note:
        runs = {variant: found for variant, found in runs.items() if variant != RERANKED}
    tables, card = _compare(ctx, splits, runs)
    facts = AblationFacts(
        reference=FULL,
        epochs=epochs,
        query_count=card.of_means.query_count,
        visitor_count=card.of_means.cluster_counts[0],
        reranked=reranked,
    )
    for name, table in tables.items():
        staged.write_table(name, table)
    staged.write_file(TEXT_FILE, markdown(tables, f"{ctx.catalogue}, {ctx.run_date}", facts).encode())
    return facts


def publish(ctx: RunContext, params: CompareVariantsParams, inputs: Inputs, manifest: Manifest) -> None:
    """Copy ablation.md beside the reports."""
    target = ctx.settings.report_dir / ctx.catalogue / f"{ctx.run_date}-ablation.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(ctx.lake.read_file(manifest, TEXT_FILE))


def _repeats(ctx: RunContext, variant: str, count: int) -> list[Manifest]:
    """Return the runs of a variant: zero-shot has nothing to repeat, the reranked arm is that of the night."""
    if variant == RERANKED:
        return [ctx.read(EVALUATION)]
    numbers = range(1 if variant == ZERO_SHOT else count)
    return [ctx.read(VARIANT, variant=variant, repeat=str(number)) for number in numbers]


def _reranked_facts(runs: Runs) -> RerankedFacts | None:
    """Return what the reranked arm reorders and why it is left out, if it is; None if it was not asked for."""
    if RERANKED not in runs:
        return None
    facts = EvaluationFacts.of(runs[RERANKED][0])
    return RerankedFacts(base_arm=facts.base_arm, note=facts.reranker_note)


def _check_inputs(inputs: Inputs, splits: Manifest) -> None:
    runs = {name: run for name, run in inputs.items() if run is not splits}
    others = [name for name, run in runs.items() if run.input_runs["splits"] != splits.reference]
    if others:
        raise BadInput(
            "splits_differ",
            f"trained on other splits than {splits.reference}: {', '.join(others)}. Run train_variant again, and for "
            f"{RERANKED} the night.",
            runs=others,
        )


def _common_epochs(runs: Runs) -> int:
    """Return how many passes every variant was trained for; `BadInput` if their parameters differ otherwise."""
    reference = _shared_params(runs[FULL][0])
    trained = (run for variant, found in runs.items() if variant not in (ZERO_SHOT, RERANKED) for run in found)
    if others := [run.reference for run in trained if _shared_params(run) != reference]:
        raise BadInput(
            "params_differ",
            f"trained with other parameters than {runs[FULL][0].reference}: {', '.join(others)}. Run train_variant "
            "again, with the same ones for all.",
            runs=others,
        )
    return int(reference["epochs"])


def _shared_params(run: Manifest) -> dict[str, Any]:
    return {name: value for name, value in run.params.items() if name not in ("variant", "repeat")}


def _compare(ctx: RunContext, splits: Manifest, runs: Runs) -> tuple[dict[str, pl.DataFrame], RepeatedScorecard]:
    """Return the tables, and what they were made from."""
    task = read_task(ctx.lake, splits)
    ranks = {
        variant: [_ranks(ctx, variant, run, len(task.targets)) for run in found] for variant, found in runs.items()
    }
    card = RepeatedScorecard.of(ranks, task.clusters(), untrained=[ZERO_SHOT])
    rows = {"variants": _rows(card), "steps": _steps(card)}
    tables = {}
    for name, found in rows.items():
        declared = pl.DataFrame(ABLATION.table(name).schema.empty_table())
        tables[name] = pl.DataFrame(list(found), schema=declared.schema, orient="row")
    return tables, card


def _ranks(ctx: RunContext, variant: str, run: Manifest, query_count: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return the ranks in the order of `read_task`, which numbers the queries of trainings and evaluation alike."""
    frame = ctx.lake.read_table(run, "ranks")
    if variant == RERANKED:
        frame = frame.filter(pl.col("arm") == RERANKED)
    if frame["query_id"].sort().to_list() != list(range(query_count)):
        raise BadInput(
            "missing_ranks",
            f"{run.reference} has ranks of {len(frame)} queries for {variant}, the test window has {query_count}",
            run=run.reference,
            variant=variant,
        )
    return frame.sort("query_id")["rank"].to_numpy()


def _rows(card: RepeatedScorecard) -> Iterator[tuple[Any, ...]]:
    for k in CUTOFFS:
        column = columns().index((METRIC, k))
        differences = _differences(card, k, [(FULL, arm) for arm in card.repeat_means if arm != FULL])
        for arm, mean_RM in card.repeat_means.items():
            found, values = card.estimates(arm), mean_RM[:, column]
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
            row = [arm, METRIC, k, *(float(part[column]) for part in (found.value, found.low, found.high))]
            row += [deviation, len(values)]
            if arm == FULL:
                yield (*row, None, None, None, None, None)
                continue
            yield (*row, *differences[FULL, arm])


def _steps(card: RepeatedScorecard) -> Iterator[tuple[Any, ...]]:
    pairs = [pair for pair in STEPS if set(pair) <= set(card.repeat_means)]
    for k in CUTOFFS:
        for pair, figures in _differences(card, k, pairs).items():
            yield (*pair, METRIC, k, *figures)


def _differences(
    card: RepeatedScorecard, k: int, pairs: list[tuple[str, str]]
) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return, for each (base, variant), the difference, its bounds, p over all pairs, and the detectable one."""
    column = columns().index((METRIC, k))
    found = {(base, arm): card.difference(arm, base).among(len(pairs)) for base, arm in pairs}
    return {
        pair: tuple(float(part[column]) for part in (one.value, one.low, one.high, one.p_value, one.detectable))
        for pair, one in found.items()
    }
