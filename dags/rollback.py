"""Back to the release before: one task, started by hand."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag
from night_form import night_param
from stage_operator import StageOperator

from jobs.stages.registry import command

DOC = """
### The release before this one live again

Publishes the release that was live before and makes its model the champion, both together, noted in the promotion
ledger. Running it again goes back further; forward leads only `nightlens_promote`.
"""


@dag(
    dag_id="nightlens_rollback",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "catalogue": night_param(
            "catalogue", "sample", title="Catalogue", type="string", pattern="^[a-z0-9][a-z0-9_-]{0,62}$"
        ),
        "reason": Param(
            "", title="Reason", description="why; kept in the promotion ledger", type="string", maxLength=2000
        ),
    },
    tags=["nightlens"],
    doc_md=DOC,
)
def nightlens_rollback() -> None:
    """Roll back."""
    StageOperator(
        task_id="rollback",
        arguments=[
            *command("rollback", {"catalogue": "{{ params.catalogue }}"}),
            "--by={{ dag_run.triggering_user_name or run_id }}",
            "--reason={{ params.reason }}",
        ],
        prints="text",
        retries=0,  # a rollback that was cut off is finished by whoever comes next; two would go back twice
        doc_md="Move pointer and alias back.",
        execution_timeout=timedelta(minutes=30),
    )


nightlens_rollback()
