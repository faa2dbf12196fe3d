"""The store of vectors that outlives a night: keys, parts, and what a part looks like.

It is content-addressed: a key digests what goes in (bytes of an image, text of a query), the tower that reads it
and the precision. Vectors are committed in parts, each whole or not at all and named by its keys, so a killed run
goes on where it was. Its pages have checksums, which readers compare. Shapes: B rows, D embedding dimension.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import BadInput, LostWork
from jobs.lake.files import Store

PART_SCHEMA = pa.schema([("key", pa.string()), ("vector", pa.list_(pa.float32())), ("reason", pa.string())])
FAILED_SCHEMA = pa.schema([("key", pa.string()), ("reason", pa.string())])
FAILED_DDL = "key string, reason string"
UNREADABLE, CHANGED = "unreadable", "changed_since_listed"
MAY_PASS = (UNREADABLE, CHANGED)


class Row(NamedTuple):
    """One thing to embed. `content` is the URI of an image or the text of a query."""

    part: int
    key: str
    content: str
    sha256: str | None = None


class Encoded(NamedTuple):
    """A batch after the model: row i has `features[i]` of the array [B, D] unless `reasons[i]` says why not."""

    rows: list[Row]
    features: npt.NDArray[np.float32]
    reasons: list[str | None]


def text_key(text: str, encoder: str) -> str:
    """Return the key of a text for one encoder; sql/images_to_embed.sql makes those of images the same way."""
    return hashlib.sha256(f"{text}:{encoder}".encode()).hexdigest()


def commit_parts(batches: Iterable[Encoded], store: Store) -> Iterator[pa.RecordBatch]:
    """Commit each part as soon as its last batch is there; give back (key, reason) of what has no vector.

    Reasons that lie in the content are stored, so that nobody tries again; those in `MAY_PASS` are not.
    """
    for _, of_part in itertools.groupby(batches, key=lambda batch: batch.rows[0].part):
        rows = [
            (row.key, feature_D, _reason(reason, feature_D))
            for batch in of_part
            for row, reason, feature_D in zip(batch.rows, batch.reasons, batch.features, strict=True)
        ]
        stored = [row for row in rows if row[2] not in MAY_PASS]
        if stored:
            keys, features, reasons = zip(*stored, strict=True)
            store.put(part_name(keys), part_bytes(keys, np.stack(features), reasons))
        failed = [(key, reason) for key, _, reason in rows if reason is not None]
        yield pa.RecordBatch.from_pylist([{"key": key, "reason": reason} for key, reason in failed], FAILED_SCHEMA)


def _reason(reason: str | None, feature_D: npt.NDArray[np.float32]) -> str | None:
    return "not_finite" if reason is None and not np.isfinite(feature_D).all() else reason


def part_name(keys: Sequence[str]) -> str:
    """Return the file name of the part that holds these keys."""
    return hashlib.sha256("".join(keys).encode()).hexdigest()[:32] + ".parquet"


def part_bytes(keys: Sequence[str], features_BD: npt.NDArray[np.float32], reasons: Sequence[str | None]) -> bytes:
    """Return a part as Parquet; rows with a reason have no vector."""
    has_none = np.array([reason is not None for reason in reasons])
    table = pa.table([pa.array(keys), vector_array(features_BD, has_none), pa.array(reasons, pa.string())], PART_SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def read_part(store: Store, name: str, columns: list[str]) -> pa.Table:
    """Return a part's rows; `BadInput` if it is damaged, `LostWork` if it was removed since it was listed."""
    data = store.get(name)
    if data is None:
        raise LostWork(
            "stored_part_removed",
            f"{store.folder}/{name} was removed while it was to be read, as by nightlens clean_up. Run the same "
            f"command again, which computes its rows anew.",
            path=f"{store.folder}/{name}",
        )
    try:
        return pq.read_table(io.BytesIO(data), columns=columns, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(
            "stored_part_damaged",
            f"{store.folder}/{name} is damaged ({error}). Delete that file and run the same command again, which "
            f"computes its rows anew.",
            path=f"{store.folder}/{name}",
        ) from error


def vector_array(vectors_BD: npt.NDArray[np.float32], is_null_B: npt.NDArray[np.bool_] | None = None) -> pa.ListArray:
    """Return vectors as an Arrow list<float>, without a Python object per number."""
    count, dim = vectors_BD.shape
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * dim)
    mask = None if is_null_B is None else pa.array(is_null_B)
    return pa.ListArray.from_arrays(offsets, pa.array(vectors_BD.reshape(-1)), mask=mask)
