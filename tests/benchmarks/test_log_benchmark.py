"""What a million more conversions cost the stages that read the whole log: time, CPU and memory, by two sizes of log.

    pytest -n 0 -m benchmark tests/benchmarks/test_log_benchmark.py -s

Sizes come from the environment: NIGHTLENS_LOG_CONVERSIONS (200000,2000000). The difference of the two sizes is the cost
of a row, what is left of the smaller one the fixed cost (starting Python, Spark and its first plans). docs/SCALING.md
rests on these figures. Every stage is run as Airflow runs it; CPU seconds and memory are those of all its processes.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.benchmarks.measuring import run_measured

SIZES = tuple(int(size) for size in os.environ.get("NIGHTLENS_LOG_CONVERSIONS", "200000,2000000").split(","))
PHOTO_COUNT, QUERY_COUNT, LOG_DAYS = 25_000, 20_000, 120
STAGES = ("validate_logs", "split_temporal", "measure_impressions", "audit_leaks")
END = np.datetime64("2025-12-29T00:00:00", "us")
RUN_DATE = "2025-12-28"


@dataclass(frozen=True)
class Cost:
    """What a stage took."""

    seconds: float
    cpu_seconds: float
    peak_gb: float


def write_catalogue(folder: Path, conversion_count: int) -> None:
    """Write photos, keywords and a log of Zipf-like queries and photos in the Unsplash layout."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    photo_ids = np.array([f"photo{number:06d}" for number in range(PHOTO_COUNT)])
    _write(
        folder / "photos.tsv000",
        {
            "photo_id": photo_ids,
            "photo_image_url": [f"https://images.invalid/{photo}.jpg" for photo in photo_ids],
            "photo_submitted_at": _times(rng, PHOTO_COUNT, 365, END - np.timedelta64(LOG_DAYS, "D")),
            "photo_description": [f"description of photo {number}" for number in range(PHOTO_COUNT)],
        },
    )
    _write(
        folder / "keywords.tsv000",
        {
            "photo_id": np.repeat(photo_ids, 8),
            "keyword": [f"keyword{number % 5000}" for number in range(8 * PHOTO_COUNT)],
            "ai_service_1_confidence": (100 * rng.random(8 * PHOTO_COUNT)).round(2),
        },
    )
    visitors = rng.integers(0, conversion_count // 2, conversion_count)
    _write(
        folder / "conversions.tsv000",
        {
            "converted_at": _times(rng, conversion_count, LOG_DAYS, END),
            "conversion_type": np.full(conversion_count, "download"),
            "keyword": [f"query {number}" for number in _skewed(rng, QUERY_COUNT, conversion_count)],
            "photo_id": photo_ids[_skewed(rng, PHOTO_COUNT, conversion_count)],
            "anonymous_user_id": [f"{number:08x}-0000-4000-8000-{number:012x}" for number in visitors],
            "conversion_country": np.array(["US", "GB", "DE", "FR", "JP", "BR"])[visitors % 6],
        },
    )


def _times(rng: np.random.Generator, count: int, days: int, end: np.datetime64) -> pl.Series:
    back = (rng.random(count) * days * 86_400e6).astype("timedelta64[us]") + np.timedelta64(1, "s")
    return pl.Series(end - back).dt.strftime("%Y-%m-%d %H:%M:%S%.6f")


def _skewed(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    return (count * rng.random(size) ** 3).astype(np.int64)


def _write(path: Path, columns: dict[str, object]) -> None:
    pl.DataFrame(columns).write_csv(path, separator="\t", quote_style="never")


def run_stages(folder: Path, state_dir: Path) -> dict[str, Cost]:
    """Run the stages one after another, each as a command of its own."""
    costs = {}
    for stage in STAGES:
        environment = ["env", "-u", "NIGHTLENS_LOG_CONVERSIONS", f"NIGHTLENS_STATE_DIR={state_dir}"]
        command = [*environment, sys.executable, "-m", "jobs", stage]
        options = ["--dataset", str(folder), "--run-date", RUN_DATE, "--run-id", "benchmark", "--catalogue", "log"]
        begun = time.perf_counter()
        found = run_measured([*command, *options])
        costs[stage] = Cost(time.perf_counter() - begun, found.cpu_seconds, found.peak_bytes / 1e9)
    return costs


@pytest.mark.benchmark
@pytest.mark.timeout(6 * 3600)
def test_what_a_million_conversions_cost(tmp_path: Path) -> None:
    costs = {}
    for size in SIZES:
        write_catalogue(tmp_path / f"catalogue-{size}", size)
        costs[size] = run_stages(tmp_path / f"catalogue-{size}", tmp_path / f"state-{size}")
    small, large = min(SIZES), max(SIZES)
    print(f"\n{PHOTO_COUNT:,} photos, {os.cpu_count()} cores; a million conversions from {small:,} and {large:,}")
    print(f"{'stage':16} {'rows':>10} {'seconds':>8} {'CPU s':>8} {'peak GB':>8}")
    for stage in STAGES:
        for size in SIZES:
            cost = costs[size][stage]
            print(f"{stage:16} {size:10,} {cost.seconds:8.1f} {cost.cpu_seconds:8.1f} {cost.peak_gb:8.2f}")
        one, other = costs[small][stage], costs[large][stage]
        millions = (large - small) / 1e6
        seconds, cpu = (other.seconds - one.seconds) / millions, (other.cpu_seconds - one.cpu_seconds) / millions
        memory = (other.peak_gb - one.peak_gb) / millions
        print(f"{stage:16} {'a million':>10} {seconds:8.1f} {cpu:8.1f} {memory:8.2f}")
        assert cpu > 0, f"{stage} cost no more for {large:,} rows than for {small:,}: nothing was measured"
