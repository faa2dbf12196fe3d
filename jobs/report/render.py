"""The report of a night, from what its sections show to one HTML page."""

from __future__ import annotations

from typing import Any

from jobs.config.params.release import PublishReportParams
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.indexes import PHOTO_INDEX, IndexCheckFacts, PhotoIndexFacts
from jobs.report.ablation import ablation
from jobs.report.contact_sheet import contact_sheet
from jobs.report.costs import costs
from jobs.report.drift import drift
from jobs.report.gate import gate
from jobs.report.history import history
from jobs.report.html_page import render_page
from jobs.report.impressions import shown
from jobs.report.inputs import Night
from jobs.report.live_day import live_day
from jobs.report.names import arm
from jobs.report.photo_map import photo_map
from jobs.report.quality import quality
from jobs.report.ranking import Metrics, ranking, slices
from jobs.report.recommendations import recommendations
from jobs.report.reranker import reranker_report
from jobs.report.run_facts import run_facts
from jobs.report.similar import similar
from jobs.report.training import training
from jobs.report.verdict import verdict


def build_report(night: Night, params: PublishReportParams | None = None) -> dict[str, Any]:
    """Return what the template shows of a night, by section, at the default chosen if no params are given.

    Raises `MissingInput` or `BadInput` if an input lacks what is shown.
    """
    metrics = Metrics(night.table(EVALUATION, "metrics"))
    chosen = params or PublishReportParams()
    facts = night.facts(EvaluationFacts)
    challenger = facts.verdict.challenger
    return {
        "night": night,
        "catalogue": night.ctx.catalogue,
        "run_date": night.ctx.run_date,
        "takes_all_photos": night.facts(SplitsFacts).takes_all_photos,
        "verdict": verdict(night, metrics),
        "gate": gate(night),
        "live_day": live_day(night),
        "evaluation": facts,
        "ranking": ranking(night, metrics, challenger),
        "slices": slices(metrics, night.table(EVALUATION, "segment_comparisons"), challenger, facts),
        "training": training(night),
        "reranker": reranker_report(night),
        "ablation": ablation(night),
        "quality": quality(night),
        "shown": shown(night),
        "drift": drift(night),
        "index": night.facts(PhotoIndexFacts),
        "index_check": night.facts(IndexCheckFacts),
        "index_arm": arm(night.manifest(PHOTO_INDEX).params["arm"]),
        "photo_map": photo_map(night, chosen.map_picture_count),
        "searches": contact_sheet(night, challenger),
        "similar": similar(night),
        "recommendations": recommendations(night),
        "run": run_facts(night),
        "costs": costs(night, chosen),
        "history": history(night),
    }


def render(report: dict[str, Any]) -> str:
    """Return the page."""
    return render_page("report.html.j2", report=report)
