"""Commands that make a data set to run nights on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from jobs.commands.options import Environment, command
from jobs.nights.night_plan import ensure_sample


@command("Run")
def make_sample(
    environment: Environment,
    folder: Annotated[Path | None, Option(help="default: below the state folder, if it is not there yet")] = None,
) -> None:
    """Generate the sample catalogue."""
    if folder is None:
        print(ensure_sample(environment.settings.state_dir))
        return
    from jobs import sample

    sample.make_sample(folder)
    print(folder)


@command("Run")
def convert_catalogue(
    environment: Environment,
    mapping: Annotated[Path, Option(help="TOML file that says what their columns mean")],
    out: Annotated[Path, Option(help="folder for the data set; new or empty")],
) -> None:
    """Turn other sites' catalogues into one data set."""
    from jobs.catalogues.convert import REPORT, as_text, convert
    from jobs.catalogues.mapping import read_mapping

    print(as_text(convert(read_mapping(mapping), out)))
    print(f"\n{out / REPORT}")
