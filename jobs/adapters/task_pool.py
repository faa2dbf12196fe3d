"""Work that is cut into tasks: in processes of this machine, or in Spark's tasks where a stage is too large for it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Protocol, TypeVar

from jobs.config.settings import Settings
from jobs.errors import LostWork
from models.errors import CodedError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("nightlens")

Item = TypeVar("Item")
Result = TypeVar("Result")
_WORTH_A_PROCESS = 2  # items: a process takes a second to start
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


class TaskPool(Protocol):
    """Runs tasks side by side."""

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return what a function makes of each item, in their order: in several processes, or in Spark's tasks.

        Function, items and results travel between processes, so they are small. A task may be tried again, so what the
        function writes must be the same each time.
        """


class LocalPool:
    """A `TaskPool` of as many processes as this one may use cores, each with one thread for its matrix products."""

    def __init__(self) -> None:
        self._processes: ProcessPoolExecutor | None = None

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return what a function makes of each item; of a few in this process."""
        if min(core_count(), len(items) // _WORTH_A_PROCESS) < 2:
            return [function(item) for item in items]
        if self._processes is None:
            self._processes = ProcessPoolExecutor(core_count(), get_context("spawn"))
        try:
            with _one_thread_each():  # processes are started as they are needed
                return list(self._processes.map(function, items))
        except BrokenProcessPool as error:
            raise LostWork(
                "task_process_lost",
                "A process that did a part of the work was killed, most often because memory ran out. Free memory, or "
                "lower --max-memory-mb where the stage takes it, and run the stage again.",
            ) from error

    def close(self) -> None:
        """End the processes."""
        if self._processes is not None:
            self._processes.shutdown(cancel_futures=True)


class SparkPool:
    """A `TaskPool` of Spark's executors, which read and write the lake themselves."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return what a function makes of each item, each in a task of its own; say in the log how they were spread."""
        context = self._spark.sparkContext
        done = context.parallelize(items, max(1, len(items))).map(partial(_timed, function)).collect()
        results, tasks = list[Result](), list[tuple[str, float]]()
        for one in done:
            if isinstance(one, CodedError):
                raise one
            results.append(one[0])
            tasks.append(one[1:])
        if tasks:
            log.info("%s: %s", context.appName, spread_line(tasks))
        return results


def _timed(function: Callable[[Item], Result], item: Item) -> tuple[Result, str, float] | CodedError:
    """Return what a function makes of an item, in which executor, and the seconds it took.

    What a user can act on is returned instead, for Spark would try again and then make a text of it.
    """
    begun = time.perf_counter()
    try:
        result = function(item)
    except CodedError as error:
        return error
    executor = f"{socket.gethostname()} {os.getppid()}"  # an executor has one process that forks those of its tasks
    return result, executor, time.perf_counter() - begun


def spread_line(tasks: Sequence[tuple[str, float]]) -> str:
    """Return how tasks (executor, seconds) were spread, and by how much the longest stands out.

    >>> spread_line([("a 1", 2.0), ("a 2", 4.0), ("a 1", 3.0)])
    '3 tasks on 2 executors (2, 1), 3.0 s in the mean, the longest 4.0 s: 1.3 times the mean'
    """
    counts = Counter(executor for executor, _ in tasks)
    mean, longest = sum(seconds for _, seconds in tasks) / len(tasks), max(seconds for _, seconds in tasks)
    shares = ", ".join(str(count) for _, count in counts.most_common())
    return (
        f"{len(tasks)} tasks on {len(counts)} executors ({shares}), {mean:.1f} s in the mean, the longest "
        f"{longest:.1f} s: {longest / max(mean, 1e-9):.1f} times the mean"
    )


@contextmanager
def task_pool(settings: Settings, name: str, row_count: int) -> Iterator[TaskPool]:
    """Give a pool for the stage `name`, whose tables have so many rows together."""
    if row_count >= settings.spark_from_rows:
        from jobs.adapters.spark_session import spark_session

        with spark_session(settings, name, row_count) as spark:
            yield SparkPool(spark)
    else:
        pool = LocalPool()
        try:
            yield pool
        finally:
            pool.close()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let the processes that are started meanwhile use one thread each: together they use all cores."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ |= dict.fromkeys(_THREADS, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
