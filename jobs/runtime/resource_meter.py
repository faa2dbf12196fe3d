"""What a piece of work uses of this machine: processor time, and time in which it holds GPUs.

Both are of this process and of all that it started, Spark's Java and Python workers among them; what runs on other
machines is not seen. They differ from run to run, so they are recorded and never part of what a run is.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from pathlib import Path

import psutil

_GPU = re.compile(r"nvidia\d+")  # a process that has such a device open holds that GPU
_EVERY_SECONDS = 1.0


class Meter:
    """Measures from when it is made until `stop`.

    Processor time is what the whole tree of processes has taken: its live members, and those that ended and were waited
    for. GPU time is looked for once a second, and not at all on a machine without such a device.
    """

    def __init__(self, devices: Path = Path("/dev"), every_seconds: float = _EVERY_SECONDS) -> None:
        self._devices, self._every = devices, every_seconds
        self._cpu_before = _cpu_seconds()
        self._gpu_seconds = 0.0
        self._looked_at = time.monotonic()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        if any(_GPU.fullmatch(path.name) for path in devices.iterdir()):
            self._thread = threading.Thread(target=self._watch, name="gpu-seconds", daemon=True)
            self._thread.start()

    def stop(self) -> tuple[float, float]:
        """Return processor seconds and GPU seconds (of two GPUs held for a second: two), and measure no more."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()
        cpu_seconds = max(0.0, _cpu_seconds() - self._cpu_before)
        return round(cpu_seconds, 3), round(self._gpu_seconds, 3)

    def _watch(self) -> None:
        while not self._is_over.wait(self._every):
            self._look()
        self._look()

    def _look(self) -> None:
        held = {path for process in _tree() for path in _open_files(process) if self._is_gpu(path)}
        now = time.monotonic()
        self._gpu_seconds += len(held) * (now - self._looked_at)
        self._looked_at = now

    def _is_gpu(self, path: Path) -> bool:
        return path.parent == self._devices and _GPU.fullmatch(path.name) is not None


def _tree() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def _cpu_seconds() -> float:
    """Return what the tree has taken so far; a process that ends while one looks has passed its time to its parent."""
    seconds = 0.0
    for process in _tree():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def _open_files(process: psutil.Process) -> list[Path]:
    """Return what a process has open; psutil's own list leaves devices out."""
    paths = []
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                paths.append(descriptor.readlink())
    return paths
