"""The id of a photo in an index: of its name alone, the same on every night."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def hashed_ids(photo_ids: Iterable[str]) -> Ints:
    """Return an id for every photo, N: the first 63 bits of the SHA-256 of its name.

    >>> hashed_ids(["cat", "dog"]).tolist()
    [4312121625846082129, 7399884744098002676]
    """
    digests = b"".join(hashlib.sha256(photo_id.encode()).digest()[:8] for photo_id in photo_ids)
    return (np.frombuffer(digests, dtype=">u8") >> np.uint64(1)).astype(np.int64)


def stable_ids(photo_ids: Sequence[str]) -> Ints:
    """Return an id for every photo, N, as `hashed_ids`, and see to it that no two are equal.

    Raises `ValueError` if two photos get the same id: one was given twice, or their names collide (at four
    million photos the chance of that is one in a million).
    """
    ids = hashed_ids(photo_ids)
    distinct, counts = np.unique(ids, return_counts=True)
    if len(distinct) < len(ids):
        shared = distinct[counts.argmax()]
        names = [photo_ids[int(row)] for row in np.flatnonzero(ids == shared)]
        raise ValueError(f"photos {names[0]!r} and {names[1]!r} have the same index id {shared}")
    return ids
