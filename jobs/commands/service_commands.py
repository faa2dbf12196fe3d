"""Commands that start and stop the services of this machine, and try who is told."""

from __future__ import annotations

import getpass
from typing import Annotated

from typer import Option

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

    _ = environment.notify_settings  # what is wrong with them is said now, not in the night
    variables = {"nightlens_dataset": dataset, "nightlens_preset": preset}
    print(start_services(environment.settings, airflow_port, mlflow_port, variables))


@command("Run")
def down(environment: Environment) -> None:
    """Stop Airflow and the MLflow server."""
    from jobs.adapters.local_services import stop_services

    print(stop_services(environment.settings))


@command("Run")
def try_notifiers(environment: Environment) -> None:
    """Send a message on trial, as NIGHTLENS_NOTIFY says."""
    from jobs.adapters.notifications import Message, send

    notify = environment.notify_settings
    trial = Message("trial", "Nightlens: a message on trial", f"Sent by {getpass.getuser()}.", "")
    if failed := send(notify, trial):
        raise BadInput(
            "message_not_sent", f"nothing was sent by {', '.join(failed)}; why is in the log above", channels=failed
        )
    print(f"sent by {', '.join(notify.notify)}")
