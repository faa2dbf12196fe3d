"""The temporal split against the same split in pandas: rows per second and peak memory, each in a process of its own.

    pytest -n 0 -m benchmark tests/benchmarks/test_split_benchmark.py -s [-k 200000]

Both read the same Parquet files and write all five tables; every row written is compared. Seconds leave out the start
of Python and its imports. CPU seconds are those of the whole process tree, start included; memory is the peak of its
resident sizes. Both are sampled every 50 ms. Sizes come from the environment: NIGHTLENS_SPLIT_ROWS (200000,5000000).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from jobs.config.params.ingest import SplitTemporalParams
from jobs.datasets.clean import VALIDATED
from jobs.datasets.features import SPLITS
from jobs.nights.stage_runner import run_stage
from models.windows import Windows
from tests.benchmarks.measuring import context, run_measured
from tests.validated_lake import commit_validated

SIZES = [int(size) for size in os.environ.get("NIGHTLENS_SPLIT_ROWS", "200000,5000000").split(",")]
PHOTO_COUNT, QUERY_COUNT, LOG_DAYS = 25_000, 20_000, 120
PARAMS = SplitTemporalParams(test_days=7, validation_days=3, train_days=90)
KEY = ["visitor_id", "query", "country", "photo_id"]
SEARCH = ["device_type", "orientation_filter", "position"]


def generate(state_dir: Path, row_count: int) -> None:
    """Commit validated tables: Zipf-like queries and photos, visitors of two conversions each, repeats included."""
    ctx = context(state_dir)
    rng = np.random.default_rng(7)
    end = np.datetime64(ctx.as_of.replace(tzinfo=None), "us")
    day = np.timedelta64(86_400_000_000, "us")
    photo_ids = np.array([f"photo{number:06d}" for number in range(PHOTO_COUNT)])
    photos = pl.DataFrame(
        {
            "photo_id": photo_ids,
            "submitted_at": end - day * 365 + (rng.random(PHOTO_COUNT) * 366 * 86_400e6).astype("timedelta64[us]"),
            "ai_description": [f"description of photo {number}" for number in range(PHOTO_COUNT)],
        }
    ).with_columns(pl.col("submitted_at").dt.replace_time_zone("UTC"))
    keywords = pl.DataFrame(
        {
            "photo_id": np.repeat(photo_ids, 8),
            "keyword": [f"keyword{number % 5000}" for number in range(8 * PHOTO_COUNT)],
            "confidence": rng.random(8 * PHOTO_COUNT),
        }
    )

    def skewed(count: int) -> np.ndarray:
        return (count * rng.random(row_count) ** 3).astype(np.int64)

    visitors = rng.integers(0, row_count // 2, row_count)
    conversions = pl.DataFrame(
        {
            "converted_at": end + day - (rng.random(row_count) * LOG_DAYS * 86_400e6).astype("timedelta64[us]"),
            "visitor": visitors,
            "query": skewed(QUERY_COUNT),
            "photo_id": photo_ids[skewed(PHOTO_COUNT)],
            "country": np.array(["US", "GB", "DE", "FR", "JP", "BR"])[visitors % 6],
            "weight": 1.0 + rng.integers(0, 3, row_count),
        }
    ).with_columns(
        pl.col("converted_at").dt.replace_time_zone("UTC"),
        pl.format("query {}", "query").alias("query"),
        pl.format("visitor-{}", pl.col("visitor").cast(pl.String).str.zfill(12)).alias("visitor_id"),
    )
    repeats = conversions.head(row_count // 20)  # at the same instant: the least work to repeat, the same to find
    conversions = pl.concat([conversions.head(row_count - repeats.height), repeats]).drop("visitor")
    conversions = conversions.with_columns(source_file=pl.lit("conversions.tsv000")).with_row_index("source_line")
    commit_validated(ctx, photos, conversions, keywords)


def split_with_stage(state_dir: Path) -> dict[str, float]:
    begun = time.perf_counter()
    run_stage(context(state_dir), "split_temporal", PARAMS)
    return {"seconds": time.perf_counter() - begun}


def split_with_pandas(state_dir: Path) -> dict[str, float]:
    begun = time.perf_counter()
    ctx = context(state_dir)
    validated = ctx.read(VALIDATED)

    def read(table: str, columns: list[str]) -> pd.DataFrame:
        return pd.concat(
            [pd.read_parquet(uri, columns=columns) for uri in ctx.lake.table_uris(validated, table)], ignore_index=True
        )

    windows = Windows.before(ctx.as_of, **PARAMS.model_dump(include={"test_days", "validation_days", "train_days"}))
    log = read("conversions", [*KEY, "converted_at", "weight"])  # its rows lie as they were written
    in_order = log["visitor_id"].iloc[log["converted_at"].argsort(kind="stable")].drop_duplicates()
    visitors = pd.Series(range(len(in_order)), index=in_order)
    photos = read("photos", ["photo_id", "submitted_at", "description", "ai_description", "photographer"])
    keywords = read("keywords", ["photo_id", "keyword", "confidence"])
    log = log[log["photo_id"].map(photos.set_index("photo_id")["submitted_at"]) <= log["converted_at"]]
    tables = {}
    for name, (start, end) in windows.spans.items():
        rows = log[(log["converted_at"] >= start) & (log["converted_at"] < end)]
        merged = rows.groupby(KEY, sort=False).agg(
            converted_at=("converted_at", "min"),
            conversion_count=("converted_at", "size"),
            weight=("weight", "max"),
        )
        merged[SEARCH] = None  # the generated log does not have it
        merged = merged.reset_index()
        merged["visitor"] = merged["visitor_id"].map(visitors)
        tables[name] = merged.sort_values(["visitor", "converted_at", *KEY[1:]])
    corpus = photos[photos["submitted_at"] < windows.test_end].sort_values("photo_id")
    corpus["description"] = corpus["description"].fillna(corpus["ai_description"])
    corpus["is_in_train"] = corpus["submitted_at"] < windows.train_end
    tables["photos"] = corpus.drop(columns="ai_description")
    known = keywords[keywords["photo_id"].isin(corpus["photo_id"])]
    tables["photo_keywords"] = known.groupby(["photo_id", "keyword"], as_index=False)["confidence"].max()
    for name, frame in tables.items():
        frame.to_parquet(pandas_path(state_dir, name), index=False, compression="zstd")
    return {"seconds": time.perf_counter() - begun}


def pandas_path(state_dir: Path, table: str) -> Path:
    return state_dir / f"pandas-{table}.parquet"


def measure(name: str, state_dir: Path) -> dict[str, float]:
    """Split one way in a process of its own; return its seconds, CPU seconds and peak memory (GB)."""
    command = [sys.executable, "-m", "tests.benchmarks.test_split_benchmark", name, str(state_dir)]
    found = run_measured(command)
    return found.printed | {"cpu_seconds": found.cpu_seconds, "peak_gb": found.peak_bytes / 1e9}


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("row_count", SIZES)
def test_split_against_pandas(row_count: int, tmp_path: Path) -> None:
    generate(tmp_path, row_count)
    found = {name: measure(name, tmp_path) for name in WAYS}
    ctx = context(tmp_path)
    splits = ctx.read(SPLITS)
    for table in SPLITS.tables:
        ours = ctx.lake.read_table(splits, table.name)
        theirs = pl.read_parquet(pandas_path(tmp_path, table.name)).select(ours.columns).cast(dict(ours.schema))
        assert ours.sort(ours.columns).equals(theirs.sort(ours.columns)), table.name
    print(f"\n{row_count:,} conversions -> {splits.row_counts}")
    print(f"{'by':8} {'split s':>8} {'CPU s':>8} {'rows/s':>12} {'peak GB':>8}")
    for name, row in found.items():
        seconds = f"{row['seconds']:8.1f} {row['cpu_seconds']:8.1f}"
        print(f"{name:8} {seconds} {row_count / row['seconds']:12,.0f} {row['peak_gb']:8.2f}")
    speed = found["pandas"]["seconds"] / found["stage"]["seconds"]
    memory = found["stage"]["peak_gb"] / found["pandas"]["peak_gb"]
    print(f"The stage does {speed:.2f} times the rows/s of pandas, with {memory:.2f} times its memory")
    # what else runs decides about seconds; few rows take less than to begin
    assert found["stage"]["cpu_seconds"] < found["pandas"]["cpu_seconds"] or row_count < 1_000_000


WAYS = {"stage": split_with_stage, "pandas": split_with_pandas}

if __name__ == "__main__":
    print(json.dumps(WAYS[sys.argv[1]](Path(sys.argv[2]))))
