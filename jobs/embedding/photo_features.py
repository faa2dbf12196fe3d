"""The image features of a catalogue's corpus: which are missing, embedding them, and reading what there is."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from jobs.adapters.spark_tables import read_parts
from jobs.adapters.sql_files import run_sql
from jobs.embedding.encode_job import EncodeJob, ModelSource
from jobs.embedding.spark_jobs import MissingCounts, embed_missing, embed_photos
from jobs.lake.vector_store import FAILED_SCHEMA, MAY_PASS, PART_SCHEMA
from jobs.runtime.progress import Progress
from models.images import DECODER_VERSION

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.config.params.embedding import EmbedPhotosParams
    from jobs.context import RunContext

log = logging.getLogger("nightlens.embed_photos")


@dataclass(frozen=True)
class Encoder:
    """An image tower with the precision it runs in: what the store's features depend on beside the images."""

    source: ModelSource
    image_digest: str
    precision: str

    @property
    def name(self) -> str:
        """Its part of every key."""
        return f"{self.image_digest}:{self.precision}:{DECODER_VERSION}"

    @property
    def store_names(self) -> tuple[str, ...]:
        """Its store in the lake."""
        return "photo_vectors", self.name.replace(":", "-")


@dataclass(frozen=True)
class Pass:
    """What one encoder's pass over the corpus did. `without_vector` has photo_id, has_image and reason."""

    embedded_count: int
    seconds: float
    without_vector: pl.DataFrame


def embed_corpus(
    spark: SparkSession,
    ctx: RunContext,
    params: EmbedPhotosParams,
    encoder: Encoder,
    views: dict[str, DataFrame],
) -> Pass:
    """Bring the store of one encoder up to date with the corpus."""
    begun = time.perf_counter()
    missing = with_stored(spark, ctx, encoder, "images_to_embed", views, part_size=params.part_size).persist()
    counts = MissingCounts(missing.count(), params.part_size)
    failed: list[tuple[str, str]] = []
    if counts.rows:
        log.info("%s: %d images to embed in %d parts", encoder.name, counts.rows, counts.parts)
        job = EncodeJob(encoder.source, encoder.store_names, encoder.precision, params.batch_size)
        progress = Progress(log, f"{encoder.name}: images embedded", counts.rows)
        failed = embed_missing(missing, embed_photos, job, counts, progress)
    missing.unpersist()
    seconds = time.perf_counter() - begun
    unread_rows = [{"key": key, "reason": reason} for key, reason in failed if reason in MAY_PASS]
    unread = spark.createDataFrame(pa.Table.from_pylist(unread_rows, FAILED_SCHEMA))
    without = with_stored(spark, ctx, encoder, "photos_without_vector", views | {"unread": unread})
    return Pass(counts.rows - len(failed), seconds, pl.DataFrame(pl.from_arrow(without.toArrow())))


def with_stored(
    spark: SparkSession, ctx: RunContext, encoder: Encoder, query: str, views: dict[str, DataFrame], **markers: Any
) -> DataFrame:
    """Run a query over `views` and what the encoder's store holds now."""
    stored = read_parts(spark, ctx.lake.store(*encoder.store_names), PART_SCHEMA)
    return run_sql(spark, query, views | {"stored": stored}, encoder=encoder.name, **markers)
