"""Local services: their environment, starting and stopping processes, following a run over REST."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import tenacity

from jobs.adapters import local_services
from jobs.config.settings import Settings
from jobs.errors import NightlensError
from tests.errors import raises


def test_everything_lies_below_the_state_folder_and_listens_on_loopback(settings: Settings) -> None:
    environment = local_services.airflow_environment(settings, 18080)
    assert environment["AIRFLOW_HOME"].startswith(str(settings.state_dir))
    assert environment["NIGHTLENS_STATE_DIR"] == str(settings.state_dir)
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"
    assert environment["PATH"].split(":")[0] == str(Path(sys.executable).parent)


def test_the_password_is_made_once_and_private(settings: Settings) -> None:
    password = local_services.airflow_password(settings)
    assert len(password) >= 12
    assert local_services.airflow_password(settings) == password
    assert local_services._passwords_file(settings).stat().st_mode & 0o077 == 0


def test_a_taken_port_is_named(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with raises(NightlensError, "port_taken", service="MLflow", port=port) as caught:
            local_services._refuse_taken_port("MLflow", port)
        assert "MLFLOW_PORT" in str(caught.value)


def test_stop_ends_whole_process_groups_also_those_that_ignore_the_first_signal(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.state_dir.mkdir(parents=True)
    monkeypatch.setattr(local_services, "_BIN", Path(sys.executable).parent)
    child = "import time; time.sleep(600)"
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)"
    )
    process = local_services._spawn(
        settings, "stubborn", ["python", "-c", stubborn], local_services.airflow_environment(settings)
    )
    local_services._services_file(settings).write_text(json.dumps({"processes": [process]}))
    while len(psutil.Process(process["pid"]).children()) < 1:
        time.sleep(0.05)
    members = [psutil.Process(process["pid"]), *psutil.Process(process["pid"]).children()]
    assert local_services.running_services(settings) is not None
    monkeypatch.setattr(local_services._stop_group, "__defaults__", (0.5,))
    assert local_services.stop_services(settings) == "stopped: stubborn"
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)
    assert local_services.running_services(settings) is None
    assert local_services.stop_services(settings).startswith("nothing to stop")


def test_another_process_with_a_recorded_pid_is_left_alone(settings: Settings) -> None:
    settings.state_dir.mkdir(parents=True)
    own = psutil.Process()
    record = {"name": "old", "pid": own.pid, "created": own.create_time() - 1000}
    local_services._services_file(settings).write_text(json.dumps({"processes": [record]}))
    assert local_services.running_services(settings) is None
    assert local_services.stop_services(settings) == "stopped: nothing was running any more"


def instance(task_id: str, state: str | None, map_index: int = -1, rendered: str | None = None) -> dict[str, Any]:
    return {"task_id": task_id, "state": state, "map_index": map_index, "rendered_map_index": rendered}


def page_of(tasks: list[dict[str, Any]], start: int = 0) -> dict[str, Any]:
    return {"task_instances": tasks[start : start + 100], "total_entries": len(tasks)}


def test_a_run_is_followed_to_its_end_each_change_once() -> None:
    states = iter([("running", None), ("running", None), ("success", "running"), ("success", "failed")])
    now: dict[str, Any] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("taskInstances"):
            now["states"] = next(states)
            tasks = zip(("split_temporal", "evaluate"), now["states"], strict=True)
            return httpx.Response(200, json=page_of([instance(task, state) for task, state in tasks]))
        return httpx.Response(200, json={"state": "failed" if "failed" in now["states"] else "running"})

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://airflow/api/v2")
    assert list(local_services.follow_run(client, local_services.NIGHTLY, "manual__1", poll_seconds=0)) == [
        ("split_temporal", "running"),
        ("evaluate", "waiting"),
        ("split_temporal", "success"),
        ("evaluate", "running"),
        ("evaluate", "failed"),
        ("", "failed"),
    ]


def test_a_refused_run_says_why_in_airflows_words() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            return httpx.Response(200, json={})
        return httpx.Response(400, json={"detail": "Invalid input for param run_date"})

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://airflow/api/v2")
    with raises(NightlensError, "airflow_refused") as caught:
        local_services.trigger_run(client, local_services.NIGHTLY, {})
    assert "Invalid input for param run_date" in str(caught.value)


def test_of_a_mapped_task_each_is_followed_however_many_there_are() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path.startswith("/api/v2/dags/nightlens_ablation/dagRuns/manual__1")
        if not request.url.path.endswith("taskInstances"):
            return httpx.Response(200, json={"state": "success"})
        many = [instance("train_variant", "success", number, f"softmax {number}") for number in range(249)]
        start = int(request.url.params["offset"])
        assert request.url.params["limit"] == "100"  # more than that Airflow does not give
        return httpx.Response(200, json=page_of([instance("plan_night", None), *many], start))

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://airflow/api/v2")
    found = list(local_services.follow_run(client, local_services.ABLATION, "manual__1", poll_seconds=0))
    assert found[:2] == [("plan_night", "waiting"), ("train_variant softmax 0", "success")]
    assert found[-2:] == [("train_variant softmax 248", "success"), ("", "success")]
    assert len(found) == 251


def test_what_comes_true_is_waited_for_and_what_does_not_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)
    assert local_services._comes_true(lambda: next(answers), 60) is True
    assert local_services._comes_true(lambda: False, 0) is False
