"""The small night on every part of the deployment, with a Spark worker killed in the middle of embedding.

Airflow and MLflow on PostgreSQL, lake and models in an object store, Spark's master and two workers: as
docker/compose.yaml says, see `compose.py`.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
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
VICTIM = "spark-worker-1"

# What a night of one machine gives on this sample (jobs.sample makes the same bytes everywhere).
ROWS = {
    SPLITS: {"train": 2156, "validation": 184, "test": 355, "photos": 398, "photo_keywords": 4397},
    PHOTO_EMBEDDINGS: {"embeddings": 3 * 398, "quarantine": 0, "exemplars": 398},
    QUERY_EMBEDDINGS: {"embeddings": 1081},
    PHOTO_INDEX: {"ids": 398},
}
HIT_RATES_AT_10 = {
    "popularity": 0.076,
    "most_converted_for_query": 0.422,
    "keyword_bm25": 0.482,
    "zero_shot": 0.034,
    "finetuned": 0.034,
    "finetuned_country_keywords": 0.238,
    "reranked": 0.416,
}


@dataclass(frozen=True)
class Loss:
    """What was so when a worker was lost."""

    parts: int
    killed: list[str]
    state: str
    workers: Counter[str]


@pytest.fixture(scope="module")
def settings(deployment: Deployment) -> Iterator[Settings]:
    """The deployment's settings, with its environment around the test."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in deployment.environment.items():
            if name.startswith(("NIGHTLENS_", "AWS_")):
                patch.setenv(name, value)
        yield Settings.from_environment(deployment.environment)


def test_a_night_that_loses_a_worker_while_it_embeds_ends_right(deployment: Deployment, settings: Settings) -> None:
    lake = Lake(settings.lake_uri, CATALOGUE)
    losses: list[Loss] = []
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
            if change == ("embed_photos", "running"):
                losses.append(lose_worker(deployment, client, f"{url}/embed_photos", lake))
        tasks = client.get(f"{url}?limit=100").raise_for_status().json()["task_instances"]
        log = client.get(f"{url}/embed_photos/logs/1?full_content=true").raise_for_status().text
    assert states[-1] == ("", "success")
    assert {task["task_id"] for task in tasks} == {"plan_night", *registry.STAGES}
    assert {task["state"] for task in tasks} == {"success"}
    assert {task["try_number"] for task in tasks} == {1}

    check_loss(deployment, losses, log, lake)
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


# -- the loss ----------------------------------------------------------------------------------------------


def lose_worker(deployment: Deployment, client: httpx.Client, task_url: str, lake: Lake) -> Loss:
    """Kill a worker with all it has started when the first vectors are there; return what was so at that moment."""
    deadline = time.monotonic() + 300
    while not stored_parts(lake):
        assert time.monotonic() < deadline, "embed_photos has stored nothing"
        time.sleep(0.2)
    killed = deployment.processes.kill(VICTIM)
    parts = len(stored_parts(lake))
    assert not list(lake.manifests(PHOTO_EMBEDDINGS))
    state = client.get(task_url).raise_for_status().json()["state"]
    return Loss(parts, [" ".join(command) for command in killed], state, worker_states(deployment))


def stored_parts(lake: Lake) -> list[str]:
    """Return the parts of photo vectors that are committed."""
    return list(lake.fs.glob(f"{lake.root}/store/photo_vectors/*/*.parquet"))


def worker_states(deployment: Deployment) -> Counter[str]:
    """Return what Spark's master says of its workers, once it has noticed that one is gone."""
    deadline = time.monotonic() + 120
    while True:
        page = httpx.get(f"http://127.0.0.1:{deployment.ports['spark-ui']}/json/").raise_for_status().json()
        states = Counter(worker["state"] for worker in page["workers"])
        if states["DEAD"] or time.monotonic() > deadline:
            return states
        time.sleep(0.5)


def check_loss(deployment: Deployment, losses: list[Loss], log: str, lake: Lake) -> None:
    """The worker died with an executor that was embedding, and the stage, tried once, went on without it."""
    [loss] = losses
    assert any("CoarseGrainedExecutorBackend" in command for command in loss.killed), loss.killed
    assert any("jobs.embedding.worker_daemon" in command for command in loss.killed), loss.killed
    assert "Lost executor" in log
    assert loss.state == "running"
    assert 0 < loss.parts < len(stored_parts(lake)), "nothing was left to embed when the worker was killed"
    assert loss.workers == {"ALIVE": 1, "DEAD": 1}
    assert worker_states(deployment) == {"ALIVE": 1, "DEAD": 1}


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
