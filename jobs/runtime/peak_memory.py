"""Peak memory of a piece of work, from samples of the process's resident size."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

_EVERY_SECONDS = 0.01


class PeakMemory:
    """Measures this process while the block runs: `peak_bytes` is the largest resident size seen.

    Memory mapped from files counts while it is resident.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> PeakMemory:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self._look()

    @property
    def peak_mb(self) -> float:
        """The peak in MiB."""
        return round(self.peak_bytes / 2**20, 1)

    def _watch(self) -> None:
        while not self._is_over.wait(_EVERY_SECONDS):
            self._look()

    def _look(self) -> None:
        self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss)
