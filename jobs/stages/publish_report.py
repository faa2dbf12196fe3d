"""Stage `publish_report`: the night as one HTML page, kept in the lake, in MLflow, and published for people.

Published are `<report_dir>/<catalogue>/<run_date>.html`, the Data Docs in a folder beside it, and `latest.html`, a
copy of the newest night. A rerun of a committed night puts back what is missing or was changed there; after an
ablation it is a new report, with what was found.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import polars as pl

from jobs.config.params.release import PublishReportParams
from jobs.context import Chosen, RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.models import RegistrationFacts
from jobs.datasets.reports import ReportFacts
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.report.costs import usage_of
from jobs.report.html_page import write_whole
from jobs.report.inputs import Night
from jobs.report.quality import data_docs_folder
from jobs.stages.registry import MAKERS

log = logging.getLogger("nightlens.publish_report")

REPORT_FILE = "report.html"
_PUBLISHED = re.compile(r"\d{4}-\d{2}-\d{2}\.html")


def choose(ctx: RunContext, params: PublishReportParams, inputs: dict[str, Manifest]) -> Chosen:
    """Find the night's ablation, and the evaluations and reports of the nights before."""
    night = Night.read(ctx, inputs, {dataset: MAKERS[dataset] for dataset in inputs})
    return Chosen(night.added_inputs, night.source_digests, found=night)


def run(
    ctx: RunContext, params: PublishReportParams, inputs: dict[str, Manifest], staged: StagedRun, night: Night
) -> ReportFacts:
    """Render and log the night's report."""
    from jobs.report.render import build_report, render

    report = build_report(night, params)
    judged = report["verdict"]
    html = render(report)
    staged.write_file(REPORT_FILE, html.encode())
    _log_to_mlflow(night, html)  # before the commit, so that a rerun after a failure tries again
    return ReportFacts(outcome=judged["outcome"], headline=judged["headline"], usage=usage_of(night))


def publish(ctx: RunContext, params: PublishReportParams, inputs: dict[str, Manifest], report: Manifest) -> None:
    """Bring the published copies of a night up to date; what is equal is not touched."""
    folder = ctx.settings.report_dir / ctx.catalogue
    page = folder / f"{ctx.run_date.isoformat()}.html"
    html = ctx.lake.read_file(report, REPORT_FILE)
    with ctx.lake.local_folder(inputs[VALIDATED.name], "data_docs") as docs:
        _mirror(docs, folder / data_docs_folder(ctx.run_date.isoformat()))
    write_whole(page, html)
    if page.name == max(path.name for path in folder.iterdir() if _PUBLISHED.fullmatch(path.name)):
        write_whole(folder / "latest.html", html)
    log.info("report: %s", page)


def _log_to_mlflow(night: Night, html: str) -> None:
    from jobs.adapters import mlflow_runs

    registration = night.facts(RegistrationFacts)
    metrics: dict[str, float] = {}
    for table, prefix in (("metrics", ""), ("query_metrics", "by_query_")):
        whole = night.table(EVALUATION, table).filter(pl.col("segment_kind") == "all")
        values = whole.select("arm", "metric", "k", "value").iter_rows()
        metrics |= {f"{arm}/{prefix}{metric}_at_{k}": value for arm, metric, k, value in values}
    challenger = night.facts(EvaluationFacts).verdict.challenger
    mlflow_runs.log_evaluation(night.ctx.settings, registration, challenger, metrics)
    mlflow_runs.log_report(night.ctx.settings, registration, html)


def _mirror(source: Path, target: Path) -> None:
    """Make the files below `target` those below `source`."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for name in sorted(wanted):
        write_whole(target / name, (source / name).read_bytes())
    for path in [path for path in target.rglob("*") if path.is_file()]:
        if path.relative_to(target) not in wanted:
            path.unlink()
