"""What Airflow calls when something has happened; each makes a message of it and has it sent.

Light on purpose: the DAGs import it. As an entry point, like the command line, it reads the environment. Airflow hands
over its context, a mapping; nothing of Airflow is imported. No callback raises.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from jobs.adapters.notifications import Kind, Message, log, send
from jobs.config.settings import NotifySettings
from jobs.errors import BadInput

Context = Any
_REASON_LENGTH = 3000


def _tells(make: Callable[[Context], Message]) -> Callable[[Context], None]:
    """Return a callback that sends the message which `make` makes, by the settings of the environment."""

    @functools.wraps(make)
    def callback(context: Context) -> None:
        try:
            send(NotifySettings.from_environment(os.environ), make(context))
        except BadInput as error:
            log.error("NOT SENT: %s", error)
        except Exception:  # whatever goes wrong in telling must not fail, or hide, what is told of
            log.exception("NOT SENT: no message could be made for %s", make.__name__)

    return callback


@_tells
def task_failed(context: Context) -> Message:
    """Tell that a task failed for good, and with it its run: which, why, where the log is."""
    ti = context["ti"]
    reason = str(context.get("exception") or "it gave no reason: killed, or its machine was lost")[:_REASON_LENGTH]
    return _message("failure", context, f"{ti.dag_id} failed in {ti.task_id}", f"Run {ti.run_id}: {reason}")


@_tells
def gate_judged(context: Context) -> Message:
    """Tell the gate's verdict on a night's candidate."""
    ti = context["ti"]
    plan, found = ti.xcom_pull(task_ids="plan_night"), ti.xcom_pull(task_ids=ti.task_id)
    subject = f"Gate: {found['outcome']}, {plan['catalogue']}, night of {plan['run_date']}"
    return _message("info", context, subject, found["sentence"])


@_tells
def approval_waits(context: Context) -> Message:
    """Tell that a candidate waits for somebody to approve or reject it, with what the reviewer is shown."""
    task = context["task"]
    return _message("info", context, f"Waits for approval: {task.subject}", task.body)


@_tells
def report_late(context: Context) -> Message:
    """Tell that the night's report is not there by the time it should be."""
    reason = str(context.get("exception") or "whether it is there could not be found out")[:_REASON_LENGTH]
    return _message("failure", context, "The night's report is late", reason)


def _message(kind: Kind, context: Context, subject: str, text: str) -> Message:
    return Message(kind, f"Nightlens: {subject}", text, context["ti"].log_url)
