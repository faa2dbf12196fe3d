"""Learning the order of candidates from a window's searches, as a night does it and as a backtest does it once more.

Several models are trained, each held out from another part of the visitors, and the mean of their scores is the order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jobs.config.params.training import TrainRerankerParams
from jobs.evaluation.ranking_task import Task
from jobs.reranking.answering import Answering
from jobs.reranking.inputs import WindowSearch
from models.evaluation.ranking import Ints
from models.rerank.learning import Options, Reranker, Rows, Trained, folds, train


def sampled(task: Task, limit: int, seed: int) -> Task:
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


def candidate_rows(asked: WindowSearch, task: Task, where: Answering) -> Rows:
    """Return the candidates of the searches that teach an order, with their features (see `Rows.learnable`)."""
    return where.rows(asked.search, asked.searches, asked.target, task.visitors)


def too_few(learnable: Rows, search_count: int, params: TrainRerankerParams) -> str:
    """Return why nothing can be learned, or nothing."""
    found, visitor_count = len(learnable.count), len(np.unique(learnable.visitor))
    if found >= params.min_search_count and visitor_count > 1:
        return ""
    return (
        f"the photo converted is among the candidates in only {found} of {search_count} searches ({visitor_count} "
        f"visitors) of the validation window; {params.min_search_count} are needed to learn an order "
        f"(min_search_count). Lengthen the window (--validation-days of split_temporal) or wait for more conversions."
    )


@dataclass(frozen=True)
class Grown:
    """The models, and the rank of each search's photo by the one that has not learned from its visitor, shape (S,)."""

    models: tuple[Trained, ...]
    held_out_rank: Ints

    @property
    def reranker(self) -> Reranker:
        """The order that the models make together."""
        return Reranker([one.text for one in self.models])


def grow(learnable: Rows, params: TrainRerankerParams, seed: int) -> Grown:
    """Train one model per part of the visitors on the searches of all others."""
    fold_S = folds(learnable.visitor, seed)
    models, rank_S = [], np.empty(len(fold_S), dtype=np.int64)
    for fold in range(fold_S.max() + 1):
        models.append(train(learnable, fold_S == fold, _options(params, seed + fold)))
        held_out = learnable.of_searches(fold_S == fold)
        rank_S[fold_S == fold] = held_out.ranks(Reranker([models[-1].text]).scores(held_out.matrix))
    return Grown(tuple(models), rank_S)


def _options(params: TrainRerankerParams, seed: int) -> Options:
    return Options(**params.model_dump(include=set(Options.__dataclass_fields__)), seed=seed)
