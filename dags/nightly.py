"""The night: one task per stage, in the order of `jobs.specs`, each the command a person could type."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import Asset, Param, dag
from stage_operator import StageOperator

from jobs.params import PRESETS, NightParams
from jobs.specs import STAGES, command

NIGHT = "ti.xcom_pull(task_ids='plan_night')"
OPTIONS = {name: f"{{{{ {NIGHT}['{name}'] }}}}" for name in ("dataset", "catalogue", "run_date", "preset")}
OPTIONS["run_id"] = "{{ run_id }}"
OVERRIDES = {"train_search": {"retrain": "{{ params.retrain }}"}}
PUBLISHED = {
    "register_model": [Asset("nightlens_search_model")],
    "build_index": [Asset("nightlens_photo_index")],
    "publish_report": [Asset("nightlens_report")],
}
FIELDS = NightParams.model_fields

DOC = """
### Tomorrow's image search from yesterday's conversion log

`plan_night` fixes the run date and the data set; after it, one task per stage. A stage that was already done
with the same inputs, parameters and code commits nothing new, so clearing a task goes on from there.

| parameter | meaning |
|---|---|
| `run_date` | the last day used; empty: the day before the run, or the log's last complete day if that is earlier |
| `dataset` | folder in the Unsplash layout; `sample` the generated one; empty: Airflow's variable `nightlens_dataset` |
| `catalogue` | name under which lake and registry keep the data set; empty: made from the folder's name |
| `preset` | sizes of model and training |
| `retrain` | `never` evaluates and indexes with the models of the latest earlier night |

The champion is never changed here: `nightlens promote` is the explicit act.
"""


@dag(
    dag_id="nightlens_nightly",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30), "retry_exponential_backoff": True},
    params={
        "run_date": Param(None, type=["null", "string"], format="date", description=FIELDS["run_date"].description),
        "dataset": Param("", type="string", maxLength=4096, description=FIELDS["dataset"].description),
        "catalogue": Param(
            "", type="string", pattern="^([a-z0-9][a-z0-9_-]{0,62})?$", description=FIELDS["catalogue"].description
        ),
        "preset": Param("", type="string", enum=["", *PRESETS], description=FIELDS["preset"].description),
        "retrain": Param("always", type="string", enum=["always", "never"], description=FIELDS["retrain"].description),
    },
    tags=["nightlens"],
    doc_md=DOC,
)
def nightlens_nightly() -> None:
    """Chain the stages as their specs say."""
    plan = StageOperator(
        task_id="plan_night",
        arguments=command(
            "plan_night",
            {
                "dataset": "{{ params.dataset or var.value.get('nightlens_dataset', 'sample') }}",
                "catalogue": "{{ params.catalogue or '' }}",
                "preset": "{{ params.preset or var.value.get('nightlens_preset', '') }}",
                "run_date": "{{ params.run_date or '' }}",
                "scheduled_for": "{{ dag_run.logical_date or dag_run.run_after }}",
            },
        ),
        doc_md="Fix the run date and the data set; generate the sample catalogue if it is asked for and absent.",
        execution_timeout=timedelta(minutes=30),
    )
    tasks = {"plan_night": plan}
    for spec in STAGES.values():
        task = StageOperator(
            task_id=spec.name,
            arguments=command(spec.name, OPTIONS, OVERRIDES.get(spec.name)),
            doc_md=spec.summary,
            execution_timeout=timedelta(minutes=spec.timeout_minutes),
            pool="gpu" if spec.uses_gpu else "default_pool",
            outlets=PUBLISHED.get(spec.name, []),
        )
        for earlier in spec.after or ("plan_night",):
            tasks[earlier] >> task
        tasks[spec.name] = task


nightlens_nightly()
