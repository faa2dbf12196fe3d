"""The ablation's DAG: its trainings are mapped from the form, each the command a person could type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.config.params.arms import COMPARED, FULL, RERANKED, VARIANTS, ZERO_SHOT
from tests.command_line import parse
from tests.dags.conftest import calls

DAG = "nightlens_ablation"


def test_it_is_started_by_hand_and_shares_the_gpu(dag: Any) -> None:
    assert not dag.timetable.can_be_scheduled
    assert dag.get_task("train_variant").pool == "gpu"
    assert dag.get_task("compare_variants").upstream_task_ids == {"train_variant"}
    assert dag.get_task("train_variant").upstream_task_ids == {"list_trainings"}
    assert dag.get_task("publish_report").upstream_task_ids == {"compare_variants"}
    assert [asset.name for asset in dag.get_task("publish_report").outlets] == ["nightlens_report"]
    assert dag.params["variants"] == [ZERO_SHOT, *VARIANTS, RERANKED] == list(COMPARED)
    assert dag.params.get_param("variants").schema["items"]["enum"] == list(COMPARED)


def test_every_variant_is_trained_as_often_as_asked_then_compared_and_reported(dag: Any, stand_in: Path) -> None:
    conf = {"variants": [ZERO_SHOT, FULL, "softmax", RERANKED], "repeats": 2, "epochs": 4, "dataset": "/data/x"}
    run = dag.test(run_conf=conf)
    assert run.state == "success"
    made = calls(stand_in)
    trained = [call for call in made if call.startswith("train_variant")]
    found = [(call.split("--variant ")[1].split()[0], call.rsplit(" ", 1)[1]) for call in trained]
    assert sorted(found) == sorted([(ZERO_SHOT, "0"), (FULL, "0"), (FULL, "1"), ("softmax", "0"), ("softmax", "1")])
    assert all(" --epochs 4 --variant " in call for call in trained)
    assert made[0].startswith("plan_night")
    assert made[-2].endswith(f"--variants {ZERO_SHOT},{FULL},softmax,{RERANKED} --repeats 2")
    assert made[-1].startswith(
        "publish_report --dataset /data/with space; rm -rf x --catalogue c --run-date 2025-12-28"
    )
    for call in (trained[0], *made[-2:]):
        words = call.replace("/data/with space; rm -rf x", "/data").split()
        assert parse(words)[0] == words[0]


def test_what_cannot_be_compared_is_refused_before_anything_is_trained(dag: Any, stand_in: Path) -> None:
    run = dag.test(run_conf={"variants": ["softmax"], "repeats": 2})
    assert run.state == "failed"
    assert [call.split()[0] for call in calls(stand_in)] == ["plan_night"]
