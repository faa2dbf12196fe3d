"""The small night on every part of the deployment, with a Spark worker killed while it embeds, another while it ranks.

Airflow and MLflow on PostgreSQL, lake and models in an object store, Spark's master and two workers: as
docker/compose.yaml says, see `compose.py`.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from jobs.adapters import local_services, mlflow_registry
from jobs.config.params.arms import TRENDING
from jobs.config.settings import Settings
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.evaluation import EVALUATION
from jobs.datasets.features import SPLITS
from jobs.datasets.indexes import PHOTO_INDEX
from jobs.datasets.releases import GATE, RELEASE
from jobs.datasets.reports import REPORT
from jobs.lake.catalogue import Lake
from jobs.releasing.published_pointer import name_of
from jobs.releasing.reader import open_release
from jobs.sample import LAST_COMPLETE_DAY
from jobs.stages import registry
from tests.cluster.compose import Deployment

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

RUN_DATE = LAST_COMPLETE_DAY - timedelta(days=1)
PARTITION = {"run_date": RUN_DATE.isoformat()}
CATALOGUE = "cluster"
WORKERS = ("spark-worker-1", "spark-worker-2")
IN_TASKS = ("validate_logs", "train_reranker", "verify_index", "evaluate")
"""Stages whose work is cut into tasks of the workers, which their logs tell of."""

# What a night of one machine gives on this sample (jobs.sample makes the same bytes everywhere).
ROWS = {
    SPLITS: {"train": 2156, "validation": 184, "test": 355, "photos": 398, "photo_keywords": 4397},
    PHOTO_EMBEDDINGS: {"embeddings": 3 * 398, "quarantine": 0, "exemplars": 398},
    QUERY_EMBEDDINGS: {"embeddings": 1081},
    PHOTO_INDEX: {"ids": 398},
}
HIT_RATES_AT_10 = {
    "popularity": 0.082,
    "most_converted_for_query": 0.420,
    "keyword_bm25": 0.482,
    "zero_shot": 0.045,
    "finetuned": 0.045,
    "finetuned_country_keywords": 0.085,
    "reranked": 0.676,
}


@dataclass(frozen=True)
class Loss:
    """What was so when a worker was lost: below it, of the stage, of the workers, and of what was stored."""

    killed: list[str]
    state: str
    workers: Counter[str]
    parts: int


@pytest.fixture(scope="module")
def settings(deployment: Deployment) -> Iterator[Settings]:
    """The deployment's settings, with its environment around the test."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in deployment.environment.items():
            if name.startswith(("NIGHTLENS_", "AWS_")):
                patch.setenv(name, value)
        yield Settings.from_environment(deployment.environment)


def test_a_night_that_loses_two_workers_ends_right(deployment: Deployment, settings: Settings) -> None:
    lake = Lake(settings.lake_uri, CATALOGUE)
    losses: dict[str, Loss] = {}
    with local_services.airflow_client(
        deployment.ports["airflow"], deployment.secrets["AIRFLOW_ADMIN_PASSWORD"]
    ) as client:
        wait_for_dag(client)
        conf = {"run_date": RUN_DATE.isoformat(), "catalogue": CATALOGUE}
        run_id = local_services.trigger_run(client, local_services.NIGHTLY, conf)
        url = f"/dags/{local_services.NIGHTLY}/dagRuns/{run_id}/taskInstances"
        states = []
        for change in local_services.follow_run(client, local_services.NIGHTLY, run_id):
            print(*change, flush=True)
            states.append(change)
            stage, state = change
            if state == "running" and stage in STRIKES:
                losses[stage] = lose_worker(deployment, client, f"{url}/{stage}", lake, STRIKES[stage])
        tasks = client.get(f"{url}?limit=100").raise_for_status().json()["task_instances"]
        logs = {
            stage: client.get(f"{url}/{stage}/logs/1?full_content=true").raise_for_status().text
            for stage in {*IN_TASKS, *STRIKES}
        }
    assert states[-1] == ("", "success")
    assert {task["task_id"] for task in tasks} == {"plan_night", *registry.STAGES}
    assert {task["state"] for task in tasks} == {"success"}
    assert {task["try_number"] for task in tasks} == {1}

    check_losses(deployment, losses, logs, lake)
    check_division(logs)
    check_lake(lake)
    check_embeddings(lake)
    check_registry(settings, lake)
    check_secrets(deployment)


def wait_for_dag(client: httpx.Client) -> None:
    """Wait until Airflow has read the night's DAG."""
    deadline = time.monotonic() + 120
    while client.get(f"/dags/{local_services.NIGHTLY}").status_code != 200:
        assert time.monotonic() < deadline, client.get("/importErrors").text
        time.sleep(1)


# -- the losses --------------------------------------------------------------------------------------------

Strike = Callable[[Deployment, Lake], str | None]  # which worker to kill now


def while_it_embeds(_: Deployment, lake: Lake) -> str | None:
    """Choose the first worker when the first vectors are there."""
    return WORKERS[0] if stored_parts(lake) else None


def while_it_ranks(deployment: Deployment, _: Lake) -> str | None:
    """Choose a worker with an executor of this stage whose tasks have begun: these are Python's."""
    apps = [app["id"] for app in master_page(deployment)["activeapps"] if app["name"] == "nightlens evaluate"]
    for worker in WORKERS:
        commands = deployment.processes.commands(worker)
        has_executor = any(app in command for app in apps for command in commands)
        if has_executor and any(TASKS in command for command in commands):
            return worker
    return None


STRIKES: dict[str, Strike] = {"embed_photos": while_it_embeds, "evaluate": while_it_ranks}
EXECUTOR, TASKS = "CoarseGrainedExecutorBackend", "daemon"


def lose_worker(deployment: Deployment, client: httpx.Client, task_url: str, lake: Lake, strike: Strike) -> Loss:
    """Kill a worker with all it has started; start it again when the master knows. Return what was so meanwhile."""
    deadline = time.monotonic() + 600
    while (victim := strike(deployment, lake)) is None:
        assert time.monotonic() < deadline, f"no worker to kill: {task_url}"
        assert client.get(task_url).raise_for_status().json()["state"] == "running"
        time.sleep(0.1)
    before = worker_states(deployment)
    killed = deployment.processes.kill(victim)
    parts = len(stored_parts(lake))
    state = client.get(task_url).raise_for_status().json()["state"]
    wait_for_workers(deployment, before - Counter(ALIVE=1) + Counter(DEAD=1))
    workers = worker_states(deployment)
    deployment.start_again(victim)
    wait_for_workers(deployment, before + Counter(DEAD=1))
    return Loss(killed, state, workers - before, parts)


def stored_parts(lake: Lake) -> list[str]:
    """Return the parts of photo vectors that are committed."""
    return list(lake.fs.glob(f"{lake.root}/store/photo_vectors/*/*.parquet"))


def master_page(deployment: Deployment) -> dict[str, Any]:
    """Return what Spark's master says of workers and applications."""
    page = httpx.get(f"http://127.0.0.1:{deployment.ports['spark-ui']}/json/").raise_for_status().json()
    return dict(page)


def worker_states(deployment: Deployment) -> Counter[str]:
    """Return how many workers are in which state."""
    return Counter(worker["state"] for worker in master_page(deployment)["workers"])


def wait_for_workers(deployment: Deployment, states: Counter[str]) -> None:
    """Wait until Spark's master knows its workers to be in these states."""
    deadline = time.monotonic() + 120
    while worker_states(deployment) != states:
        assert time.monotonic() < deadline, worker_states(deployment)
        time.sleep(0.5)


def check_losses(deployment: Deployment, losses: dict[str, Loss], logs: dict[str, str], lake: Lake) -> None:
    """Each worker died with an executor that had a task of the stage, which went on without it, tried once."""
    assert set(losses) == set(STRIKES)
    for stage, loss in losses.items():
        assert any(EXECUTOR in command for command in loss.killed), loss.killed
        assert any(TASKS in command for command in loss.killed), loss.killed
        assert "Lost executor" in logs[stage], stage
        assert loss.state == "running"
        assert loss.workers == {"DEAD": 1}
    embedding = losses["embed_photos"]
    assert any("jobs.embedding.worker_daemon" in command for command in embedding.killed), embedding.killed
    assert 0 < embedding.parts < len(stored_parts(lake)), "nothing was left to embed when the worker was killed"
    assert worker_states(deployment)["ALIVE"] == len(WORKERS)


def check_division(logs: dict[str, str]) -> None:
    """The stages' tasks ran on the workers; where both were free and none was lost, on both."""
    executors = {}
    for stage in IN_TASKS:
        lines = re.findall(rf"nightlens {stage}: (\d+ tasks on (\d+) executors [^\n\"]*)", logs[stage])
        for line, _ in lines:
            print(f"{stage}: {line}", flush=True)
        assert lines, f"{stage} had no task on the workers"
        executors[stage] = max(int(count) for _, count in lines)
    assert executors["validate_logs"] == len(WORKERS)


# -- the night ---------------------------------------------------------------------------------------------


def check_lake(lake: Lake) -> None:
    """Every dataset is committed once, with the rows and figures of a night on one machine."""
    found = {manifest.dataset: manifest for manifest in lake.manifests()}
    assert Counter(manifest.dataset for manifest in lake.manifests()).most_common(1)[0][1] == 1
    assert len(found) == len(registry.STAGES)
    assert {tuple(manifest.partition.items()) for manifest in found.values()} == {tuple(PARTITION.items())}
    for dataset, row_counts in ROWS.items():
        assert found[dataset.name].row_counts == row_counts
    rates = found[EVALUATION.name].facts["hit_rate_at_10"]
    assert {arm: rate for arm, rate in rates.items() if arm not in TRENDING} == pytest.approx(HIT_RATES_AT_10, abs=0.05)
    assert set(TRENDING) < set(rates)
    assert found[GATE.name].facts["figures"]["champion"] == "none"


def check_embeddings(lake: Lake) -> None:
    """Every photo has one vector of length one in every arm."""
    manifest = lake.current(PHOTO_EMBEDDINGS, PARTITION)
    vectors = lake.read_table(manifest, "embeddings")
    photos = lake.read_table(lake.current(SPLITS, PARTITION), "photos")["photo_id"]
    without = lake.read_table(manifest, "quarantine")["photo_id"]
    expected = sorted(set(photos) - set(without))
    assert len(expected) == 398
    for (arm,), rows in vectors.group_by("arm"):
        assert sorted(rows["photo_id"]) == expected, arm
    lengths = np.linalg.norm(np.array(vectors["vector"].to_list()), axis=1)
    assert lengths == pytest.approx(1.0, abs=1e-5)
    assert set(vectors["arm"]) == set(manifest.facts["arms"])


def check_registry(settings: Settings, lake: Lake) -> None:
    """The model is version 1 in MLflow, on PostgreSQL and in the bucket; the candidate opens; the report is out."""
    [version] = mlflow_registry.versions(settings, CATALOGUE)
    challenger = mlflow_registry.resolve_alias(settings, CATALOGUE, mlflow_registry.CHALLENGER)
    assert challenger is not None
    assert challenger.number == version.number == 1
    assert mlflow_registry.resolve_alias(settings, CATALOGUE, mlflow_registry.CHAMPION) is None
    assert any(path.endswith("model.safetensors") for path in lake.fs.find("nightlens/mlflow"))
    release = lake.current(RELEASE, PARTITION)
    assert open_release(lake, name_of(release, version.number), release.digest).search is not None
    page = (settings.report_dir / CATALOGUE / f"{RUN_DATE}.html").read_bytes()
    assert page == lake.read_file(lake.current(REPORT, PARTITION), "report.html")


def check_secrets(deployment: Deployment) -> None:
    """No process was told a secret where everybody can read it."""
    commands: dict[int, Any] = {process.pid: " ".join(process.cmdline()) for process in deployment.processes.all()}
    assert len(commands) > 8
    anything = re.compile("|".join(map(re.escape, deployment.secrets.values())))
    assert not [command for command in commands.values() if anything.search(command)]
