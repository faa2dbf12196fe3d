"""Stage `evaluate_similar`: search with photos of the corpus, by every arm, and say which finds what is alike.

Queries are a random sample of the photos. What is alike is said by up to three ground truths, each evaluated by itself:
photos that visitors of the test window took for the same query, photos that share keywords, photos of one collection
(`models.similar.truths`). The business filter is that of a search: the photo itself is never found, hidden photos are
not, and near duplicates count as one (`models.similar.duplicates`), by the zero-shot base's vectors for all arms, so
that every arm is asked the same.

A photo is searched with as it stands in the index. Of a challenger that reads keywords one more arm searches the same
photos by the picture, without their keywords, as with a file that somebody uploads (`jobs.similar.by_file`).
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from jobs.config.params.arms import ZERO_SHOT
from jobs.config.params.evaluation import EvaluateSimilarParams, Truth
from jobs.context import Chosen, RunContext
from jobs.datasets.evaluation import SIMILAR, SimilarFacts
from jobs.datasets.models import VARIANT
from jobs.evaluation.ranking_task import Task, read_task
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.runtime.progress import timed
from jobs.similar.by_file import picture_vectors
from jobs.similar.inputs import (
    BASELINES,
    RANDOM,
    THE_TRUTH_ITSELF,
    Plan,
    hidden_photos,
    read_truth,
    scorer_of,
    variant_input,
    vectors_of,
)
from jobs.similar.pictures import VERSION, read_hashes, to_text
from jobs.similar.tables import Asked, comparison_rows, metric_rows, query_rows, sheet_rows
from models.evaluation.metrics import CUTOFFS, list_metrics
from models.evaluation.ranking import Ints
from models.evaluation.scorecard import Scorecard
from models.evaluation.statistics import Clusters
from models.similar import truths
from models.similar.duplicates import Units, near_duplicates
from models.similar.neighbours import best_units, gains_of_lists, judge
from models.similar.picture_hash import WORDS, Words

log = logging.getLogger("nightlens.evaluate_similar")

DEPTH = max(CUTOFFS)
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
    seconds: dict[str, float] = {}
    with timed(log, seconds, "read"):
        task = read_task(ctx.lake, inputs["splits"])
        asked = [_ask(ctx, inputs, task, name, params) for name in params.truths]
    with timed(log, seconds, "pictures"):
        corpus = _corpus(ctx, inputs, task, params)
        staged.write_table("pictures", corpus.table(task))
    for one in asked:
        one.judged = judge(one.truth, corpus.units, _sample(ctx, task), params.query_count, DEPTH)
    lists = {}
    queries = np.unique(np.concatenate([one.judged.query_Q for one in asked]))
    picture_PD = None
    if plan.has_by_file:
        with timed(log, seconds, "query_pictures"):
            picture_PD = picture_vectors(ctx, inputs, task, plan.challenger, queries, corpus.units.group)
    load = partial(
        scorer_of,
        ctx,
        inputs,
        task,
        challenger=plan.challenger,
        picture_PD=picture_PD,
        max_missing_share=params.max_missing_share,
    )
    for arm in plan.arms:
        with timed(log, seconds, arm):
            lists[arm] = best_units(load(arm), corpus.units, queries, DEPTH)
    staged.write_table("queries", query_rows(asked, task))
    with timed(log, seconds, "intervals"):
        _measure(ctx, staged, plan, params, [one for one in asked if one.count >= FEWEST], corpus.units, queries, lists)
    with timed(log, seconds, "contact_sheet"):
        shown = next((one for one in asked if one.count), None)
        arms = [arm for arm in plan.arms if arm != RANDOM]
        sheet = sheet_rows(task, corpus.units, asked, shown, arms, load, params.contact_sheet_photos, BASELINES)
        staged.write_table("contact_sheet", sheet)
    return facts(
        truths={one.name: one.facts(FEWEST) for one in asked},
        photo_count=len(task.photos),
        hidden_count=int(corpus.units.is_hidden.sum()),
        hashed_count=int(corpus.has_hash.sum()),
        duplicate_count=len(task.photos) - corpus.units.count,
        seconds={step: round(duration, 2) for step, duration in seconds.items()},
    )


@dataclass(frozen=True)
class Corpus:
    """The photos as they are shown, with what was found out about their pictures."""

    units: Units
    hash: Words
    has_hash: np.ndarray[Any, np.dtype[np.bool_]]
    sha256: pl.Series

    def table(self, task: Task) -> pl.DataFrame:
        """Return the table `pictures`."""
        photo_ids = task.photos["photo_id"]
        texts = [to_text(words) if is_known else None for words, is_known in zip(self.hash, self.has_hash, strict=True)]
        return pl.DataFrame(
            {
                "photo_id": photo_ids,
                "sha256": self.sha256,
                "picture_hash": pl.Series(texts, dtype=pl.String),
                "duplicate_of": photo_ids[self.units.group],
            }
        )


def _corpus(ctx: RunContext, inputs: dict[str, Manifest], task: Task, params: EvaluateSimilarParams) -> Corpus:
    is_hidden_P, count = hidden_photos(ctx.lake, inputs["validated"], task), len(task.photos)
    if count > params.duplicate_photo_count:
        nothing = (
            np.zeros((count, WORDS), np.uint16),
            np.zeros(count, np.bool_),
            pl.Series([None] * count, dtype=pl.String),
        )
        return Corpus(Units(np.arange(count), is_hidden_P), *nothing)
    hash_PW, has_hash_P, sha256 = read_hashes(ctx, inputs["images"], task)
    photo_PD, has_vector_P = vectors_of(ctx.lake, inputs, task, ZERO_SHOT, params.max_missing_share)
    group_P = near_duplicates(photo_PD, hash_PW, has_hash_P & has_vector_P, params.min_cosine, params.max_bits)
    return Corpus(Units(group_P, is_hidden_P), hash_PW, has_hash_P, sha256)


def _ask(ctx: RunContext, inputs: dict[str, Manifest], task: Task, name: Truth, params: EvaluateSimilarParams) -> Asked:
    truth: truths.Truth = read_truth(ctx.lake, inputs, task, name, params)
    return Asked(name, truth)


def _sample(ctx: RunContext, task: Task) -> Ints:
    """Return all photos in a random order, the same for every truth."""
    random = np.random.default_rng([ctx.seed, zlib.crc32(b"similar photos")])
    return random.permutation(len(task.photos)).astype(np.int64)


def _measure(
    ctx: RunContext,
    staged: StagedRun,
    plan: Plan,
    params: EvaluateSimilarParams,
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
            values[arm] = list_metrics(_deep(gain_QK), _deep(one.judged.ideal_QK), one.judged.relevant_Q)
        card = Scorecard.of_values(values, Clusters.of(one.judged.cluster_Q))
        one.cluster_count = card.cluster_counts[0]
        metrics.append(metric_rows(card, one.name))
        comparisons.append(comparison_rows(card, one.name, plan.challenger))
    for name, frames in (("metrics", metrics), ("comparisons", comparisons)):
        empty = pl.DataFrame(SIMILAR.table(name).schema.empty_table())
        staged.write_table(name, pl.concat(frames).select(empty.columns) if frames else empty)


def _deep(gain_QK: Ints) -> Ints:
    """Return lists with as many places as the deepest cutoff, also of a corpus of fewer photos."""
    return np.pad(gain_QK, ((0, 0), (0, DEPTH - gain_QK.shape[1])))
