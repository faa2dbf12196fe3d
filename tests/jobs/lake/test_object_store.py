"""Spark and the lake on an S3 server: the same rows as on a file system, whole objects, no connector of Spark's own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image
from pyspark.sql import SparkSession

from jobs.adapters.spark_tables import read_parts, read_spark, write_spark
from jobs.config.params.base import Params
from jobs.config.params.ingest import (
    AuditLeaksParams,
    FetchImagesParams,
    MeasureImpressionsParams,
    SplitTemporalParams,
)
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.features import SPLITS
from jobs.datasets.schema import Dataset, Table
from jobs.nights.stage_runner import run_stage
from tests.conftest import Contexts
from tests.validated_lake import commit_tables, commit_validated

pytestmark = [pytest.mark.spark, pytest.mark.service]

ROWS = pa.schema(
    [
        ("photo_id", pa.string()),
        ("taken_at", pa.timestamp("us", tz="UTC")),
        ("vector", pa.list_(pa.float32())),
        ("count", pa.int64()),
    ]
)

NUMBERS = Dataset("numbers", "clean", (Table("rows", ROWS, may_be_empty=True),))
MOMENT = datetime(2025, 6, 1, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket; what is to be known of its server travels with the file system into Spark's workers."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_url": f"http://{host}:{port}", "key": "key", "secret": "secret"}
    before = fsspec.config.conf.get("s3")
    fsspec.config.conf["s3"] = options
    elsewhere = {"ENDPOINT_URL": options["endpoint_url"], "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret"}
    try:
        fsspec.filesystem("s3").mkdir("nightlens")
        with pytest.MonkeyPatch.context() as environment:  # Polars asks there
            for name, value in (elsewhere | {"REGION": "us-east-1", "ALLOW_HTTP": "true"}).items():
                environment.setenv(f"AWS_{name}", value)
            yield "s3://nightlens/lake"
    finally:
        if before is None:
            del fsspec.config.conf["s3"]
        else:
            fsspec.config.conf["s3"] = before
        server.stop()


@pytest.fixture
def remote(bucket: str, make_context: Contexts) -> RunContext:
    ctx = make_context()
    return ctx.model_copy(update={"settings": ctx.settings.model_copy(update={"lake_uri": bucket})})


def rows(count: int) -> pa.Table:
    """Rows with what may be lost on the way: empty and missing values, microseconds, letters."""
    numbers = range(count)
    columns = [
        [f"фото {number}" for number in numbers],
        [MOMENT if number % 3 else None for number in numbers],
        [None if number % 5 == 0 else [number * 0.5] * (number % 2) for number in numbers],
        list(numbers),
    ]
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, ROWS, strict=True)], schema=ROWS)


@pytest.mark.parametrize(("count", "files"), [(20, 4), (0, 1)])
def test_a_frame_is_written_and_read_again_as_it_was(
    spark: SparkSession, remote: RunContext, count: int, files: int
) -> None:
    staged = remote.begin(NUMBERS, Params(), {}, {"count": str(count)})
    frame = spark.createDataFrame(rows(count)).repartition(files, "count").sortWithinPartitions("count")
    write_spark(frame, staged, "rows")
    manifest = staged.commit()
    assert manifest.row_counts == {"rows": count}
    found = remote.lake.read_table(manifest, "rows").sort("count")
    assert found.equals(pl.DataFrame(pl.from_arrow(rows(count))))
    again = read_spark(spark, remote.lake, manifest, "rows").toArrow().cast(ROWS)
    assert pl.DataFrame(pl.from_arrow(again)).sort("count").equals(found)
    for info in manifest.tables["rows"].files:
        with remote.lake.fs.open(f"{remote.lake.root}/{info.path}", "rb") as file:
            numbers = pl.read_parquet(file)["count"].to_list()
        assert numbers == sorted(numbers)


def test_parts_of_a_store_are_read_together_and_none_is_empty(spark: SparkSession, remote: RunContext) -> None:
    store = remote.lake.store("vectors", "a model")
    assert read_parts(spark, store, ROWS).count() == 0
    for number in range(3):
        sink = pa.BufferOutputStream()
        pq.write_table(rows(20).slice(number * 5, 5), sink)
        store.put(f"part-{number}.parquet", sink.getvalue().to_pybytes())
    found = read_parts(spark, store, ROWS).orderBy("count").toArrow()
    assert found["count"].to_pylist() == list(range(15))


def test_a_task_that_fails_leaves_no_object(spark: SparkSession, remote: RunContext) -> None:
    staged = remote.begin(NUMBERS, Params(), {}, {"count": "failing"})
    broken = spark.createDataFrame(rows(5)).coalesce(1).where("assert_true(count < 3) IS NULL")
    with pytest.raises(Exception, match="USER_RAISED_EXCEPTION"):
        write_spark(broken, staged, "rows")
    assert remote.lake.fs.glob(f"{staged.table_folder('rows')}/*") == []


@pytest.mark.parametrize("spark_from_rows", [1_000_000, 1], ids=["one process", "Spark"])
def test_images_of_a_bucket_are_found_and_not_read_again(
    spark: SparkSession, remote: RunContext, make_context: Contexts, spark_from_rows: int
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    for name, body in {"a": buffer.getvalue(), "b": b"<html>", "c": buffer.getvalue()}.items():
        remote.lake.fs.pipe_file(f"nightlens/set-{spark_from_rows}/photos/{name}.png", body)
    settings = remote.settings.model_copy(update={"spark_from_rows": spark_from_rows})
    hashed = []
    for day in (27, 28):
        ctx = make_context(
            settings=settings,
            dataset_uri=f"s3://nightlens/set-{spark_from_rows}",
            catalogue=f"images-{spark_from_rows}",
            run_date=date(2025, 12, day),
        )
        commit_tables(ctx, VALIDATED, {"photos": pl.DataFrame({"photo_id": ["a", "b", "c", "d"]})})
        manifest = run_stage(ctx, "fetch_images", FetchImagesParams(max_missing_share=1.0))
        hashed.append(manifest.facts["hashed_count"])
        images = ctx.lake.read_table(manifest, "images")
        assert images["status"].to_list() == ["present", "refused", "present", "missing"]
        assert images["uri"][0] == f"s3://nightlens/set-{spark_from_rows}/photos/a.png"
    assert hashed == [3, 0]


def test_the_splits_of_a_night_are_those_of_a_local_lake(remote: RunContext, make_context: Contexts) -> None:
    found: dict[str, dict[str, pl.DataFrame]] = {}
    for name, ctx in (("local", make_context()), ("remote", remote)):
        commit_validated(ctx, *log_of_a_week(ctx))
        manifest = run_stage(
            ctx, "split_temporal", SplitTemporalParams(test_days=2, validation_days=1, train_days=5, shards=2)
        )
        found[name] = {table.name: ctx.lake.read_table(manifest, table.name) for table in SPLITS.tables}
        run_stage(ctx, "measure_impressions", MeasureImpressionsParams())
        assert run_stage(ctx, "audit_leaks", AuditLeaksParams()).row_counts["findings"] > 0
    assert [len(found["local"][name]) for name in ("train", "validation", "test")] == [10, 2, 4]
    for name, frame in found["local"].items():
        key = "photo_id" if name.startswith("photo") else "converted_at"
        assert found["remote"][name].sort(key).equals(frame.sort(key)), name


def log_of_a_week(ctx: RunContext) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Photos, a conversion every twelve hours, and a keyword for each photo."""
    times = [ctx.as_of - timedelta(hours=12 * number + 1) for number in range(16)]
    photo_ids = [f"photo {number % 4}" for number in range(16)]
    photos = pl.DataFrame({"photo_id": photo_ids[:4], "submitted_at": [ctx.as_of - timedelta(days=30)] * 4})
    conversions = pl.DataFrame(
        {
            "photo_id": photo_ids,
            "converted_at": times,
            "query": ["кот", "cat"] * 8,
            "country": "GB",
            "visitor_id": [f"v{number}" for number in range(16)],
        }
    )
    keywords = pl.DataFrame({"photo_id": photo_ids[:4], "keyword": "animal", "confidence": 0.5})
    return photos, conversions, keywords
