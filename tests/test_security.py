"""What must not happen whatever the input: code from a pickle, a secret in what is kept, a port open to others."""

from __future__ import annotations

import ast
import json
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import mlflow
import numpy as np
import pytest
import torch

from jobs.adapters import local_services, mlflow_connection, mlflow_models, mlflow_registry
from jobs.commands import main
from jobs.config.settings import PROJECT_ROOT, Settings
from jobs.errors import BadInput
from jobs.sample import TINY, make_sample
from jobs.stages import registry
from models.search.checkpoint import unpack
from models.search.errors import ModelError
from tests.conftest import Contexts
from tests.errors import raises
from tests.models.search.test_sources import write_folder
from tests.released import commit_release
from tests.training_lake import commit_images, commit_splits

SOURCES = [path for folder in ("jobs", "models", "dags") for path in sorted((PROJECT_ROOT / folder).rglob("*.py"))]
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}

# -- pickles -----------------------------------------------------------------------------------------------


def unsafe_loads(source: str) -> list[str]:
    """Return what in a module's source could open a pickle: imports of picklers, and calls of torch, NumPy, pandas."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLERS:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in ("torch.load", "torch.jit.load") and keywords.get("weights_only") != "True":
                found.append(name)
            if keywords.get("allow_pickle", "False") != "False" or name.endswith("read_pickle"):
                found.append(name)
            if name in ("__import__", "importlib.import_module") and node.args:
                found += [word for word in PICKLERS if ast.unparse(node.args[0]) in (f"'{word}'", f'"{word}"')]
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import joblib.memory",
        "from dill import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "importlib.import_module('pickle')",
    ],
)
def test_the_search_for_pickles_finds_them(line: str) -> None:
    assert unsafe_loads(line)


def test_no_module_opens_a_pickle() -> None:
    assert len(SOURCES) > 100
    found = {path.relative_to(PROJECT_ROOT).as_posix(): unsafe_loads(path.read_text()) for path in SOURCES}
    assert {path: calls for path, calls in found.items() if calls} == {}


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def plant(kind: str, path: Path, mark: Path) -> None:
    if kind == "torch":
        torch.save({"weights": Bomb(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(mark)))


def test_the_planted_pickle_would_go_off(tmp_path: Path) -> None:
    plant("pickle", tmp_path / "bomb.pkl", tmp_path / "mark")
    pickle.loads((tmp_path / "bomb.pkl").read_bytes())
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["base.pt", "base.pkl", "folder/pytorch_model.bin", "folder/model.safetensors"])
def test_a_planted_checkpoint_is_refused_as_a_base(
    make_context: Contexts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """Also one that calls itself safetensors."""
    context = make_context()
    commit_splits(context)
    commit_images(context, tmp_path / "photos")
    planted, mark = tmp_path / name, tmp_path / "mark"
    planted.parent.mkdir(exist_ok=True)
    plant("pickle" if name.endswith("pkl") else "torch", planted, mark)
    if name.startswith("folder/"):
        write_folder(tmp_path / "good")
        (tmp_path / "good" / "open_clip_config.json").rename(planted.parent / "open_clip_config.json")
    source = planted.parent if name.startswith("folder/") else planted
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(context.settings.state_dir))
    options = ["--dataset", str(tmp_path), "--catalogue", "test", "--run-date", "2025-12-28", "--source", str(source)]
    assert main.main(["train_base", *options]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"BadInput \[(weights_are_pickled|model_files_disagree)\]: ", said)
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_a_planted_training_checkpoint_is_refused(tmp_path: Path, kind: str) -> None:
    plant(kind, tmp_path / "planted", tmp_path / "mark")
    with raises(ModelError, "checkpoint_damaged"):
        unpack((tmp_path / "planted").read_bytes())
    assert not (tmp_path / "mark").exists()


class Pickled(mlflow.pyfunc.PythonModel):
    """A model as MLflow pickles it."""

    def predict(self, context: Any, model_input: list[str]) -> list[str]:
        return model_input


@pytest.mark.integration
def test_a_registered_version_that_is_a_pickle_is_not_loaded(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where MLflow puts artifacts of no experiment
    mlflow_connection.ensure_database(settings)
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="planted", python_model=Pickled(), registered_model_name="nightlens-test", pip_requirements=["mlflow"]
        )
    assert list(tmp_path.rglob("python_model.pkl"))
    version = mlflow_registry.find_version(settings, "test", 1)
    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda *_: pytest.fail("it was loaded"))
    with raises(BadInput, "foreign_version"):
        mlflow_models.load_version(settings, version)


# -- secrets -----------------------------------------------------------------------------------------------

SECRETS = {
    "NIGHTLENS_PSEUDONYM_KEY": "planted-pseudonym-key-4f1b",
    "AWS_ACCESS_KEY_ID": "PLANTEDACCESSKEY7Q2Z",
    "AWS_SECRET_ACCESS_KEY": "planted/secret/access/key+93d",
    "AWS_SESSION_TOKEN": "planted-session-token-aa61",
}
PASSWORD = "planted-tracking-password-58e0"


def holders(folder: Path, secrets: list[str]) -> list[str]:
    """Return the files below a folder that hold a secret, as it is or as JSON or a URL spells it."""
    spelt = {form.encode() for secret in secrets for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""))}
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(form in path.read_bytes() for form in spelt)
    ]


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    """A real server, whose address is given with user and password."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "mlflow"), "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"]
    command += ["--artifacts-destination", (tmp_path / "server-artifacts").as_uri()]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path)
    try:
        for _ in range(600):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.5)
        else:
            pytest.fail((tmp_path / "server.log").read_text())
        yield f"http://ops:{PASSWORD}@127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.timeout(1800)
def test_no_secret_is_in_lake_registry_report_or_logs_of_a_night(tmp_path: Path, mlflow_server: str) -> None:
    """A whole tiny night through the command line, with secrets planted wherever it takes them from."""
    make_sample(tmp_path / "sample", TINY)
    state = tmp_path / "state"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NIGHTLENS_", "AWS_"))}
    environment |= {"NIGHTLENS_STATE_DIR": str(state), "NIGHTLENS_TRACKING_URI": mlflow_server, **SECRETS}
    options = {"dataset": str(tmp_path / "sample"), "catalogue": "test", "run_date": "", "preset": "tiny"}
    options["run_date"] = json.loads(_run(tmp_path, environment, ["plan_night", "--dataset", options["dataset"]]))[
        "run_date"
    ]
    for stage in registry.STAGES:
        _run(tmp_path, environment, registry.command(stage, options))
    promotion = ["promote", "--catalogue", "test", "--version", "1", "--reason", "better"]
    _run(tmp_path, environment, promotion)
    secrets = [*SECRETS.values(), PASSWORD]
    for folder in (state, tmp_path / "logs", tmp_path / "server-artifacts"):
        assert len(list(folder.rglob("*"))) > 5
        assert holders(folder, secrets) == []
    database = (tmp_path / "server.db").read_bytes()  # params, tags, descriptions, inputs
    assert not [secret for secret in secrets if secret.encode() in database]
    assert b"nightlens-test" in database


def _run(tmp_path: Path, environment: dict[str, str], arguments: list[str]) -> str:
    logs = tmp_path / "logs"
    logs.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "jobs", *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)
    (logs / f"{arguments[0]}.out").write_text(done.stdout)
    (logs / f"{arguments[0]}.err").write_text(done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def test_no_secret_is_in_what_a_light_night_keeps_or_says(
    make_context: Contexts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: Any,
) -> None:
    """A night up to the registry, a database, and every error on the way to a server with a password."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment({"NIGHTLENS_STATE_DIR": str(tmp_path / "state"), **SECRETS_OF_SETTINGS})
    context = make_context(settings=settings)
    commit_release(context, is_registered=False)
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    night = ["--dataset", str(tmp_path), "--catalogue", "test", "--run-date", "2025-12-28"]
    caplog.set_level(logging.DEBUG)
    assert main.main(["register_model", *night]) == 0
    monkeypatch.setenv("NIGHTLENS_TRACKING_URI", f"http://ops:{PASSWORD}@127.0.0.1:9")
    assert main.main(["snapshot_champion", *night]) == 1
    out, err = capsys.readouterr()
    assert "127.0.0.1:9" in err
    secrets = [*SECRETS.values(), PASSWORD]
    assert not [secret for secret in secrets if secret in out + err + caplog.text]
    assert holders(settings.state_dir, secrets) == []
    assert not [secret for secret in secrets if secret in repr(context) + str(context.model_dump(mode="json"))]


SECRETS_OF_SETTINGS = {name: value for name, value in SECRETS.items() if name.startswith("NIGHTLENS_")}


def test_another_password_of_the_registry_is_the_same_registration(make_context: Contexts) -> None:
    """Otherwise a digest of the password would be part of the run's name."""
    names = set()
    for uri in ("http://a:one@host:5000", "http://a:two@host:5000", "http://host:5000"):
        settings = make_context().settings.model_copy(update={"tracking_uri": uri})
        names.add(settings.public_tracking_uri)
    assert names == {"http://host:5000"}


def test_no_service_is_told_a_password_in_an_argument(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = settings.model_copy(update={"tracking_uri": "postgresql://user:s3cret@host/mlflow"})
    started: dict[str, tuple[list[str], dict[str, str]]] = {}

    def spawn(_: Settings, name: str, command: list[str], environment: dict[str, str]) -> dict[str, Any]:
        started[name] = command, environment
        return {"name": name}

    monkeypatch.setattr(local_services, "_spawn", spawn)
    for name in ("prepare_airflow", "_prepare_mlflow", "_refuse_taken_port", "_wait_for", "_wait_for_dags"):
        monkeypatch.setattr(local_services, name, lambda *_: None)
    settings.state_dir.mkdir()
    local_services.start_services(secret, 18080, 15000, {})
    assert started["mlflow"][1]["MLFLOW_BACKEND_STORE_URI"] == secret.tracking_uri
    assert "s3cret" not in json.dumps([command for command, _ in started.values()])
    assert "s3cret" not in json.dumps(started["airflow-scheduler"][1])


# -- ports -------------------------------------------------------------------------------------------------


def test_airflow_and_mlflow_listen_on_loopback_by_default(settings: Settings) -> None:
    environment = local_services.airflow_environment(settings)
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    command = local_services._mlflow_command(settings, 5000)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    addresses = re.findall(r"\d+\.\d+\.\d+\.\d+", json.dumps(environment | {"mlflow": command}))
    assert "0.0.0.0" not in addresses


def test_spark_of_this_machine_listens_on_loopback() -> None:
    source = (PROJECT_ROOT / "jobs" / "adapters" / "spark_session.py").read_text()
    for name in ("spark.driver.host", "spark.driver.bindAddress"):
        assert f'"{name}": "127.0.0.1"' in source
    assert '"spark.ui.enabled": "false"' in source


def test_arrays_are_read_without_pickles(tmp_path: Path) -> None:
    """NumPy's default may change; an id map that is a pickle must not open."""
    np.save(tmp_path / "ids.npy", np.array([Bomb(tmp_path / "mark")], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(tmp_path / "ids.npy")
    assert not (tmp_path / "mark").exists()
