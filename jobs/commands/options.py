"""What the commands share: the app they belong to, how one joins it, options of many, what they read from outside."""

from __future__ import annotations

import functools
import getpass
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from jobs.config.params.base import Params
from jobs.config.places import expanded
from jobs.config.settings import NotifySettings, Settings
from jobs.errors import BadInput, NightlensError
from jobs.nights.night_plan import parse_day

Panel = Literal["Run", "Review", "Look up", "Tidy", "Stages"]

_ABOUT = "Nightly pipeline for image search. The stages come in a night's order."
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=_ABOUT)

Catalogue = Annotated[str, typer.Option(help="name of the data set in the lake")]
RunDate = Annotated[str, typer.Option("--run-date", help="the night, YYYY-MM-DD; default: the latest there is")]
By = Annotated[str, typer.Option(help="who decides; default: the user of this machine")]
Reason = Annotated[str, typer.Option(help="why; kept in the promotion ledger")]


@dataclass(frozen=True)
class Environment:
    """What a command may read from outside, read when it asks."""

    variables: Mapping[str, str]

    @functools.cached_property
    def settings(self) -> Settings:
        """Where things are; `BadInput` if a setting is wrong."""
        return Settings.from_environment(self.variables)

    @property
    def places(self) -> list[str]:
        """Where a command writes; nothing if the settings cannot be read."""
        try:
            return [self.settings.lake_uri, str(self.settings.state_dir)]
        except (OSError, NightlensError):
            return []

    @functools.cached_property
    def notify_settings(self) -> NotifySettings:
        """Who is told; `BadInput` if a setting is wrong."""
        return NotifySettings.from_environment(self.variables)

    def pseudonym(self, visitor: str) -> str:
        """Return the id in the lake of a visitor, given as in the log."""
        from jobs.ingest.rows import pseudonym

        return pseudonym(visitor, self.settings.pseudonym_key.get_secret_value().encode())


def command(panel: Panel, params: type[Params] = Params) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds a function to the app, under its own name and in a panel of the help.

    The function gets the `Environment` first, then its options. If it ends in `**given`, it gets there, as text, an
    option for each field of `params`; `""` stands for an option that is not given.
    """

    def add(run: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(run, eval_str=True)
        _, *own = signature.parameters.values()
        options = [_keyword(one.name, one.annotation, one.default) for one in own if one.kind != one.VAR_KEYWORD]
        options += [_field(name, about.description) for name, about in params.model_fields.items()]

        def call(context: typer.Context, **given: Any) -> None:
            run(context.obj, **{name: _expanded(name, value) for name, value in given.items()})

        everything = [_keyword("context", typer.Context), *options]
        call.__signature__ = signature.replace(parameters=everything)  # type: ignore[attr-defined]
        app.command(run.__name__, help=run.__doc__, rich_help_panel=panel)(call)
        return run

    return add


def _expanded(name: str, value: Any) -> Any:
    """Return a path with `~` as the home folder, which a shell leaves in `--log=~/x`; anything else as it is."""
    try:
        return expanded(value) if isinstance(value, Path) else value
    except ValueError as error:
        raise BadInput("wrong_usage", f"--{name.replace('_', '-')}: {error}") from error


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _field(name: str, about: str | None) -> inspect.Parameter:
    option = typer.Option(help=about, metavar="VALUE", show_default=False, rich_help_panel="Parameters")
    return _keyword(name, Annotated[str, option], "")


def given_values(params: type[Params], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of `params` that are given; a list is split at its commas."""
    fields = params.model_fields
    return {
        name: value.split(",") if "tuple" in str(fields[name].annotation) else value
        for name, value in given.items()
        if value
    }


def now() -> datetime:
    """Return what time it is: only the command line asks."""
    return datetime.now(UTC)


def parse_run_date(text: str) -> date | None:
    """Return the night of the flag; None for the latest."""
    return parse_day(text) if text else None


def decision(by: str) -> dict[str, Any]:
    """Return who decides and when, as the promotion ledger keeps it."""
    return {"by": by or getpass.getuser(), "at": now()}
