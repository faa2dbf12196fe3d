"""`nightlens nightly` and `ablation`: a run of a DAG on this machine, followed line by line, then summed up.

If `nightlens up` is running, that Airflow is asked for the run; otherwise Airflow runs the DAG in a process of
its own and nothing stays behind but the run's record, which the UI shows later.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from jobs import datasets, services
from jobs.errors import MissingInput, NightlensError
from jobs.lake import Lake
from jobs.night import NightPlan
from jobs.params import Retrain
from jobs.settings import Settings

_NAMES = {services.NIGHTLY: "night", services.ABLATION: "ablation"}
_ORIGIN = r"(?:\s+\[[\w.]+\] loc=\S+)?$"  # what Airflow's own logging puts behind a line
_PROGRESS = re.compile(r"nightlens\.(?:stage|progress): (.*?)" + _ORIGIN)
_DETAIL = re.compile(r" INFO nightlens(?:\.\w+)?: (.*?)" + _ORIGIN)
_FAULT = re.compile(r"(nightlens \w+: \w+(?: \[\w+\])?: .*?)" + _ORIGIN)


def run_night(settings: Settings, plan: NightPlan, retrain: Retrain, protocol: str = "") -> str:
    """Run the nightly DAG for `plan`; return the summary. `NightlensError` names the failed task and the log.

    An empty `protocol` is what the preset says.
    """
    conf = {**plan.model_dump(mode="json"), "retrain": retrain, "protocol": protocol or None}
    print(f"night of {_describe(plan)}")
    took = _run(settings, services.NIGHTLY, conf)
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
    if not any(manifest.partition == partition for manifest in lake.history(datasets.REPORT)):
        raise MissingInput(
            "no_such_night",
            f"no night of {plan.run_date} has run for catalogue {plan.catalogue!r} below {lake.root}. Run "
            "`make nightly` first, with the same DATASET, DATE and PRESET: the ablation starts from that night.",
            run_date=plan.run_date.isoformat(),
            catalogue=plan.catalogue,
        )
    print(f"ablation of the night of {_describe(plan)}: {', '.join(variants)}; {repeats} repetitions")
    conf = {**plan.model_dump(mode="json"), "variants": list(variants), "repeats": repeats, "epochs": epochs}
    took = _run(settings, services.ABLATION, conf)
    text = lake.read_file(lake.current(datasets.ABLATION, partition), "ablation.md").decode()
    return f"\n{text}\nReport  {_report(settings, plan)}\nTook {took}."


def _describe(plan: NightPlan) -> str:
    return f"{plan.run_date}, data set {plan.dataset}, catalogue {plan.catalogue}, preset {plan.preset}"


def _report(settings: Settings, plan: NightPlan) -> Path:
    return settings.report_dir / plan.catalogue / f"{plan.run_date}.html"


def _run(settings: Settings, dag_id: str, conf: dict[str, Any]) -> str:
    """Run a DAG to its end, in the Airflow that is up if there is one; return how long it took."""
    running = services.running_services(settings)
    begun = time.monotonic()
    if running is not None:
        _run_through_server(settings, running, dag_id, conf)
    else:
        _run_in_process(settings, dag_id, conf)
    return _minutes(time.monotonic() - begun)


def _run_through_server(settings: Settings, running: dict[str, Any], dag_id: str, conf: dict[str, Any]) -> None:
    with services.airflow_client(running["airflow_port"], services.airflow_password(settings)) as client:
        run_id = services.trigger_run(client, dag_id, conf)
        url = f"http://127.0.0.1:{running['airflow_port']}/dags/{dag_id}/runs/{run_id}"
        print(f"run {run_id} in the Airflow that is up: {url}")
        failed = []
        for task, state in services.follow_run(client, dag_id, run_id):
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


def _run_in_process(settings: Settings, dag_id: str, conf: dict[str, Any]) -> None:
    environment = services.airflow_environment(settings)
    services.prepare_airflow(settings, environment)
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
    try:
        with log_path.open("w", buffering=1) as log:  # a person may follow it
            for line in process.stdout:
                log.write(line)
                if found := _PROGRESS.search(line.rstrip()):
                    screen.line(f"  {found[1]}")
                elif found := _DETAIL.search(line.rstrip()):
                    screen.status(f"    {found[1]}")
                elif found := _FAULT.search(line.rstrip()):
                    faults.append(found[1])
            screen.line("")
    except KeyboardInterrupt:
        process.terminate()
        raise
    finally:
        process.wait()
    if process.returncode != 0:
        reason = faults[-1] if faults else "no stage gave a reason"
        raise NightlensError(
            "night_failed",
            f"the {_NAMES[dag_id]} failed. {reason}\nThe whole log: {log_path}",
            dag=dag_id,
            log=log_path,
        )


def summarise(settings: Settings, plan: NightPlan) -> str:
    """Return the short summary of a finished night: verdict, table of arms, report, MLflow."""
    lake = Lake(settings.lake_uri, plan.catalogue)
    partition = {"run_date": plan.run_date.isoformat()}
    evaluation = lake.current(datasets.EVALUATION, partition)
    registration = lake.current(datasets.REGISTRATION, partition).facts
    lines = ["", evaluation.facts["verdict"]["sentence"], "", *_arm_table(lake, evaluation), ""]
    gate = lake.current(datasets.GATE, partition).facts
    lines += [
        f"Gate    {gate['sentence']}",
        f"Report  {_report(settings, plan)}",
        f"MLflow  model {registration['model_name']} version {registration['version']}, "
        f"run {registration['mlflow_run_id']} ({settings.public_tracking_uri}; `make up` shows it)",
    ]
    return "\n".join(lines)


def _arm_table(lake: Lake, evaluation: Any) -> Iterator[str]:
    metrics = lake.read_table(evaluation, "metrics")
    whole = metrics.filter((metrics["segment_kind"] == "all") & (metrics["metric"] == "hit_rate"))
    yield f"{'hit rate':<28} {'@1':>6} {'@5':>6} {'@10':>6}  {'95% interval':<16} {'@25':>6}"
    at_10 = whole.filter(whole["k"] == 10).sort("value")
    for arm, low, high in at_10.select("arm", "low", "high").iter_rows():
        value = dict(whole.filter(whole["arm"] == arm).select("k", "value").iter_rows())
        interval = f"{low:.3f} to {high:.3f}"
        yield f"{arm:<28} {value[1]:>6.3f} {value[5]:>6.3f} {value[10]:>6.3f}  {interval:<16} {value[25]:>6.3f}"


def _minutes(seconds: float) -> str:
    """Return a duration as people say it.

    >>> _minutes(75.2)
    '1 min 15 s'
    """
    return f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds >= 60 else f"{seconds:.0f} s"
