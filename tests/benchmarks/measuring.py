"""What benchmarks share: the night they run in, and a command's time and memory, its whole process tree counted."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

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
