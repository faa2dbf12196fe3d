"""What is used is that of the whole tree of processes, ended ones among them, and of nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.runtime.resource_meter import Meter

BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def test_processor_time_is_of_children_and_theirs_living_or_ended() -> None:
    living = start(BURN.format(seconds=0.4) + "print('burnt', flush=True); input()")
    assert living.stdout is not None
    meter = Meter()
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN.format(seconds=0.5)!r}])"
    subprocess.run([sys.executable, "-c", nested], check=True)
    assert living.stdout.readline() == "burnt\n"
    cpu_seconds, gpu_seconds = meter.stop()
    living.communicate("\n")
    assert 0.7 < cpu_seconds < 5  # starting three Pythons among it
    assert gpu_seconds == 0


def test_what_was_used_before_and_what_is_waited_for_counts_nothing() -> None:
    subprocess.run([sys.executable, "-c", BURN.format(seconds=0.3)], check=True)
    meter = Meter()
    time.sleep(0.3)
    assert meter.stop()[0] < 0.2


def test_gpu_time_is_that_in_which_any_process_of_the_tree_holds_one(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    meter = Meter(tmp_path, every_seconds=0.02)
    time.sleep(0.2)
    holder = start(
        f"a, b = open('{tmp_path}/nvidia0'), open('{tmp_path}/nvidiactl'); print('held', flush=True); input()"
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    begun = time.monotonic()
    time.sleep(0.5)
    holder.communicate("\n")
    held = time.monotonic() - begun
    time.sleep(0.2)
    _, gpu_seconds = meter.stop()
    assert gpu_seconds == pytest.approx(held, abs=0.3)
    assert meter.stop()[1] == pytest.approx(gpu_seconds, abs=0.1)  # nothing holds one any more


def test_two_held_for_a_second_are_two_seconds(tmp_path: Path) -> None:
    paths = [tmp_path / "nvidia0", tmp_path / "nvidia1"]
    for path in paths:
        path.touch()
    meter = Meter(tmp_path, every_seconds=0.02)
    begun = time.monotonic()
    with paths[0].open(), paths[1].open():
        time.sleep(0.4)
        _, gpu_seconds = meter.stop()
    assert gpu_seconds == pytest.approx(2 * (time.monotonic() - begun), rel=0.3)
