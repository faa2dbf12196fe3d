"""What a million more conversions cost the stages that read the log: time, CPU and memory, by two sizes of log.

    pytest -n 0 -m benchmark tests/benchmarks/test_log_benchmark.py -s

Sizes come from the environment: NIGHTLENS_LOG_CONVERSIONS (1000000,5000000). The difference of the two sizes is the
cost of a row, what is left of the smaller one the fixed cost (starting Python and its libraries). docs/SCALING.md rests
on these figures. Every stage is run as Airflow runs it; CPU seconds and memory are those of all its processes.

Beside the first night stands a plain Polars script, which reads the same files, hides visitors, joins photos, asks most
of the rules and writes good and bad rows, and does nothing else. A second night has one row in a hundred more.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.benchmarks.measuring import run_measured

SIZES = tuple(int(size) for size in os.environ.get("NIGHTLENS_LOG_CONVERSIONS", "1000000,5000000").split(","))
PHOTO_COUNT, QUERY_COUNT, LOG_DAYS = 25_000, 20_000, 120
STAGES = ("validate_logs", "split_temporal", "measure_impressions", "audit_leaks")
END = np.datetime64("2025-12-29T00:00:00", "us")
RUN_DATE, NEXT_DATE = "2025-12-28", "2025-12-29"


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
    return {stage: run_stage(stage, folder, state_dir) for stage in STAGES}


def run_stage(stage: str, folder: Path, state_dir: Path, run_date: str = RUN_DATE) -> Cost:
    own = ("-u", "NIGHTLENS_LOG_CONVERSIONS", "-u", "NIGHTLENS_LOG_NIGHTS")  # no settings of a stage
    environment = ["env", *own, f"NIGHTLENS_STATE_DIR={state_dir}"]
    command = [*environment, sys.executable, "-m", "jobs", stage]
    options = ["--dataset", str(folder), "--run-date", run_date, "--run-id", "benchmark", "--catalogue", "log"]
    return measure([*command, *options])


def measure(command: list[str]) -> Cost:
    begun = time.perf_counter()
    found = run_measured(command)
    return Cost(time.perf_counter() - begun, found.cpu_seconds, found.peak_bytes / 1e9)


def add_rows(folder: Path, count: int) -> None:
    """Let the log grow by rows of one more day."""
    rng = np.random.default_rng(11)
    rows = pl.read_csv(folder / "conversions.tsv000", separator="\t", infer_schema=False, n_rows=count)
    later = _times(rng, count, 1, END + np.timedelta64(1, "D"))
    with (folder / "conversions.tsv000").open("ab") as file:
        rows.with_columns(converted_at=later).write_csv(file, separator="\t", quote_style="never", include_header=False)


def judge_plainly(folder: Path) -> None:
    """Do by a script what validate_logs does to a log without a fault, but for all that makes it one to rely on."""
    photos = pl.read_csv(folder / "photos.tsv000", separator="\t", infer_schema=False)
    photos = photos.select("photo_id", submitted_at=pl.col("photo_submitted_at").str.to_datetime(time_unit="us"))
    rows = pl.read_csv(folder / "conversions.tsv000", separator="\t", infer_schema=False)
    rows = rows.with_columns(
        visitor_id=pl.col("anonymous_user_id").hash(7),
        converted_at=pl.col("converted_at").str.to_datetime(time_unit="us", strict=False),
        query=pl.col("keyword").str.normalize("NFKC").str.to_lowercase().str.strip_chars(),
    ).drop("anonymous_user_id")
    rows = rows.join(photos, on="photo_id", how="left").sort("visitor_id", "converted_at")
    same = pl.col("visitor_id") == pl.col("visitor_id").shift(-60)
    span = pl.when(same).then(pl.col("converted_at").shift(-60) - pl.col("converted_at"))
    country = pl.col("conversion_country")
    is_bad = pl.any_horizontal(
        pl.col("converted_at").is_null(),
        pl.col("converted_at") >= END,
        pl.col("converted_at") < pl.col("submitted_at"),
        pl.col("submitted_at").is_null(),
        pl.col("conversion_type").is_null(),
        pl.col("keyword").is_null(),
        pl.col("keyword").str.len_chars() > 256,
        pl.col("keyword").str.contains(r"[\x01-\x1F\x7F-\x9F\x{202A}-\x{202E}]"),
        ~pl.col("query").str.contains(r"\S"),
        pl.col("photo_id").is_null(),
        ~pl.col("photo_id").str.contains(r"^[!-~]{1,128}$"),
        pl.col("visitor_id").is_null(),
        country.is_null(),
        ~country.is_in(["US", "GB", "DE", "FR", "JP", "BR"]),
        (span < pl.duration(minutes=1)).fill_null(value=False),
        pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("visitor_id", "converted_at", "photo_id")),
    ).fill_null(value=False)
    judged = rows.with_columns(is_bad=is_bad)
    judged.filter(~pl.col("is_bad")).write_parquet(folder / "good.parquet", compression="zstd")
    judged.filter("is_bad").write_parquet(folder / "bad.parquet", compression="zstd")
    print(json.dumps({"rows": len(judged)}))


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
        is_of_conversions = stage != "measure_impressions"  # the audit needs it; there are no impressions
        assert cpu > 0 or not is_of_conversions, (
            f"{stage} cost no more for {large:,} rows than for {small:,}: nothing was measured"
        )
    plain = {size: measure([*PLAIN, str(tmp_path / f"catalogue-{size}")]).cpu_seconds for size in SIZES}
    ours = [costs[size]["validate_logs"].cpu_seconds for size in (large, small)]
    ratio = (ours[0] - ours[1]) / (plain[large] - plain[small])
    print(f"validate_logs takes {ratio:.1f} times the CPU of a plain Polars script, a further row")


@pytest.mark.benchmark
@pytest.mark.timeout(6 * 3600)
def test_what_a_second_night_costs(tmp_path: Path) -> None:
    """One row in a hundred is new: what the night costs of what the first one did, and in what memory."""
    size = int(os.environ.get("NIGHTLENS_LOG_NIGHTS", "10000000"))
    folder, state_dir = tmp_path / "catalogue", tmp_path / "state"
    write_catalogue(folder, size)
    first = run_stage("validate_logs", folder, state_dir)
    add_rows(folder, size // 100)
    second = run_stage("validate_logs", folder, state_dir, NEXT_DATE)
    print(f"\n{size:,} conversions, then {size // 100:,} more")
    for name, cost in (("first", first), ("second", second)):
        print(f"{name:8} {cost.seconds:8.1f} s {cost.cpu_seconds:8.1f} CPU s {cost.peak_gb:8.2f} GB at the peak")
    print(f"the second night costs {second.cpu_seconds / first.cpu_seconds:.1%} of the first")


PLAIN = [sys.executable, "-m", "tests.benchmarks.test_log_benchmark"]

if __name__ == "__main__":
    judge_plainly(Path(sys.argv[1]))
