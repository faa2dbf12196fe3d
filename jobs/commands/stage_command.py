"""A command for every stage of the registry, with one option for each field of its Params."""

from __future__ import annotations

import json
import logging
import subprocess
import time
from pathlib import Path
from typing import Annotated

from typer import Option

from jobs.commands.options import Environment, command, given_values, now
from jobs.config.params.presets import PRESETS
from jobs.config.settings import PROJECT_ROOT, Settings
from jobs.context import RunContext
from jobs.nights.catalogue_name import catalogue_name
from jobs.nights.night_plan import dataset_place, parse_day
from jobs.nights.stage_runner import run_stage
from jobs.runtime.code_version import stage_version
from jobs.stages.registry import ALL, StageSpec, stage_params

log = logging.getLogger("nightlens.stage")


def git_version(root: Path = PROJECT_ROOT) -> str:
    """Return the commit (with -dirty if the tree differs), or 'unknown' outside a checkout."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        asked = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return asked.stdout.strip() or "unknown"


def make_context(
    settings: Settings, stage: StageSpec, *, dataset: str, catalogue: str, run_date: str, run_id: str, seed: int
) -> RunContext:
    """Return the context of a stage call."""
    folder = dataset_place(dataset)
    return RunContext(
        settings=settings,
        catalogue=catalogue or catalogue_name(folder),
        dataset_uri=folder,
        run_date=parse_day(run_date),
        run_id=run_id,
        started_at=now(),
        code_version=stage_version(stage.module, stage.params.__module__, RunContext.__module__),
        git_version=git_version(),
        seed=seed,
    )


def add_stage(stage: StageSpec) -> None:
    """Add the command of a stage."""

    def run(
        environment: Environment,
        dataset: Annotated[str, Option(help="folder in the Unsplash layout")],
        run_date: Annotated[str, Option(help="last day used, YYYY-MM-DD")],
        catalogue: Annotated[str, Option(help="name of the data set in the lake; default: the folder's name")] = "",
        run_id: Annotated[str, Option(help="name of the night, for the record")] = "manual",
        preset: Annotated[str, Option(help=f"of {', '.join(PRESETS)}; a parameter left out or empty is its")] = "small",
        seed: int = 20251006,
        **given: str,
    ) -> None:
        params = stage_params(stage.name, preset, given_values(stage.params, given))
        context = make_context(
            environment.settings,
            stage,
            dataset=dataset,
            catalogue=catalogue,
            run_date=run_date,
            run_id=run_id,
            seed=seed,
        )
        log.info("%-18s %s", stage.name, stage.summary)
        begun = time.perf_counter()
        manifest = run_stage(context, stage.name, params)
        done_before = " (done before)" if manifest.started_at != context.started_at else ""
        part = "".join(f"{value} " for name, value in manifest.partition.items() if name != "run_date")
        rows = part + ", ".join(f"{name} {count:,}" for name, count in manifest.row_counts.items())
        log.info("%-18s %5.1f s%s  %s", stage.name, time.perf_counter() - begun, done_before, rows)
        told = {name: manifest.facts[name] for name in ("outcome", "sentence") if name in manifest.facts}
        print(json.dumps({"run": manifest.reference, "rows": manifest.row_counts, **told}), flush=True)  # to callbacks

    run.__name__, run.__doc__ = stage.name, f"{stage.summary[0].upper()}{stage.summary[1:]}."
    command("Stages", stage.params)(run)


for _stage in ALL.values():
    add_stage(_stage)
