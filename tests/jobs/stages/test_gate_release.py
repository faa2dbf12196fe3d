"""The gate as a stage: what it takes from the night, what it tells MLflow, what it commits."""

from __future__ import annotations

import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jobs.adapters import mlflow_connection, mlflow_registry
from jobs.config.params.release import GateReleaseParams, MakeReleaseParams
from jobs.context import RunContext
from jobs.datasets.models import CHAMPION
from jobs.datasets.releases import GATE, GateFacts, ReleaseFacts
from jobs.errors import BadInput
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.releasing import reading_costs
from jobs.releasing.ledger import Ledger
from jobs.releasing.promotion import open_review, promote
from jobs.releasing.reader_check import ReaderCheck
from jobs.reranking.saved import reranker_digest
from jobs.stages import gate_release
from models.gates import Difference
from tests.command_line import parse
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs import report_fixtures
from tests.jobs.report_fixtures import Story
from tests.released import NOW, Registry, commit_release, name_of, register_release
from tests.validated_lake import commit_tables

PARAMS = GateReleaseParams(
    segment_margin=1.0, latency_query_count=10, max_latency_p99_milliseconds=1e9, max_open_seconds=1e9
)


def commit_candidate(context: RunContext, story: Story) -> Manifest:
    """Commit a night up to its release."""
    report_fixtures.commit_night(context, story)
    return commit_release(context)


@pytest.fixture(autouse=True)
def read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for reading through the release: the searches of a night that is made up are none of its photos.

    The process in which memory is measured takes seconds to start: here it is a thread of this one.
    """
    monkeypatch.setattr(gate_release, "read_through", lambda *_: ReaderCheck(500, 0.7, 0.699))
    monkeypatch.setattr(reading_costs, "ProcessPoolExecutor", lambda count, _: ThreadPoolExecutor(count))


@pytest.fixture
def told(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What MLflow is told of version 1."""
    tags: dict[str, Any] = {}
    monkeypatch.setattr(mlflow_registry, "set_tag", lambda settings, version, name, value: tags.update({name: value}))
    monkeypatch.setattr(
        mlflow_registry, "set_section", lambda settings, version, heading, text: tags.update({heading: text})
    )
    return tags


def test_a_candidate_that_is_better_passes_and_mlflow_is_told(make_context: Contexts, told: dict[str, Any]) -> None:
    context = make_context()
    release = commit_candidate(context, Story(outcome="better"))
    gate = run_stage(context, "gate_release", PARAMS)
    facts = GateFacts.of(gate)
    assert facts.outcome == "pass"
    assert facts.reasons == ()
    assert facts.release == name_of(release)
    costs = facts.costs
    assert 0 < costs.latency_p50_milliseconds <= costs.latency_p99_milliseconds
    assert costs.open_seconds > 0
    assert costs.batch_searches_per_second > 0
    assert costs.memory_mb is not None
    mapped = [info.byte_count for name, info in release.files.items() if name.startswith(("index/", "search/"))]
    assert costs.bytes_per_photo == round(sum(mapped) / release.row_counts["ids"], 1) > 0
    figures = facts.figures
    difference, low, high = report_fixtures.OUTCOMES["better"]
    assert figures.difference == Difference(difference, low, high, 9412, 0.0128)
    assert (figures.metric, figures.champion) == ("hit_rate@10", "compared")
    assert figures.drift.unseen_query_share == 0.1234
    assert figures.drift.p_values["searches of the last day"] == 0.713
    findings = context.lake.read_table(gate, "findings")
    assert set(findings["outcome"]) == {"pass"}
    assert (facts.read_search_count, facts.evaluated_hit_rate, facts.read_hit_rate) == (500, 0.7, 0.699)
    assert findings.filter(check="hit rate lost in reading")["figure"].to_list() == ["0.10 points"]
    assert {"detectable difference", "slices"} <= set(findings["check"])
    assert (told["gate"], told["gate_reasons"]) == ("pass", "")
    count = len(findings)
    assert told["## Gate"].splitlines()[0] == f"Night of 2025-12-28: **pass**, {count} of {count} checks passed."
    told.clear()
    assert run_stage(context, "gate_release", PARAMS) == gate
    assert told == {}


@pytest.mark.parametrize(
    ("story", "params", "outcome", "reason"),
    [
        (Story(outcome="worse"), {}, "fail", "overall: worse by more than the margin of 1 points"),
        (Story(outcome="better", counting=0.7), {}, "fail", "better than counting: not surely better than most_conv"),
        (Story(outcome="better", counting=0.7), {"must_beat_counting": False}, "pass", ""),
        (Story(outcome="undecided"), {}, "inconclusive", "not shown to be better than the champion"),
        (Story(outcome="undecided"), {"rule": "parity"}, "pass", ""),
        (Story(), {}, "pass", ""),
        (Story(left_out="it has seen answers"), {}, "inconclusive", "it has seen answers"),
        (Story(outcome="better", bad_rows=6000), {}, "fail", "quarantined rows of conversions is 5.00%"),
        (Story(outcome="better"), {"max_index_bytes": 10}, "fail", "index size is"),
        (Story(outcome="better"), {"max_missing_image_share": 0.001}, "fail", "photos without an image is 0.11%"),
        (Story(outcome="better"), {"max_unseen_query_share": 0.12}, "fail", "searches with unseen queries is 12.34%"),
        (Story(outcome="better", drift="searches"), {}, "fail", "likeness of searches of the last day is p 0.0010"),
        (Story(outcome="better", drift="searches"), {"min_drift_p": 0.003}, "pass", ""),
        (Story(outcome="better", drift="empty day"), {}, "fail", "searches of the last day is 0"),
        (Story(outcome="better", drift="short log", day_count=1), {}, "pass", ""),
    ],
)
def test_what_stands_in_the_way_is_said(
    make_context: Contexts, told: dict[str, Any], story: Story, params: dict[str, Any], outcome: str, reason: str
) -> None:
    context = make_context()
    commit_candidate(context, story)
    gate = run_stage(context, "gate_release", PARAMS.model_copy(update=params))
    facts = GateFacts.of(gate)
    assert facts.outcome == told["gate"] == outcome
    assert any(found.startswith(reason) for found in facts.reasons) or not reason
    assert (facts.reasons == ()) == (outcome == "pass")


@pytest.mark.parametrize("is_same", [True, False])
def test_the_same_model_with_another_reranker_is_another_search(
    make_context: Contexts, told: dict[str, Any], is_same: bool
) -> None:
    context = make_context()
    release = commit_candidate(context, Story(outcome="undecided"))
    reranker = {"files_digest": reranker_digest(release) if is_same else "of another night"}
    live = {"version": 2, "model_digest": ReleaseFacts.of(release).model_digest, "reranker": reranker}
    commit_tables(context, CHAMPION, files={"champion.json": repr(live).encode()}, facts={"live": live})
    facts = GateFacts.of(run_stage(context, "gate_release", PARAMS))
    assert facts.figures.champion == ("same" if is_same else "compared")
    assert facts.outcome == ("pass" if is_same else "inconclusive")


def test_a_release_that_is_not_the_registered_one_is_not_judged(
    make_context: Contexts, told: dict[str, Any], registry: Registry
) -> None:
    context = make_context()
    commit_candidate(context, Story(outcome="better"))
    release = run_stage(context, "make_release", MakeReleaseParams(recommend_to=7))
    with raises(BadInput, "release_not_registered", release=release.reference):
        run_stage(context, "gate_release", PARAMS)
    assert told == {}


def test_a_review_shows_verdict_and_links_and_its_decision_rests_on_the_figures(
    make_context: Contexts, told: dict[str, Any]
) -> None:
    context = make_context()
    commit_candidate(context, Story(outcome="undecided"))
    run_stage(context, "gate_release", PARAMS)
    shown = open_review(context.settings, "test", by="airflow", at=NOW, run_date=None)
    assert (shown["version"], shown["run_date"], shown["catalogue"]) == ("1", "2025-12-28", "test")
    assert shown["subject"] == "test: make version 1 of 2025-12-28 live? Gate: inconclusive"
    report = context.settings.report_dir / "test" / "2025-12-28.html"
    for part in ("Not shown to be better than the champion", f"- Report: the file `{report}`\n", "| pass | index"):
        assert part in shown["body"], part
    assert report.as_uri() not in shown["body"]
    where, shown_by = f"run run-1, in the store `{context.settings.tracking_uri}`", "start one with `mlflow server "
    (in_mlflow,) = re.findall(r"^- MLflow: (.*)$", shown["body"], re.MULTILINE)
    assert where in in_mlflow
    assert shown_by in in_mlflow
    assert "/#/" not in in_mlflow  # no server, no address
    (line,) = re.findall(r"^- Try a search .*`nightlens (.*)`$", shown["body"], re.MULTILINE)
    command, trial = parse(shlex.split(line))
    assert (command, trial["query"], trial["catalogue"], trial["run_date"]) == ("search", "cat", "test", "2025-12-28")
    promote(context.settings, "test", 1, by="ada", reason="fresher index", at=NOW)
    opened, promoted = Ledger(context.lake).entries()
    assert opened.kind == "review_opened"
    assert promoted.figures["gate"] == "inconclusive"
    assert promoted.figures["difference"]["value"] == report_fixtures.OUTCOMES["undecided"][0]
    assert promoted.figures["reasons"] == list(GateFacts.of(context.read(GATE)).reasons)


def test_mlflow_keeps_the_verdict_with_the_version(tracked: RunContext) -> None:
    report_fixtures.commit_night(tracked, Story(outcome="worse"))
    register_release(tracked, photo_ids=["a", "b", "c"])
    before = mlflow_connection.client_of(tracked.settings).get_model_version("nightlens-test", "1").description
    run_stage(tracked, "gate_release", PARAMS)
    run_stage(tracked, "gate_release", PARAMS.model_copy(update={"margin": 0.5, "rule": "parity"}))
    version = mlflow_connection.client_of(tracked.settings).get_model_version("nightlens-test", "1")
    assert version.tags["gate"] == "pass"
    assert version.description.startswith(before)
    assert version.description.count("## Gate") == 1
    assert len(version.description) <= mlflow_registry.DESCRIPTION_LENGTH
    mlflow_registry.set_section(
        tracked.settings, mlflow_registry.find_version(tracked.settings, "test", 1), "## Gate", "x" * 4000
    )
    longest = mlflow_connection.client_of(tracked.settings).get_model_version("nightlens-test", "1").description
    assert len(longest) == mlflow_registry.DESCRIPTION_LENGTH
    assert longest.endswith("x" * 4000)
    assert re.search(r"Night of 2025-12-28: \*\*pass\*\*, \d+ of \d+ checks passed\.", version.description)
