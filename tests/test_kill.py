"""`kill -9` in the middle of every stage: run again, the night ends with the artifacts of an unbroken one.

Two tiny nights in folders of their own, stage by stage through the command line. In one of them every stage is
first killed after a share of the time the other took for it, with everything it had started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jobs import specs
from jobs.lake import Lake, Manifest
from jobs.sample import TINY, make_sample
from jobs.settings import PROJECT_ROOT

pytestmark = [pytest.mark.slow, pytest.mark.spark, pytest.mark.timeout(1800)]

# What these write holds the ids that MLflow draws at random, or how long stages took.
HOLDS_MORE_THAN_RESULTS = {"register_model", "make_release", "gate_release", "publish_report"}


def start(stage: str, state: Path, sample: Path, run_date: str) -> subprocess.Popen[str]:
    options = {"dataset": str(sample), "catalogue": "kill", "run_date": run_date, "preset": "tiny", "run_id": "night"}
    environment = {**os.environ, "NIGHTLENS_STATE_DIR": str(state), "NIGHTLENS_PSEUDONYM_KEY": "kill"}
    command = [sys.executable, "-m", "jobs", *specs.command(stage, options)]
    return subprocess.Popen(
        command,
        cwd=PROJECT_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(stage: str, *arguments: Any) -> tuple[Manifest, float]:
    """Run a stage to its end; return its manifest and the seconds it took."""
    begun = time.monotonic()
    process = start(stage, *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    reference = json.loads(out.strip().splitlines()[-1])["run"]
    lake = Lake(str(arguments[0] / "lake"), "kill")
    found = lake.fs.cat_file(f"{lake.root}/{reference}/manifest.json")
    return Manifest.model_validate_json(found), time.monotonic() - begun


def test_a_night_in_which_every_stage_is_killed_once(tmp_path: Path) -> None:
    sample = tmp_path / "sample"
    run_date = str(make_sample(sample, TINY).last_complete_day)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    survived = []
    for number, stage in enumerate(specs.STAGES):
        expected, seconds = finish(stage, whole, sample, run_date)
        process = start(stage, broken, sample, run_date)
        try:
            process.communicate(timeout=seconds * (0.5, 0.7, 0.9)[number % 3])
            survived.append(stage)  # it was faster this time: nothing was proven
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        found, _ = finish(stage, broken, sample, run_date)
        assert {name: table.row_count for name, table in found.tables.items()} == expected.row_counts, stage
        if stage not in HOLDS_MORE_THAN_RESULTS:
            assert found.run_id == expected.run_id, stage
            assert found.digest == expected.digest, stage
    assert len(survived) <= 2, f"not killed: {survived}"
