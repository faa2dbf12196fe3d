"""The one operator of the DAGs: runs a `nightlens` command as a process of its own, without a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Literal

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

USER_ERROR = 2


class StageOperator(BaseOperator):
    """Run `python -m jobs <arguments>`; its last line of output becomes the XCom: JSON, or text as it `prints`.

    Exit status 2 is an error that a rerun does not mend (a gate, a missing input): the task fails without
    retries. Any other failure is retried as the DAG says.
    """

    template_fields = ("arguments",)

    def __init__(self, *, arguments: list[str], prints: Literal["json", "text"] = "json", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arguments = arguments
        self.prints = prints
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> Any:
        """Stream the command's output into the task log and return its result."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jobs", *self.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        last = ""
        for line in self._process.stdout:
            last = line.rstrip()
            self.log.info("%s", last)
        status = self._process.wait()
        if status == USER_ERROR:
            raise AirflowFailException(last)
        if status != 0:
            raise AirflowException(f"nightlens {self.arguments[0]} ended with status {status}: {last}")
        return json.loads(last) if self.prints == "json" else last

    def on_kill(self) -> None:
        """End the command and everything it started when the task is cleared, failed by hand or timed out."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, 15)
