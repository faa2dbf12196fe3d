"""`nightlens retraining`: consecutive nights of incremental training beside full retraining, then their comparison.

Only the stages that the comparison needs are run. The first night trains in full and is what the others go on from; it
is not compared.
"""

from __future__ import annotations

from datetime import timedelta

from jobs.config.params.arms import AS_TRAINED, FULL
from jobs.config.settings import Settings
from jobs.datasets.reports import RETRAINING
from jobs.lake.catalogue import Lake
from jobs.nights.night_plan import NightPlan
from jobs.nights.series import Step, run_steps, until_base


def compare_nights(settings: Settings, plan: NightPlan, nights: int) -> str:
    """Run `nights` nights up to the plan's run date and one before them; return the comparison as text."""
    dates = [plan.run_date - timedelta(days=back) for back in reversed(range(nights + 1))]
    for day in dates:
        incremental = {"arms": FULL, "retrain": "incremental"}
        steps: list[Step] = [*until_base({}), ("snapshot_champion", {}), ("train_search", incremental)]
        if day != dates[0]:
            steps += [("train_variant", {"variant": AS_TRAINED}), ("train_variant", {"variant": FULL})]
        run_steps(plan, day, steps)
    run_steps(plan, plan.run_date, [("compare_retraining", {"nights": str(nights)})])
    lake = Lake(settings.lake_uri, plan.catalogue)
    manifest = lake.current(RETRAINING, {"run_date": plan.run_date.isoformat()})
    return lake.read_file(manifest, "retraining.md").decode()
