"""Fresh counts: once an hour the published search learns which photos were converted since its night."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag
from night_form import night_param
from stage_operator import StageOperator

from jobs.adapters.airflow_callbacks import task_failed
from jobs.stages.registry import command

DOC = """
### The published search counts the conversions since its night

Reads the log by the rules and limits of a night and lays new counts beside the published release; readers follow them
at their next `refresh`. Model, index and order are those of the release. If too many rows are bad it fails, and readers
keep the counts they have. Pause this DAG where the log comes once a day.

| parameter | meaning |
|---|---|
| `dataset` | folder in the Unsplash layout; empty: Airflow's variable `nightlens_dataset` |
| `catalogue` | name under which the lake keeps the data set; empty: made from the folder's name |
"""


@dag(
    dag_id="nightlens_hourly",
    schedule=CronTriggerTimetable("0 * * * *", timezone="UTC", run_immediately=timedelta(minutes=5)),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=5), "on_failure_callback": task_failed},
    params={
        "dataset": night_param("dataset", None, title="Data set", type=["null", "string"], maxLength=4096),
        "catalogue": night_param(
            "catalogue", None, title="Catalogue", type=["null", "string"], pattern="^([a-z0-9][a-z0-9_-]{0,62})?$"
        ),
    },
    tags=["nightlens"],
    doc_md=DOC,
)
def nightlens_hourly() -> None:
    """Refresh the counts."""
    StageOperator(
        task_id="refresh_counts",
        arguments=command(
            "refresh_counts",
            {
                "dataset": "{{ params.dataset or var.value.get('nightlens_dataset', 'sample') }}",
                "catalogue": "{{ params.catalogue or '' }}",
            },
        ),
        prints="text",
        doc_md="Count the conversions since the published release's night.",
        execution_timeout=timedelta(minutes=55),
    )


nightlens_hourly()
