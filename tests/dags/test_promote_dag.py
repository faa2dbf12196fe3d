"""Review and rollback in Airflow: their shape and forms, and runs in process that somebody answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.stages.registry import STAGES
from tests.command_line import parse
from tests.dags.conftest import calls
from tests.listeners import webhook

SHOWN = {
    "catalogue": "c",
    "version": "3",
    "run_date": "2025-12-28",
    "subject": "Make 3 live?",
    "body": "**pass** {{ x }}",
}
HITL = "/api/v2/dags/~/dagRuns/~/hitlDetails?response_received=false"


DAG = "nightlens_promote"


Answer = Callable[[Any], None]


def run_answered(dag: Any, answer: Answer, conf: dict[str, Any] | None = None) -> Any:
    """Run a DAG in process while `answer` answers its one request."""
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            answer(dag)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    run = dag.test(run_conf={"catalogue": "c", **(conf or {})})
    thread.join(30)
    assert failures == []
    return run


def answering(client: Any, option: str, reason: str, seen: list[dict[str, Any]]) -> Answer:
    """Return who answers as a person would in the UI."""

    def answer(dag: Any) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            waiting = client.get(HITL).json()["hitl_details"]
            if waiting and waiting[0]["task_instance"]["state"] == "awaiting_input":
                seen.append(waiting[0])
                task = waiting[0]["task_instance"]
                url = f"/api/v2/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/approve/-1/hitlDetails"
                body = {"chosen_options": [option], "params_input": {"reason": reason}}
                client.patch(url, json=body).raise_for_status()
                return
            time.sleep(0.2)
        raise AssertionError("nobody was asked")

    return answer


def states(run: Any) -> dict[str, str]:
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_a_review_comes_before_what_it_decides_and_no_night_waits_for_one(dags: dict[str, Any], dag: Any) -> None:
    assert dag.get_task("approve").upstream_task_ids == {"open_review"}
    assert dag.get_task("approve").downstream_task_ids == {"promote"}
    assert dag.get_task("promote").downstream_task_ids == {"collect_releases", "record_rejection"}
    assert dag.get_task("record_rejection").trigger_rule.value == "all_skipped"
    for name in ("nightlens_promote", "nightlens_rollback"):
        assert not dags[name].timetable.can_be_scheduled
        assert dags[name].max_active_runs == 1
        assert dags[name].doc_md
    assert set(dags["nightlens_nightly"].task_ids) == {"plan_night", *STAGES}
    assert not any(hasattr(task, "response_timeout") for task in dags["nightlens_nightly"].tasks)


def test_no_answer_in_time_means_rejected(dag: Any) -> None:
    approve = dag.get_task("approve")
    assert approve.defaults == ["Reject"]
    assert approve.response_timeout.total_seconds() == 72 * 3600
    assert approve.retries == 0


def test_forms_are_typed_and_described(dags: dict[str, Any], dag: Any) -> None:
    for form, names in (
        (dag.params, {"catalogue", "run_date", "keep_count", "keep_days"}),
        (dags["nightlens_rollback"].params, {"catalogue", "reason"}),
        (dag.get_task("approve").params, {"reason", "catalogue", "run_date", "keep_count", "keep_days"}),
    ):
        assert set(form) <= names
        assert all(form.get_param(name).description and "type" in form.get_param(name).schema for name in form)
    assert "reason" in dag.get_task("approve").params


def test_an_approval_promotes_with_name_and_reason_and_collects(dag: Any, client: Any, stand_in: Path) -> None:
    (stand_in / "open_review.out").write_text(json.dumps(SHOWN) + "\n")
    (stand_in / "promote.out").write_text("The champion is now version 3.\n")
    seen: list[dict[str, Any]] = []
    run = run_answered(dag, answering(client, "Approve", "-- clearly better; rm -rf x", seen), {"keep_count": 2})
    assert run.state == "success"
    assert (seen[0]["subject"], seen[0]["body"]) == (SHOWN["subject"], SHOWN["body"])
    assert seen[0]["options"] == ["Approve", "Reject"]
    assert "reason" in seen[0]["params"]
    made = calls(stand_in)
    assert [call.split()[0] for call in made] == ["open_review", "promote", "collect_releases"]
    assert made[1].startswith("promote --catalogue c --version 3 --by=")
    assert made[1].endswith(" --reason=-- clearly better; rm -rf x")
    assert "--by=nobody" not in made[1]
    assert made[2] == "collect_releases --catalogue c --keep-count 2 --keep-days 30"
    assert made[0].startswith("open_review --catalogue c --run-date  --by manual__")
    words = made[1].replace("-- clearly better; rm -rf x", "--better").split()
    command, values = parse(words)
    assert (command, values["reason"], values["version"]) == ("promote", "--better", "3")
    assert parse(made[2].split())[1]["keep_count"] == "2"
    assert states(run)["record_rejection"] == "skipped"


def test_an_approval_that_waits_is_told_once(
    dag: Any, client: Any, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stand_in / "open_review.out").write_text(json.dumps(SHOWN) + "\n")
    (stand_in / "promote.out").write_text("The champion is now version 3.\n")
    with webhook() as (url, told):
        monkeypatch.setenv("NIGHTLENS_NOTIFY_URLS", url)
        assert run_answered(dag, answering(client, "Approve", "better", [])).state == "success"
    (message,) = told
    assert message["title"] == f"Nightlens: Waits for approval: {SHOWN['subject']}"
    assert message["message"].startswith(SHOWN["body"])
    assert "/tasks/approve" in message["message"]


def test_a_rejection_is_recorded_and_fails_the_run(dag: Any, client: Any, stand_in: Path) -> None:
    (stand_in / "open_review.out").write_text(json.dumps(SHOWN) + "\n")
    (stand_in / "reject.status").write_text("2")
    run = run_answered(dag, answering(client, "Reject", "worse for new photos", []))
    assert run.state == "failed"
    made = calls(stand_in)
    assert [call.split()[0] for call in made] == ["open_review", "reject"]
    assert made[1].endswith("--reason=worse for new photos")
    found = states(run)
    assert (found["promote"], found["record_rejection"]) == ("skipped", "failed")


def test_nobodys_answer_is_recorded_as_a_rejection_and_fails_the_run(dag: Any, client: Any, stand_in: Path) -> None:
    """The scheduler's sweep gives the answer that counts when the time is up."""
    (stand_in / "open_review.out").write_text(json.dumps(SHOWN) + "\n")
    (stand_in / "reject.status").write_text("2")

    def time_is_up(dag: Any) -> None:
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from airflow.utils.timezone import utcnow
        from sqlalchemy import update

        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with create_session() as session:
                waiting = TaskInstance.task_id == "approve", TaskInstance.state == "awaiting_input"
                if session.execute(update(TaskInstance).where(*waiting).values(trigger_timeout=utcnow())).rowcount:
                    session.commit()
                    SchedulerJobRunner(Job()).check_awaiting_input_timeouts(session=session)
                    return
            time.sleep(0.2)
        raise AssertionError("nobody was asked")

    run = run_answered(dag, time_is_up)
    assert run.state == "failed"
    assert calls(stand_in)[1].endswith("--by=nobody --reason=no answer within the time limit")


def test_a_promotion_that_fails_fails_the_run(dag: Any, client: Any, stand_in: Path) -> None:
    (stand_in / "open_review.out").write_text(json.dumps(SHOWN) + "\n")
    (stand_in / "promote.status").write_text("2")
    run = run_answered(dag, answering(client, "Approve", "", []))
    assert run.state == "failed"
    assert [call.split()[0] for call in calls(stand_in)] == ["open_review", "promote"]
    assert states(run)["collect_releases"] == "upstream_failed"
