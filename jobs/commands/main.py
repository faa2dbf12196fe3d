"""The command line: reads the environment once, runs one command, and says in one text what went wrong.

`python -m jobs --help` and `nightlens --help` are the same. The commands are in the modules beside this one.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import TextIO, get_args

import typer

from jobs.adapters.mlflow_environment import configure_mlflow
from jobs.commands import (  # noqa: F401 - each adds its commands to the app
    data_commands,
    lake_commands,
    night_commands,
    release_commands,
    search_commands,
    service_commands,
    stage_command,
)
from jobs.commands.options import Environment, Panel, app
from jobs.errors import BadInput, LostWork, NightlensError
from jobs.runtime.error_translation import explain
from jobs.runtime.progress import stop_bars

log = logging.getLogger("nightlens")
app.registered_commands.sort(key=lambda one: get_args(Panel).index(one.rich_help_panel))
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status.

    0, or for an error the user can act on, printed as one text, 2; 1 if the same call again may well succeed.
    """
    # Threads that wait spin, and where other work shares the cores take the time of the one waited for: not for long.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    configure_mlflow(os.environ)
    logging.basicConfig(
        level=logging.INFO, handlers=[_ToStderr()], format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("py4j", "httpx", "great_expectations", "alembic", "fsspec", "faiss.loader"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    arguments = list(sys.argv[1:] if argv is None else argv)
    prefix = " ".join(["nightlens", *arguments[:1]])
    environment = Environment(os.environ)
    try:
        _check_utf8(arguments)
        status: int | None = app(arguments, prog_name="nightlens", standalone_mode=False, obj=environment)
    except typer.TyperException as wrong:
        text = f"{wrong.format_message().removesuffix('.')}. See `{prefix} --help`."
        return _print_error(prefix, BadInput("wrong_usage", text))
    except NightlensError as error:
        return _print_error(prefix, error)
    except Exception as error:
        explained = explain(error, environment.places)
        if explained is None:
            raise
        log.debug("what was behind it", exc_info=True)
        return _print_error(prefix, explained)
    finally:
        stop_bars()
    if status == _INTERRUPTED:
        print(f"{prefix}: interrupted", file=sys.stderr)
    return status or 0


def _check_utf8(arguments: Sequence[str]) -> None:
    """Raise `BadInput` for an argument with bytes that are no text: no table, manifest or page could hold it."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise BadInput(
                "not_utf8", f"the argument {argument!r} is not valid text: type it in UTF-8", argument=argument
            ) from error


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the time: bars of progress put themselves in its place, and lines above them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.stream = sys.stderr
        super().emit(record)


def _print_error(prefix: str, error: NightlensError) -> int:
    """Print an error, as the last line unless it has several; return the exit status."""
    code = f" [{error.code}]" if error.code else ""
    print(f"{prefix}: {type(error).__name__}{code}: {error}", file=sys.stderr)
    return 1 if isinstance(error, LostWork) else 2
