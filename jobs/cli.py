"""The command line: reads the environment and the clock once, builds the context, runs one stage.

`python -m jobs --help` and `nightlens --help` are the same. Stage flags are made from the Params classes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from jobs.context import RunContext
from jobs.errors import BadInput, NightlensError
from jobs.params import PRESETS
from jobs.settings import PROJECT_ROOT, Settings
from jobs.specs import STAGES, stage_params

log = logging.getLogger("nightlens")
_CODE_FOLDERS = ("jobs", "models", "sql", "great_expectations")


def code_version(root: Path = PROJECT_ROOT) -> str:
    """Return a digest of the source that results depend on; independent of git and of file times."""
    digest = hashlib.sha256()
    for folder in _CODE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in {".py", ".sql", ".json", ".html", ".css", ".j2"} and "uncommitted" not in path.parts:
                digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def git_version(root: Path = PROJECT_ROOT) -> str:
    """Return the commit (with -dirty if the tree differs), or 'unknown' outside a checkout."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"


def catalogue_name(dataset: str) -> str:
    """Return a catalogue name made from a folder's name.

    >>> catalogue_name("/data/Unsplash Lite 1.4.0/")
    'unsplash-lite-1-4-0'
    """
    name = re.sub(r"[^a-z0-9_-]+", "-", dataset.rstrip("/").rsplit("/", 1)[-1].lower()).strip("-_")
    if not name:
        raise BadInput(f"no catalogue name can be made from {dataset!r}: give one with --catalogue")
    return name[:63]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser: one sub-command per stage, one flag per field of its Params."""
    parser = argparse.ArgumentParser(
        prog="nightlens", description="Nightly pipeline for image search. Stages, in the order of a night:"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for stage in STAGES.values():
        sub = commands.add_parser(stage.name, help=stage.summary, description=stage.summary)
        night = sub.add_argument_group("the night")
        night.add_argument("--dataset", required=True, help="folder in the Unsplash layout")
        night.add_argument("--catalogue", help="name of the data set in the lake; default: the folder's name")
        night.add_argument("--run-date", required=True, type=date.fromisoformat, help="last day used, YYYY-MM-DD")
        night.add_argument("--run-id", default="manual", help="name of the night, for the record")
        night.add_argument("--preset", default="small", choices=sorted(PRESETS))
        night.add_argument("--seed", type=int, default=20251006)
        group = sub.add_argument_group("parameters (default: the preset's)")
        for name, field in stage.params.model_fields.items():
            group.add_argument("--" + name.replace("_", "-"), dest=f"param_{name}", help=field.description)
    return parser


def parse_stage(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the stage's overrides among parsed arguments; lists are given as comma-separated text."""
    overrides: dict[str, Any] = {}
    for name, field in STAGES[arguments.command].params.model_fields.items():
        value = getattr(arguments, f"param_{name}")
        if value is not None:
            overrides[name] = value.split(",") if "tuple" in str(field.annotation) else value
    return overrides


def make_context(arguments: argparse.Namespace, settings: Settings) -> RunContext:
    """Return the context of a stage call."""
    dataset = arguments.dataset if "://" in arguments.dataset else str(Path(arguments.dataset).absolute())
    return RunContext(
        settings=settings,
        catalogue=arguments.catalogue or catalogue_name(dataset),
        dataset_uri=dataset,
        run_date=arguments.run_date,
        run_id=arguments.run_id,
        started_at=datetime.now(UTC),
        code_version=code_version(),
        git_version=git_version(),
        seed=arguments.seed,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status. Errors a user can act on are printed without a traceback."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    arguments = build_parser().parse_args(argv)
    try:
        return run_stage_command(arguments)
    except NightlensError as error:
        print(f"nightlens {arguments.command}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2


def run_stage_command(arguments: argparse.Namespace) -> int:
    """Run one stage and print what it committed as one JSON line."""
    stage = STAGES[arguments.command]
    params = stage_params(stage.name, arguments.preset, parse_stage(arguments))
    context = make_context(arguments, Settings.from_environment(os.environ))
    manifest = stage.load()(context, params)
    print(json.dumps({"run": manifest.reference, "rows": manifest.row_counts, "facts": manifest.facts}))
    return 0
