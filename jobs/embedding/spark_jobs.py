"""How embedding is spread over Spark's workers: what they are told, and how a driver has them run.

Nothing here loads a model: what runs in the workers is in `embedding_workers`, which their daemon loads for them.

A part of the store holds the same rows however often it was begun, its batches are cut at the same places, and a
row that cannot be read leaves its place in the batch empty: a run that was broken and resumed has, on the same
kind of device, the same bits as one that was not. Vectors of other parts (another night, another `part_size`, a
part cut anew because files of an earlier one could not be read) may differ in the last bits, as matrix products of
other shapes do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from jobs.config.params.arms import CHAMPION_ARM
from jobs.datasets.models import SearchModelsFacts
from jobs.embedding.encode_job import EncodeJob, ModelSource
from jobs.lake.manifest import Manifest
from jobs.lake.vector_store import FAILED_DDL
from jobs.runtime.progress import Progress, watch

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from jobs.context import RunContext

COMPOSED_DDL = "arm string, photo_id string, vector array<float>"
EXEMPLAR_DDL = "arm string, photo_id string, feature array<float>, keyword_vector array<float>"


# -- what workers are sent: names, by which they find the work in their own memory ---------------------------


def embed_photos(batches: Iterable[pa.RecordBatch], job: EncodeJob) -> Iterator[pa.RecordBatch]:
    """See `embedding_workers.embed_photos`."""
    from jobs.embedding import workers

    return workers.embed_photos(batches, job)


def embed_queries(batches: Iterable[pa.RecordBatch], job: EncodeJob) -> Iterator[pa.RecordBatch]:
    """See `embedding_workers.embed_queries`."""
    from jobs.embedding import workers

    return workers.embed_queries(batches, job)


def compose_photos(batches: Iterable[pa.RecordBatch], source: ModelSource, arm: str) -> Iterator[pa.RecordBatch]:
    """See `embedding_workers.compose_photos`."""
    from jobs.embedding import workers

    return workers.compose_photos(batches, source, arm)


def describe_exemplars(batches: Iterable[pa.RecordBatch], source: ModelSource, arm: str) -> Iterator[pa.RecordBatch]:
    """See `embedding_workers.describe_exemplars`."""
    from jobs.embedding import workers

    return workers.describe_exemplars(batches, source, arm)


# -- on the driver ---------------------------------------------------------------------------------------


def arm_sources(ctx: RunContext, search_models: Manifest, champion: Manifest) -> dict[str, ModelSource]:
    """Return the models to embed with, by arm in alphabetical order: tonight's, and the champion if there is one."""
    found = dict.fromkeys(SearchModelsFacts.of(search_models).arms, search_models)
    if any(name.startswith(f"{CHAMPION_ARM}/") for name in champion.files):
        found[CHAMPION_ARM] = champion
    place = ctx.settings.lake_uri, ctx.catalogue
    return {arm: ModelSource(*place, manifest.model_dump_json(), arm) for arm, manifest in sorted(found.items())}


def effective_precision(precision: str, spark_conf: Mapping[str, str]) -> str:
    """Return the precision that the workers will use: bfloat16 only if Spark hands out GPUs."""
    has_gpus = float(spark_conf.get("spark.task.resource.gpu.amount", "0")) > 0
    return precision if has_gpus else "float32"


def embed_missing(
    missing: DataFrame,
    worker: Callable[..., Iterator[pa.RecordBatch]],
    job: EncodeJob,
    counts: MissingCounts,
    progress: Progress,
) -> list[tuple[str, str]]:
    """Run a worker function over rows with a `part`, one task per part; return (key, reason) of what has no vector."""
    known = set(job.store.names(".parquet"))

    def embedded_count() -> int:
        return min(counts.rows, (len(job.store.names(".parquet")) - len(known)) * counts.part_size)

    with watch(progress, embedded_count):
        failed = (
            missing.repartitionById(counts.parts, missing["part"])
            .sortWithinPartitions("part", "key")
            .mapInArrow(partial(worker, job=job), FAILED_DDL)
            .collect()
        )
    return [(row["key"], row["reason"]) for row in failed]


class MissingCounts(NamedTuple):
    """How much there is to embed."""

    rows: int
    part_size: int

    @property
    def parts(self) -> int:
        """Number of parts, each full but the last."""
        return -(-self.rows // self.part_size)
