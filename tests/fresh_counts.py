"""Fresh counts beside a made-up release: so many conversions of its first photo, for one query from one country."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import numpy as np

from jobs.lake.catalogue import Lake
from jobs.releasing import fresh_counts
from jobs.releasing.fresh_counts import CountsPointer
from jobs.releasing.published_pointer import Pointer
from jobs.releasing.reader import OpenRelease, ReleaseReader
from models.keyword_match import token_ids
from models.rerank.tables import Conversions

UNTIL = datetime(2025, 12, 29, 14, 30, tzinfo=UTC)


def write_fresh_counts(
    lake: Lake,
    count: int,
    published: tuple[Pointer, OpenRelease] | None = None,
    *,
    query: str = "zebra",
    until: datetime = UNTIL,
) -> CountsPointer:
    """Write counts on top of a release's own (by default of the published one's) and make them current."""
    pointer, release = published or ReleaseReader(lake).published
    tables = release.live.catalogue.tables
    nothing = np.zeros(count, dtype=np.int64)
    fresh = Conversions(nothing, token_ids([query] * count), np.array(["NZ"] * count, dtype=np.str_), nothing)
    name = fresh_counts.new_name(release.name, until, uuid.uuid4().hex[:8])
    current = CountsPointer(
        release=release.name,
        digest=pointer.digest,
        name=name,
        files=fresh_counts.write_counts(lake, name, tables.counts.plus(fresh, tables.photos.available_at)),
        until=until,
        conversion_count=count,
        source="made up",
    )
    fresh_counts.point_to(lake, current)
    return current
