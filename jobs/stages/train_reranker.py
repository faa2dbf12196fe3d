"""Stage `train_reranker`: learn the order of a search's candidates, from the searches of the validation window.

The towers have not learned from that window, so their scores are as good there as they will be on the test. Features
know what was known when the window began (see `jobs.reranking.inputs`). A window with too few searches trains nothing,
and neither does an empty one: the fact `note` says so, and the evaluation leaves the arm out.
"""

from __future__ import annotations

import logging
import time
from functools import partial

import numpy as np
import polars as pl

from jobs.config.params.training import TrainRerankerParams
from jobs.context import RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import LearnedOrder, RerankerFacts, SearchModelsFacts
from jobs.errors import MissingInput
from jobs.evaluation.ranking_task import read_task
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.reranking.answering import answering
from jobs.reranking.inputs import WindowSearch
from jobs.reranking.learned_order import candidate_rows, grow, sampled, too_few
from jobs.reranking.saved import RERANKER_FILES
from models.rerank.features import FEATURES
from models.rerank.learning import CUTOFF

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
    task = sampled(read_task(ctx.lake, inputs["splits"], "validation"), params.max_search_count, ctx.seed)
    with answering(ctx.settings, "train_reranker", inputs["splits"], staged, params.max_memory_mb) as where:
        asked = WindowSearch.read(ctx.lake, inputs, task, arm, params.model_dump(), where, reranker=None)
        learnable = candidate_rows(asked, task, where)
    facts = found(
        search_count=len(task.targets),
        learnable_search_count=len(learnable.count),
        note=too_few(learnable, len(task.targets), params),
        feature_names=FEATURES,
        checks=(asked.check,),
    )
    if facts.note:
        return _leave_out(staged, params, facts)
    grown = grow(learnable, params, ctx.seed)
    for fold, one in enumerate(grown.models):
        staged.write_file(f"{RERANKER_FILES}{fold}.txt", one.text.encode())
    _write_tables(staged, grown.reranker.importances(), grown.models[0].curves)
    rank_N = learnable.matrix[:, FEATURES.index("vector_rank")]
    before_S = learnable.ranks(-np.nan_to_num(rank_N, nan=np.inf))
    learned = LearnedOrder(
        best_rounds=tuple(one.best_round for one in grown.models),
        held_out_hit_rate_before=float((before_S <= CUTOFF).mean()),
        held_out_hit_rate_after=float((grown.held_out_rank <= CUTOFF).mean()),
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
