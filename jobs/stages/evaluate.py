"""Stage `evaluate`: rank the whole as-of corpus for every test query, by every arm, and say who is better.

A query of the test window is a conversion; its one relevant photo is the one converted. Candidates are the photos
submitted by then, or by the protocol 80/20 all photos. Beside it stands the evaluation by query
(`jobs.evaluation.by_query`): a query is a distinct (query, country), and all photos converted for it are relevant. The
models have learned from the training window only; the counting baselines see everything before the test window
(training and validation), which favours them. Of a window with more searches than the splits' `max_ranked_searches`
those of a sample of visitors are ranked: test_query_count of test_window_query_count.

Facts: protocol, verdict (see `_verdict`), rival (the arm shown beside the challenger), hit_rate_at_10 per arm, by_query
(see `Judgements.facts`), frequency_cuts, champion_version and champion_note, reranker_note (why that arm is left out),
trending (see `Trending.facts`), checks, counts, tie_rule, seconds per step.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from jobs.config.params.arms import CHAMPION_ARM, RERANKED, TRENDING, ZERO_SHOT
from jobs.config.params.evaluation import EvaluateParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.evaluation import EVALUATION
from jobs.evaluation.arm_plan import Plan
from jobs.evaluation.by_query import Judgements, query_scorecard, rank_both_ways
from jobs.evaluation.ranking_task import Task, read_task
from jobs.evaluation.scorers import BASELINES, baseline_scorer, model_scorer
from jobs.evaluation.segments import read_segments
from jobs.evaluation.tables import (
    Ranks,
    comparisons_table,
    contact_sheet_table,
    metrics_tables,
    ranks_table,
    whole_metrics_table,
)
from jobs.evaluation.trending import Past, Trending
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest, fingerprint
from jobs.reranking.reranked_arm import Reranked
from jobs.runtime.progress import timed
from models.evaluation.metrics import columns
from models.evaluation.ranking import TIE_RULE, Scorer
from models.evaluation.scorecard import Scorecard

log = logging.getLogger("nightlens.evaluate")

INPUTS = (
    "validated",
    "images",
    "splits",
    "search_models",
    "champion",
    "photo_embeddings",
    "query_embeddings",
    "reranker",
)
METRIC, CUTOFF = "hit_rate", 10
"""What the verdict is about."""
INTERVALS = "95 %, percentiles of a paired bootstrap that resamples visitors"


def run(ctx: RunContext, params: EvaluateParams) -> Manifest:
    """Rank, measure and compare; a missing or unfinished arm raises and commits nothing."""
    inputs = {name: ctx.read(named(name)) for name in INPUTS}
    plan = Plan.of(inputs)
    # What the plan takes from facts is not part of the inputs' digests.
    staged = ctx.begin(EVALUATION, params, inputs, {"plan": fingerprint(asdict(plan))})
    if staged.manifest is not None:
        return staged.manifest
    seconds: dict[str, float] = {}
    with timed(log, seconds, "read"):
        task = read_task(ctx.lake, inputs["splits"])
        past = Past.read(ctx.lake, inputs["splits"], task, params.trend_refresh_hours)
        segments = read_segments(ctx.lake, inputs["splits"], task, past)
        judgements = Judgements.of(task)
    load = partial(_load, ctx.lake, inputs, plan, params.max_missing_share)
    ranks: Ranks = {}
    judgement_ranks: Ranks = {}
    without_vector: dict[str, int] = {}
    for arm in (arm for arm in plan.arms if arm != RERANKED):
        with timed(log, seconds, arm):
            scorer, without_vector[arm] = load(arm, task)
            ranks[arm], judgement_ranks[arm] = rank_both_ways(scorer, task, judgements)
    with timed(log, seconds, TRENDING):
        trending = Trending.find(
            ctx.lake,
            inputs["splits"],
            task,
            past,
            judgements,
            lambda asked: load(plan.challenger, asked)[0],
            params,
        )
        if trending.ranks is not None:
            ranks[TRENDING], judgement_ranks[TRENDING] = trending.ranks
    checks: list[dict[str, Any]] = []
    if not plan.reranker_note:
        with timed(log, seconds, RERANKED):
            reranked = Reranked.read(ctx.lake, inputs, task, params.max_missing_share)
            both = reranked.with_searches(judgements.text_ids, judgements.targets, judgements.asked_at).ranks()
            ranks[RERANKED], judgement_ranks[RERANKED] = np.split(both, [len(task.targets)])
            checks = [reranked.check]
    with timed(log, seconds, "intervals"):
        tables = metrics_tables(ranks, task, segments, plan.challenger, params.resample_count, ctx.seed)
        metrics, segment_comparisons, card = tables
        staged.write_table("metrics", metrics)
        staged.write_table("segment_comparisons", segment_comparisons)
        staged.write_table("comparisons", comparisons_table(card, plan.challenger))
        query_card = query_scorecard(judgement_ranks, judgements, params.resample_count, ctx.seed)
        staged.write_table("query_metrics", whole_metrics_table(query_card))
        staged.write_table("query_comparisons", comparisons_table(query_card, plan.challenger))
    with timed(log, seconds, "contact_sheet"):
        rival = _rival(card, plan)
        scorers = {arm: load(arm, task)[0] for arm in (plan.challenger, rival)}
        staged.write_table("contact_sheet", contact_sheet_table(ranks, task, scorers, params.contact_sheet_queries))
    staged.write_table("ranks", ranks_table(ranks))
    staged.write_table("queries", task.queries.select("query_id", "visitor_id", "query", "country", "photo_id"))
    staged.write_table("judgements", judgements.frame)
    staged.write_table("judgement_ranks", ranks_table(judgement_ranks, "judgement_id"))
    counts = {
        "test_query_count": card.query_count,
        "test_visitor_count": card.cluster_count,
        "test_window_query_count": inputs["splits"].row_counts["test"],
    }
    return staged.commit(
        counts
        | {
            "protocol": plan.protocol,
            "corpus_photo_count": len(task.photos),
            "photos_without_vector": without_vector,
            "verdict": _verdict(card, plan),
            "rival": rival,
            "hit_rate_at_10": {arm: card.value(arm, METRIC, CUTOFF) for arm in card.arms},
            "by_query": judgements.facts(query_card),
            "frequency_cuts": asdict(segments.frequency_cuts),
            "champion_version": plan.champion_version,
            "champion_note": plan.champion_note,
            "reranker_note": plan.reranker_note,
            "trending": trending.facts,
            "checks": checks,
            "tie_rule": TIE_RULE,
            "intervals": INTERVALS,
            "seconds": {step: round(duration, 2) for step, duration in seconds.items()},
        }
    )


def _load(
    lake: Lake, inputs: dict[str, Manifest], plan: Plan, max_missing_share: float, arm: str, task: Task
) -> tuple[Scorer, int]:
    """Return an arm's scorer and the number of photos it has no vector of."""
    if arm in BASELINES:
        return baseline_scorer(lake, inputs["splits"], task, arm), 0
    return model_scorer(lake, inputs, plan.uses_country[arm], task, arm, max_missing_share)


def _rival(card: Scorecard, plan: Plan) -> str:
    """Return the arm shown beside the challenger: the champion, or else the strongest that ranks all by itself."""
    if CHAMPION_ARM in card.arms:
        return CHAMPION_ARM
    others = [arm for arm in card.arms if arm not in (plan.challenger, TRENDING, RERANKED)]
    return max(others, key=lambda arm: card.value(arm, METRIC, CUTOFF))


def _verdict(card: Scorecard, plan: Plan) -> dict[str, Any]:
    """Return the challenger's difference to the champion, or to the zero-shot base where there is none to compare.

    Keys: challenger, compared_with, metric, k, difference, low, high, probability_better, is_better (the whole 95 %
    interval lies above 0), sentence.
    """
    compared_with = CHAMPION_ARM if CHAMPION_ARM in card.arms else ZERO_SHOT
    difference = card.difference(plan.challenger, compared_with)
    column = columns().index((METRIC, CUTOFF))
    value, low, high = (float(one[column]) for one in (difference.value, difference.low, difference.high))
    finding = "is better than" if low > 0 else "is worse than" if high < 0 else "is not shown to differ from"
    other = f"champion version {plan.champion_version}" if compared_with == CHAMPION_ARM else compared_with
    note = f" ({plan.champion_note})" if plan.champion_note else ""
    ours, theirs = (card.value(arm, METRIC, CUTOFF) for arm in (plan.challenger, compared_with))
    return {
        "challenger": plan.challenger,
        "compared_with": compared_with,
        "metric": METRIC,
        "k": CUTOFF,
        "difference": value,
        "low": low,
        "high": high,
        "probability_better": float(difference.probability_better[column]),
        "is_better": low > 0,
        "sentence": (
            f"{plan.challenger} {finding} {other}{note}: hit rate@{CUTOFF} {ours:.3f} against {theirs:.3f}, "
            f"difference {value:+.3f} (95 % interval {low:+.3f} to {high:+.3f}, {card.query_count} searches of "
            f"{card.cluster_count} visitors)."
        ),
    }
