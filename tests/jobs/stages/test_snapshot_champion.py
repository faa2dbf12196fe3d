"""The live model in the lake: the bytes that were registered, whichever version the alias points to that night."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import mlflow
import pytest

from jobs.adapters import mlflow_registry
from jobs.config.params.arms import FULL
from jobs.config.params.training import SnapshotChampionParams, TrainRerankerParams
from jobs.context import RunContext
from jobs.datasets.models import CHAMPION, RERANKER, SEARCH_MODELS, ChampionFacts, LiveModel, LiveReranker
from jobs.datasets.releases import RELEASE
from jobs.errors import BadInput, MissingInput
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.releasing.ledger import Ledger
from jobs.releasing.promotion import promote
from jobs.reranking import saved
from jobs.reranking.saved import reranker_digest
from jobs.stages import snapshot_champion
from models.search.model import SearchModel
from tests.conftest import Contexts
from tests.errors import raises
from tests.registered import commit_night, make_model
from tests.released import NOW, register_release
from tests.tiny_reranker import tiny_reranker
from tests.validated_lake import commit_tables

pytestmark = pytest.mark.integration

NEXT_DAY = date(2025, 12, 29)


def register_champion(context: RunContext, seed: int = 0) -> Manifest:
    version = register_release(context, seed).facts["version"]
    promote(context.settings, context.catalogue, version, by="ada", reason="better", at=NOW)
    return context.read(SEARCH_MODELS)


def snapshot(context: RunContext) -> Manifest:
    return run_stage(context, "snapshot_champion", SnapshotChampionParams())


def live_version(manifest: Manifest) -> int | None:
    live = ChampionFacts.of(manifest).live
    return None if live is None else live.version


def test_the_first_night_has_no_champion_and_says_so(tracked: RunContext) -> None:
    manifest = snapshot(tracked)
    assert ChampionFacts.of(manifest) == ChampionFacts(live=None)
    assert json.loads(tracked.lake.read_file(manifest, "champion.json")) == manifest.facts
    assert list(manifest.files) == ["champion.json"]
    assert snapshot(tracked) == manifest


def test_the_champion_is_copied_as_it_was_registered(tracked: RunContext, make_context: Contexts) -> None:
    registered = register_champion(tracked)
    tonight = make_context(run_date=NEXT_DAY)
    manifest = snapshot(tonight)
    live = ChampionFacts.of(manifest).live
    assert live == LiveModel(
        version=1,
        model_name="nightlens-test",
        model_digest=make_model(FULL).digest,
        arm=FULL,
        trained_until=datetime(2025, 12, 19, tzinfo=UTC),
        selected_until=datetime(2025, 12, 22, tzinfo=UTC),
        run_date=date(2025, 12, 28),
    )
    copied = {name: info.sha256 for name, info in manifest.files.items() if name != "champion.json"}
    made = {name.replace(FULL, "champion"): info.sha256 for name, info in registered.files.items() if FULL in name}
    assert copied == made
    with tonight.lake.local_folder(manifest, snapshot_champion.FOLDER) as folder:
        assert SearchModel.load(folder).digest == live.model_digest


@pytest.mark.quick
def test_a_version_without_the_tag_was_chosen_until_the_end_of_its_nights_validation_window(
    make_context: Contexts,
) -> None:
    context = make_context()
    models = commit_night(context)
    validation_end = datetime(2025, 12, 22, tzinfo=UTC)
    for tags, until in (
        ({"lake_run": models.reference}, validation_end),
        ({"lake_run": "gone"}, None),
        ({}, None),
        ({"lake_run": "gone", "selected_until": validation_end.isoformat()}, validation_end),
    ):
        version = mlflow_registry.Version("nightlens-test", 1, "run", tags)
        assert snapshot_champion._selected_until(context.lake, version) == until


LEARNED_UNTIL = datetime(2025, 12, 22, tzinfo=UTC)


def commit_reranker(context: RunContext, text: str) -> None:
    """Commit what the night's order was learned as, before the night's release is made."""
    told = {"base_arm": FULL, "trained_until": LEARNED_UNTIL, "note": ""}
    files = {"reranker/0.txt": text.encode()}
    commit_tables(context, RERANKER, params=TrainRerankerParams(candidate_count=123), facts=told, files=files)


def test_the_reranker_of_the_published_release_comes_with_the_champion(
    tracked: RunContext, make_context: Contexts
) -> None:
    commit_reranker(tracked, tiny_reranker())
    register_champion(tracked)
    manifest = snapshot(make_context(run_date=NEXT_DAY))
    live = ChampionFacts.of(manifest).live
    assert live is not None
    assert live.reranker == LiveReranker(
        files_digest=reranker_digest(tracked.read(RELEASE)),
        trained_until=LEARNED_UNTIL,
        half_life_days=TrainRerankerParams().half_life_days,
        candidate_count=123,
    )
    assert reranker_digest(manifest) == live.reranker.files_digest
    assert tracked.lake.read_file(manifest, "reranker/0.txt").decode() == tiny_reranker()
    assert live.reranker_note == ""


def test_a_reranker_of_other_features_is_noted_not_copied(
    tracked: RunContext, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_reranker(tracked, tiny_reranker())
    register_champion(tracked)
    monkeypatch.setattr(saved, "FEATURES", ("vector_gup",))  # as in a later version
    manifest = snapshot(make_context(run_date=NEXT_DAY))
    live = ChampionFacts.of(manifest).live
    assert live is not None
    assert live.reranker is None
    assert "vector_gup" in live.reranker_note
    assert reranker_digest(manifest) == ""


def test_a_release_that_was_collected_since_is_noted_so_that_its_search_is_not_compared(
    tracked: RunContext, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_champion(tracked)
    monkeypatch.setattr(snapshot_champion, "find_release", lambda lake, name: None)
    live = ChampionFacts.of(snapshot(make_context(run_date=NEXT_DAY))).live
    assert live is not None
    assert live.reranker is None
    assert live.reranker_note.startswith("its release 2025-12-28/")
    assert live.reranker_note.endswith(" is no longer in the lake")


def test_a_champion_that_was_moved_away_from_its_release_comes_without_a_reranker(
    tracked: RunContext, make_context: Contexts
) -> None:
    commit_reranker(tracked, tiny_reranker())
    register_champion(tracked)
    next_night = make_context(run_date=NEXT_DAY)
    commit_reranker(next_night, tiny_reranker())
    register_champion(next_night, seed=1)
    first = mlflow_registry.find_version(tracked.settings, "test", 1)
    mlflow_registry.set_alias(tracked.settings, first, mlflow_registry.CHAMPION)
    live = ChampionFacts.of(snapshot(make_context(run_date=day(30)))).live
    assert live is not None
    assert (live.version, live.reranker) == (1, None)


def day(number: int) -> date:
    return date(2025, 12, number)


def test_every_night_meets_the_champion_that_was_live_when_it_ran(
    tracked: RunContext, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = snapshot(tracked)
    register_champion(tracked)
    assert snapshot(tracked) == without  # the same night again meets what it met
    next_night = make_context(run_date=NEXT_DAY)
    first = snapshot(next_night)
    register_champion(next_night, seed=1)
    second = snapshot(make_context(run_date=day(30)))
    assert (live_version(first), live_version(second)) == (1, 2)

    monkeypatch.setattr(mlflow_registry, "download_model", None)  # would fail if a model were fetched again
    assert snapshot(next_night) == first
    assert live_version(snapshot(make_context(run_date=day(27)))) is None  # a night that had not run then
    mlflow_registry.set_alias(
        tracked.settings, mlflow_registry.find_version(tracked.settings, "test", 1), mlflow_registry.CHAMPION
    )
    assert snapshot(next_night) == first  # a past night asks the ledger alone
    assert [entry.kind for entry in Ledger(tracked.lake).entries()] == ["promoted", "promoted"]


def test_an_alias_moved_outside_is_noticed_by_the_next_night_and_by_it_alone(
    tracked: RunContext, make_context: Contexts
) -> None:
    snapshot(tracked)
    register_champion(tracked)
    register_champion(make_context(run_date=NEXT_DAY), seed=1)
    last = snapshot(make_context(run_date=NEXT_DAY))
    assert live_version(last) == 2
    assert ChampionFacts.of(last).outside_move is None
    mlflow_registry.set_alias(
        tracked.settings, mlflow_registry.find_version(tracked.settings, "test", 1), mlflow_registry.CHAMPION
    )
    moved = snapshot(make_context(run_date=day(30)))
    assert live_version(moved) == 1
    (entry,) = [entry for entry in Ledger(tracked.lake).entries() if entry.kind == "moved_outside"]
    assert (entry.by, entry.version, entry.after_night) == ("unknown", 1, NEXT_DAY)
    assert entry.at == make_context().started_at
    note = ChampionFacts.of(moved).outside_move
    assert note is not None
    assert note.published is not None
    assert (note.entry, note.published.version) == (entry.number, 2)
    assert snapshot(make_context(run_date=day(30))) == moved
    assert ChampionFacts.of(snapshot(make_context(run_date=day(31)))).outside_move == note  # until somebody promotes
    assert snapshot(make_context(run_date=NEXT_DAY)) == last
    assert len(Ledger(tracked.lake).entries()) == 3


def test_weights_that_changed_since_they_were_registered_are_refused(tracked: RunContext) -> None:
    register_champion(tracked)
    artifacts = Path(tracked.settings.artifact_uri.removeprefix("file://"))
    (weights,) = artifacts.rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\1\0")
    with raises(BadInput, "model_changed", version="models:/nightlens-test/1"):
        snapshot(tracked)
    with pytest.raises(MissingInput):
        tracked.read(CHAMPION)
    weights.unlink()
    with raises(BadInput, "version_without_weights", version="models:/nightlens-test/1"):
        snapshot(tracked)


def test_a_champion_that_nightlens_did_not_register_is_refused(tracked: RunContext) -> None:
    client = mlflow.MlflowClient(tracked.settings.tracking_uri, tracked.settings.tracking_uri)
    client.create_registered_model("nightlens-test")
    client.create_model_version("nightlens-test", source="file:///nowhere")
    client.set_registered_model_alias("nightlens-test", "champion", "1")
    tags = ["model_digest", "arm", "trained_until", "run_date", "weights_sha256"]
    with raises(BadInput, "version_without_tags", version="models:/nightlens-test/1", tags=tags):
        snapshot(tracked)
