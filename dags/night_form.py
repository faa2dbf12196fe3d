"""What the DAGs have in common: the fields that say which night is meant, and the task that settles it."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param
from stage_operator import StageOperator

from jobs.config.params.night import NightParams
from jobs.config.params.presets import PRESETS
from jobs.config.params.release import PublishReportParams
from jobs.stages.registry import command

NIGHT = "ti.xcom_pull(task_ids='plan_night')"
OPTIONS = {name: f"{{{{ {NIGHT}['{name}'] }}}}" for name in ("dataset", "catalogue", "run_date", "preset")}
OPTIONS["run_id"] = "{{ run_id }}"
PRESET = "{{ params.preset if params.preset != 'auto' else var.value.get('nightlens_preset', 'auto') }}"
PRICES = {
    name: f"{{{{ var.value.get('nightlens_{name}', '{field.default}') }}}}"
    for name, field in PublishReportParams.model_fields.items()
}
"""What the report reckons with: Airflow's variables nightlens_cpu_hour_price and so on."""


def night_param(name: str, default: str | list[str] | None, **schema: object) -> Param:
    """Return a field of the form, described as the command line describes it."""
    return Param(default, description=NightParams.model_fields[name].description, **schema)


def night_fields() -> dict[str, Param]:
    """Return the fields that say which night is meant."""
    return {
        "run_date": night_param("run_date", None, title="Run date", type=["null", "string"], format="date"),
        "dataset": night_param("dataset", None, title="Data set", type=["null", "string"], maxLength=4096),
        "catalogue": night_param(
            "catalogue", None, title="Catalogue", type=["null", "string"], pattern="^([a-z0-9][a-z0-9_-]{0,62})?$"
        ),
        "preset": night_param("preset", "auto", title="Preset", type="string", enum=["auto", *PRESETS]),
    }


def plan_options(**asked: str) -> dict[str, str]:
    """Return the options of `plan_night`: those asked for by a form, or the configured ones."""
    return {
        "dataset": "{{ var.value.get('nightlens_dataset', 'sample') }}",
        "catalogue": "",
        "preset": "{{ var.value.get('nightlens_preset', 'auto') }}",
        "run_date": "",
        **asked,
        "scheduled_for": "{{ dag_run.logical_date or dag_run.run_after }}",
    }


def plan_task() -> StageOperator:
    """Return the first task: its XCom has dataset, catalogue, preset and run_date (see `OPTIONS`)."""
    return StageOperator(
        task_id="plan_night",
        arguments=command(
            "plan_night",
            plan_options(
                dataset="{{ params.dataset or var.value.get('nightlens_dataset', 'sample') }}",
                catalogue="{{ params.catalogue or '' }}",
                preset=PRESET,
                run_date="{{ params.run_date or '' }}",
            ),
        ),
        doc_md="Fix the run date and the data set; generate the sample catalogue if it is asked for and absent.",
        execution_timeout=timedelta(minutes=30),
    )
