"""Stage `train_reranker`: learn the order of a search's candidates, from the searches of the validation window.

The towers have not learned from that window, so their scores are as good there as they will be on the test. Features
know what was known when the window began (see `jobs.reranking.inputs`). Several models are trained, each held out from
another part of the visitors, and the mean of their scores is the order. A window with too few searches trains
nothing, and neither does an empty one: the fact `note` says so, and the evaluation leaves the arm out.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl

from jobs.config.params.training import TrainRerankerParams
from jobs.context import RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import LearnedOrder, RerankerFacts, SearchModelsFacts
from jobs.errors import MissingInput
from jobs.evaluation.ranking_task import Task, read_task
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.reranking.inputs import WindowSearch
from jobs.reranking.saved import RERANKER_FILES
from jobs.runtime.progress import Progress
from models.rerank.features import FEATURES
from models.rerank.learning import CUTOFF, Options, Reranker, Rows, folds, train

log = logging.getLogger("nightlens.train_reranker")

NO_WINDOW = (
    "nothing was kept aside for validation (--validation-share 0 of split_temporal), and on the searches of the "
    "training window the models' scores are too good to learn from."
)


def run(ctx: RunContext, params: TrainRerankerParams, inputs: dict[str, Manifest], staged: StagedRun) -> RerankerFacts:
    """Write the model's text, importances and curves; `MissingInput` if there is too little and it is to fail."""
    begun = time.perf_counter()
    arm, splits = SearchModelsFacts.of(inputs["search_models"]).challenger, SplitsFacts.of(inputs["splits"])
    found = partial(
        RerankerFacts,
        base_arm=arm,
        cutoff=splits.train_end,
        trained_until=splits.validation_end,
    )
    if not inputs["splits"].row_counts["validation"]:
        return _leave_out(staged, params, found(search_count=0, learnable_search_count=0, note=NO_WINDOW))
    task = _sampled(read_task(ctx.lake, inputs["splits"], "validation"), params.max_search_count, ctx.seed)
    asked = WindowSearch.read(ctx.lake, inputs, task, arm, params.model_dump(), reranker=None)
    rows = _rows(asked, task)
    learnable = rows.learnable()
    facts = found(
        search_count=len(rows.count),
        learnable_search_count=len(learnable.count),
        note=_too_few(learnable, len(rows.count), params),
        feature_names=FEATURES,
        checks=(asked.check,),
    )
    if facts.note:
        return _leave_out(staged, params, facts)
    fold_S = folds(learnable.visitor, ctx.seed)
    trained, after_S = [], np.empty(len(fold_S), dtype=np.int64)
    for fold in range(fold_S.max() + 1):
        fit, held_out = learnable.of_searches(fold_S != fold), learnable.of_searches(fold_S == fold)
        trained.append(train(fit, held_out, _options(params, ctx.seed + fold)))
        staged.write_file(f"{RERANKER_FILES}{fold}.txt", trained[-1].text.encode())
        after_S[fold_S == fold] = held_out.ranks(Reranker([trained[-1].text]).scores(held_out.matrix))
    _write_tables(staged, Reranker([one.text for one in trained]).importances(), trained[0].curves)
    rank_N = learnable.matrix[:, FEATURES.index("vector_rank")]
    before_S = learnable.ranks(-np.nan_to_num(rank_N, nan=np.inf))
    learned = LearnedOrder(
        best_rounds=tuple(one.best_round for one in trained),
        held_out_hit_rate_before=float((before_S <= CUTOFF).mean()),
        held_out_hit_rate_after=float((after_S <= CUTOFF).mean()),
        seconds=round(time.perf_counter() - begun, 2),
    )
    return facts.model_copy(update={"learned": learned})


def _leave_out(staged: StagedRun, params: TrainRerankerParams, facts: RerankerFacts) -> RerankerFacts:
    """Write that nothing was learned; `MissingInput` with the fact `note` if it is to fail."""
    if params.when_too_few == "fail" and facts.note == NO_WINDOW:
        raise MissingInput("no_validation_window", NO_WINDOW)
    if params.when_too_few == "fail":
        raise MissingInput(
            "too_few_searches",
            facts.note,
            learnable_count=facts.learnable_search_count,
            needed_count=params.min_search_count,
        )
    log.warning("train_reranker: %s", facts.note)
    _write_tables(staged, {}, {})
    return facts


def _sampled(task: Task, limit: int, seed: int) -> Task:
    """Return the task with at most `limit` of its searches, a sample that the seed decides."""
    if len(task.targets) <= limit:
        return task
    kept = np.sort(np.random.default_rng(seed).choice(len(task.targets), limit, replace=False))
    return replace(
        task,
        queries=task.queries[kept],
        text_ids=task.text_ids[kept],
        targets=task.targets[kept],
        visitors=task.visitors[kept],
        asked_at=task.asked_at[kept],
    )


def _rows(asked: WindowSearch, task: Task) -> Rows:
    """Return the candidates of all searches with their features."""
    progress = Progress(log, "searches with features", len(task.targets))
    parts = []
    for block, searches in asked.search.blocks(asked.searches):
        candidates = asked.search.candidates(searches)
        is_converted_N = candidates.place == asked.target[block][candidates.row]
        matrix = asked.search.features(searches, candidates)
        parts.append(Rows(matrix, is_converted_N, candidates.count, task.visitors[block]))
        progress.advance(len(block))
    return Rows.joined(parts)


def _too_few(learnable: Rows, search_count: int, params: TrainRerankerParams) -> str:
    """Return why nothing can be learned, or nothing."""
    found, visitor_count = len(learnable.count), len(np.unique(learnable.visitor))
    if found >= params.min_search_count and visitor_count > 1:
        return ""
    return (
        f"the photo converted is among the candidates in only {found} of {search_count} searches ({visitor_count} "
        f"visitors) of the validation window; {params.min_search_count} are needed to learn an order "
        f"(min_search_count). Lengthen the window (--validation-days of split_temporal) or wait for more conversions."
    )


def _options(params: TrainRerankerParams, seed: int) -> Options:
    return Options(**params.model_dump(include=set(Options.__dataclass_fields__)), seed=seed)


def _write_tables(staged: StagedRun, importances: dict[str, tuple[float, int]], curves: dict[str, list[float]]) -> None:
    rows = [(name, gain, split) for name, (gain, split) in importances.items()]
    kinds = {"feature": pl.String, "gain": pl.Float64, "split": pl.Int64}
    staged.write_table("importances", pl.DataFrame(rows, schema=kinds, orient="row"))
    points = [
        (searches, step, f"ndcg@{CUTOFF}", value)
        for searches, values in curves.items()
        for step, value in enumerate(values, 1)
    ]
    kinds = {"searches": pl.String, "step": pl.Int64, "name": pl.String, "value": pl.Float64}
    staged.write_table("curves", pl.DataFrame(points, schema=kinds, orient="row"))
