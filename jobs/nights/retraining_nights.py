"""`nightlens retraining`: consecutive nights of incremental training beside full retraining, then their comparison.

Only the stages that the comparison needs are run, each as a process of its own, as Airflow runs them. The first night
trains in full and is what the others go on from; it is not compared.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import timedelta

from jobs.config.params.arms import AS_TRAINED, FULL
from jobs.config.settings import Settings
from jobs.datasets.reports import RETRAINING
from jobs.errors import NightlensError
from jobs.lake.catalogue import Lake
from jobs.nights.night_plan import NightPlan
from jobs.stages.registry import command

log = logging.getLogger("nightlens.stage")


def compare_nights(settings: Settings, plan: NightPlan, nights: int) -> str:
    """Run `nights` nights up to the plan's run date and one before them; return the comparison as text."""
    dates = [plan.run_date - timedelta(days=back) for back in reversed(range(nights + 1))]
    for day in dates:
        incremental = {"arms": FULL, "retrain": "incremental"}
        steps: list[tuple[str, dict[str, str]]] = [
            ("validate_logs", {}),
            ("fetch_images", {}),
            ("split_temporal", {}),
            ("measure_impressions", {}),
            ("audit_leaks", {}),
            ("snapshot_champion", {}),
            ("train_base", {}),
            ("train_search", incremental),
        ]
        if day != dates[0]:
            steps += [("train_variant", {"variant": AS_TRAINED}), ("train_variant", {"variant": FULL})]
        for stage, overrides in steps:
            _run(plan.model_copy(update={"run_date": day}), stage, overrides)
    _run(plan, "compare_retraining", {"nights": str(nights)})
    lake = Lake(settings.lake_uri, plan.catalogue)
    manifest = lake.current(RETRAINING, {"run_date": plan.run_date.isoformat()})
    return lake.read_file(manifest, "retraining.md").decode()


def _run(plan: NightPlan, stage: str, overrides: dict[str, str]) -> None:
    options = {name: str(value) for name, value in plan.model_dump().items()}
    log.info("night of %s: %s", plan.run_date, " ".join([stage, *overrides.values()]))
    process = subprocess.run([sys.executable, "-m", "jobs", *command(stage, options, overrides)], check=False)
    if process.returncode:
        raise NightlensError(
            "stage_failed",
            f"{stage} of the night of {plan.run_date} failed; its reason is above",
            stage=stage,
            run_date=plan.run_date.isoformat(),
        )
