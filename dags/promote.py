"""The review of a candidate: a person approves or rejects it. Never part of a night, which waits for nobody."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, TriggerRule, dag
from night_form import night_param
from review_operator import ReviewOperator
from stage_operator import StageOperator

from jobs.adapters.airflow_callbacks import approval_waits
from jobs.config.params.release import RetentionParams
from jobs.stages.registry import command

REVIEW = "ti.xcom_pull(task_ids='open_review')"
ANSWER = "ti.xcom_pull(task_ids='approve', key='answer')"
CANDIDATE = {name: f"{{{{ {REVIEW}['{name}'] }}}}" for name in ("catalogue", "version")}
DECISION = [
    f"--{name}={{{{ {ANSWER}['{name}'] }}}}" for name in ("by", "reason")
]  # one word each: what people type may begin with a dash
REVIEW_HOURS = 72

DOC = f"""
### Make the candidate of a night live, if a person says so

`open_review` keeps the candidate from being collected and collects what the reviewer needs; `approve` waits under
**Required Actions** and shows the gate's verdict with links to the report, which has a contact sheet, and to the
version, both in MLflow, and a command that tries a search. Whoever answers says why. *Approve* makes the model the
champion and publishes its release; *Reject*, and no answer within {REVIEW_HOURS} hours, fails the run. Either is noted
in the promotion ledger.

| parameter | meaning |
|---|---|
| `catalogue` | name of the data set in lake and registry |
| `run_date` | the night whose candidate is reviewed; empty: the latest that was gated |
| `keep_count`, `keep_days` | after a promotion: how many nights' releases are kept, and for how long all are |
"""


@dag(
    dag_id="nightlens_promote",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    params={
        "catalogue": night_param(
            "catalogue", "sample", title="Catalogue", type="string", pattern="^[a-z0-9][a-z0-9_-]{0,62}$"
        ),
        "run_date": Param(
            None,
            title="Night",
            description="the night whose candidate is reviewed; empty: the latest",
            type=["null", "string"],
            format="date",
        ),
        **{
            name: Param(field.default, description=field.description, type="integer", minimum=field.metadata[0].ge)
            for name, field in RetentionParams.model_fields.items()
        },
    },
    tags=["nightlens"],
    doc_md=DOC,
)
def nightlens_promote() -> None:
    """Review, then promote or record the rejection."""
    review = StageOperator(
        task_id="open_review",
        arguments=command(
            "open_review",
            {"catalogue": "{{ params.catalogue }}", "run_date": "{{ params.run_date or '' }}", "by": "{{ run_id }}"},
        ),
        doc_md="Note that the candidate awaits a decision, and collect what the reviewer is shown.",
        execution_timeout=timedelta(minutes=10),
    )
    approve = ReviewOperator(
        task_id="approve",
        subject=f"{{{{ {REVIEW}['subject'] }}}}",
        body=f"{{{{ {REVIEW}['body'] }}}}",
        defaults=ReviewOperator.REJECT,  # what counts if nobody answers
        response_timeout=timedelta(hours=REVIEW_HOURS),
        notifiers=[approval_waits],
        params={
            "reason": Param(
                "", title="Reason", description="why; kept in the promotion ledger", type="string", maxLength=2000
            )
        },
        retries=0,
        doc_md="Wait for a person.",
    )
    promote = StageOperator(
        task_id="promote",
        arguments=command("promote", CANDIDATE) + DECISION,
        prints="text",
        doc_md="Make the model the champion, publish its release, note it in the ledger.",
        execution_timeout=timedelta(minutes=30),
    )
    collect = StageOperator(
        task_id="collect_releases",
        arguments=command(
            "collect_releases",
            {
                "catalogue": CANDIDATE["catalogue"],
                "keep_count": "{{ params.keep_count }}",
                "keep_days": "{{ params.keep_days }}",
            },
        ),
        prints="text",
        doc_md="Remove releases that are no longer to be kept.",
        execution_timeout=timedelta(minutes=30),
    )
    # a rejection skips `promote`; this task is not directly after `approve`, which would skip it too
    record_rejection = StageOperator(
        task_id="record_rejection",
        arguments=command("reject", CANDIDATE) + DECISION,
        prints="text",
        trigger_rule=TriggerRule.ALL_SKIPPED,
        doc_md="Note the rejection in the ledger and fail: a rejected candidate is no success.",
        execution_timeout=timedelta(minutes=10),
    )
    review >> approve >> promote >> [collect, record_rejection]


nightlens_promote()
