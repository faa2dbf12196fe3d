"""Two nights, or two decisions, at the same time: one result, the same for both, and nothing mixed."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jobs.adapters import mlflow_connection, mlflow_registry
from jobs.context import RunContext
from jobs.datasets.releases import RELEASE
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.releasing.ledger import Ledger
from jobs.releasing.promotion import promote
from jobs.releasing.published_pointer import label_of
from jobs.releasing.reader import ReleaseReader
from tests.conftest import Contexts
from tests.drills.racing import commit_each, promote_one
from tests.jobs.lake.test_lake import PARAMS, ROWS, THINGS, fill
from tests.released import NOW, commit_release, name_of

SPAWN = multiprocessing.get_context("spawn")
ROUNDS = 25


def race(target: Callable[..., None], *arguments: tuple[Any, ...]) -> list[Any]:
    """Run `target` in a process for each of `arguments`, held back until every one is ready; return what they put."""
    barrier, results = SPAWN.Barrier(len(arguments)), SPAWN.Queue()
    processes = [SPAWN.Process(target=target, args=(barrier, results, *given)) for given in arguments]
    for process in processes:
        process.start()
    found = [results.get(timeout=240) for _ in processes]
    for process in processes:
        process.join(60)
    return found


def test_two_processes_that_commit_the_same_run_get_the_same_manifest(make_context: Contexts) -> None:
    """Both saw no manifest and wrote theirs: the first went on with a run that the lake no longer had."""
    settings = make_context().settings
    found = race(commit_each, (settings.lake_uri, ROUNDS, 0), (settings.lake_uri, ROUNDS, 0))
    lake = Lake(settings.lake_uri, "test")
    for number in range(ROUNDS):
        first, second = (Manifest.model_validate_json(manifests[number]) for manifests in found)
        assert first == second
        kept = lake.find(THINGS, first.partition, first.run_id)
        assert kept == first
        assert lake.read_table(kept, "rows").equals(ROWS)
    attempts = list(Path(lake.root).glob("clean/things/*/run_id=*/*/"))
    assert len(attempts) == ROUNDS  # what the slower one wrote is gone


def test_different_runs_of_one_partition_are_both_kept_and_the_pointer_is_always_whole(make_context: Contexts) -> None:
    context = make_context()
    staged = context.begin(THINGS, PARAMS, {})
    fill(staged)
    staged.commit()
    stop, seen = threading.Event(), set()

    def read() -> None:
        lake = make_context().lake
        while not stop.is_set():
            manifest = lake.current(THINGS, context.partition)
            assert lake.read_table(manifest, "rows")["n"].to_list() == [3, 1, 2]
            seen.add(manifest.run_id)

    errors: list[BaseException] = []

    def reading() -> None:
        try:
            read()
        except BaseException as error:
            errors.append(error)

    reader = threading.Thread(target=reading)
    reader.start()
    lists = race(commit_each, (context.settings.lake_uri, ROUNDS, 100), (context.settings.lake_uri, ROUNDS, 200))
    stop.set()
    reader.join(60)
    assert errors == []
    made = [Manifest.model_validate_json(text) for manifests in lists for text in manifests]
    assert len({manifest.run_id for manifest in made}) == 2 * ROUNDS
    assert {manifest.run_id for manifest in context.lake.manifests(THINGS)} >= {manifest.run_id for manifest in made}
    assert context.read(THINGS).run_id in {manifest.run_id for manifest in made}
    assert len(seen) > 1


@pytest.mark.timeout(600)
def test_promotions_that_race_leave_one_champion_for_ledger_alias_and_readers(
    tracked: RunContext, make_context: Contexts
) -> None:
    settings = tracked.settings
    client = mlflow_connection.client_of(settings)
    client.create_registered_model("nightlens-test")
    for number in (1, 2, 3):
        release = commit_release(make_context(run_date=date(2025, 12, number)), version=number, seed=number - 1)
        tags = {mlflow_registry.RELEASE_TAG: label_of(release), "load_check": "passed"}
        client.create_model_version("nightlens-test", source="file:///nowhere", tags=tags)
    promote(settings, "test", 1, by="ada", reason="first", at=NOW)
    state_dir = str(settings.state_dir)
    found = race(promote_one, *((state_dir, (2, 3, 1, 3)), (state_dir, (3, 1, 2, 1))))
    assert all(kind == "ended" for kind, _ in found), found
    entries = Ledger(tracked.lake).entries()
    state = entries[-1].state
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert all(after.state.release in (after.release, before.state.release) for before, after in pairwise(entries))
    alias = mlflow_registry.resolve_alias(settings, "test", mlflow_registry.CHAMPION)
    assert alias is not None
    reader = ReleaseReader(make_context().lake)
    assert alias.number == state.champion == reader.current.name.version
    assert reader.current.name == state.release
    assert {name_of(manifest).version for manifest in tracked.lake.manifests(RELEASE)} == {1, 2, 3}
