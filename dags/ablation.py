"""The ablation: one mapped task per variant and repetition, then their comparison. Started by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from night_form import OPTIONS, night_fields, plan_task
from stage_operator import StageOperator

from jobs.params import FULL, VARIANTS, ZERO_SHOT
from jobs.specs import ABLATION, command

DOC = """
### What each choice of the search model is worth

Trains every variant several times on the splits and the base of a night that has run, ranks that night's test
queries with each, and compares them with the full arm: intervals clustered by visitor, Holm-adjusted p-values, the
smallest difference that would have been found. The table is published beside the night's report.
"""


@dag(
    dag_id="nightlens_ablation",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=30)},
    params={
        **night_fields(),
        "variants": Param(
            [ZERO_SHOT, *VARIANTS],
            title="Variants",
            description=f"what is trained; {FULL} is what the others are compared with",
            type="array",
            items={"type": "string", "enum": [ZERO_SHOT, *VARIANTS]},
        ),
        "repeats": Param(3, title="Repetitions", description="of each variant, other seeds", type="integer", minimum=1),
    },
    tags=["nightlens"],
    doc_md=DOC,
)
def nightlens_ablation() -> None:
    """Plan, map, compare."""
    plan = plan_task()

    @task
    def list_trainings(night: dict[str, str], **context: Any) -> list[list[str]]:
        """Return the command of every training."""
        params = context["params"]
        options = {name: night[name] for name in ("dataset", "catalogue", "run_date", "preset")}
        options["run_id"] = context["run_id"]
        return [
            command("train_variant", options, {"variant": variant, "repeat": str(repeat)})
            for variant in params["variants"]
            for repeat in range(1 if variant == ZERO_SHOT else params["repeats"])
        ]

    trainings = StageOperator.partial(
        task_id="train_variant",
        doc_md=ABLATION["train_variant"].summary,
        execution_timeout=timedelta(minutes=ABLATION["train_variant"].timeout_minutes),
        pool="gpu",
        map_index_template="{{ task.arguments[-3] }} {{ task.arguments[-1] }}",
    ).expand(arguments=list_trainings(plan.output))
    compare = StageOperator(
        task_id="compare_variants",
        arguments=command(
            "compare_variants",
            OPTIONS,
            {"variants": "{{ params.variants | join(',') }}", "repeats": "{{ params.repeats }}"},
        ),
        doc_md=ABLATION["compare_variants"].summary,
        execution_timeout=timedelta(minutes=30),
    )
    trainings >> compare


nightlens_ablation()
