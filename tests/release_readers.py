"""A reader in a process of its own; it loads nothing but what reads releases."""

from __future__ import annotations

from typing import Any

import numpy as np

from jobs.lake.catalogue import Lake
from jobs.releasing.reader import ReleaseReader
from models.rerank.live import Asked

DIM = 24


def read_and_check(reader: ReleaseReader) -> None:
    """Search and recommend once; photos found, id map, description and counts must be of one whole release."""
    opened = reader.current
    expected = f"{opened.name.run_date}-{opened.name.version}-"
    query = np.full((1, DIM), DIM**-0.5, dtype=np.float32)
    (found,) = opened.similar(query, 100)
    assert len(found) == opened.description["index"]["photo_count"], "part of a release"
    assert all(photo.startswith(expected) for photo, _ in found), "a mixture of releases"
    (shown,) = opened.recommend([[]], 100)
    assert [photo for photo, _ in shown] == [f"{expected}{place}" for place in range(len(found))], "a mixture"
    assert opened.description["run_date"] == opened.name.run_date.isoformat()
    counted = opened.live.catalogue.tables.history.photo_sums[:, 0].sum()  # the releases themselves count nothing
    assert counted == (0 if opened.counts is None else opened.counts.conversion_count), "counts of another time"
    assert opened.counts is None or opened.counts.release == opened.name, "counts of another release"
    (searched,) = opened.search([Asked("zebra")], 100, vectors=query)
    assert {photo.photo_id for photo in searched} == {photo for photo, _ in found}


def read_until(root: str, catalogue: str, ready: Any, stop: Any, results: Any) -> None:
    """Open, follow and search until told to stop; every third time with a new reader. Report the count or the error."""
    lake, reads = Lake(root, catalogue), 0
    try:
        while not stop.is_set():
            if reads % 3 == 0:
                reader = ReleaseReader(lake, with_recommender=True)
            else:
                reader.refresh()
            read_and_check(reader)
            reads += 1
            if reads == 1:
                ready.release()
        results.put(("read", reads))
    except BaseException as error:
        ready.release()
        results.put(("failed", repr(error)))
