"""A second night on pictures that did not change: by columns, by Spark, and photo by photo.

    pytest -n 0 -m benchmark tests/benchmarks/test_image_benchmark.py -s

The number of pictures comes from the environment: NIGHTLENS_PICTURES (200000). Every way runs in a process of its own
on the same folder and the same last night. CPU seconds are those of the listing and the stage with its tables, without
the start of Python; of Spark they are those of all its processes, start included. Memory is the peak of the resident
size above what was resident before.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from jobs.config.params.ingest import FetchImagesParams
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES, VALIDATED
from jobs.nights.stage_runner import run_stage
from tests.benchmarks.measuring import READS_PEAKS, context, forget_peak, memory_mib, run_measured
from tests.jobs.ingest.plain_images import find_plainly
from tests.validated_lake import commit_tables

PICTURES = int(os.environ.get("NIGHTLENS_PICTURES", "200000"))
PARAMS = FetchImagesParams(max_missing_share=1.0)
ALLOWED_SHARE = 0.5
"""Of the CPU seconds of looking at every photo."""


def night(folder: Path, day: int, **changes: Any) -> RunContext:
    """Return the context of a night whose settings differ in `changes`."""
    ctx = context(folder).model_copy(update={"run_date": date(2025, 12, day)})
    return ctx.model_copy(update={"settings": ctx.settings.model_copy(update=changes)})


def first_night(folder: Path) -> dict[str, float]:
    """Write the pictures and let a first night look at all of them."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(picture, "PNG")
    photos = folder / "dataset" / "photos"
    photos.mkdir(parents=True)
    for number in range(PICTURES):
        (photos / f"photo-{number:09d}.png").write_bytes(picture.getvalue())
    return by_columns(folder, day=27)


def by_columns(folder: Path, day: int = 28, **changes: Any) -> dict[str, float]:
    """Run the stage as it is."""
    ctx = night(folder, day, **changes)
    ids = [f"photo-{number:09d}" for number in range(PICTURES)]
    rows = pl.DataFrame({"photo_id": ids, "image_url": [f"https://images.invalid/{one}" for one in ids]})
    commit_tables(ctx, VALIDATED, {"photos": rows})
    before, begun, cpu = forget_peak(), time.perf_counter(), time.process_time()
    manifest = run_stage(ctx, "fetch_images", PARAMS)
    measured = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}
    assert manifest.facts["present_count"] == PICTURES
    return measured | {"peak_mib": memory_mib("VmHWM") - before, "hashed": manifest.facts["hashed_count"]}


def by_spark(folder: Path) -> dict[str, float]:
    """Run the stage as it is for a large table."""
    return by_columns(folder, day=30, spark_from_rows=1)


def by_photo(folder: Path) -> dict[str, float]:
    """Do the same with the plain version."""
    ctx = night(folder, 29)
    ids = [f"photo-{number:09d}" for number in range(PICTURES)]
    urls: dict[str, str | None] = {one: f"https://images.invalid/{one}" for one in ids}
    before, begun, cpu = forget_peak(), time.perf_counter(), time.process_time()
    last = ctx.lake.read_table(ctx.lake.history(IMAGES)[0], "files")
    known = {row[1:4]: row[4:] for row in last.iter_rows()}
    rows, plain = find_plainly(ctx, PARAMS, urls, known, {})
    images = pl.DataFrame(rows, ["photo_id", "status", "reason", "uri", "byte_count", "sha256"], orient="row")
    images.write_parquet(folder / "images.parquet")
    pl.DataFrame(sorted(plain.local), orient="row").write_parquet(folder / "files.parquet")
    measured = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}
    return measured | {"peak_mib": memory_mib("VmHWM") - before, "hashed": len(plain.hashed)}


WAYS = {"first night": first_night, "by columns": by_columns, "by photo": by_photo, "by Spark": by_spark}


@READS_PEAKS
@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_a_night_without_new_pictures_costs_little(tmp_path: Path) -> None:
    found = {}
    for way in WAYS:
        measured = run_measured([sys.executable, "-m", "tests.benchmarks.test_image_benchmark", way, str(tmp_path)])
        found[way] = measured.printed
        if way == "by Spark":
            found[way] |= {"cpu_seconds": measured.cpu_seconds, "peak_mib": measured.peak_bytes / 2**20}
    print(f"\n{PICTURES:,} pictures\n{'':12} {'s':>8} {'CPU s':>8} {'CPU s / million':>16} {'peak MiB':>9} {'read':>8}")
    for way, row in found.items():
        per_million = row["cpu_seconds"] / PICTURES * 1e6
        print(
            f"{way:12} {row['seconds']:8.1f} {row['cpu_seconds']:8.1f} {per_million:16.1f} {row['peak_mib']:9.0f} "
            f"{row['hashed']:8,}"
        )
    share = found["by columns"]["cpu_seconds"] / found["by photo"]["cpu_seconds"]
    print(f"by columns: {share:.2f} of the CPU seconds of photo by photo")
    assert found["by columns"]["hashed"] == found["by photo"]["hashed"] == found["by Spark"]["hashed"] == 0
    assert share < ALLOWED_SHARE
    shutil.rmtree(tmp_path / "dataset")


if __name__ == "__main__":
    print(json.dumps(WAYS[sys.argv[1]](Path(sys.argv[2]))))
