"""The nightly DAG: its shape, its form, its commands, and runs of it in process with stand-in commands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from jobs.config.params.arms import ARMS
from jobs.config.params.ingest import Protocol
from jobs.config.params.night import NightParams
from jobs.config.params.presets import PRESETS
from jobs.stages.registry import STAGES, command, edges, stage_params
from tests.command_line import parse, parse_stage
from tests.dags.conftest import DAGS, PLAN, calls

DAG = "nightlens_nightly"


def test_there_is_one_task_per_stage_in_the_order_of_the_specs(dag: Any) -> None:
    assert set(dag.task_ids) == {"plan_night", *STAGES}
    for name, earlier in edges(STAGES).items():
        assert dag.get_task(name).upstream_task_ids == set(earlier or ("plan_night",))
        assert dag.get_task(name).task_group.group_id == STAGES[name].group


def test_tasks_retry_time_out_and_share_the_gpu(dag: Any) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    for name, spec in STAGES.items():
        task = dag.get_task(name)
        assert task.retries == 2
        assert task.execution_timeout.total_seconds() == spec.timeout_minutes * 60
        assert (task.pool == "gpu") == spec.uses_gpu


@pytest.mark.parametrize("name", ["nightlens_nightly", "nightlens_deadline", "nightlens_clean_up", "nightlens_hourly"])
def test_what_is_turned_on_waits_for_its_next_time(
    dags: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables import trigger

    timetable = DagSerialization.from_dict(DagSerialization.to_dict(dags[name])).timetable
    due = timetable._align_to_prev(trigger.coerce_datetime(datetime(2026, 11, 30, tzinfo=UTC)))
    for minutes, first in ((1, due), (10, timetable._get_next(due))):  # a scheduler may look a little late
        monkeypatch.setattr(trigger, "utcnow", lambda minutes=minutes: due.add(minutes=minutes))
        assert timetable._calc_first_run() == first


def test_the_form_has_every_parameter_of_a_night_typed_and_described(dag: Any) -> None:
    assert set(dag.params) == set(NightParams.model_fields)
    for name in NightParams.model_fields:
        param = dag.params.get_param(name)
        assert param.description
        assert "type" in param.schema
    assert dag.params.get_param("preset").schema["enum"] == ["auto", *PRESETS]
    assert dag.params.get_param("protocol").schema["enum"] == [None, *get_args(Protocol)]
    assert dag.doc_md


def test_what_is_published_is_announced_as_assets(dag: Any) -> None:
    outlets = {asset.name for task in dag.tasks for asset in task.outlets}
    assert outlets == {"nightlens_search_model", "nightlens_photo_index", "nightlens_report"}


@pytest.mark.parametrize("stage", list(STAGES))
def test_the_command_the_dag_renders_is_the_one_the_parser_reads(stage: str) -> None:
    fields = STAGES[stage].params.model_fields
    defaults = stage_params(stage, "small").model_dump(mode="json")
    given = {
        name: ",".join(map(str, v)) if isinstance(v, list) else str(v) for name, v in defaults.items() if v is not None
    }
    options, overrides, params = parse_stage(command(stage, PLAN | {"preset": "small", "run_id": "manual__1"}, given))
    assert options == PLAN | {"preset": "small", "run_id": "manual__1", "seed": options["seed"]}
    assert set(overrides) == {name for name in fields if defaults[name] not in (None, [])}
    assert params == stage_params(stage, "small")


def test_dags_import_only_airflow_and_the_light_modules() -> None:
    allowed = {"airflow", *(path.stem for path in DAGS.glob("*.py"))}  # each of which is looked at here too
    for path in DAGS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                root = name.split(".")[0]
                light = (
                    name in ("jobs.stages.registry", "jobs.adapters.airflow_callbacks")
                    or name.startswith("jobs.config.")
                    or root in allowed
                    or root in sys.stdlib_module_names
                )
                assert light, f"{path.name} imports {name}"


def test_parsing_the_dag_loads_nothing_heavy() -> None:
    heavy = "pyspark", "torch", "faiss", "mlflow", "great_expectations", "polars"
    code = f"import sys; sys.path.insert(0, {str(DAGS)!r}); import nightly; print([m for m in {heavy} if m in "
    code += "sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


# -- runs in process --------------------------------------------------------------------------------------


def test_a_night_runs_every_stage_once_with_the_planned_options(dag: Any, stand_in: Path) -> None:
    limits = {"max_bad_share": 0, "max_without_photo_share": 0.4, "max_size_ratio": 10}
    run = dag.test(run_conf={"run_date": "2025-12-28", "dataset": "/data/x", "retrain": "never"} | limits)
    assert run.state == "success"
    made = calls(stand_in)
    assert sorted(call.split()[0] for call in made) == sorted(["plan_night", *STAGES])
    assert re.match(r"plan_night --dataset /data/x --catalogue  --preset auto --run-date 2025-12-28 --sched", made[0])
    train = next(call for call in made if call.startswith("train_search"))
    assert f"--dataset {PLAN['dataset']} --catalogue c --run-date 2025-12-28 --preset tiny" in train
    assert train.endswith("--retrain never")
    split = next(call for call in made if call.startswith("split_temporal"))
    assert split.endswith("--protocol ")  # empty: what the preset says
    validate = next(call for call in made if call.startswith("validate_logs"))
    assert validate.endswith("--max-bad-share 0 --max-critical-share  --max-without-photo-share 0.4")
    assert next(call for call in made if call.startswith("fetch_images")).endswith("--max-missing-share ")
    assert next(call for call in made if call.startswith("audit_leaks")).endswith("--max-size-ratio 10")


def test_the_protocol_of_the_form_is_that_of_the_split(dag: Any, stand_in: Path) -> None:
    assert dag.test(run_conf={"protocol": "80/20"}).state == "success"
    made = calls(stand_in)
    assert [call.split()[0] for call in made if call.endswith("--protocol 80/20")] == ["split_temporal"]
    with pytest.raises(ValueError, match="protocol"):
        dag.test(run_conf={"protocol": "70/30"})


def test_the_arms_of_the_form_are_those_that_are_trained(dag: Any, stand_in: Path) -> None:
    assert dag.test(run_conf={"arms": list(ARMS)}).state == "success"
    trained = [call for call in calls(stand_in) if call.startswith("train_search")]
    assert [parse_stage(call.replace(PLAN["dataset"], "d").split())[2].arms for call in trained] == [tuple(ARMS)]
    with pytest.raises(ValueError, match="arms"):
        dag.test(run_conf={"arms": ["no_such_arm"]})


def test_a_crash_is_retried_and_an_error_of_the_user_is_not(dag: Any, stand_in: Path) -> None:
    (stand_in / "split_temporal.status").write_text("1")
    run = dag.test(run_conf={})
    assert run.state == "success"
    assert sum(call.startswith("split_temporal") for call in calls(stand_in)) == 2

    (stand_in / "calls").unlink()
    (stand_in / "audit_leaks.status").write_text("2")
    run = dag.test(run_conf={})
    assert run.state == "failed"
    assert sum(call.startswith("audit_leaks") for call in calls(stand_in)) == 1
    assert not any(call.startswith(("train_base", "publish_report")) for call in calls(stand_in))


def test_a_date_that_is_none_is_refused_by_the_form(dag: Any, stand_in: Path) -> None:
    with pytest.raises(ValueError, match="run_date"):
        dag.test(run_conf={"run_date": "yesterday"})


def test_a_backfill_makes_a_run_for_every_night_and_each_plans_its_own_day(
    dag: Any, client: Any, stand_in: Path
) -> None:
    night = datetime(2025, 12, 28, 2, tzinfo=UTC)
    assert dag.test(logical_date=night).state == "success"  # a run as a backfill makes it
    (planned,) = [call for call in calls(stand_in) if call.startswith("plan_night")]
    assert planned.endswith("--scheduled-for 2025-12-28 02:00:00+00:00")
    assert parse(["plan_night", "--scheduled-for", str(night)])[1]["scheduled_for"] == night

    asked = {"dag_id": dag.dag_id, "from_date": "2025-12-27T00:00:00Z", "to_date": "2025-12-30T00:00:00Z"}
    more = {"max_active_runs": 1, "dag_run_conf": {"retrain": "never"}, "reprocess_behavior": "none"}
    made = client.post("/api/v2/backfills", json=asked | more)
    assert made.status_code == 200, made.text
    runs = client.get(f"/api/v2/dags/{dag.dag_id}/dagRuns", params={"run_type": "backfill"}).json()["dag_runs"]
    days = sorted(run["logical_date"] for run in runs)
    # the night of the 28th has run already and is not run again
    assert days == ["2025-12-27T02:00:00Z", "2025-12-29T02:00:00Z"]
    assert all(run["conf"] == {"retrain": "never"} for run in runs)
    client.put(f"/api/v2/backfills/{made.json()['id']}/cancel").raise_for_status()
