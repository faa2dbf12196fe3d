"""The report of a night, from views to one HTML page."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.config.params.release import PublishReportParams
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.features import SplitsFacts
from jobs.report import formats
from jobs.report.ablation import Ablation, ablation
from jobs.report.arms import Arm, arm
from jobs.report.charts import DotChart
from jobs.report.contact_sheet import Search, contact_sheet
from jobs.report.costs import Costs, costs
from jobs.report.drift import Drift, drift
from jobs.report.gate import Gate, gate
from jobs.report.history import History, history
from jobs.report.html_page import render_page
from jobs.report.impressions import Shown, shown
from jobs.report.index import IndexReport, index_report
from jobs.report.inputs import Night
from jobs.report.photo_map import PhotoMap, photo_map
from jobs.report.quality import Quality, quality
from jobs.report.ranking import (
    FIRST_METRICS,
    METRICS,
    QUERY_METRICS,
    Differences,
    Metrics,
    MetricTable,
    QueryTable,
    Slice,
    arms_chart,
    differences,
    metric_table,
    query_table,
    slices,
)
from jobs.report.recommendations import Recommendations, recommendations
from jobs.report.reranker import RerankerReport, reranker_report
from jobs.report.run_facts import RunFacts, run_facts
from jobs.report.similar import Similar, similar
from jobs.report.training import Training, training
from jobs.report.verdict import Tile, Verdict, tiles, verdict


@dataclass(frozen=True)
class Report:
    """Everything the template shows."""

    catalogue: str
    run_date: str
    run_day: str
    takes_all_photos: bool
    verdict: Verdict
    tiles: list[Tile]
    gate: Gate
    arms: list[Arm]
    arms_chart: DotChart
    metric_tables: list[MetricTable]
    more_metric_tables: list[MetricTable]
    tie_rule: str
    differences: Differences
    query_table: QueryTable
    query_metric_tables: list[MetricTable]
    query_differences: Differences
    judgement_count: str
    slices: list[Slice]
    training: Training
    reranker: RerankerReport
    ablation: Ablation | None
    quality: Quality
    shown: Shown | None
    drift: Drift
    index: IndexReport
    photo_map: PhotoMap | None
    searches: list[Search]
    similar: Similar
    recommendations: Recommendations
    run: RunFacts
    costs: Costs
    history: History


def build_report(night: Night, params: PublishReportParams | None = None) -> Report:
    """Return the report of a night, at the default chosen if none are given.

    Raises `MissingInput` or `BadInput` if an input lacks what is shown.
    """
    metrics = Metrics(night.table(EVALUATION, "metrics"))
    query_metrics = Metrics(night.table(EVALUATION, "query_metrics"))
    chosen = params or PublishReportParams()
    facts = night.facts(EvaluationFacts)
    challenger = arm(facts.verdict.challenger)
    state = quality(night)
    gated = gate(night)
    judged = verdict(night, metrics, state, gated.notes)
    return Report(
        catalogue=night.ctx.catalogue,
        run_date=night.ctx.run_date.isoformat(),
        run_day=formats.day(night.ctx.run_date),
        takes_all_photos=night.facts(SplitsFacts).takes_all_photos,
        verdict=judged,
        tiles=tiles(night, metrics, state, challenger, judged.compared),
        gate=gated,
        arms=metrics.arms,
        arms_chart=arms_chart(metrics, challenger.key),
        metric_tables=[metric_table(metrics, metric, challenger.key) for metric in FIRST_METRICS],
        more_metric_tables=[metric_table(metrics, m, challenger.key) for m in METRICS if m not in FIRST_METRICS],
        tie_rule=facts.tie_rule,
        differences=differences(metrics, night.table(EVALUATION, "comparisons")),
        query_table=query_table(query_metrics, challenger.key),
        query_metric_tables=[metric_table(query_metrics, m, challenger.key, is_by_query=True) for m in QUERY_METRICS],
        query_differences=differences(query_metrics, night.table(EVALUATION, "query_comparisons"), is_by_query=True),
        judgement_count=formats.count(facts.by_query.judgement_count),
        slices=slices(metrics, night.table(EVALUATION, "segment_comparisons"), challenger.key, facts),
        training=training(night),
        reranker=reranker_report(night),
        ablation=ablation(night),
        quality=state,
        shown=shown(night),
        drift=drift(night),
        index=index_report(night),
        photo_map=photo_map(night, chosen.map_picture_count),
        searches=contact_sheet(night, challenger.key),
        similar=similar(night),
        recommendations=recommendations(night),
        run=run_facts(night),
        costs=costs(night, chosen),
        history=history(night),
    )


def render(report: Report) -> str:
    """Return the page."""
    return render_page("report.html.j2", report=report)
