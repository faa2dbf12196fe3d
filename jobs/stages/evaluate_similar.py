"""Stage `evaluate_similar`: search with photos of the corpus, by every arm, and say which finds what is alike.

Queries are a random sample of the photos. What is alike is said by up to three ground truths, each evaluated by itself:
photos that visitors of the test window took for the same query, photos that share keywords, photos of one collection
(`models.similar.truths`). The business filter is that of a search: the photo itself is never found, hidden photos are
not, and near duplicates count as one (`models.similar.duplicates`), by the zero-shot base's vectors for all arms, so
that every arm is asked the same.

Vectors are read in tasks, a file of one arm each, and the lists of tasks merge. This process holds of every photo its
id, hash, group and place, and what truths and counting arms know of it, but no vectors and no matrix of scores.

A photo is searched with as it stands in the index. Of a challenger that reads keywords one more arm searches the same
photos by the picture, without their keywords, as with a file that somebody uploads (`jobs.similar.by_file`).
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
import polars as pl

from jobs.adapters.task_pool import TaskPool, task_pool
from jobs.config.params.arms import ZERO_SHOT
from jobs.config.params.evaluation import EvaluateSimilarParams, Truth
from jobs.context import Chosen, RunContext
from jobs.datasets.evaluation import SIMILAR, SimilarFacts
from jobs.datasets.models import VARIANT
from jobs.evaluation.ranking_task import Task, read_task
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.runtime.progress import timed
from jobs.similar.arm_lists import DEPTH, Searches
from jobs.similar.corpus import read_corpus
from jobs.similar.inputs import RANDOM, THE_TRUTH_ITSELF, Plan, blocks_of, read_truth, variant_input
from jobs.similar.pictures import VERSION
from jobs.similar.tables import Asked, comparison_rows, metric_rows, query_rows, sheet_queries, sheet_rows
from models.evaluation.metrics import list_metrics
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters
from models.evaluation.topk_merge import Ints
from models.similar import truths
from models.similar.duplicates import Units
from models.similar.neighbours import gains_of_lists, judge

log = logging.getLogger("nightlens.evaluate_similar")

FEWEST = 2
"""Photos with an answer below which a truth says nothing."""


def choose(ctx: RunContext, params: EvaluateSimilarParams, inputs: dict[str, Manifest]) -> Chosen:
    """Choose the variants that the params name; of their repetitions the first is taken."""
    return Chosen({variant_input(name): ctx.read(VARIANT, variant=name, repeat="0") for name in params.variants})


def run(ctx: RunContext, params: EvaluateSimilarParams, inputs: dict[str, Manifest], staged: StagedRun) -> SimilarFacts:
    """Rank, measure and compare; a missing or unfinished arm raises."""
    plan = Plan.of(inputs, params.variants)
    facts = partial(
        SimilarFacts,
        arms=plan.arms,
        challenger=plan.challenger,
        reads_keywords=plan.reads_keywords,
        champion_note=plan.champion_note,
        hash_version=VERSION,
    )
    if not params.query_count:
        for table in SIMILAR.tables:
            staged.write_table(table.name, pl.DataFrame(table.schema.empty_table()))
        return facts(note="left out: query_count is 0")
    row_count = inputs["photo_embeddings"].row_counts["embeddings"]
    with task_pool(ctx.settings, "evaluate_similar", row_count) as pool:
        return _evaluate(ctx, params, inputs, staged, plan, pool, facts)


def _evaluate(
    ctx: RunContext,
    params: EvaluateSimilarParams,
    inputs: dict[str, Manifest],
    staged: StagedRun,
    plan: Plan,
    pool: TaskPool,
    facts: Callable[..., SimilarFacts],
) -> SimilarFacts:
    seconds: dict[str, float] = {}
    with timed(log, seconds, "read"):
        task = read_task(ctx.lake, inputs["splits"])
        asked = [_ask(ctx, inputs, task, name, params) for name in params.truths]
        vectors = partial(blocks_of, ctx.lake, inputs, task, max_missing_share=params.max_missing_share)
    with timed(log, seconds, "pictures"):
        corpus = read_corpus(ctx, inputs, task, params, vectors(ZERO_SHOT), pool)
        staged.write_table("pictures", corpus.table(task))
    for one in asked:
        one.judged = judge(one.truth, corpus.units, _sample(ctx, task), params.query_count, DEPTH)
    shown = next((one for one in asked if one.count), None)
    queries = np.unique(np.concatenate([one.judged.query_Q for one in asked]))
    sheet = sheet_queries(shown, params.contact_sheet_photos)
    searches = Searches(ctx, inputs, task, corpus.units, queries, sheet, pool, vectors)
    lists, photos = {}, {}
    for arm in plan.arms:
        with timed(log, seconds, arm):
            lists[arm], photos[arm] = searches.lists(arm, plan.challenger)
    del photos[RANDOM]
    staged.write_table("queries", query_rows(asked, task))
    with timed(log, seconds, "intervals"):
        _measure(staged, plan, [one for one in asked if one.count >= FEWEST], corpus.units, queries, lists)
    staged.write_table("contact_sheet", sheet_rows(task, corpus.units, asked, sheet, photos))
    return facts(
        truths={one.name: one.facts(FEWEST) for one in asked},
        photo_count=len(task.photos),
        hidden_count=int(corpus.units.is_hidden.sum()),
        hashed_count=int(corpus.has_hash.sum()),
        duplicate_count=len(task.photos) - corpus.units.count,
        seconds={step: round(duration, 2) for step, duration in seconds.items()},
    )


def _ask(ctx: RunContext, inputs: dict[str, Manifest], task: Task, name: Truth, params: EvaluateSimilarParams) -> Asked:
    truth: truths.Truth = read_truth(ctx.lake, inputs, task, name, params)
    return Asked(name, truth)


def _sample(ctx: RunContext, task: Task) -> Ints:
    """Return all photos in a random order, the same for every truth."""
    random = np.random.default_rng([ctx.seed, zlib.crc32(b"similar photos")])
    return random.permutation(len(task.photos)).astype(np.int64)


def _measure(
    staged: StagedRun,
    plan: Plan,
    asked: list[Asked],
    units: Units,
    queries: Ints,
    lists: dict[str, Ints],
) -> None:
    """Write metrics and comparisons of the truths that say something."""
    metrics, comparisons = [], []
    for one in asked:
        rows = np.searchsorted(queries, one.judged.query_Q)
        values = {}
        for arm in plan.arms:
            if arm in THE_TRUTH_ITSELF[one.name]:
                continue
            gain_QK = gains_of_lists(one.truth, units, one.judged.query_Q, lists[arm][rows])
            values[arm] = list_metrics(gain_QK, one.judged.ideal_QK, one.judged.relevant_Q)
        card = Scorecard.of_values(values, Clusters.of(one.judged.cluster_Q))
        one.cluster_count = card.cluster_counts[0]
        metrics.append(metric_rows(card, one.name))
        comparisons.append(comparison_rows(card, one.name, plan.challenger))
    for name, frames in (("metrics", metrics), ("comparisons", comparisons)):
        empty = pl.DataFrame(SIMILAR.table(name).schema.empty_table())
        staged.write_table(name, pl.concat(frames).select(empty.columns) if frames else empty)
