"""The services of docker/compose.yaml without Docker: its commands, settings, order and checks, on this machine.

Names of hosts become the loopback, published numbers become free ports, the image's folders become this project's
and temporary ones. PostgreSQL and the object store, whose images are not ours, are a server installed here and moto.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyspark
import yaml

from jobs.adapters.spark_session import java_home
from jobs.config.settings import PROJECT_ROOT
from tests.cluster.postgres import LOOPBACK, make_databases, start_postgres
from tests.cluster.processes import Processes, free_ports

DOCKER = PROJECT_ROOT / "docker"
_BIN = Path(sys.executable).parent
_PORTS = {"objects": 8333, "mlflow": 5000, "spark-master": 7077, "spark-ui": 8081, "airflow": 8080, "postgres": 5432}
_OWN = ("NIGHTLENS_", "AIRFLOW", "MLFLOW", "AWS_", "SPARK_", "PYSPARK_", "POSTGRES_", "PG")
"""Settings of whoever runs the tests, which are not the deployment's."""
_SMALL = {
    "spark-worker": {"SPARK_WORKER_CORES": "1", "SPARK_WORKER_MEMORY": "1g", "SPARK_WORKER_WEBUI_PORT": "0"},
    "mlflow": {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    "airflow-api-server": {"AIRFLOW__API__WORKERS": "1"},
}
"""All on one small machine: what compose leaves to each container."""
_SMALL_SPARK = {
    "spark.sql.shuffle.partitions": "4",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    # short tasks: the first executor would have done them all before the second is there
    "spark.cores.max": "2",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
}
_NO_LOG_SERVER = ("airflow-scheduler", "airflow-triggerer")  # its port would be the same for both


@dataclass(frozen=True)
class Service:
    """One service as it is started here."""

    command: list[str]
    environment: dict[str, str]
    check: list[str]
    needs: dict[str, str]
    replicas: list[str]


class Deployment:
    """Compose's services as processes; everything they write is below `folder` or in the database."""

    def __init__(self, folder: Path, dataset: Path, preset: str, postgres: Path | None = None) -> None:
        (folder / "state").mkdir(parents=True)
        self._folder, self._dataset, self._postgres = folder, dataset, postgres
        self.processes = Processes(folder / "logs")
        self.ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        self.secrets = _make_secrets(folder)
        self._given = self.secrets | {"NIGHTLENS_DATASET": str(dataset), "NIGHTLENS_PRESET": preset}
        compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
        self.services = {name: self._service(name, service) for name, service in compose["services"].items()}
        self._database = Path(tempfile.mkdtemp(prefix="nightlens-postgres-"))  # its owner may not look into `folder`

    @property
    def environment(self) -> dict[str, str]:
        """The environment of Airflow's tasks."""
        return self.services["airflow-scheduler"].environment

    def start(self, *names: str) -> None:
        """Start services, all if none is named, in compose's order and each when what it waits for is ready."""
        chosen = names or tuple(self.services)
        for name in chosen:
            for other, condition in self.services[name].needs.items():
                if other in chosen:
                    self._await(other, condition)
            self._start(name)
        for name in chosen:
            if self.services[name].check:
                self._await(name, "service_healthy")

    def start_again(self, replica: str) -> None:
        """Start a replica that was killed."""
        [service] = [service for service in self.services.values() if replica in service.replicas]
        self._start_replica(replica, service)

    def stop(self) -> None:
        """End everything and remove the database."""
        self.processes.stop()
        shutil.rmtree(self._database)

    def _start(self, name: str) -> None:
        service = self.services[name]
        if name != "postgres":
            for replica in service.replicas:
                self._start_replica(replica, service)
            return
        assert self._postgres is not None, "the folder of PostgreSQL's programs is not given"
        start_postgres(self.processes, self._postgres, self._database, service.environment)
        self._await(name, "service_healthy")
        make_databases(service.environment, (DOCKER / "databases.sql").read_text())

    def _start_replica(self, replica: str, service: Service) -> None:
        self.processes.start(replica, service.command, service.environment, cwd=self._folder / "state")

    def _await(self, name: str, condition: str) -> None:
        for replica in self.services[name].replicas:
            if condition == "service_completed_successfully":
                self.processes.wait_for_end(replica)
            elif condition == "service_healthy":
                self.processes.wait_until(replica, lambda: self._is_healthy(name))

    def _is_healthy(self, name: str) -> bool:
        service = self.services[name]
        return subprocess.run(service.check, env=service.environment, capture_output=True, check=False).returncode == 0

    # -- from compose's words to this machine's ------------------------------------------------------------

    def _service(self, name: str, service: dict[str, Any]) -> Service:
        def here(value: object) -> str:
            return _interpolate(self._translate(str(value)), self._given)

        image = _image_environment(service["build"]["target"]) if "build" in service else {}
        given = {key: here(value) for key, value in (image | service.get("environment", {})).items()}
        kind, *check = [here(part) for part in service.get("healthcheck", {}).get("test", ["CMD"])]
        entrypoint = service.get("entrypoint", ["airflow"] if name.startswith("airflow-") else [])
        count = service.get("deploy", {}).get("replicas", 1)
        found = Service(
            command=[here(part) for part in (*entrypoint, *service.get("command", []))],
            environment=given | self._base() | _SMALL.get(name, {}),
            check=["bash", "-c", *check] if kind == "CMD-SHELL" else check,
            needs={other: how["condition"] for other, how in service.get("depends_on", {}).items()},
            replicas=[name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)],
        )
        return self._instead(name, found)

    def _base(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith(_OWN)} | {
            "PATH": os.pathsep.join(
                [str(_BIN), *([str(self._postgres)] if self._postgres else []), os.environ["PATH"]]
            ),
            "JAVA_HOME": str(java_home(self._folder)),
            "OMP_NUM_THREADS": "1",
            "SPARK_LOCAL_IP": LOOPBACK,
            "PGHOST": LOOPBACK,
            "PGPORT": str(self.ports["postgres"]),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",  # only what is asked for runs
        }

    def _instead(self, name: str, service: Service) -> Service:
        """Return a service with what stands in for the object store, small jobs, and without ports that would meet."""
        if name == "objects":
            port = str(self.ports["objects"])
            check = f"import httpx; httpx.get('http://{LOOPBACK}:{port}/moto-api/').raise_for_status()"
            command = ["moto_server", "-H", LOOPBACK, "-p", port]
            return replace(service, command=command, check=["python", "-c", check])
        if "NIGHTLENS_SPARK_CONF" in service.environment:
            conf = json.loads(service.environment["NIGHTLENS_SPARK_CONF"]) | _SMALL_SPARK
            service.environment["NIGHTLENS_SPARK_CONF"] = json.dumps(conf)
            service.environment["NIGHTLENS_SPARK_FROM_ROWS"] = "1"  # the workers read and cut a small log, too
        more = ["--skip-serve-logs"] if name in _NO_LOG_SERVER else []
        return replace(service, command=[*service.command, *more])

    def _translate(self, text: str) -> str:
        """Put this machine's addresses and folders into a text of compose.yaml or of the Dockerfile."""
        places = {
            r"/opt/nightlens/\.venv/lib/python[\d.]+/site-packages/pyspark": Path(pyspark.__file__).parent,
            r"/opt/nightlens/\.venv/bin": _BIN,
            r"/opt/nightlens": PROJECT_ROOT,
            r"/state\b": self._folder / "state",
            r"/data/catalogue": self._dataset,
            r"/tmp/work": self._folder / "work",
            r"@postgres/": f"@{LOOPBACK}:{self.ports['postgres']}/",
            r"\b(?:objects|mlflow|airflow-api-server)(?=:\d)": LOOPBACK,
            r"\b(?:spark-master|airflow-scheduler|0\.0\.0\.0)\b": LOOPBACK,
        }
        places |= {rf"\b{number}\b": self.ports[name] for name, number in _PORTS.items()}
        anything = re.compile("|".join(f"({pattern})" for pattern in places))
        found_here = [str(place) for place in places.values()]
        return anything.sub(lambda found: found_here[(found.lastindex or 0) - 1], text)


def _make_secrets(folder: Path) -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("make_secrets", DOCKER / "make_secrets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make(folder)
    return dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())


def _image_environment(target: str) -> dict[str, str]:
    """Return what the Dockerfile sets in the base image and in a target made from it."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", text, flags=re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^ENV (.*)$", stages["base"] + stages[target], flags=re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(lines)))


def _interpolate(text: str, given: Mapping[str, str]) -> str:
    """Put values into `${NAME:?why}` and `${NAME:-default}` as compose does."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        assert given.get(name) or kind == "-", f"{name} is not given: {rest}"
        return given.get(name) or str(rest)

    return re.sub(r"\$\{(\w+):([?-])([^}]*)\}", value, text)
