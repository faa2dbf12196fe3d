"""What `nightly` prints when a night is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Column

from jobs.config.settings import Settings
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.models import REGISTRATION, RegistrationFacts
from jobs.datasets.releases import GATE, GateFacts
from jobs.lake.catalogue import Lake
from jobs.nights.night_plan import NightPlan
from jobs.runtime.terminal import table_lines

_WIDTH = 100


def summarise(settings: Settings, plan: NightPlan) -> str:
    """Return the short summary of a finished night: verdict, table of arms, report, MLflow."""
    lake = Lake(settings.lake_uri, plan.catalogue)
    partition = {"run_date": plan.run_date.isoformat()}
    evaluation = lake.current(EVALUATION, partition)
    registration = RegistrationFacts.of(lake.current(REGISTRATION, partition))
    lines = ["", EvaluationFacts.of(evaluation).verdict.sentence, "", *_arm_table(lake, evaluation), ""]
    lines += [
        f"Gate    {GateFacts.of(lake.current(GATE, partition)).sentence}",
        f"Report  {report_path(settings, plan)}",
        f"MLflow  {registration.in_words} ({settings.public_tracking_uri}; `make up` shows it)",
    ]
    return "\n".join(lines)


def _arm_table(lake: Lake, evaluation: Any) -> list[str]:
    metrics = lake.read_table(evaluation, "metrics")
    whole = metrics.filter((metrics["segment_kind"] == "all") & (metrics["metric"] == "hit_rate"))
    values = {(arm, k): f"{value:.3f}" for arm, k, value in whole.select("arm", "k", "value").iter_rows()}
    rows = [
        (arm, values[arm, 1], values[arm, 5], values[arm, 10], f"{low:.3f} to {high:.3f}", values[arm, 25])
        for arm, low, high in whole.filter(whole["k"] == 10).sort("value").select("arm", "low", "high").iter_rows()
    ]
    columns = [Column(title) for title in ("hit rate", "@1", "@5", "@10", "95% interval", "@25")]
    return table_lines(columns, rows, _WIDTH)


def minutes(seconds: float) -> str:
    """Return a duration as people say it.

    >>> minutes(75.2)
    '1 min 15 s'
    """
    return f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds >= 60 else f"{seconds:.0f} s"


def report_path(settings: Settings, plan: NightPlan) -> Path:
    """Return where the report of a night is published."""
    return settings.report_dir / plan.catalogue / f"{plan.run_date}.html"
