"""The photos of one arm as an index takes them: per day, in shards, as a sample, and filled into shards.

Two ways to the same files: `LocalCorpus` holds all vectors, for what fits into one shard; `SparkCorpus` holds none
and has Spark's workers read the parts of the embeddings, each filling the shards of its tasks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

import polars as pl
import pyarrow as pa

from jobs.adapters.spark_session import spark_session
from jobs.adapters.spark_tables import read_spark, write_spark
from jobs.adapters.sql_files import run_sql
from jobs.embedding.arm_vectors import batches_of_arm
from jobs.indexing.shard_workers import COLUMNS, FILLED_DDL, FOLDER, Filled, ShardJob, fill_shards, locate, matrix
from models.indexing.files import QUANTIZER_FILE
from models.indexing.filling import Floats, block_rows, content_digest
from models.indexing.shards import ShardKey

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.context import RunContext
    from jobs.lake.catalogue import Lake
    from jobs.lake.manifest import Manifest
    from jobs.lake.staged_run import StagedRun

QUANTIZER = f"{FOLDER}/{QUANTIZER_FILE}"
_FILL_COLUMNS = ("shard", "faiss_id", "photo_id", "vector")


class Corpus(Protocol):
    """The photos of one arm."""

    def photos_per_day(self) -> dict[int, int]:
        """Return how many photos were submitted on each day since 1970-01-01."""

    def contents(self, keys: tuple[ShardKey, ...]) -> dict[int, str]:
        """Return a digest of the photos and vectors of every shard, by its number among `keys`."""

    def sample(self, photo_count: int, size: int) -> Floats:
        """Return about `size` of the `photo_count` vectors, those of the lowest ids, in their order.

        Ids are hashes of names, so this is a sample at random, and the same however the photos lie.
        """

    def fill(self, numbers: Collection[int], job: ShardJob) -> list[Filled]:
        """Fill the shards of these numbers."""

    def write_ids(self, staged: StagedRun, keys: tuple[ShardKey, ...]) -> None:
        """Write the table `ids`."""


@contextmanager
def open_corpus(ctx: RunContext, inputs: dict[str, Manifest], arm: str, is_held: bool) -> Iterator[Corpus]:
    """Give the photos of an arm, held here if they are so few, otherwise read by Spark."""
    if is_held:
        yield LocalCorpus(ctx.lake, inputs["photo_embeddings"], inputs["splits"], arm)
        return
    with spark_session(ctx.settings, "build_index") as spark:
        views = {
            "embeddings": read_spark(spark, ctx.lake, inputs["photo_embeddings"], "embeddings"),
            "photos": read_spark(spark, ctx.lake, inputs["splits"], "photos"),
        }
        yield SparkCorpus(spark, views, arm)


class LocalCorpus:
    """All vectors in memory, in any order."""

    def __init__(self, lake: Lake, embeddings: Manifest, splits: Manifest, arm: str) -> None:
        rows = pa.Table.from_batches(batches_of_arm(lake, embeddings, arm, ["photo_id", "vector"]))
        day = pl.col("submitted_at").dt.epoch("d").cast(pl.Int64)
        days = lake.read_table(splits, "photos", ["photo_id", "submitted_at"]).select("photo_id", day=day)
        photos = pl.DataFrame(pl.from_arrow(rows)).join(days, on="photo_id", how="left")
        self._photos = photos.with_columns(pl.col("day").fill_null(0))

    def photos_per_day(self) -> dict[int, int]:
        """See `Corpus`."""
        return dict(self._photos.group_by("day").len().iter_rows())

    def contents(self, keys: tuple[ShardKey, ...]) -> dict[int, str]:
        """See `Corpus`."""
        located = self._located(keys, ("shard", "vector_digest"))
        digests = located.group_by("shard").agg(pl.len(), digest=pl.col("vector_digest").bitwise_xor())
        return {number: content_digest(count, digest) for number, count, digest in digests.iter_rows()}

    def sample(self, photo_count: int, size: int) -> Floats:
        """See `Corpus`."""
        rows = self._located((ShardKey(0, 2**16),), ("faiss_id", "vector")).sort("faiss_id").head(size)
        return matrix(pa.chunked_array(rows.to_arrow(compat_level=pl.CompatLevel.oldest())["vector"]).combine_chunks())

    def fill(self, numbers: Collection[int], job: ShardJob) -> list[Filled]:
        """See `Corpus`."""
        located = self._located(job.keys, _FILL_COLUMNS)
        rows = located.filter(pl.col("shard").is_in(list(numbers))).sort("shard", "faiss_id")
        filled = fill_shards(_blocks(rows, block_rows(job.recipe.dim)), job)
        return [Filled.from_row(**row) for batch in filled for row in batch.to_pylist()]

    def write_ids(self, staged: StagedRun, keys: tuple[ShardKey, ...]) -> None:
        """See `Corpus`."""
        staged.write_table("ids", self._located(keys, ("shard", "faiss_id", "photo_id")).sort("shard", "faiss_id"))

    def _located(self, keys: tuple[ShardKey, ...], columns: tuple[str, ...]) -> pl.DataFrame:
        parts = list(locate(_blocks(self._photos, len(self._photos)), keys, columns))
        return pl.DataFrame(pl.from_arrow(pa.Table.from_batches(parts)))


def _blocks(rows: pl.DataFrame, size: int) -> Iterator[pa.RecordBatch]:
    """Yield rows as batches whose lists have 32-bit offsets, as Spark's do."""
    for block in rows.iter_slices(size):
        columns = {
            name: series.to_arrow(compat_level=pl.CompatLevel.oldest()) for name, series in block.to_dict().items()
        }
        vector = columns.get("vector")
        if vector is not None:
            columns["vector"] = vector.cast(pa.list_(pa.float32()))
        yield pa.RecordBatch.from_pydict(columns)


class SparkCorpus:
    """Vectors are read by Spark's workers, as often as they are asked for; the driver holds a sample at most."""

    def __init__(self, spark: SparkSession, views: dict[str, DataFrame], arm: str) -> None:
        self._spark = spark
        self._views = views
        self._arm = arm

    def photos_per_day(self) -> dict[int, int]:
        """See `Corpus`."""
        rows = run_sql(self._spark, "photos_per_day", self._views, arm=self._arm).collect()
        return {row["day"]: row["photo_count"] for row in rows}

    def contents(self, keys: tuple[ShardKey, ...]) -> dict[int, str]:
        """See `Corpus`."""
        from pyspark.sql import functions

        digested = self._locate(self._rows("photo_id", "vector"), (), ("photo_id", "vector_digest"))
        located = self._locate(self._with_days(digested), keys, ("shard", "vector_digest"))
        digests = located.groupBy("shard").agg(
            functions.count("*").alias("count"), functions.bit_xor("vector_digest").alias("digest")
        )
        return {row["shard"]: content_digest(row["count"], row["digest"]) for row in digests.collect()}

    def sample(self, photo_count: int, size: int) -> Floats:
        """See `Corpus`."""
        # a little more than what is asked for, since of how many ids lie below a bound chance decides
        bound = min(2**63 - 1, int((size + 4 * size**0.5 + 10) / photo_count * 2**63))
        located = self._locate(self._rows("photo_id", "vector"), (), ("faiss_id", "vector"))
        rows = located.where(f"faiss_id <= {bound}").sort("faiss_id").limit(size).toArrow()
        return matrix(rows["vector"].combine_chunks())

    def fill(self, numbers: Collection[int], job: ShardJob) -> list[Filled]:
        """See `Corpus`."""
        if not numbers:
            return []
        place = ", ".join(f"{number}, {task}" for task, number in enumerate(numbers))
        photos = self._with_days(self._rows("photo_id", "vector"))
        located = self._locate(photos, job.keys, _FILL_COLUMNS).selectExpr("*", f"map({place})[shard] AS task")
        rows = located.where("task IS NOT NULL").repartitionById(len(numbers), "task").sortWithinPartitions("faiss_id")
        filled = rows.select(*_FILL_COLUMNS).mapInArrow(partial(fill_shards, job=job), FILLED_DDL).collect()
        return [Filled.from_row(**row.asDict()) for row in filled]

    def write_ids(self, staged: StagedRun, keys: tuple[ShardKey, ...]) -> None:
        """See `Corpus`."""
        located = self._locate(self._with_days(self._rows("photo_id")), keys, ("shard", "faiss_id", "photo_id"))
        rows = located.selectExpr("*", "CAST(shard AS INT) AS task").repartitionById(len(keys), "task")
        sorted_rows = rows.sortWithinPartitions("faiss_id").select("faiss_id", "photo_id", "shard")
        write_spark(sorted_rows, staged, "ids")

    def _rows(self, *columns: str) -> DataFrame:
        embeddings = self._views["embeddings"]
        return embeddings.where(embeddings["arm"] == self._arm).select(*columns)

    def _with_days(self, rows: DataFrame) -> DataFrame:
        return run_sql(self._spark, "photos_with_days", {"rows": rows, "photos": self._views["photos"]})

    def _locate(self, photos: DataFrame, keys: tuple[ShardKey, ...], columns: tuple[str, ...]) -> DataFrame:
        ddl = ", ".join(f"{name} {COLUMNS[name]}" for name in columns)
        return photos.mapInArrow(partial(locate, keys=keys, columns=columns), ddl)
