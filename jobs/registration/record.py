"""The record of a night: parameters, curves, metrics and inputs, taken from the manifests of its runs."""

from __future__ import annotations

import json
from typing import Any

from jobs.adapters.mlflow_runs import NightRecord
from jobs.context import Inputs, RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import ArmFacts, SearchModelsFacts


def night_record(ctx: RunContext, arm: str, inputs: Inputs) -> NightRecord:
    """Return what is logged of the night in which `arm` is registered."""
    search_models, splits = inputs["search_models"], inputs["splits"]
    values = {f"{name}.{key}": value for name, run in inputs.items() for key, value in run.params.items()}
    windows = SplitsFacts.of(splits).as_json()
    values |= {f"window.{name}": windows[name] for name in ("train_start", "train_end", "validation_end")}
    values |= {f"rows.{name}": count for name, count in splits.row_counts.items()} | {"seed": ctx.seed}
    metrics = {
        f"{name}/{fact}": float(value)
        for name, arm_facts in SearchModelsFacts.of(search_models).arms.items()
        for fact, value in _flat(arm_facts).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return NightRecord(
        title=f"night {ctx.run_date}",
        description=f"Catalogue `{ctx.catalogue}`, log up to and including {ctx.run_date}. Registered: `{arm}`.",
        key={
            "catalogue": ctx.catalogue,
            "run_date": ctx.run_date.isoformat(),
            "lake_run": inputs["release"].reference,
            "arm": arm,
        },
        tags={"night": ctx.run_id, "code_version": ctx.code_version, "git_version": ctx.git_version},
        params={name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()},
        metrics=metrics,
        curves=[(f"{owner}/{name}", step, value) for owner, step, name, value in _curves(ctx, inputs)],
        inputs=[(name, run.digest, run.reference) for name, run in inputs.items()],
        recorded_at=search_models.started_at,
    )


def _flat(arm: ArmFacts) -> dict[str, Any]:
    training = {} if arm.training is None else arm.training.as_json()
    return arm.model_dump(exclude={"training"}) | training


def _curves(ctx: RunContext, inputs: Inputs) -> list[tuple[str, int, str, float]]:
    """Return (arm, step, name, value) of base and fine-tuning; the base's own may be repeated in the latter."""
    rows = {
        row
        for name in ("base_model", "search_models")
        for row in ctx.lake.read_table(inputs[name], "curves").select("arm", "step", "name", "value").iter_rows()
    }
    return sorted(rows)
