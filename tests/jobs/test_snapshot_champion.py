"""The live model in the lake: the bytes that were registered, whichever version the alias points to that night."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import mlflow
import pytest

from jobs import register_model, snapshot_champion, tracking
from jobs.context import RunContext
from jobs.datasets import CHAMPION
from jobs.errors import BadInput, MissingInput, NightlensError
from jobs.lake import Manifest
from jobs.params import FULL, RegisterModelParams, SnapshotChampionParams
from jobs.promote import promote
from models.search.model import SearchModel
from tests.registered import commit_night, make_model

Contexts = Callable[..., RunContext]
NEXT_DAY = date(2025, 12, 29)


def register_champion(context: RunContext, seed: int = 0) -> Manifest:
    models = commit_night(context, seed)
    version = register_model.run(context, RegisterModelParams()).facts["version"]
    promote(context.settings, context.catalogue, version)
    return models


def snapshot(context: RunContext) -> Manifest:
    return snapshot_champion.run(context, SnapshotChampionParams())


def test_the_first_night_has_no_champion_and_says_so(tracked: RunContext) -> None:
    manifest = snapshot(tracked)
    assert manifest.facts == {"version": None}
    assert json.loads(tracked.lake.read_file(manifest, "champion.json")) == {"version": None}
    assert list(manifest.files) == ["champion.json"]
    assert snapshot(tracked) == manifest


def test_the_champion_is_copied_as_it_was_registered(tracked: RunContext, make_context: Contexts) -> None:
    registered = register_champion(tracked)
    tonight = make_context(run_date=NEXT_DAY)
    manifest = snapshot(tonight)
    assert manifest.facts == {
        "version": 1,
        "model_name": "nightlens-test",
        "model_digest": make_model(FULL).digest,
        "arm": FULL,
        "trained_until": "2025-12-19T00:00:00+00:00",
        "run_date": "2025-12-28",
    }
    copied = {name: info.sha256 for name, info in manifest.files.items() if name != "champion.json"}
    made = {name.replace(FULL, "champion"): info.sha256 for name, info in registered.files.items() if FULL in name}
    assert copied == made
    with tonight.lake.local_folder(manifest, snapshot_champion.FOLDER) as folder:
        assert SearchModel.load(folder).digest == manifest.facts["model_digest"]


def test_a_moved_alias_makes_a_new_run_and_an_unmoved_one_none(
    tracked: RunContext, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = snapshot(tracked)
    register_champion(tracked)
    first = snapshot(tracked)
    assert first.run_id != without.run_id
    register_champion(make_context(run_date=NEXT_DAY), seed=1)
    second = snapshot(tracked)
    assert (second.facts["version"], first.facts["version"]) == (2, 1)
    monkeypatch.setattr(tracking, "download_model", None)  # would fail if the model were fetched again
    assert snapshot(tracked) == second
    promote(tracked.settings, "test", 1)
    assert snapshot(tracked) == first
    assert tracked.read(CHAMPION) == first


def test_weights_that_changed_since_they_were_registered_are_refused(tracked: RunContext) -> None:
    register_champion(tracked)
    artifacts = Path(tracked.settings.artifact_uri.removeprefix("file://"))
    (weights,) = artifacts.rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\1\0")
    with pytest.raises(BadInput, match=r"models:/nightlens-test/1 is not the file that was registered"):
        snapshot(tracked)
    with pytest.raises(MissingInput):
        tracked.read(CHAMPION)
    weights.unlink()
    with pytest.raises(BadInput, match=r"has no model\.safetensors"):
        snapshot(tracked)


def test_a_champion_that_nightlens_did_not_register_is_refused(tracked: RunContext) -> None:
    client = mlflow.MlflowClient(tracked.settings.tracking_uri, tracked.settings.tracking_uri)
    client.create_registered_model("nightlens-test")
    client.create_model_version("nightlens-test", source="file:///nowhere")
    client.set_registered_model_alias("nightlens-test", "champion", "1")
    with pytest.raises(BadInput, match="lacks the tags model_digest, arm, trained_until, run_date, weights_sha256"):
        snapshot(tracked)


def test_mlflow_out_of_reach_stops_the_stage(make_context: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    context = make_context()
    settings = context.settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(NightlensError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be used"):
        snapshot(make_context(settings=settings))
