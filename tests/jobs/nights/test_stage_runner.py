"""The declared data flow: what the registry says of every stage, and what the runner makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.config.params.ingest import AuditLeaksParams
from jobs.context import Chosen, RunContext
from jobs.datasets.all import ALL as DATASETS
from jobs.datasets.schema import Facts
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest
from jobs.nights import stage_runner
from jobs.nights.stage_runner import run_stage
from jobs.stages.registry import ABLATION, ALL, MAKERS, STAGES, StageSpec, edges
from tests.conftest import Contexts
from tests.errors import raises


class Found(Facts):
    """Facts of the stage under test."""

    MEASURED = frozenset({"seconds"})
    count: int
    seconds: float = 0.0


@dataclass
class Stage:
    """A stage that counts how often it ran and published."""

    chosen: Chosen = field(default_factory=Chosen)
    found: Found = field(default_factory=lambda: Found(count=1))
    calls: list[str] = field(default_factory=list)

    def run(self, ctx: RunContext, params: Any, inputs: Mapping[str, Manifest], staged: Any) -> Found:
        self.calls.append(f"run {', '.join(inputs)}")
        staged.write_file("x", b"x")
        return self.found

    def choose(self, ctx: RunContext, params: Any, inputs: Mapping[str, Manifest]) -> Chosen:
        return self.chosen

    def publish(self, ctx: RunContext, params: Any, inputs: Mapping[str, Manifest], manifest: Manifest) -> None:
        self.calls.append("publish")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The registry has two stages: `first` commits `champion`, `second` reads it and commits `registration`."""
    made = Stage()

    class Spec(StageSpec):
        def load(self) -> Any:
            return SimpleNamespace(run=made.run) if self.name == "first" else made

    first = Spec("first", AuditLeaksParams, (), "champion", "data", "")
    second = Spec("second", AuditLeaksParams, ("champion",), "registration", "data", "")
    monkeypatch.setattr(stage_runner, "ALL", {"first": first, "second": second})
    return made


def test_every_dataset_has_one_stage_that_commits_it() -> None:
    assert sorted(MAKERS) == sorted(dataset.name for dataset in DATASETS)
    assert len(MAKERS) == len(ALL)


def test_a_stage_comes_after_all_that_it_reads() -> None:
    for specs in (STAGES, STAGES | ABLATION):
        order = list(specs)
        for spec in specs.values():
            earlier = [MAKERS[dataset] for dataset in (*spec.inputs, *spec.may_read)] + list(spec.after)
            assert all(order.index(stage) < order.index(spec.name) for stage in earlier)


def test_an_edge_that_others_imply_is_left_out() -> None:
    drawn = edges(STAGES)
    behind: dict[str, set[str]] = {}
    for name, direct in drawn.items():
        implied: set[str] = set().union(*(behind[stage] for stage in direct))
        assert not implied & set(direct)
        behind[name] = implied | set(direct)
        read = {MAKERS[dataset] for dataset in (*STAGES[name].inputs, *STAGES[name].may_read)}
        assert read | set(STAGES[name].after) <= behind[name]
    assert behind["publish_report"] == set(STAGES) - {"publish_report"}


def test_what_is_missing_is_named_with_the_stage_to_run_first(stage: Stage, make_context: Contexts) -> None:
    with raises(MissingInput, "stage_not_run", stage="second", dataset="champion", run_first="snapshot_champion"):
        run_stage(make_context(), "second", AuditLeaksParams())


def test_a_run_of_the_same_inputs_is_not_made_again_but_published(stage: Stage, make_context: Contexts) -> None:
    ctx = make_context()
    run_stage(ctx, "first", AuditLeaksParams())
    manifest = run_stage(ctx, "second", AuditLeaksParams())
    assert run_stage(ctx, "second", AuditLeaksParams()) == manifest
    assert stage.calls == ["run ", "run champion", "publish", "publish"]


def test_what_a_stage_chooses_is_part_of_its_run(stage: Stage, make_context: Contexts) -> None:
    ctx = make_context()
    earlier = run_stage(ctx, "first", AuditLeaksParams())
    plain = run_stage(ctx, "second", AuditLeaksParams())
    stage.chosen = Chosen(inputs={"earlier": earlier}, sources={"file": "digest"}, within={"repeat": "1"})
    chosen = run_stage(ctx, "second", AuditLeaksParams())
    assert chosen.run_id != plain.run_id
    assert chosen.partition == plain.partition | {"repeat": "1"}
    assert set(chosen.input_runs) == {"champion", "earlier"}
    assert stage.calls[-2:] == ["run champion, earlier", "publish"]


def test_what_is_made_from_a_run_follows_its_facts_but_not_its_seconds(stage: Stage, make_context: Contexts) -> None:
    ctx = make_context()
    second_runs = []
    for code, found in enumerate((Found(count=1), Found(count=1, seconds=9.0), Found(count=2))):
        stage.found = found
        run_stage(ctx.model_copy(update={"code_version": str(code)}), "first", AuditLeaksParams())
        second_runs.append(run_stage(ctx, "second", AuditLeaksParams()).run_id)
    assert second_runs[0] == second_runs[1] != second_runs[2]
