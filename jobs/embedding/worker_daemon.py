"""Spark's Python daemon with what embedding workers need loaded before it forks them off.

Importing torch and open_clip takes seconds of processor time; this way it is spent once per executor instead of
once per worker. Nothing may start threads or touch a GPU before the fork, and importing does neither.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from jobs.adapters.spark_session import spark_session
from jobs.config.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


@contextlib.contextmanager
def embedding_session(settings: Settings, name: str) -> Iterator[SparkSession]:
    """Give a Spark session whose Python workers come from this daemon; it loads while the driver prepares the work."""
    with spark_session(preloading(settings), name) as spark, ThreadPoolExecutor(1) as starter:
        # The same kind of job as the work to come: Spark starts another daemon for workers with another environment.
        loading = starter.submit(spark.range(1).mapInArrow(_pass_on, "id bigint").collect)
        yield spark
        loading.result()


def _pass_on(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def preloading(settings: Settings) -> Settings:
    """Return settings whose Spark sessions start Python workers from this daemon."""
    conf = {"spark.python.daemon.module": "jobs.embedding.worker_daemon"} | settings.spark_conf
    return settings.model_copy(update={"spark_conf": conf})


def main() -> None:
    """Load, then be Spark's own daemon, which speaks to Spark on standard output."""
    from pyspark import daemon

    gc.disable()  # what is loaded stays: a tenth of the time would go into looking for garbage in it
    with contextlib.redirect_stdout(sys.stderr):
        import jobs.embedding.workers  # noqa: F401
    gc.freeze()
    gc.enable()
    daemon.manager()


if __name__ == "__main__":
    main()
