"""What benchmarks share: their night, and what a command or a function takes in processes of its own.

Memory of a function is what was resident at its peak (VmHWM) or is now (VmRSS), as Linux tells it of a process.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.config.settings import PROJECT_ROOT
from jobs.context import RunContext
from tests.conftest import context_in, make_settings


@dataclass(frozen=True)
class Measured:
    """What a command printed as JSON in its last line, its CPU seconds, and the peak of its resident sizes."""

    printed: dict[str, Any]
    cpu_seconds: float
    peak_bytes: int


def context(state_dir: Path) -> RunContext:
    return context_in(state_dir, settings=make_settings(state_dir, spark_driver_memory="3g"))


def run_measured(command: list[str]) -> Measured:
    """Run a command from the project's root; its process tree is looked at every 50 ms."""
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
    tree, peak = psutil.Process(process.pid), 0
    cpu_seconds: dict[int, float] = {}
    while process.poll() is None:
        resident = 0
        for member in [tree, *tree.children(recursive=True)]:
            try:
                resident += member.memory_info().rss
                cpu_seconds[member.pid] = sum(member.cpu_times()[:2])
            except psutil.NoSuchProcess:  # ended between the listing and the look
                continue
        peak = max(peak, resident)
        time.sleep(0.05)
    assert process.stdout is not None
    assert process.returncode == 0, command
    return Measured(json.loads(process.stdout.read().splitlines()[-1]), sum(cpu_seconds.values()), peak)


READS_PEAKS = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc"
)


def memory_mib(field: str) -> float:
    """Return the resident memory of this process now (VmRSS) or at its peak (VmHWM), free memory given back first."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def forget_peak() -> float:
    """Let the peak begin anew; return the memory that is resident now."""
    before = memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    return before


def alone(job: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function of a module in a process of its own, so that its memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(job, arguments)
