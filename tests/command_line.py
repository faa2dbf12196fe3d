"""What the command line reads of a call, without running it."""

from collections.abc import Sequence
from typing import Any

import typer

from jobs.commands.main import app
from jobs.commands.options import given_values
from jobs.config.params.base import Params
from jobs.stages.registry import ALL, stage_params


def parse(arguments: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the command and the values of its options."""
    group: Any = typer.main.get_command(app)
    with group.make_context("nightlens", list(arguments)) as context:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        return name, command.make_context(name, rest, parent=context).params


def parse_stage(arguments: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any], Params]:
    """Return what a stage is called with: the night's options, the values given to its Params, and these."""
    stage, values = parse(arguments)
    fields = ALL[stage].params.model_fields
    given = given_values(ALL[stage].params, {name: values[name] for name in fields})
    options = {name: value for name, value in values.items() if name not in fields}
    return options, given, stage_params(stage, options["preset"], given)
