"""Nights one after another, as far as a comparison needs them: each stage is a process, as Airflow runs them."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterable
from datetime import date

from jobs.errors import NightlensError
from jobs.nights.night_plan import NightPlan
from jobs.stages.registry import command

log = logging.getLogger("nightlens.stage")

Step = tuple[str, dict[str, str]]
"""A stage and the parameters that differ from the preset's."""


def until_base(split: dict[str, str]) -> list[Step]:
    """Return the steps that every training starts from, with the parameters of `split_temporal`."""
    return [
        ("validate_logs", {}),
        ("fetch_images", {}),
        ("split_temporal", split),
        ("measure_impressions", {}),
        ("audit_leaks", {}),
        ("train_base", {}),
    ]


def run_steps(plan: NightPlan, day: date, steps: Iterable[Step]) -> None:
    """Run stages of one night; `NightlensError` names the first that fails."""
    options = {name: str(value) for name, value in plan.model_copy(update={"run_date": day}).model_dump().items()}
    for stage, overrides in steps:
        log.info("night of %s: %s", day, " ".join([stage, *overrides.values()]))
        process = subprocess.run([sys.executable, "-m", "jobs", *command(stage, options, overrides)], check=False)
        if process.returncode:
            raise NightlensError(
                "stage_failed",
                f"{stage} of the night of {day} failed; its reason is above",
                stage=stage,
                run_date=day.isoformat(),
            )
