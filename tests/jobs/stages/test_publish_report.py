"""The stage: the report is committed, logged, published whole, and made anew where what it shows has changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from jobs.adapters import mlflow_runs
from jobs.config.params.arms import FULL, RERANKED
from jobs.config.params.release import PublishReportParams
from jobs.context import RunContext
from jobs.datasets.indexes import PHOTO_INDEX
from jobs.datasets.reports import REPORT, ReportFacts
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from tests.errors import raises
from tests.jobs.report.page import Page
from tests.jobs.report_fixtures import BY_QUERY, HIT_RATES, Story, commit_ablation, commit_night, value_of

Make = Callable[..., RunContext]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand in for MLflow; what would be logged is kept here."""
    calls: dict[str, Any] = {}
    monkeypatch.setattr(mlflow_runs, "log_evaluation", lambda *told: calls.update(challenger=told[2], metrics=told[3]))
    monkeypatch.setattr(mlflow_runs, "log_report", lambda settings, facts, html: calls.update(html=html))
    return calls


def publish(context: RunContext) -> Manifest:
    return run_stage(context, "publish_report", PublishReportParams())


def test_the_report_is_committed_logged_and_published(make_context: Make, logged: dict[str, Any]) -> None:
    context = make_context()
    commit_night(context)
    manifest = publish(context)
    html = context.lake.read_file(manifest, "report.html")
    folder = context.settings.report_dir / "test"
    assert (folder / "2025-12-28.html").read_bytes() == html
    assert (folder / "latest.html").read_bytes() == html
    assert (folder / "2025-12-28-data-docs" / "index.html").read_bytes() == b"<h1>docs</h1>"
    assert ReportFacts.of(manifest).outcome == "better"
    assert logged["html"] == html.decode()
    metrics = logged["metrics"]
    assert logged["challenger"] == RERANKED
    assert metrics[f"{FULL}/hit_rate_at_10"] == pytest.approx(HIT_RATES[FULL])
    assert metrics[f"{FULL}/by_query_ndcg_at_10"] == pytest.approx(value_of(HIT_RATES[FULL], "ndcg", 10) * BY_QUERY)
    assert len(metrics) == 2 * len(Story().rates) * 28


def test_a_rerun_does_nothing_but_put_back_what_is_missing(make_context: Make, logged: dict[str, Any]) -> None:
    context = make_context()
    commit_night(context)
    first = publish(context)
    folder = context.settings.report_dir / "test"
    docs = folder / "2025-12-28-data-docs"
    (folder / "latest.html").unlink()
    (folder / "2025-12-28.html").write_text("overwritten")
    (docs / "photos.html").unlink()
    (docs / "stray.html").write_text("of another run")
    kept = (docs / "index.html").stat().st_mtime_ns
    logged.clear()
    assert publish(make_context(run_id="again")) == first
    assert logged == {}
    html = context.lake.read_file(first, "report.html")
    assert (folder / "2025-12-28.html").read_bytes() == (folder / "latest.html").read_bytes() == html
    assert sorted(path.name for path in docs.iterdir()) == ["index.html", "photos.html"]
    assert (docs / "index.html").stat().st_mtime_ns == kept


def test_after_an_ablation_the_same_night_is_published_again_with_it(
    make_context: Make, logged: dict[str, Any]
) -> None:
    context = make_context()
    manifests = commit_night(context)
    first = publish(context)
    compared = commit_ablation(context, manifests["splits"])
    later = make_context(run_id="ablation")
    second = publish(later)
    assert second.run_id != first.run_id
    assert second.input_runs["ablation"] == compared.reference
    html = later.lake.read_file(second, "report.html").decode()
    assert (context.settings.report_dir / "test" / "latest.html").read_text(encoding="utf-8") == logged["html"] == html
    page = Page(html)
    assert "ablation" in page.sections
    assert "Night test-night" in page.text("run")  # the night, not the ablation's run
    logged.clear()
    assert publish(make_context(run_id="once more")) == second
    assert logged == {}
    commit_ablation(context, manifests["splits"], softmax=0.5)
    assert publish(later).run_id not in (first.run_id, second.run_id)


def test_an_older_night_does_not_become_the_latest(make_context: Make, logged: dict[str, Any]) -> None:
    for day in (date(2025, 12, 28), date(2025, 12, 27)):
        context = make_context(run_date=day)
        commit_night(context)
        publish(context)
    folder = make_context().settings.report_dir / "test"
    assert (folder / "latest.html").read_bytes() == (folder / "2025-12-28.html").read_bytes()
    assert (folder / "2025-12-27.html").exists()


def test_a_failure_to_log_commits_nothing(
    make_context: Make, logged: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ConnectionError("no MLflow")

    context = make_context()
    commit_night(context)
    monkeypatch.setattr(mlflow_runs, "log_report", refuse)
    with pytest.raises(ConnectionError):
        publish(context)
    with pytest.raises(MissingInput):
        context.read(REPORT)
    assert not (context.settings.report_dir / "test").exists()


def test_another_run_of_an_input_with_the_same_content_makes_a_new_report(
    make_context: Make, logged: dict[str, Any]
) -> None:
    context = make_context()
    commit_night(context)
    first = publish(context)
    commit_night(make_context(code_version="newer"))  # the same bytes under other run ids
    assert publish(context).run_id != first.run_id


def test_a_missing_input_is_named_with_the_stage_to_run(make_context: Make, logged: dict[str, Any]) -> None:
    context = make_context()
    commit_night(context)
    context.lake.fs.rm(f"{context.lake.root}/indexes/photo_index/run_date=2025-12-28/current.json")
    with raises(MissingInput, "stage_not_run", dataset=PHOTO_INDEX.name, run_first="build_index"):
        publish(context)
