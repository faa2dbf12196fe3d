"""`nightlens nightly` and `ablation`: a run of a DAG on this machine, followed line by line, then summed up.

If `nightlens up` is running, that Airflow is asked for the run; otherwise Airflow runs the DAG in a process of
its own and nothing stays behind but the run's record, which the UI shows later.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from jobs.adapters import local_services
from jobs.config.params.night import NightParams
from jobs.config.settings import Settings
from jobs.datasets.features import SPLITS, SplitsFacts
from jobs.datasets.reports import ABLATION, REPORT
from jobs.errors import MissingInput, NightlensError
from jobs.lake.catalogue import Lake
from jobs.nights.night_plan import NightPlan
from jobs.nights.night_summary import minutes, report_path, summarise

_NAMES = {local_services.NIGHTLY: "night", local_services.ABLATION: "ablation"}
_ORIGIN = r"(?:\s+\[[\w.]+\] loc=\S+)?$"  # what Airflow's own logging puts behind a line
# what stays on the screen: how stages begin and end, and every warning
_PROGRESS = re.compile(
    r" (?:INFO nightlens\.(?:stage|progress)|(?:WARNING|ERROR) nightlens(?:\.\w+)?): (.*?)" + _ORIGIN
)
_DETAIL = re.compile(r" INFO nightlens(?:\.\w+)?: (.*?)" + _ORIGIN)
_FAULT = re.compile(r"(nightlens \w+: \w+(?: \[\w+\])?: .*?)" + _ORIGIN)


def run_night(settings: Settings, plan: NightPlan, params: NightParams) -> str:
    """Run the nightly DAG for `plan`; return the summary. `NightlensError` names the failed task and the log."""
    conf = {**params.model_dump(mode="json"), **plan.model_dump(mode="json")}
    print(f"night of {_describe(plan)}")
    took = _run(settings, local_services.NIGHTLY, conf)
    return f"{summarise(settings, plan)}\nTook {took}."


def run_ablation(
    settings: Settings, plan: NightPlan, variants: Sequence[str], repeats: int, epochs: int | None = None
) -> str:
    """Run the ablation DAG for a night that has run; return its table and where the report is.

    Without `epochs` variants are trained for as many passes as the preset says.

    Raises `MissingInput` if there is no such night, `NightlensError` as `run_night` does.
    """
    lake = Lake(settings.lake_uri, plan.catalogue)
    partition = {"run_date": plan.run_date.isoformat()}
    if not any(manifest.partition == partition for manifest in lake.history(REPORT)):
        raise MissingInput(
            "no_such_night",
            f"no night of {plan.run_date} has run for catalogue {plan.catalogue!r} below {lake.root}. Run "
            "`make nightly` first, with the same DATASET, DATE and PRESET: the ablation starts from that night.",
            run_date=plan.run_date.isoformat(),
            catalogue=plan.catalogue,
        )
    protocol = SplitsFacts.of(lake.current(SPLITS, partition)).protocol
    print(
        f"ablation of the night of {_describe(plan)}, protocol {protocol}: {', '.join(variants)}; {repeats} repetitions"
    )
    conf = {**plan.model_dump(mode="json"), "variants": list(variants), "repeats": repeats, "epochs": epochs}
    took = _run(settings, local_services.ABLATION, conf)
    text = lake.read_file(lake.current(ABLATION, partition), "ablation.md").decode()
    return f"\n{text}\nReport  {report_path(settings, plan)}\nTook {took}."


def _describe(plan: NightPlan) -> str:
    return f"{plan.run_date}, data set {plan.dataset}, catalogue {plan.catalogue}, preset {plan.preset}"


def _run(settings: Settings, dag_id: str, conf: dict[str, Any]) -> str:
    """Run a DAG to its end, in the Airflow that is up if there is one; return how long it took."""
    running = local_services.running_services(settings)
    begun = time.monotonic()
    if running is not None:
        _run_through_server(settings, running, dag_id, conf)
    else:
        _run_in_process(settings, dag_id, conf)
    return minutes(time.monotonic() - begun)


def _run_through_server(settings: Settings, running: dict[str, Any], dag_id: str, conf: dict[str, Any]) -> None:
    with local_services.airflow_client(running["airflow_port"], local_services.airflow_password(settings)) as client:
        run_id = local_services.trigger_run(client, dag_id, conf)
        url = f"http://127.0.0.1:{running['airflow_port']}/dags/{dag_id}/runs/{run_id}"
        print(f"run {run_id} in the Airflow that is up: {url}")
        failed = []
        for task, state in local_services.follow_run(client, dag_id, run_id):
            if task and state in ("running", "success", "failed", "up_for_retry", "upstream_failed"):
                print(f"  {task:<18} {state}", flush=True)
                failed += [task] if state == "failed" else []
            if not task and state == "failed":
                raise NightlensError(
                    "night_failed",
                    f"the {_NAMES[dag_id]} failed in {', '.join(failed)}; the task's log is at {url}",
                    dag=dag_id,
                    tasks=failed,
                    log=url,
                )


class Screen:
    """Shows lines that stay, and between them how far the current stage is.

    On a terminal the latest status takes the place of the one before; elsewhere one is printed now and then.
    """

    def __init__(
        self, stream: TextIO, every_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream, self._every, self._clock = stream, every_seconds, clock
        self._is_terminal = stream.isatty()
        self._shown_at = clock()

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._write(text + "\n")
        self._shown_at = self._clock()

    def status(self, text: str) -> None:
        """Show how far the work is."""
        if self._is_terminal:
            self._write(text[: shutil.get_terminal_size().columns - 1])
        elif self._clock() - self._shown_at >= self._every:
            self.line(text)

    def _write(self, text: str) -> None:
        self._stream.write(("\r\x1b[K" if self._is_terminal else "") + text)
        self._stream.flush()


@contextmanager
def _ended_with_this(process: subprocess.Popen[str]) -> Iterator[None]:
    """End a process with all that it started, stages too, if this one is stopped: by TERM, HUP, INT or a fault."""

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    # polars' own handler of INT lets Python wait on
    handlers = {signal.SIGTERM: stop, signal.SIGHUP: stop, signal.SIGINT: signal.default_int_handler}
    heard = [number for number in handlers if signal.getsignal(number) is not signal.SIG_IGN]  # as below nohup
    before = {number: signal.signal(number, handlers[number]) for number in heard}
    try:
        yield
    except BaseException:
        local_services.end_tree(process.pid)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_in_process(settings: Settings, dag_id: str, conf: dict[str, Any]) -> None:
    environment = local_services.airflow_environment(settings)
    local_services.prepare_airflow(settings, environment)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    log_path = settings.state_dir / "logs" / f"{_NAMES[dag_id]}-{conf['catalogue']}-{conf['run_date']}-{stamp}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    print(f"log: {log_path}", flush=True)
    airflow = str(Path(sys.executable).parent / "airflow")
    process = subprocess.Popen(
        [airflow, "dags", "test", dag_id, "--conf", json.dumps(conf)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    faults = []
    screen = Screen(sys.stdout)
    with _ended_with_this(process), log_path.open("w", buffering=1) as log:  # a person may follow it
        for line in process.stdout:
            log.write(line)
            if found := _PROGRESS.search(line.rstrip()):
                screen.line(f"  {found[1]}")
            elif found := _DETAIL.search(line.rstrip()):
                screen.status(f"    {found[1]}")
            elif found := _FAULT.search(line.rstrip()):
                faults.append(found[1])
        screen.line("")
        process.wait()
    if process.returncode != 0:
        reason = faults[-1] if faults else "no stage gave a reason"
        raise NightlensError(
            "night_failed",
            f"the {_NAMES[dag_id]} failed. {reason}\nThe whole log: {log_path}",
            dag=dag_id,
            log=log_path,
        )
