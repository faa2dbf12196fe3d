"""Stage `evaluate`: rank the whole as-of corpus for every test query, by every arm, and say who is better.

A query of the test window is a conversion; its one relevant photo is the one converted. Candidates are the photos
submitted by then, or by the protocol 80/20 all photos. The challenger is the whole search that a release of this night
holds, and so is the champion; the vectors of each model and the counting baselines are arms beside them. Beside it
stands the evaluation by query (`jobs.evaluation.by_query`): a query is a distinct (query, country), and all photos
converted for it are relevant. The models have learned from the training window only; the counting baselines see
everything before the test window (training and validation), which favours them. Of a window with more searches than the
splits' `max_ranked_searches` those of a sample of visitors are ranked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from jobs.config.params.arms import RERANKED, TRENDING
from jobs.config.params.evaluation import EvaluateParams
from jobs.context import RunContext
from jobs.datasets.evaluation import EvaluationFacts, FrequencyCutsFacts, PastFacts
from jobs.datasets.models import EventsCheck
from jobs.evaluation.arm_plan import Plan
from jobs.evaluation.availability import read_availability
from jobs.evaluation.by_query import Judgements, query_scorecard, rank_both_ways
from jobs.evaluation.ranked_arm import BASELINES, RankedArm, baseline
from jobs.evaluation.ranking_task import Task, read_task
from jobs.evaluation.segments import Segments, read_segments
from jobs.evaluation.shown_lists import ShownLists
from jobs.evaluation.tables import (
    Ranks,
    Tops,
    comparisons_table,
    contact_sheet_table,
    metrics_tables,
    ranks_table,
    whole_metrics_table,
)
from jobs.evaluation.vector_arm import Limits, VectorArm
from jobs.evaluation.verdict import KNOWN_PAST, UNKNOWN_PAST, rates, rival, trending, verdict, worth_of_past
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.reranking.answering import Answering, answering
from jobs.reranking.reranked_arm import Reranked
from jobs.reranking.trending import Trending
from jobs.runtime.progress import timed
from models.evaluation.ranking import TIE_RULE, Availability
from models.evaluation.scorecard import Scorecard

log = logging.getLogger("nightlens.evaluate")

INTERVALS = "95 %, paired, clustered by visitor and by query"


def run(ctx: RunContext, params: EvaluateParams, inputs: dict[str, Manifest], staged: StagedRun) -> EvaluationFacts:
    """Rank, measure and compare; a missing or unfinished arm raises."""
    plan, seconds = Plan.of(inputs), dict[str, float]()
    with timed(log, seconds, "read"):
        asked = _Asked.read(ctx.lake, inputs)
        shown = ShownLists.read(ctx.lake, inputs, asked.task)
    ranked, checks, recall = _Ranked(), list[EventsCheck](), dict[str, dict[str, float]]()
    past: PastFacts | None = None
    with answering(ctx.settings, "evaluate", inputs["splits"], staged, params.max_memory_mb) as where:
        arm_of = cache(partial(_arm, ctx.lake, inputs, params, asked, where))
        whole_search = cache(partial(_whole_search, ctx.lake, inputs, plan, asked.task, where))
        for name in plan.arms:
            with timed(log, seconds, name):
                if name not in plan.whole_searches:
                    arm = arm_of(name)
                    ranked.without_vector[name] = arm.missing_count
                    ranked.add(name, rank_both_ways(arm, asked.task, asked.availability, asked.judgements))
                    shown.add(name, arm)
                    continue
                search = whole_search(name)
                both, recall[name] = search.ranks_both_ways(asked.judgements, where)
                ranked.add(name, both)
                checks.append(search.check)
            if name == RERANKED:
                with timed(log, seconds, "trending"):
                    _rank_trending(ctx.lake, inputs["splits"], asked.task, search, ranked, where)
                with timed(log, seconds, "without_past"):
                    past = _past(asked.task, search, ranked.converted[name], where)
        with timed(log, seconds, "intervals"):
            card, query_card = _measure(staged, plan, asked, ranked)
            off_policy, off_policy_facts = shown.values()
            staged.write_table("off_policy", off_policy)
        with timed(log, seconds, "contact_sheet"):
            beside = rival(card, plan)
            tops = {name: _tops(plan, name, asked.task, arm_of, whole_search) for name in (plan.challenger, beside)}
            sheet = contact_sheet_table(ranked.converted, asked.task, tops, params.contact_sheet_queries)
            staged.write_table("contact_sheet", sheet)
    _write_ranks(staged, asked, ranked)
    cuts = asked.segments.frequency_cuts
    return EvaluationFacts(
        test_query_count=card.query_count,
        test_visitor_count=card.cluster_counts[0],
        test_window_query_count=inputs["splits"].row_counts["test"],
        protocol=plan.protocol,
        corpus_photo_count=len(asked.task.photos),
        photos_without_vector=ranked.without_vector,
        verdict=verdict(card, plan),
        base_arm=plan.base_arm,
        rival=beside,
        hit_rate_at_10=rates(card),
        by_query=asked.judgements.facts(query_card),
        frequency_cuts=FrequencyCutsFacts(head_min_count=cuts.head_min_count, torso_min_count=cuts.torso_min_count),
        champion_version=plan.champion_version,
        champion_note=plan.champion_note,
        reranker_note=plan.reranker_note,
        trending=trending(card, plan),
        past=past,
        off_policy=off_policy_facts,
        checks=tuple(checks),
        candidate_recall=recall.get(RERANKED, {}),
        tie_rule=TIE_RULE,
        intervals=INTERVALS,
        seconds={step: round(duration, 2) for step, duration in seconds.items()},
    )


@dataclass(frozen=True)
class _Asked:
    """What every arm is asked and may show, and what the searches are told apart by."""

    task: Task
    availability: Availability
    segments: Segments
    judgements: Judgements

    @classmethod
    def read(cls, lake: Lake, inputs: dict[str, Manifest]) -> _Asked:
        splits = inputs["splits"]
        task = read_task(lake, splits)
        available = read_availability(lake, inputs, task)
        segments = read_segments(lake, splits, task)
        return cls(task, available, segments, Judgements.of(task, available.picture))


@dataclass(frozen=True)
class _Ranked:
    """The ranks by arm, as they come in, and of how many photos an arm has no vector."""

    converted: Ranks = field(default_factory=dict)
    judged: Ranks = field(default_factory=dict)
    without_vector: dict[str, int] = field(default_factory=dict)

    def add(self, arm: str, both: tuple[NDArray[np.int32], NDArray[np.int32]]) -> None:
        """Take in an arm's ranks of the photos converted, shape (Q,), and judged, shape (N,)."""
        self.converted[arm], self.judged[arm] = both


def _arm(
    lake: Lake, inputs: dict[str, Manifest], params: EvaluateParams, asked: _Asked, where: Answering, name: str
) -> RankedArm:
    """Return an arm that scores every photo."""
    if name in BASELINES:
        return baseline(lake, inputs["splits"], asked.task, asked.availability, name, where.pool, where.scratch)
    limits = Limits(params.max_missing_share, params.max_memory_mb)
    return VectorArm.laid_out(lake, inputs, asked.task, asked.availability, name, where.pool, where.scratch, limits)


def _rank_trending(
    lake: Lake, splits: Manifest, task: Task, reranked: Reranked, ranked: _Ranked, where: Answering
) -> None:
    """Rank with counts refreshed within the window; the evaluation by query has no time of day and goes without."""
    trending = Trending.read(lake, splits, task, reranked)
    ranked.converted.update(zip(TRENDING, trending.ranks(list(TRENDING.values()), where), strict=True))


def _past(task: Task, reranked: Reranked, rank_Q: NDArray[np.int32], where: Answering) -> PastFacts | None:
    """Return what it is worth to know what visitors took before; None if nobody took anything."""
    rows, unknown = reranked.without_past(where)
    if not len(rows):
        return None
    is_asked_Q = np.isin(np.arange(len(rank_Q)), rows)
    ranks = {KNOWN_PAST: rank_Q[rows], UNKNOWN_PAST: unknown}
    return worth_of_past(Scorecard.of(ranks, task.clusters(is_asked_Q)))


def _whole_search(
    lake: Lake, inputs: dict[str, Manifest], plan: Plan, task: Task, where: Answering, name: str
) -> Reranked:
    """Return the search of the candidate or of the champion."""
    if name == RERANKED or plan.champion_reranker is None:
        return Reranked.read(lake, inputs, task, where)
    return Reranked.read_champion(lake, inputs, task, plan.champion_reranker, where)


def _tops(
    plan: Plan, name: str, task: Task, arm_of: Callable[[str], RankedArm], whole_search: Callable[[str], Reranked]
) -> Tops:
    """Return how an arm lists its best photos."""
    if name in plan.whole_searches:
        return whole_search(name).tops
    arm = arm_of(name)
    return lambda rows, k: arm.best(task.text_ids[rows], task.asked_at[rows], k)


def _measure(staged: StagedRun, plan: Plan, asked: _Asked, ranked: _Ranked) -> tuple[Scorecard, Scorecard]:
    """Write metrics and comparisons; return the scorecards of searches and of queries."""
    metrics, segment_comparisons, card = metrics_tables(ranked.converted, asked.task, asked.segments, plan.challenger)
    query_card = query_scorecard(ranked.judged, asked.judgements)
    staged.write_table("metrics", metrics)
    staged.write_table("segment_comparisons", segment_comparisons)
    staged.write_table("comparisons", comparisons_table(card, plan.challenger))
    staged.write_table("query_metrics", whole_metrics_table(query_card))
    staged.write_table("query_comparisons", comparisons_table(query_card, plan.challenger))
    return card, query_card


def _write_ranks(staged: StagedRun, asked: _Asked, ranked: _Ranked) -> None:
    queries = asked.task.queries.select("query_id", "visitor_id", "query", "country", "photo_id")
    staged.write_table("queries", queries)
    staged.write_table("ranks", ranks_table(ranked.converted))
    staged.write_table("judgements", asked.judgements.frame)
    staged.write_table("judgement_ranks", ranks_table(ranked.judged, "judgement_id"))
