"""The record of a night: parameters, curves, metrics and inputs, taken from the manifests of its runs."""

from __future__ import annotations

import json

from jobs.adapters.mlflow_runs import NightRecord
from jobs.context import RunContext
from jobs.lake.manifest import Manifest


def night_record(ctx: RunContext, arm: str, inputs: dict[str, Manifest]) -> NightRecord:
    """Return what is logged of the night in which `arm` is registered."""
    search_models, splits = inputs["search_models"], inputs["splits"]
    values = {f"{name}.{key}": value for name, run in inputs.items() for key, value in run.params.items()}
    values |= {f"window.{name}": splits.facts[name] for name in ("train_start", "train_end", "validation_end")}
    values |= {f"rows.{name}": count for name, count in splits.row_counts.items()} | {"seed": ctx.seed}
    metrics = {
        f"{name}/{fact}": float(value)
        for name, facts in search_models.facts["arms"].items()
        for fact, value in facts.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return NightRecord(
        title=f"night {ctx.run_date}",
        description=f"Catalogue `{ctx.catalogue}`, log up to and including {ctx.run_date}. Registered: `{arm}`.",
        key={
            "catalogue": ctx.catalogue,
            "run_date": ctx.run_date.isoformat(),
            "lake_run": search_models.reference,
            "arm": arm,
        },
        tags={"night": ctx.run_id, "code_version": ctx.code_version, "git_version": ctx.git_version},
        params={name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()},
        metrics=metrics,
        curves=[(f"{owner}/{name}", step, value) for owner, step, name, value in _curves(ctx, inputs)],
        inputs=[(name, run.digest, run.reference) for name, run in inputs.items()],
        recorded_at=search_models.started_at,
    )


def _curves(ctx: RunContext, inputs: dict[str, Manifest]) -> list[tuple[str, int, str, float]]:
    """Return (arm, step, name, value) of base and fine-tuning; the base's own may be repeated in the latter."""
    rows = {
        row
        for name in ("base_model", "search_models")
        for row in ctx.lake.read_table(inputs[name], "curves").select("arm", "step", "name", "value").iter_rows()
    }
    return sorted(rows)
