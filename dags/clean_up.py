"""Housekeeping once a week: what no night, release or decision needs any more is removed."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, Param, dag
from night_form import night_param, plan_options
from stage_operator import StageOperator

from jobs.adapters.airflow_callbacks import task_failed
from jobs.config.params.release import CleanUpParams
from jobs.stages.registry import command

DOC = """
### Make room

Removes runs of the lake, unfinished attempts, MLflow's runs and published pages of nights that are gone, vectors by
models that no run has, and old checkpoints, never what a kept night, a release, the promotion ledger or an open review
needs; its log says what, and how many bytes. Do not recompute a night
of long ago while it runs. `nightlens clean_up --dry-run` only says what would be removed.

| parameter | meaning |
|---|---|
| `catalogue` | name of the data set in lake and registry; empty: that of scheduled nights |
| `keep_nights`, `keep_days` | how many nights are kept, and for how long everything is |
"""


@dag(
    dag_id="nightlens_clean_up",
    schedule=CronTriggerTimetable("0 12 * * 0", timezone="UTC", run_immediately=timedelta(minutes=5)),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=5), "on_failure_callback": task_failed},
    params={
        "catalogue": night_param(
            "catalogue", None, title="Catalogue", type=["null", "string"], pattern="^([a-z0-9][a-z0-9_-]{0,62})?$"
        ),
        **{
            name: Param(field.default, description=field.description, type="integer", minimum=field.metadata[0].ge)
            for name, field in CleanUpParams.model_fields.items()
        },
    },
    tags=["nightlens"],
    doc_md=DOC,
)
def nightlens_clean_up() -> None:
    """Clean up."""
    StageOperator(
        task_id="clean_up",
        arguments=command(
            "clean_up",
            {
                "dataset": plan_options()["dataset"],
                "catalogue": "{{ params.catalogue or '' }}",
                **{name: f"{{{{ params.{name} }}}}" for name in CleanUpParams.model_fields},
            },
        ),
        prints="text",
        doc_md="Remove what is not to be kept.",
        execution_timeout=timedelta(hours=2),
    )


nightlens_clean_up()
