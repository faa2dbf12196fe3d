"""`kill -9` at random moments of every stage: run again, the night ends with the artifacts of an unbroken one.

Two tiny nights in folders of their own, stage by stage through the command line. In one of them every stage is killed
several times, with everything it had started, each time after a random share of what it took in the other; then it is
run to its end. The moments are drawn from a seed. Environment: NIGHTLENS_TEST_KILL_STAGES limits it to some stages.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.config.settings import PROJECT_ROOT
from jobs.lake.catalogue import Lake
from jobs.lake.inventory import remove_run
from jobs.lake.manifest import Manifest
from jobs.sample import TINY, make_sample
from jobs.stages import registry

pytestmark = [pytest.mark.slow, pytest.mark.spark, pytest.mark.timeout(7200)]

# What these write holds the ids that MLflow draws at random, or how long things took.
HOLDS_MORE_THAN_RESULTS = {"evaluate_recommenders", "register_model", "make_release", "gate_release", "publish_report"}
KILLS = 3
"""Of each stage: 22 stages, 66 kills."""
TRIES = 10
SEED = 20251006
CHOSEN = set(filter(None, os.environ.get("NIGHTLENS_TEST_KILL_STAGES", "").split(",")))


def start(stage: str, state: Path, sample: Path, run_date: str) -> subprocess.Popen[str]:
    options = {"dataset": str(sample), "catalogue": "kill", "run_date": run_date, "preset": "tiny", "run_id": "night"}
    given = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTLENS_")}
    environment = {**given, "NIGHTLENS_STATE_DIR": str(state), "NIGHTLENS_PSEUDONYM_KEY": "kill"}
    command = [sys.executable, "-m", "jobs", *registry.command(stage, options)]
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
    return lake.by_reference(reference), time.monotonic() - begun


def kill_after(seconds: float, stage: str, *arguments: Any) -> bool:
    """Start a stage and kill it with all that it started after so many seconds; tell whether it was still at it."""
    process = start(stage, *arguments)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    return False


def uncommit(lake: Lake, before: set[str]) -> None:
    """Take away what a stage that was quicker than its kill has committed, so that it has something to do again."""
    for manifest in list(lake.manifests()):
        if manifest.reference not in before:
            remove_run(lake, manifest)


def kill_often(chance: random.Random, seconds: float, stage: str, state: Path, *arguments: Any) -> list[float]:
    """Kill a stage KILLS times; return the moments, as shares of `seconds`. One that was quicker is drawn again.

    After a kill everything is left as it lies: the next begins on what the one before has left behind.
    """
    lake, moments = Lake(str(state / "lake"), "kill"), []
    before = {manifest.reference for manifest in lake.manifests()}
    for _ in range(TRIES):
        share = chance.uniform(0.05, 1.0)
        if kill_after(share * seconds, stage, state, *arguments):
            moments.append(round(share, 3))
        else:
            uncommit(lake, before)
        if len(moments) == KILLS:
            return moments
    raise AssertionError(f"{stage} ended before {TRIES - len(moments)} of {TRIES} kills")


def test_a_night_in_which_every_stage_is_killed_again_and_again(tmp_path: Path) -> None:
    sample = tmp_path / "sample"
    run_date = str(make_sample(sample, TINY).last_complete_day)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    chance, killed = random.Random(SEED), {}
    wanted = CHOSEN or set(registry.STAGES)
    for stage in registry.STAGES:
        if wanted <= set(killed):
            break
        expected, seconds = finish(stage, whole, sample, run_date)
        if stage in wanted:
            killed[stage] = kill_often(chance, seconds, stage, broken, sample, run_date)
        found, _ = finish(stage, broken, sample, run_date)
        assert {name: table.row_count for name, table in found.tables.items()} == expected.row_counts, (stage, killed)
        if stage not in HOLDS_MORE_THAN_RESULTS:
            assert (found.run_id, found.digest) == (expected.run_id, expected.digest), (stage, killed)
    print(f"killed at these shares of each stage's time: {killed}")
    assert CHOSEN or sum(len(moments) for moments in killed.values()) >= 40
