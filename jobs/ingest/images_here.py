"""Finding the images of as many photos as one process holds: the functions of `image_sources`, once for all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import polars as pl

from jobs.adapters.sql_files import load_sql
from jobs.datasets.clean import IMAGES
from jobs.ingest.image_sources import (
    FetchedImages,
    FetchJob,
    fetch,
    files_of,
    images_of,
    look,
    results,
    summary,
    to_read,
    with_keys,
)
from jobs.runtime.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.context import Inputs, RunContext
    from jobs.ingest.image_listing import Listing
    from jobs.lake.manifest import Manifest
    from jobs.lake.staged_run import StagedRun

log = logging.getLogger("nightlens.fetch_images")


def find_here(
    ctx: RunContext,
    job: FetchJob,
    inputs: Inputs,
    staged: StagedRun,
    listing: Listing,
    last: Manifest | None,
    check: Callable[[pl.DataFrame], None],
) -> pl.DataFrame:
    """Write both tables, if `check` lets the summary pass, and return the summary."""
    found = _found(ctx, inputs, listing, last)
    concurrency = job.params.concurrency
    progress = Progress(log, "new files looked at", int(found.select(to_read(job.params).sum()).item()))
    looked = look(found, job, concurrency, progress.advance)
    store = FetchedImages(ctx.lake)
    downloads = pl.concat([store.table(digit) for digit in FetchedImages.DIGITS])
    asked = looked.join(downloads, on="download_key", how="left")
    is_missing = pl.col("download_key").is_not_null() & pl.col("download_uri").is_null()
    missing = asked.filter(is_missing)
    progress = Progress(log, "images fetched", len(missing))
    fetched = fetch(missing.iter_rows(named=True), job, concurrency, progress.advance)
    done = pl.concat(map(results, [asked.filter(~is_missing), *fetched]))
    counts = summary(done)
    check(counts)
    staged.write_table("images", images_of(done).sort("photo_id"))
    staged.write_table("files", files_of(done).sort("photo_id"))
    return counts


def _found(ctx: RunContext, inputs: Inputs, listing: Listing, last: Manifest | None) -> pl.DataFrame:
    """Return `FOUND` of all photos; what it is made from is given back."""
    no_files = pl.DataFrame(IMAGES.table("files").schema.empty_table())
    views = {
        "photos": with_keys(ctx.lake.read_table(inputs["validated"], "photos", ["photo_id", "image_url"])),
        "listing": listing.frame(),
        "last_files": no_files if last is None else ctx.lake.read_table(last, "files"),
    }
    return pl.SQLContext(views).execute(load_sql("photos_with_files"), eager=True)
