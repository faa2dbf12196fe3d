"""The deadline: in the morning the night's report is there, or somebody is told."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag
from night_form import plan_options
from stage_operator import StageOperator

from jobs.adapters.airflow_callbacks import report_late
from jobs.config.params.night import NIGHT_ENDS
from jobs.stages.registry import command

DOC = f"""
### The report of the night that is due is published by {NIGHT_ENDS:%H:%M} UTC

Looks for it, and fails if it is not there: also if the night never started. Who is told is said by
`NIGHTLENS_NOTIFY_URLS`. Pause this DAG where nights are not scheduled.
"""


@dag(
    dag_id="nightlens_deadline",
    schedule=CronTriggerTimetable(
        f"{NIGHT_ENDS.minute} {NIGHT_ENDS.hour} * * *", timezone="UTC", run_immediately=timedelta(minutes=5)
    ),
    catchup=False,
    max_active_runs=1,
    tags=["nightlens"],
    doc_md=DOC,
)
def nightlens_deadline() -> None:
    """Look once."""
    StageOperator(
        task_id="check_report",
        arguments=command("check_report", plan_options()),
        prints="text",
        retries=0,
        on_failure_callback=report_late,
        doc_md="Fail if the night's report is not published.",
        execution_timeout=timedelta(minutes=30),
    )


nightlens_deadline()
