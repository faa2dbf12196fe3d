"""Progress of long work, as lines of a log or as a bar on a terminal, and how long steps took."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


class Progress:
    """Counts done work of `total`. Shows a bar on a terminal; else logs a line at most every `every_seconds`."""

    def __init__(
        self,
        log: logging.Logger,
        what: str,
        total: int,
        every_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._what, self._total, self._every, self._clock = log, what, total, every_seconds, clock
        self._begun = self._logged = clock()
        self._bar = bars().add_task("", total=total) if sys.stderr.isatty() else None
        self.done = 0

    def advance(self, count: int = 1) -> None:
        """Count further work as done."""
        self.move_to(self.done + count)

    def move_to(self, done: int) -> None:
        """Set how much is done in all."""
        self.done = done
        now = self._clock()
        is_over = done >= self._total
        if self._bar is not None:
            bars().update(self._bar, completed=done, description=self.line(now - self._begun), visible=not is_over)
            bars().start()
            if bars().finished:
                bars().stop()
        is_due = self._bar is None and now - self._logged >= self._every
        if is_due or (is_over and now - self._begun >= self._every):
            self._logged = now
            self._log.info("%s", self.line(now - self._begun))

    def line(self, seconds: float) -> str:
        """Return the line for `seconds` of work so far.

        >>> progress = Progress(logging.getLogger(), "photos", 300)
        >>> progress.done = 100
        >>> progress.line(20.0)
        'photos: 100 of 300 (33%), 5.0/s, 40 s left'
        """
        rate = self.done / seconds if seconds > 0 else 0.0
        left = f"{(self._total - self.done) / rate:.0f} s left" if rate > 0 else "time left unknown"
        share = self.done / self._total if self._total else 1.0
        return f"{self._what}: {self.done} of {self._total} ({share:.0%}), {rate:.1f}/s, {left}"


@functools.cache
def bars() -> Bars:
    """Return the bars of this process, which stand below its log lines while there is work."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = BarColumn(), TextColumn("{task.description}", markup=False)
    return Bars(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)


def stop_bars() -> None:
    """Take the bars off the terminal, also those of work that was cut off."""
    if bars.cache_info().currsize:
        bars().stop()


@contextlib.contextmanager
def watch(progress: Progress, done_count: Callable[[], int], every_seconds: float = 10.0) -> Iterator[None]:
    """Log progress from `done_count` while the block runs, which usually waits for Spark."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(every_seconds):
            progress.move_to(done_count())

    thread = threading.Thread(target=look, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextlib.contextmanager
def timed(log: logging.Logger, seconds: dict[str, float], step: str) -> Iterator[None]:
    """Keep in `seconds` how long a step took, and log it."""
    begun = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - begun
    log.info("%s: %.1f s", step, seconds[step])
