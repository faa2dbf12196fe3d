"""Airflow and MLflow on this machine: their environment, starting, stopping, and asking Airflow for a run.

Everything lies below the state folder: databases (SQLite), logs, passwords. Both listen on loopback only.
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from jobs.config.settings import PROJECT_ROOT, Settings
from jobs.errors import NightlensError

NIGHTLY, ABLATION = "nightlens_nightly", "nightlens_ablation"
"""What Airflow calls the DAGs."""
USER = "admin"
MLFLOW_PORT = 5000
_BIN = Path(sys.executable).parent


def airflow_environment(settings: Settings, port: int = 8080) -> dict[str, str]:
    """Return the environment in which every Airflow command of this state folder runs."""
    home = settings.state_dir / "airflow"
    return {
        **os.environ,
        "PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "NIGHTLENS_STATE_DIR": str(settings.state_dir),
        "AIRFLOW_HOME": str(home),
        # said here, as Airflow does not fill in its defaults for a folder with % in its name
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "dag_processor"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords_file(settings)),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _passwords_file(settings: Settings) -> Path:
    return settings.state_dir / "secrets" / "airflow-passwords.json"


def airflow_password(settings: Settings) -> str:
    """Return the password of the Airflow user, made on first use."""
    path = _passwords_file(settings)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(json.dumps({USER: secrets.token_urlsafe(12)}))
    password: str = json.loads(path.read_text())[USER]
    return password


def prepare_airflow(settings: Settings, environment: dict[str, str]) -> None:
    """Create Airflow's database and the GPU pool, once per version of Airflow and state folder."""
    from importlib.metadata import version

    airflow_password(settings)
    home = Path(environment["AIRFLOW_HOME"])
    marker = home / f"prepared-{version('apache-airflow')}"
    if marker.exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    for arguments in (["db", "migrate"], ["pools", "set", "gpu", "1", "one task per GPU machine at a time"]):
        done = subprocess.run(
            [str(_BIN / "airflow"), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise NightlensError(
                "airflow_failed",
                f"airflow {' '.join(arguments)} failed:\n{done.stdout[-3000:]}",
                command=" ".join(arguments),
            )
    marker.touch()


# -- running services ------------------------------------------------------------------------------------


def _services_file(settings: Settings) -> Path:
    return settings.state_dir / "services.json"


def running_services(settings: Settings) -> dict[str, Any] | None:
    """Return what `up` recorded (pids, ports) if those processes still run, else None."""
    path = _services_file(settings)
    if not path.exists():
        return None
    services: dict[str, Any] = json.loads(path.read_text())
    alive = all(_is_same_process(service) for service in services["processes"])
    return services if alive else None


def mlflow_address(settings: Settings) -> str | None:
    """Return where the MLflow server that `up` started shows the store of these settings, or None if it does not."""
    path = _services_file(settings)
    record = json.loads(path.read_text()) if path.exists() else {"processes": []}
    if record.get("tracking_uri") != settings.public_tracking_uri:
        return None  # of another store
    runs = any(service["name"] == "mlflow" and _is_same_process(service) for service in record["processes"])
    return f"http://127.0.0.1:{record['mlflow_port']}" if runs else None


def mlflow_command(settings: Settings) -> str:
    """Return a command line that shows the store of these settings at MLflow's usual address, on loopback.

    User and password of the store are left out of it.
    """
    store = ["--backend-store-uri", settings.public_tracking_uri]
    return shlex.join([*_mlflow_command(settings, MLFLOW_PORT), *store])


def _is_same_process(service: dict[str, Any]) -> bool:
    try:
        return bool(abs(psutil.Process(service["pid"]).create_time() - service["created"]) < 2)
    except psutil.NoSuchProcess:
        return False


def start_services(settings: Settings, airflow_port: int, mlflow_port: int, variables: dict[str, str]) -> str:
    """Start Airflow and the MLflow server in the background; return the text that says where they are.

    `variables` become Airflow variables (the data set and preset of scheduled nights). Raises `NightlensError`
    with the log's path if one does not come up in three minutes.
    """
    if running_services(settings) is not None:
        raise NightlensError("services_already_up", "the services run already; stop them with `make down`")
    for name, port in (("Airflow", airflow_port), ("MLflow", mlflow_port)):
        _refuse_taken_port(name, port)
    environment = airflow_environment(settings, airflow_port)
    environment |= {f"AIRFLOW_VAR_{name.upper()}": value for name, value in variables.items() if value}
    prepare_airflow(settings, environment)
    _prepare_mlflow(settings)
    commands = {
        "airflow-api-server": ["airflow", "api-server"],
        "airflow-scheduler": ["airflow", "scheduler", "--skip-serve-logs"],
        "airflow-dag-processor": ["airflow", "dag-processor"],
        "airflow-triggerer": ["airflow", "triggerer", "--skip-serve-logs"],
        "mlflow": _mlflow_command(settings, mlflow_port),
    }
    own = {"mlflow": {"MLFLOW_BACKEND_STORE_URI": settings.tracking_uri}}  # a password in an argument is seen by all
    processes = [_spawn(settings, name, command, environment | own.get(name, {})) for name, command in commands.items()]
    record = {
        "processes": processes,
        "airflow_port": airflow_port,
        "mlflow_port": mlflow_port,
        "tracking_uri": settings.public_tracking_uri,
    }
    _services_file(settings).write_text(json.dumps(record))
    try:
        _wait_for(f"http://127.0.0.1:{airflow_port}/api/v2/monitor/health", processes)
        _wait_for(f"http://127.0.0.1:{mlflow_port}/health", processes)
        _wait_for_dags(settings, airflow_port)
    except NightlensError:
        stop_services(settings)
        raise
    return (
        f"Airflow  http://127.0.0.1:{airflow_port}   user {USER}, password {airflow_password(settings)}\n"
        f"MLflow   http://127.0.0.1:{mlflow_port}\n"
        f"Reports  {settings.report_dir}\n"
        f"Stop with `make down`."
    )


def _mlflow_command(settings: Settings, port: int) -> list[str]:
    return [
        *("mlflow", "server", "--artifacts-destination", settings.artifact_uri),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
    ]


def _prepare_mlflow(settings: Settings) -> None:
    from jobs.adapters.mlflow_connection import ensure_database

    ensure_database(settings)


def _refuse_taken_port(name: str, port: int) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise NightlensError(
                "port_taken",
                f"port {port} for {name} is taken: choose another with {name.upper()}_PORT=...",
                service=name,
                port=port,
            ) from error


def _spawn(settings: Settings, name: str, command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    log_path = settings.state_dir / "logs" / f"{name}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [str(_BIN / command[0]), *command[1:]],
            env=environment,
            cwd=settings.state_dir,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    created = psutil.Process(process.pid).create_time()
    return {"name": name, "pid": process.pid, "created": created, "log": str(log_path)}


def _wait_for(url: str, processes: list[dict[str, Any]], limit_seconds: float = 180) -> None:
    """Ask until `url` answers; `NightlensError` if a process ends before, or the time is up."""

    def answers() -> bool:
        ended = [process for process in processes if not _is_same_process(process)]
        if ended:
            raise NightlensError(
                "service_ended",
                f"{ended[0]['name']} ended at once; its log: {ended[0]['log']}",
                service=ended[0]["name"],
                log=ended[0]["log"],
            )
        try:
            return httpx.get(url, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False  # not up yet: ask again

    if not _comes_true(answers, limit_seconds):
        raise NightlensError(
            "service_silent",
            f"{url} did not answer in {limit_seconds:.0f} s; the logs: {processes[0]['log']} and beside it",
            url=url,
        )


def _wait_for_dags(settings: Settings, port: int, limit_seconds: float = 60) -> None:
    """Wait until the DAG processor has read every DAG, so that they can be triggered."""
    with airflow_client(port, airflow_password(settings)) as client:

        def unread() -> list[str]:
            return [dag_id for dag_id in (NIGHTLY, ABLATION) if client.get(f"/dags/{dag_id}").status_code != 200]

        if not _comes_true(lambda: not unread(), limit_seconds):
            errors, dags = client.get("/importErrors").text, unread()
            raise NightlensError(
                "dag_not_read",
                f"Airflow has not read {', '.join(dags)} in {limit_seconds:.0f} s: {errors}",
                dags=dags,
            )


def _comes_true(is_so: Callable[[], bool], limit_seconds: float) -> bool:
    """Ask every second; False if the time is up before."""
    tries = Retrying(
        retry=retry_if_result(operator.not_),
        stop=stop_after_delay(limit_seconds),
        wait=wait_fixed(1),
        retry_error_callback=lambda _: False,
    )
    return tries(is_so)


def stop_services(settings: Settings) -> str:
    """Stop what `start_services` started, whole process groups, gently first; say what was stopped."""
    path = _services_file(settings)
    if not path.exists():
        return "nothing to stop: the services were not started from this state folder"
    stopped = []
    for service in json.loads(path.read_text())["processes"]:
        if _is_same_process(service):
            _stop_group(service["pid"])
            stopped.append(service["name"])
    path.unlink()
    return f"stopped: {', '.join(stopped) or 'nothing was running any more'}"


def _stop_group(group: int, patience_seconds: float = 10) -> None:
    members = [process for process in psutil.process_iter() if _group_of(process) == group]
    os.killpg(group, signal.SIGTERM)
    _, alive = psutil.wait_procs(members, timeout=patience_seconds)
    if alive:
        os.killpg(group, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=patience_seconds)


def end_tree(pid: int, patience_seconds: float = 10) -> None:
    """End a process and all that it started, in whatever group or session: gently first."""
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for process in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                send(process)
        _, members = psutil.wait_procs(members, timeout=patience_seconds)


def _group_of(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return -1


# -- asking a running Airflow for a run -------------------------------------------------------------------


@contextmanager
def airflow_client(port: int, password: str) -> Iterator[httpx.Client]:
    """Give an HTTP client of the running Airflow's REST API, logged in."""
    base = f"http://127.0.0.1:{port}"
    login = {"username": USER, "password": password}
    answer = httpx.post(f"{base}/auth/token", json=login, timeout=30)
    answer.raise_for_status()
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    with httpx.Client(base_url=f"{base}/api/v2", headers=headers, timeout=60) as client:
        yield client


def trigger_run(client: httpx.Client, dag_id: str, conf: dict[str, Any]) -> str:
    """Start a run of a DAG; return its run id. `NightlensError` carries Airflow's own words."""
    client.patch(f"/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
    answer = client.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
    if answer.is_error:
        raise NightlensError("airflow_refused", f"Airflow refused the run: {answer.text}")
    run_id: str = answer.json()["dag_run_id"]
    return run_id


def follow_run(client: httpx.Client, dag_id: str, run_id: str, poll_seconds: float = 2) -> Iterator[tuple[str, str]]:
    """Yield (task, state) at each change of state, and last ("", state of the run). One of several says which it is."""
    url = f"/dags/{dag_id}/dagRuns/{run_id}"
    seen: dict[tuple[str, int], str] = {}
    while True:
        for task in _task_instances(client, url):
            key, state = (task["task_id"], task["map_index"]), task["state"] or "waiting"
            if seen.get(key) != state:
                seen[key] = state
                mapped = task["rendered_map_index"] or str(task["map_index"])
                yield f"{task['task_id']} {mapped}" if task["map_index"] >= 0 else task["task_id"], state
        state = client.get(url).raise_for_status().json()["state"]
        if state in ("success", "failed"):
            yield "", state
            return
        time.sleep(poll_seconds)


def _task_instances(client: httpx.Client, url: str, page_size: int = 100) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a run; Airflow hands out a hundred at a time, and an ablation may have more."""
    offset, total = 0, 1
    while offset < total:
        query = f"limit={page_size}&offset={offset}&order_by=id"
        page = client.get(f"{url}/taskInstances?{query}").raise_for_status().json()
        yield from page["task_instances"]
        offset, total = offset + page_size, page["total_entries"]
