"""The night in MLflow: one run, one version per model, loaded back and equal; whatever is cut off, a rerun mends."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import tenacity
import torch

from jobs.adapters import mlflow_connection, mlflow_models, mlflow_registry, mlflow_runs
from jobs.config.params.arms import FULL, ZERO_SHOT
from jobs.config.params.release import MakeReleaseParams
from jobs.config.params.training import RegisterModelParams, TrainSearchParams
from jobs.config.settings import Settings
from jobs.context import RunContext
from jobs.datasets.models import REGISTRATION, SEARCH_MODELS, RegistrationFacts
from jobs.datasets.releases import RELEASE
from jobs.errors import BadInput, LostWork, MissingInput, NightlensError
from jobs.lake.staged_run import StagedRun
from jobs.nights.stage_runner import run_stage
from jobs.releasing.published_pointer import label_of, name_of
from jobs.releasing.reader import open_release
from models.rerank.live import Asked
from tests.conftest import Contexts, context_in, make_settings
from tests.errors import raises
from tests.registered import make_model
from tests.released import commit_release, register_release

pytestmark = pytest.mark.integration

PARAMS = RegisterModelParams()
NEXT_DAY = date(2025, 12, 29)


def client(context: RunContext) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(context.settings.tracking_uri, context.settings.tracking_uri)


def challenger_of(context: RunContext) -> mlflow_registry.Version:
    version = mlflow_registry.resolve_alias(context.settings, "test", mlflow_registry.CHALLENGER)
    assert version is not None
    return version


def logged_runs(context: RunContext) -> list[Any]:
    experiment = client(context).get_experiment_by_name("nightlens-test")
    return list(client(context).search_runs([experiment.experiment_id]))


@pytest.fixture(scope="module")
def night(new_mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """A night that was registered; its tests only look."""
    context = context_in(tmp_path_factory.mktemp("night"))
    context.settings.state_dir.mkdir()
    shutil.copy(new_mlflow_database, context.settings.state_dir / "mlflow.db")
    register_release(context)
    return context


def test_the_arm_becomes_a_version_that_embeds_as_the_model_in_the_lake(night: RunContext) -> None:
    manifest = night.read(REGISTRATION)
    facts = manifest.facts
    assert (facts["model_name"], facts["version"], facts["arm"]) == ("nightlens-test", 1, FULL)
    assert facts["model_digest"] == make_model(FULL).digest
    assert facts["max_difference"] == 0.0
    assert json.loads(night.lake.read_file(manifest, "registration.json")) == facts

    version = challenger_of(night)
    assert version.number == 1
    assert mlflow_registry.resolve_alias(night.settings, "test", mlflow_registry.CHAMPION) is None
    assert version.tags == {
        "catalogue": "test",
        "run_date": "2025-12-28",
        "release": label_of(night.read(RELEASE)),
        "arm": FULL,
        "model_digest": make_model(FULL).digest,
        "weights_sha256": version.tags["weights_sha256"],
        "trained_until": "2025-12-19T00:00:00+00:00",
        "selected_until": "2025-12-22T00:00:00+00:00",
        "lake_run": version.tags["lake_run"],
        "git_version": "unknown",
        "code_version": "test-code",
        "load_check": "passed",
    }
    predict = mlflow_models.load_version(night.settings, version)
    asked = pd.DataFrame({"query": ["cat", "cat"], "country": ["GB", None]})
    with torch.inference_mode():
        expected = make_model(FULL).encode_queries(["GB: cat", "cat"]).numpy()
    np.testing.assert_array_equal(predict(asked, params={"output": "vectors"}), expected)
    opened = open_release(night.lake, name_of(night.read(RELEASE), 1), with_model=True)
    shown = opened.search([Asked("cat", "GB"), Asked("cat")], 1)
    found = predict(asked, params={"k": 1})
    assert found["photos"].tolist() == [[photo.photo_id for photo in one] for one in shown]
    assert found["scores"].tolist() == [[photo.score for photo in one] for one in shown]


def test_nothing_is_pickled_and_the_versions_form_is_declared(night: RunContext) -> None:
    artifacts = Path(night.settings.artifact_uri.removeprefix("file://"))
    names = {path.name for path in artifacts.rglob("*") if path.is_file() and path.suffix != ".py"}
    expected = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "model.safetensors", "config.json"}
    expected |= {"keywords.json", "identity.json", "input_example.json", "serving_input_example.json", "hidden.json"}
    expected |= {"index.json", "arrays.bin", "arrays.json", "search.json"}
    names = {name for name in names if not name.startswith("shard-")}
    assert names - {"registered_model_meta"} == expected  # MLflow leaves the former where it loaded a version from
    mlflow_connection.ensure_database(night.settings)  # of the databases of these tests, ask this one
    info = mlflow.models.get_model_info("models:/nightlens-test/1")
    assert info.signature is not None
    assert [column.name for column in info.signature.inputs] == [
        *("query", "country", "device", "orientation", "image", "keywords")
    ]
    assert not any(column.required for column in info.signature.inputs)
    assert [column.name for column in info.signature.outputs] == ["photos", "scores"]
    assert [(param.name, param.default) for param in info.signature.params] == [("k", 10), ("output", "photos")]
    (requirements,) = artifacts.rglob("requirements.txt")
    lines = requirements.read_text().split()
    assert f"torch=={torch.__version__.split('+')[0]}" in lines
    assert all("==" in line for line in lines)


def test_the_run_holds_parameters_curves_metrics_and_inputs(night: RunContext) -> None:
    manifest = night.read(REGISTRATION)
    (run,) = logged_runs(night)
    assert run.info.run_id == manifest.facts["mlflow_run_id"]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "night 2025-12-28"
    assert run.data.params["search_models.epochs"] == str(TrainSearchParams().epochs)
    assert run.data.params["splits.test_days"] == "7"
    assert run.data.params["base_model.source"] == "tiny"
    assert run.data.params["window.train_end"] == "2025-12-19T00:00:00+00:00"
    assert run.data.tags["code_version"] == "test-code"
    assert run.data.tags["git_version"] == "unknown"
    assert run.data.metrics[f"{FULL}/steps"] == 120
    loss = client(night).get_metric_history(run.info.run_id, f"{FULL}/loss")
    assert sorted((point.step, point.value) for point in loss) == [(0, 1.5), (10, 1.0), (20, 0.5)]
    assert f"{FULL}/validation_hit_rate_at_10" in run.data.metrics
    inputs = {entry.dataset.name: entry.dataset for entry in run.inputs.dataset_inputs}
    assert set(inputs) == {"splits", "base_model", "search_models", "release"}
    models = night.lake.current(SEARCH_MODELS, night.partition)
    assert inputs["search_models"].source == models.reference
    assert models.digest.startswith(inputs["search_models"].digest)


def test_the_card_says_what_the_model_is(night: RunContext) -> None:
    card = client(night).get_model_version("nightlens-test", "1").description
    assert card.startswith("# Search of test, 2025-12-28")
    for part in (
        f"The whole search of the release `{label_of(night.read(RELEASE))}`",
        "embeds a query with the visitor's country, and a photo with its keywords, as unit vectors",
        f"- Digest `{make_model(FULL).digest}`, base `tiny`",
        "- Train: 2024-12-19 up to, not including, 2025-12-19 UTC; 1 conversions",
        "Base: `source=tiny` ",
        "`learning_rate=0.001`",
        f"- **0.4000** `{FULL}` (this version)\n- **0.1000** `{ZERO_SHOT}`\n",
        "## Limits",
        "## Licence",
    ):
        assert part in card


def test_a_night_that_validated_nothing_is_registered_and_says_so(tracked: RunContext) -> None:
    facts = register_release(tracked, is_validated=False).facts
    assert facts["max_difference"] == 0.0  # of queries of the training window
    card = client(tracked).get_model_version("nightlens-test", "1").description
    assert "Nothing was kept aside for validation: the weights are those of the last step." in card
    assert "on the validation window" not in card
    assert "- Train: 2024-12-19 up to, not including, 2025-12-19 10:20:30 UTC; 1 conversions" in card
    assert "- Validation: nothing kept aside\n" in card
    (run,) = logged_runs(tracked)
    assert run.data.params["splits.protocol"] == "80/20"
    assert not [name for name in run.data.metrics if "validation_hit_rate" in name]


def test_the_same_night_is_registered_once(night: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    first = night.read(REGISTRATION)
    monkeypatch.setattr(mlflow_runs, "log_night", None)  # would fail if MLflow were asked for anything
    assert run_stage(night, "register_model", PARAMS) == first


def break_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Make a function fail at its first call, before it does anything."""
    original, calls = getattr(owner, name), []

    def fail_first(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, fail_first)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (mlflow.MlflowClient, "log_inputs"),
        (mlflow.MlflowClient, "create_model_version"),
        (mlflow_models, "load_version"),
        (StagedRun, "commit"),
    ],
)
def test_a_rerun_after_a_crash_leaves_one_run_one_model_one_version(
    tracked: RunContext, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    commit_release(tracked, is_registered=False)
    break_once(monkeypatch, owner, name)
    with pytest.raises(KeyboardInterrupt):
        run_stage(tracked, "register_model", PARAMS)
    with pytest.raises(MissingInput):
        tracked.read(REGISTRATION)
    facts = run_stage(tracked, "register_model", PARAMS).facts
    (run,) = logged_runs(tracked)
    assert run.info.status == "FINISHED"
    assert run.info.run_id == facts["mlflow_run_id"]
    loss = client(tracked).get_metric_history(run.info.run_id, f"{FULL}/loss")
    assert len(loss) == 3
    assert [version.number for version in mlflow_registry.versions(tracked.settings, "test")] == [1]
    assert len(client(tracked).search_logged_models([run.info.experiment_id])) == 1
    assert challenger_of(tracked).tags["load_check"] == "passed"


def test_every_release_is_a_version_with_a_run(tracked: RunContext, make_context: Contexts) -> None:
    first, next_night = register_release(tracked), register_release(make_context(run_date=NEXT_DAY))
    assert (first.facts["version"], next_night.facts["version"]) == (1, 2)  # of equal models
    run_stage(tracked, "make_release", MakeReleaseParams(recommend_to=7))
    again = run_stage(tracked, "register_model", PARAMS)
    assert again.facts["version"] == 3
    assert len({one.facts["mlflow_run_id"] for one in (first, next_night, again)}) == 3
    assert challenger_of(tracked).number == 2  # the other is of a past night


def test_a_large_index_stays_in_the_lake_and_is_checked_there(tracked: RunContext) -> None:
    release = commit_release(tracked, is_registered=False)
    facts = RegistrationFacts.of(run_stage(tracked, "register_model", RegisterModelParams(max_copied_mb=0)))
    assert facts.is_copied is False
    artifacts = Path(tracked.settings.artifact_uri.removeprefix("file://"))
    assert not [path for path in artifacts.rglob("*") if path.suffix == ".faiss" or path.name == "search.json"]
    version = mlflow_registry.find_version(tracked.settings, "test", facts.version)
    asked = pd.DataFrame({"query": ["cat", "sea"]})
    assert all(mlflow_models.load_version(tracked.settings, version)(asked)["photos"].map(len) > 0)
    stored = Path(tracked.lake.root) / release.files["search/search.json"].path
    before = stored.read_text()
    for change, message in ((lambda: stored.write_text(before + " "), "SHA-256 differs"), (stored.unlink, "is gone")):
        change()
        with pytest.raises(ValueError, match=message):
            mlflow_models.load_version(tracked.settings, version)


def test_a_past_night_that_is_recomputed_leaves_the_challenger_where_it_is(
    tracked: RunContext, make_context: Contexts
) -> None:
    register_release(make_context(run_date=NEXT_DAY), seed=1)
    register_release(tracked)
    challenger = challenger_of(tracked)
    assert (challenger.number, challenger.tags["run_date"]) == (1, "2025-12-29")


def shifted(predict: Any, off: dict[str, Any], table: pd.DataFrame, params: dict[str, Any]) -> Any:
    """Answer as `predict`, with vectors that are off, or the photos of some searches in another order."""
    found = predict(table, params=params)
    if params.get("output") == "vectors":
        return found + off["vectors"]
    photos = [list(reversed(one)) if row < off["photos"] else one for row, one in enumerate(found["photos"])]
    return found.assign(photos=photos)


def test_a_version_that_answers_differently_is_not_made_challenger(
    tracked: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_release(tracked, is_registered=False)
    load = mlflow_models.load_version
    off = {"vectors": np.float32(2e-6), "photos": 0}
    monkeypatch.setattr(mlflow_models, "load_version", lambda *args: partial(shifted, load(*args), off))
    with raises(NightlensError, "loads_differently", version="models:/nightlens-test/1", changed=0) as caught:
        run_stage(tracked, "register_model", PARAMS)
    assert caught.value.named["difference"] == pytest.approx(2e-6, rel=0.5)
    off |= {"vectors": np.float32(0), "photos": 1}
    with raises(NightlensError, "loads_differently", difference=0.0, changed=1):
        run_stage(tracked, "register_model", PARAMS)
    assert mlflow_registry.resolve_alias(tracked.settings, "test", mlflow_registry.CHALLENGER) is None
    with pytest.raises(MissingInput):
        tracked.read(REGISTRATION)


def test_evaluation_and_report_join_the_run_of_the_registration(tracked: RunContext) -> None:
    facts = RegistrationFacts.of(register_release(tracked))
    metrics = {f"{FULL}/hit_rate_at_10": 0.61234, f"{ZERO_SHOT}/hit_rate_at_10": 0.2}
    for _ in range(2):  # a rerun logs the same points, not more
        mlflow_runs.log_evaluation(tracked.settings, facts, FULL, metrics)
    mlflow_runs.log_report(tracked.settings, facts, "<h1>A night</h1>")
    (run,) = logged_runs(tracked)
    assert run.data.metrics[f"test/{FULL}/hit_rate_at_10"] == run.data.metrics["hit_rate_at_10"] == 0.61234
    assert len(client(tracked).get_metric_history(run.info.run_id, f"test/{FULL}/hit_rate_at_10")) == 1
    assert mlflow_registry.versions(tracked.settings, "test")[0].tags["hit_rate_at_10"] == "0.6123"
    report = client(tracked).download_artifacts(run.info.run_id, "report.html")
    assert Path(report).read_text() == "<h1>A night</h1>"
    with raises(BadInput, "no_such_metric", metric=f"{FULL}/hit_rate_at_10"):
        mlflow_runs.log_evaluation(tracked.settings, facts, FULL, {"other": 1.0})
    with raises(MissingInput, "no_mlflow_run", run_id="0123"):
        mlflow_runs.log_report(
            tracked.settings, facts.model_copy(update={"mlflow_run_id": "0123"}), "<h1>Another night</h1>"
        )


@pytest.mark.parametrize(
    ("uri", "kind", "code", "reason"),
    [
        ("http://127.0.0.1:9", LostWork, "mlflow_out_of_reach", "Connection refused"),
        ("sqlite:////proc/nowhere/mlflow.db", NightlensError, "mlflow_refused", "No such file or directory"),
        ("nonsense://somebody:secret@host/db", NightlensError, "mlflow_refused", "unsupported URI"),
    ],
)
def test_mlflow_out_of_reach_is_said_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, uri: str, kind: type[Exception], code: str, reason: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with raises(kind, code) as caught:
        mlflow_connection.ensure_database(settings.model_copy(update={"tracking_uri": uri}))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in settings.model_copy(update={"tracking_uri": uri}).public_tracking_uri


@pytest.mark.slow
def test_a_version_carries_its_code(night: RunContext, tmp_path: Path) -> None:
    code = (
        "import sys, mlflow, pandas\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "mlflow.set_registry_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model('models:/nightlens-test@challenger')\n"
        "assert 'jobs' not in sys.modules\n"
        "print(sys.modules['models'].__file__)\n"
        "asked = pandas.DataFrame({'query': ['cat'], 'country': ['GB']})\n"
        "print(float(model.predict(asked, params={'output': 'vectors'})[0, 0]).hex())\n"
        "print(len(model.predict(asked)['photos'][0]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, night.settings.tracking_uri],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    module, value, count = done.stdout.split()
    assert int(count) > 0
    assert module.startswith(night.settings.artifact_uri.removeprefix("file://"))
    with torch.inference_mode():
        assert float.fromhex(value) == make_model(FULL).encode_queries(["GB: cat"])[0, 0].item()


@pytest.mark.service
def test_mlflow_serves_the_search(night: RunContext, tmp_path: Path) -> None:
    uri = night.settings.tracking_uri
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = "models:/nightlens-test@challenger"
    line = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local", "-p", str(port)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri, "PATH": path}
    asked = {"dataframe_records": [{"query": "cat", "country": "GB"}, {"query": "sea"}], "params": {"k": 1}}
    server = subprocess.Popen(line, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        answer = tenacity.Retrying(wait=tenacity.wait_fixed(0.5), stop=tenacity.stop_after_delay(90))(
            httpx.post, f"http://127.0.0.1:{port}/invocations", json=asked, timeout=30
        )
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    opened = open_release(night.lake, name_of(night.read(RELEASE), 1), with_model=True)
    shown = opened.search([Asked("cat", "GB"), Asked("sea")], 1)
    assert answer.json()["predictions"] == [
        {"photos": [photo.photo_id for photo in one], "scores": [photo.score for photo in one]} for one in shown
    ]


def _touch_registry(state_dir: str) -> str:
    settings = make_settings(Path(state_dir))
    mlflow_connection.ensure_database(settings)
    return str(mlflow_registry.versions(settings, "test"))


@pytest.mark.slow
def test_processes_that_meet_on_a_new_database_all_get_it(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(_touch_registry, [str(tmp_path)] * 3, chunksize=1) == ["[]"] * 3
