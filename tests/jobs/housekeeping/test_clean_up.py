"""Cleaning up: nothing that is needed by what is kept goes, and a second time nothing goes at all."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.adapters import mlflow_registry, mlflow_runs
from jobs.commands import main
from jobs.config.params.release import CleanUpParams, PublishReportParams
from jobs.datasets.features import LEAK_AUDIT
from jobs.datasets.releases import RELEASE
from jobs.datasets.reports import REPORT
from jobs.errors import MissingInput
from jobs.housekeeping.clean_up import LEAST_STALE, Removal, clean_up
from jobs.lake.catalogue import Lake
from jobs.releasing.ledger import Draft, Ledger
from jobs.releasing.promotion import promote, reject
from jobs.releasing.reader import ReleaseReader
from tests.conftest import Contexts, make_settings
from tests.released import BY, NOW, Registry, commit_release, commit_releases, name_of, night

STRICT = CleanUpParams(keep_nights=1, keep_days=0)


@pytest.fixture
def removed_runs(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """MLflow's run of each version of the registry, of the night of its number; those that are removed are noted."""
    gone: list[str] = []

    def remove(settings: Any, catalogue: str, run_id: str, versions: list[int], *, dry_run: bool = False) -> int:
        if not dry_run:
            gone.append(run_id)
            for number in versions:
                del registry.tags[number]
        return 100

    def logged(*_: Any) -> list[tuple[str, str]]:
        return [(f"run-{n}", night(n).isoformat()) for n in registry.tags]

    monkeypatch.setattr(mlflow_registry, "aliased_versions", lambda *_: {registry.champion} - {None})
    monkeypatch.setattr(mlflow_runs, "logged_nights", logged)
    monkeypatch.setattr(mlflow_runs, "remove_run", remove)
    return gone


def nights_left(lake: Lake) -> set[str]:
    return {manifest.partition["run_date"] for manifest in lake.manifests()}


def clean(lake: Lake, make_context: Contexts, params: CleanUpParams = STRICT, **more: Any) -> list[Removal]:
    return clean_up(make_context().settings, lake.catalogue, params, NOW, **more)


def test_gone_are_nights_that_nothing_needs_and_what_mlflow_has_of_them(
    make_context: Contexts, removed_runs: list[str]
) -> None:
    lake = make_context().lake
    releases = commit_releases(make_context, range(1, 5))
    promote(make_context().settings, "test", 1, **BY)
    promote(make_context().settings, "test", 2, **BY)
    assert clean(lake, make_context, CleanUpParams(keep_nights=1, keep_days=1000)) == []
    planned = clean(lake, make_context, dry_run=True)
    assert nights_left(lake) == {night(n).isoformat() for n in range(1, 5)}
    assert removed_runs == []
    removed = clean(lake, make_context)
    assert removed == planned
    assert nights_left(lake) == {night(n).isoformat() for n in (1, 2, 4)}  # before, live, latest
    assert removed_runs == ["run-3"]
    assert releases[2].reference in [one.what for one in removed]
    assert "MLflow run run-3 of the night of 2025-12-03, version 3" in [one.what for one in removed]
    assert all(one.byte_count > 0 for one in removed)
    assert clean(lake, make_context) == []
    for reference in [manifest.reference for manifest in lake.manifests()]:
        for path in lake.by_reference(reference).paths:
            assert lake.fs.exists(f"{lake.root}/{path}")
        for other in lake.by_reference(reference).input_runs.values():
            lake.by_reference(other)
    assert ReleaseReader(lake, with_model=True).current.name == name_of(releases[1])


def test_a_release_under_review_keeps_all_it_was_made_from_until_it_is_decided(
    make_context: Contexts, removed_runs: list[str]
) -> None:
    settings, lake = make_context().settings, make_context().lake
    first, _ = commit_releases(make_context, range(1, 3))
    name = name_of(first)
    told: dict[str, Any] = {"at": NOW, "by": "a", "reason": "", "version": 1, "after_night": None}
    Ledger(lake).append(lambda state: Draft(kind="review_opened", release=name, **told))
    clean(lake, make_context)
    needed, seen = [first.reference], 0
    while needed:
        manifest = lake.by_reference(needed.pop())
        needed += manifest.input_runs.values()
        seen += 1
    assert seen > 3
    reject(settings, "test", 1, **BY)
    clean(lake, make_context)
    assert nights_left(lake) == {"2025-12-02"}
    assert "run-1" not in removed_runs  # version 1 is in the ledger


def test_of_a_kept_night_what_is_no_longer_current_goes(
    make_context: Contexts, registry: Registry, removed_runs: list[str]
) -> None:
    registry.tags.clear()
    context = make_context()
    manifests = []
    for label in ("first", "second"):
        staged = context.begin(REPORT, PublishReportParams(), {}, {"made_up": label})
        staged.write_file("report.html", label.encode())
        manifests.append(staged.commit())
    (removed,) = clean(context.lake, make_context)
    assert removed.what == manifests[0].reference
    assert context.read(REPORT) == manifests[1]


@pytest.fixture
def attempts(make_context: Contexts) -> dict[str, Path]:
    """Attempts that were left behind: beside a committed run, and of one that never was; each also by a live writer."""
    context = make_context()
    staged = context.begin(REPORT, PublishReportParams(), {}, {"made_up": "done"})
    loser = context.begin(REPORT, PublishReportParams(), {}, {"made_up": "done"})
    staged.write_file("report.html", b"done")
    staged.commit()
    never = context.begin(LEAK_AUDIT, PublishReportParams(), {}, {"made_up": "never"})
    writing = context.begin(LEAK_AUDIT, PublishReportParams(), {}, {"made_up": "now"})
    for one in (loser, never, writing):
        one.write_file("x/y", b"12345")
    found = {"loser": loser, "never": never, "writing": writing, "committed": staged}
    folders = {name: Path(one.worker_output.attempt) for name, one in found.items()}
    long_ago = (NOW - LEAST_STALE - timedelta(hours=1)).timestamp()
    for name, folder in folders.items():
        for path in folder.rglob("*"):
            if name != "writing":
                os.utime(path, (long_ago, long_ago))
    return folders


def test_attempts_that_nobody_writes_to_any_more_go(
    make_context: Contexts, registry: Registry, removed_runs: list[str], attempts: dict[str, Path]
) -> None:
    registry.tags.clear()
    lake = make_context().lake
    assert clean(lake, make_context, CleanUpParams(keep_nights=1, keep_days=30)) == []
    assert [one.byte_count for one in clean(lake, make_context, dry_run=True)] == [5, 5]
    assert all(folder.exists() for folder in attempts.values())
    removed = clean(lake, make_context)
    assert all(one.what.endswith(" (unfinished)") for one in removed)
    assert {name for name, folder in attempts.items() if folder.exists()} == {"writing", "committed"}
    assert clean(lake, make_context) == []
    assert lake.read_file(make_context().read(REPORT), "report.html") == b"done"


def test_all_of_it_works_on_an_object_store(tmp_path: Path, make_context: Contexts, removed_runs: list[str]) -> None:
    settings = make_settings(tmp_path / "remote", lake_uri=f"memory://{tmp_path.name}/lake")
    for n in (1, 2):
        commit_release(make_context(settings=settings, run_date=night(n)), version=n, seed=n - 1)
    lake = make_context(settings=settings).lake
    assert clean_up(settings, "test", STRICT, NOW, dry_run=True) != []
    assert len(nights_left(lake)) == 2
    clean_up(settings, "test", STRICT, NOW)
    assert nights_left(lake) == {"2025-12-02"}
    assert clean_up(settings, "test", STRICT, NOW) == []


def test_the_command_says_what_it_removed_and_how_much(
    make_context: Contexts, removed_runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit_releases(make_context, range(1, 3))
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(make_context().settings.state_dir))
    asked = ["clean_up", "--dataset", "/data/Test", "--keep-nights", "1", "--keep-days", "0"]
    assert main.main([*asked, "--dry-run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("would remove ")
    assert said[-1].startswith(f"would remove {len(said) - 1} things, ")
    assert main.main(asked) == 0
    assert capsys.readouterr().out.replace("removed", "would remove").splitlines() == said
    assert main.main(asked) == 0
    assert capsys.readouterr().out == "removed 0 things, 0 bytes in all\n"
    assert main.main(["clean_up", "--catalogue", "test", "--keep-nights", "0"]) == 2
    assert main.main(["clean_up"]) == 2
    assert main.main(["clean_up", "--catalogue", "tset"]) == 2
    with pytest.raises(MissingInput):
        make_context(run_date=night(1)).read(RELEASE)
