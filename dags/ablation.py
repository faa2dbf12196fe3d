"""The ablation: one mapped task per variant and repetition, their comparison, the report. Started by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task
from night_form import OPTIONS, PRICES, night_fields, plan_task
from stage_operator import StageOperator

from jobs.config.params.ablation import CompareVariantsParams
from jobs.config.params.arms import COMPARED, FULL, RERANKED, ZERO_SHOT
from jobs.stages.registry import ABLATION, STAGES, command

DOC = """
### What each choice of the search model is worth

Trains every variant several times on the splits and the base of a night that has run, ranks that night's test
queries with each, and compares them with the full arm: intervals that speak of other visitors, other queries and
other seeds, p-values for as many comparisons, the smallest difference that would have been found. The night's report is
then published again, with the table in it.

| parameter | meaning |
|---|---|
| `run_date`, `dataset`, `catalogue`, `preset` | the night, which must have run, by whatever protocol |
| `variants` | what is compared; `reranked` is taken from the night as it is |
| `repeats` | trainings of each variant, with other seeds |
| `epochs` | passes each variant is trained for; empty: what the preset says |
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
            list(COMPARED),
            title="Variants",
            description=f"what is compared, each with {FULL}, which is one of them; {RERANKED} is the night's own",
            type="array",
            items={"type": "string", "enum": list(COMPARED)},
        ),
        "repeats": Param(5, title="Repetitions", description="of each variant, other seeds", type="integer", minimum=2),
        "epochs": Param(
            None,
            title="Passes",
            description="of each training; empty: the preset's",
            type=["null", "integer"],
            minimum=1,
        ),
    },
    tags=["nightlens"],
    doc_md=DOC,
)
def nightlens_ablation() -> None:
    """Plan, map, compare, publish."""
    plan = plan_task()

    @task
    def list_trainings(night: dict[str, str], **context: Any) -> list[list[str]]:
        """Return the command of every training; what cannot be compared is refused before any."""
        params = context["params"]
        asked = CompareVariantsParams(variants=params["variants"], repeats=params["repeats"])
        options = {name: night[name] for name in ("dataset", "catalogue", "run_date", "preset")}
        options["run_id"] = context["run_id"]
        epochs = str(params["epochs"] or "")
        return [
            command("train_variant", options, {"epochs": epochs, "variant": variant, "repeat": str(repeat)})
            for variant in asked.variants
            if variant != RERANKED
            for repeat in range(1 if variant == ZERO_SHOT else asked.repeats)
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
    publish = StageOperator(
        task_id="publish_report",
        arguments=command("publish_report", OPTIONS, PRICES),
        doc_md=STAGES["publish_report"].summary,
        execution_timeout=timedelta(minutes=STAGES["publish_report"].timeout_minutes),
        outlets=[Asset("nightlens_report")],
    )
    trainings >> compare >> publish


nightlens_ablation()
