"""The night: one task per stage, in the order of `jobs.stages.registry`, each the command a person could type."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, CronTriggerTimetable, TaskGroup, dag
from night_form import OPTIONS, PRICES, night_fields, night_param, plan_task
from stage_operator import StageOperator

from jobs.adapters.airflow_callbacks import gate_judged, task_failed
from jobs.config.params.arms import ARMS
from jobs.config.params.night import LIMITS, NIGHT_BEGINS, NightParams, limit_schema
from jobs.stages.registry import GROUPS, STAGES, command, edges

LIMIT_NAMES = [name for name in NightParams.model_fields if name.startswith("max_")]
OVERRIDES = {
    stage: {
        name: f"{{{{ '' if params.{name} is none else params.{name} }}}}"
        for name in LIMIT_NAMES
        if name in params.model_fields
    }
    for stage, params in LIMITS.items()
} | {
    "split_temporal": {"protocol": "{{ params.protocol or '' }}"},
    "train_search": {"arms": "{{ params.arms | join(',') }}", "retrain": "{{ params.retrain }}"},
    "publish_report": PRICES,
}
PUBLISHED = {
    "register_model": [Asset("nightlens_search_model")],
    "verify_index": [Asset("nightlens_photo_index")],
    "publish_report": [Asset("nightlens_report")],
}
ON_SUCCESS = {"gate_release": gate_judged}

DOC = """
### Tomorrow's image search from yesterday's conversion log

`plan_night` fixes the run date and the data set; after it, one task per stage. A stage that was already done
with the same inputs, parameters and code commits nothing new, so clearing a task goes on from there.

| parameter | meaning |
|---|---|
| `run_date` | the last day used; empty: the day before the run, or the log's last complete day if that is earlier |
| `dataset` | folder in the Unsplash layout; `sample` the generated one; empty: Airflow's variable `nightlens_dataset` |
| `catalogue` | name under which lake and registry keep the data set; empty: made from the folder's name |
| `preset` | sizes of model and training; `auto`: the variable `nightlens_preset`, else by data set |
| `retrain` | `incremental` goes on from the champion or the latest earlier night; `always`: in full, `never`: not |
| `protocol` | `windows` by days; `80/20` tests on the log's last fifth, among all photos; empty: what the preset says |
| `arms` | trained arms, measured beside the zero-shot base; none: those of the preset |
| `max_...` | limits of bad rows, missing pictures and changed sizes, at which the night stops; empty: as usual |

The champion is never changed here: `nightlens promote` is the explicit act.
"""


@dag(
    dag_id="nightlens_nightly",
    # Turning the DAG on waits for the next night. False would mean a tenth of a day; none at all, that a first night is
    # lost if the DAG is read again between its hour and the scheduler's look.
    schedule=CronTriggerTimetable(
        f"{NIGHT_BEGINS.minute} {NIGHT_BEGINS.hour} * * *", timezone="UTC", run_immediately=timedelta(minutes=5)
    ),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "on_failure_callback": task_failed,
    },
    params={
        **night_fields(),
        "retrain": night_param(
            "retrain", "incremental", title="Retrain", type="string", enum=["incremental", "always", "never"]
        ),
        "protocol": night_param(
            "protocol", None, title="Protocol", type=["null", "string"], enum=[None, "windows", "80/20"]
        ),
        "arms": night_param("arms", [], title="Arms", type="array", items={"type": "string", "enum": list(ARMS)}),
        **{
            name: night_param(
                name,
                None,
                title=name.replace("_", " ").capitalize(),
                section="Limits",
                **limit_schema(name) | {"type": ["null", "number"]},
            )
            for name in LIMIT_NAMES
        },
    },
    tags=["nightlens"],
    doc_md=DOC,
)
def nightlens_nightly() -> None:
    """One task per stage, in groups; a stage waits for those that make what it reads."""
    plan = plan_task()
    tasks = {"plan_night": plan}
    waits_for = edges(STAGES)
    groups = {group: TaskGroup(group, prefix_group_id=False, tooltip=about) for group, about in GROUPS.items()}
    for spec in STAGES.values():
        task = StageOperator(
            task_id=spec.name,
            arguments=command(spec.name, OPTIONS, OVERRIDES.get(spec.name)),
            doc_md=spec.summary,
            execution_timeout=timedelta(minutes=spec.timeout_minutes),
            pool="gpu" if spec.uses_gpu else "default_pool",
            outlets=PUBLISHED.get(spec.name, []),
            on_success_callback=ON_SUCCESS.get(spec.name),
            task_group=groups[spec.group],
        )
        tasks[spec.name] = task
        for earlier in waits_for[spec.name] or ("plan_night",):
            tasks[earlier] >> task


nightlens_nightly()
