"""The deployment's files without a Docker engine: what they name exists, and what they must not say they do not."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml

from jobs.config.settings import PREFIX, PROJECT_ROOT, Settings

DOCKER = PROJECT_ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
MAKEFILE = (PROJECT_ROOT / "Makefile").read_text()
REQUIRED = re.compile(r"\$\{(\w+):\?")


def make_secrets() -> Any:
    spec = importlib.util.spec_from_file_location("make_secrets", DOCKER / "make_secrets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_parts_of_a_deployment_are_there() -> None:
    wanted = {"postgres", "objects", "mlflow", "spark-master", "spark-worker"}
    wanted |= {f"airflow-{part}" for part in ("api-server", "scheduler", "dag-processor", "triggerer")}
    assert wanted <= set(SERVICES)
    assert SERVICES["spark-worker"]["deploy"]["replicas"] == 2


def test_every_secret_that_is_asked_for_is_made_and_none_is_written_down(tmp_path: Path) -> None:
    secrets = make_secrets()
    asked = set(REQUIRED.findall((DOCKER / "compose.yaml").read_text()))
    given = set(re.findall(r'(NIGHTLENS_\w+)="', MAKEFILE))
    assert asked - given == set(secrets.MADE)
    secrets.make(tmp_path)
    path = tmp_path / ".env"
    assert path.stat().st_mode & 0o077 == 0
    first = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert set(first) == set(secrets.MADE)
    assert min(len(value) for value in first.values()) >= 16
    path.write_text("POSTGRES_PASSWORD=kept\n")
    secrets.make(tmp_path)
    second = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert second["POSTGRES_PASSWORD"] == "kept"
    assert second["AWS_SECRET_ACCESS_KEY"] != first["AWS_SECRET_ACCESS_KEY"]
    for ignored in (".gitignore", ".dockerignore"):
        assert "docker/.env" in (PROJECT_ROOT / ignored).read_text().splitlines()
    for name, service in SERVICES.items():
        for key, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD$|SECRET|_KEY$", key):
                assert REQUIRED.match(value), f"{name}: {key} is written down"


def test_the_settings_are_ones_that_nightlens_knows() -> None:
    environment = {name: str(value) for name, value in SERVICES["airflow-scheduler"]["environment"].items()}
    settings = Settings.from_environment(
        {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    )
    assert settings.spark_master == "spark://spark-master:7077"
    assert settings.spark_conf["spark.driver.host"] == SERVICES["airflow-scheduler"]["hostname"]
    assert settings.lake_uri.startswith("s3://nightlens/")
    assert "mlflow:5000" in settings.tracking_uri
    json.loads(environment["NIGHTLENS_SPARK_CONF"])


def test_no_command_has_a_secret_in_its_arguments() -> None:
    for name, service in SERVICES.items():
        arguments = json.dumps([service.get("entrypoint"), service.get("command")])
        assert not re.search(r"\$\{\w*(PASSWORD|SECRET|KEY)", arguments), name


def test_nothing_listens_outside_this_machine() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert all(str(port).startswith("127.0.0.1:") for port in published)
    assert not [name for name, service in SERVICES.items() if service.get("network_mode") == "host"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_come_about(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        awaited = SERVICES[other]
        if how["condition"] == "service_healthy":
            assert "healthcheck" in awaited, f"{name} waits for {other}, which nobody checks"
        if how["condition"] == "service_completed_successfully":
            assert awaited["restart"] == "on-failure", f"{name} waits for the end of {other}, which is started again"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_of_a_stage_or_an_image_of_a_version_and_its_volumes_exist(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert f" AS {service['build']['target']}\n" in DOCKERFILE
        assert (
            DOCKER / service["build"]["context"] / service["build"]["dockerfile"]
        ).resolve() == DOCKER / "Dockerfile"
    else:
        assert re.search(r":\d[\w.]*$", service["image"])
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or source.startswith("$") or (DOCKER / source).is_file(), volume


def test_the_images_hold_what_they_copy_and_the_commands_that_are_run() -> None:
    for source in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, flags=re.MULTILINE):
        for path in source.split():
            assert (PROJECT_ROOT / path).exists(), path
    [version] = re.findall(r"^FROM python:(\d\.\d+)", DOCKERFILE, flags=re.MULTILINE)
    inside = f"/opt/nightlens/.venv/lib/python{version}/site-packages/pyspark"
    assert f"SPARK_HOME={inside}" in DOCKERFILE
    for name in ("spark-master", "spark-worker"):
        [program] = SERVICES[name]["entrypoint"]
        assert (Path(pyspark.__file__).parent / Path(program).relative_to(inside)).is_file()
    for name in ("mlflow", "airflow", "nightlens"):
        assert (Path(sys.executable).parent / name).is_file()
    assert SERVICES["mlflow"]["entrypoint"] == ["mlflow", "server"]
