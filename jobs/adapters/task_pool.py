"""Work that is cut into tasks: in processes of this machine, or in Spark's tasks where a stage is too large for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Protocol, TypeVar

from jobs.config.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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
        with _one_thread_each():  # processes are started as they are needed
            return list(self._processes.map(function, items))

    def close(self) -> None:
        """End the processes."""
        if self._processes is not None:
            self._processes.shutdown(cancel_futures=True)


class SparkPool:
    """A `TaskPool` of Spark's executors, which read and write the lake themselves."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return what a function makes of each item, each in a task of its own."""
        return self._spark.sparkContext.parallelize(items, max(1, len(items))).map(function).collect()


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
