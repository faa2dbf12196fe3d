"""Commands that start and stop the services of this machine, and try who is told."""

from __future__ import annotations

import getpass
from typing import Annotated

from typer import Option

from jobs.adapters.notifications import Message, check, send
from jobs.commands.options import Environment, command
from jobs.errors import BadInput


@command("Run")
def up(
    environment: Environment,
    airflow_port: int = 8080,
    mlflow_port: int = 5000,
    dataset: Annotated[str, Option(help="data set of scheduled nights; default: the sample")] = "",
    preset: Annotated[str, Option(help="preset of scheduled nights")] = "",
) -> None:
    """Start Airflow and the MLflow server in the background."""
    from jobs.adapters.local_services import start_services

    check(environment.notify_settings)  # what is wrong with them is said now, not in the night
    variables = {"nightlens_dataset": dataset, "nightlens_preset": preset}
    print(start_services(environment.settings, airflow_port, mlflow_port, variables))


@command("Run")
def down(environment: Environment) -> None:
    """Stop Airflow and the MLflow server."""
    from jobs.adapters.local_services import stop_services

    print(stop_services(environment.settings))


@command("Run")
def try_notifiers(environment: Environment) -> None:
    """Send a message on trial to NIGHTLENS_NOTIFY_URLS."""
    if failed := send(environment.notify_settings, Message("info", "Nightlens: a trial", f"By {getpass.getuser()}.")):
        raise BadInput("message_not_sent", f"nothing reached {', '.join(failed)}", channels=failed)
    print("sent to every address of NIGHTLENS_NOTIFY_URLS, and to the log")
