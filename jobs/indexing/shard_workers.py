"""What is done to blocks of vectors, in Spark's workers or here: locating photos in shards, and filling shards.

Blocks are Arrow record batches, so no more than one is in memory beside the shard that is filled.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from jobs.errors import BadInput
from jobs.lake.staged_run import WorkerOutput
from jobs.runtime.peak_memory import PeakMemory
from models.indexing.files import FileEntry, Shard
from models.indexing.filling import Floats, ShardFiller
from models.indexing.ids import Ints, hashed_ids
from models.indexing.kinds import Recipe
from models.indexing.shards import ShardKey, assign

FOLDER = "index"
COLUMNS = {"shard": "long", "faiss_id": "long", "photo_id": "string", "vector_digest": "long", "vector": "array<float>"}
"""What `locate` can say of a photo, with Spark's types."""
FILLED_DDL = "shard string, peak_memory_mb double, seconds double"
_FILLED_SCHEMA = pa.schema([("shard", pa.string()), ("peak_memory_mb", pa.float64()), ("seconds", pa.float64())])


@dataclass(frozen=True)
class ShardJob:
    """What filling the shards of one index takes. `contents` are their digests by number.

    `quantizer` is where in the lake the trained quantizer is; None if the kind has none.
    """

    output: WorkerOutput
    recipe: Recipe
    keys: tuple[ShardKey, ...]
    contents: dict[int, str]
    quantizer: str | None


@dataclass(frozen=True)
class Filled:
    """A shard that was filled, and what that took of the process."""

    shard: Shard
    peak_memory_mb: float
    seconds: float

    @classmethod
    def from_row(cls, shard: str, peak_memory_mb: float, seconds: float) -> Filled:
        """Return it from a row of `fill_shards`."""
        return cls(Shard.from_dict(json.loads(shard)), peak_memory_mb, seconds)


def matrix(vectors: pa.ListArray) -> Floats:
    """Return vectors as a matrix [rows, D]; `BadInput` if they are of different lengths."""
    lengths = np.unique(np.diff(vectors.offsets.to_numpy()))
    if len(lengths) != 1:
        raise BadInput(
            "vectors_differ_in_length",
            f"vectors of one arm have different lengths: {lengths.tolist()}. Rerun the embedding stages.",
            lengths=lengths.tolist(),
        )
    found: Floats = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), int(lengths[0]))
    return found


def vector_digests(ids_N: Ints, photo_ND: Floats) -> Ints:
    """Return a digest of the id and the vector of every photo, N; of equal photos equal."""
    digests = (
        hashlib.sha256(photo.tobytes() + id_.tobytes()).digest()[:8] for id_, photo in zip(ids_N, photo_ND, strict=True)
    )
    return np.frombuffer(b"".join(digests), dtype=np.int64)


def locate(
    batches: Iterable[pa.RecordBatch], keys: tuple[ShardKey, ...], columns: tuple[str, ...]
) -> Iterator[pa.RecordBatch]:
    """Say of photos what `columns` asks for, see `COLUMNS`; what is there is passed on, shards need the `day`."""
    for batch in batches:
        ids_N = hashed_ids(batch["photo_id"].to_pylist())
        yield pa.RecordBatch.from_arrays([_column(name, batch, ids_N, keys) for name in columns], names=list(columns))


def _column(name: str, batch: pa.RecordBatch, ids_N: Ints, keys: tuple[ShardKey, ...]) -> pa.Array:
    if name == "shard":
        return pa.array(assign(keys, batch["day"].to_numpy(), ids_N))
    if name == "faiss_id":
        return pa.array(ids_N)
    if name == "vector_digest" and name not in batch.schema.names:
        return pa.array(vector_digests(ids_N, matrix(batch["vector"])))
    return batch[name]


def fill_shards(batches: Iterable[pa.RecordBatch], job: ShardJob) -> Iterator[pa.RecordBatch]:
    """Fill shards from photos (shard, faiss_id, photo_id, vector) in the order of shards and ids."""
    import faiss

    faiss.omp_set_num_threads(1)  # equal input then gives equal bytes; side by side run the tasks
    trained = None if job.quantizer is None else job.output.read(job.quantizer)
    for number, runs in itertools.groupby(_runs(batches), key=lambda run: run[0]):
        yield _fill(number, (block for _, block in runs), job, trained)


def _runs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Cut batches where another shard begins."""
    for batch in batches:
        if not len(batch):
            continue
        shard_N = batch["shard"].to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(shard_N)) + 1).tolist(), len(batch)]
        for start, end in itertools.pairwise(starts):
            yield int(shard_N[start]), batch.slice(start, end - start)


def _fill(number: int, blocks: Iterable[pa.RecordBatch], job: ShardJob, trained: bytes | None) -> pa.RecordBatch:
    """Fill one shard and say what came of it."""
    begun = time.perf_counter()
    with PeakMemory() as memory:
        filler = ShardFiller(job.recipe, trained)
        for block in blocks:
            filler.add(matrix(block["vector"]), block["faiss_id"].to_numpy(), block["photo_id"].to_pylist())
        with job.output.folder(FOLDER) as folder:
            shard = filler.write(folder, job.keys[number].name, job.contents[number])
    row = {
        "shard": json.dumps(asdict(shard)),
        "peak_memory_mb": memory.peak_mb,
        "seconds": round(time.perf_counter() - begun, 3),
    }
    return pa.RecordBatch.from_pylist([row], _FILLED_SCHEMA)


def write_quantizer(output: WorkerOutput, trained: bytes) -> FileEntry:
    """Put the trained quantizer where the workers find it."""
    from models.indexing import filling

    with output.folder(FOLDER) as folder:
        return filling.write_quantizer(folder, trained)
