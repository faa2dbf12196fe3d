"""Find every photo's image in the data set, or download it into the lake; one status row per photo."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import fsspec
import polars as pl

from jobs.adapters.safe_download import Limits
from jobs.context import Chosen
from jobs.datasets.clean import IMAGES, ImagesFacts
from jobs.errors import GateFailed
from jobs.ingest.image_listing import Listing, list_images
from jobs.ingest.image_sources import FetchJob, picture_rules
from jobs.ingest.images_here import find_here
from jobs.ingest.images_in_spark import find_in_spark
from jobs.ingest.photo_files import EXTENSIONS

if TYPE_CHECKING:
    from jobs.config.params.ingest import FetchImagesParams
    from jobs.context import Inputs, RunContext
    from jobs.lake.manifest import Manifest
    from jobs.lake.staged_run import StagedRun

STATUSES = ("present", "fetched", "missing", "refused", "failed")


def choose(ctx: RunContext, params: FetchImagesParams, inputs: Inputs) -> Chosen:
    """List the data set's images."""
    listing = list_images(ctx.dataset_uri)
    allowed = str(ctx.settings.allow_private_addresses)
    return Chosen(sources={"images": listing.digest, "allow_private_addresses": allowed}, found=listing)


def run(ctx: RunContext, params: FetchImagesParams, inputs: Inputs, staged: StagedRun, listing: Listing) -> ImagesFacts:
    """Write where the bytes of every photo are, with size and SHA-256, or why there are none.

    Only bytes that decode count, so nothing that trains or embeds sees a file that is no picture. From
    `spark_from_rows` photos or files on, Spark's tasks share the work.

    Raises `GateFailed` if more than `max_missing_share` of the photos end without an image; what was
    downloaded by then is kept.
    """
    begun = time.perf_counter()
    limits = Limits(
        max_bytes=params.max_bytes,
        timeout_seconds=params.timeout_seconds,
        retry_count=params.retry_count,
        concurrency=params.concurrency,
        allow_private_addresses=ctx.settings.allow_private_addresses,
        seed=ctx.seed,
    )
    job = FetchJob(params, limits, ctx.lake, fsspec.url_to_fs(ctx.dataset_uri)[0])
    check = partial(check_share, dataset_uri=ctx.dataset_uri, max_missing_share=params.max_missing_share)
    row_count = max(inputs["validated"].row_counts["photos"], listing.row_count)
    find = find_in_spark if row_count >= ctx.settings.spark_from_rows else find_here
    counts = find(ctx, job, inputs, staged, listing, _last_night(ctx, params), check)
    of_status = dict(counts.group_by("status").agg(pl.col("count").sum()).iter_rows())
    reasons = counts.drop_nulls("reason").group_by("reason").agg(pl.col("count").sum()).sort("reason")
    return ImagesFacts(
        **{f"{status}_count": of_status.get(status, 0) for status in STATUSES},
        reasons=dict(reasons.iter_rows()),
        downloaded_count=int(counts["downloaded_count"].sum()),
        hashed_count=int(counts["hashed_count"].sum()),
        byte_count=int(counts["byte_count"].sum()),
        picture_rules=picture_rules(params),
        seconds=round(time.perf_counter() - begun, 3),
    )


def _last_night(ctx: RunContext, params: FetchImagesParams) -> Manifest | None:
    """Return the run that knows files by the rules of this one: those that did not change are not read again."""
    history = ctx.lake.history(IMAGES)
    return history[-1] if history and history[-1].facts.get("picture_rules") == picture_rules(params) else None


def check_share(counts: pl.DataFrame, dataset_uri: str, max_missing_share: float) -> None:
    """Raise `GateFailed` with counts and examples per reason if too many photos have no image."""
    without = counts.filter(~pl.col("status").is_in(["present", "fetched"]))
    missing, photos = int(without["count"].sum()), int(counts["count"].sum())
    share = missing / max(1, photos)
    if share <= max_missing_share:
        return
    groups = without.sort("count", "status", "reason", descending=[True, False, False])
    reasons = "; ".join(
        f"{status} ({reason}): {count}, such as {', '.join(examples)}"
        for status, reason, count, examples in groups.select("status", "reason", "count", "examples").iter_rows()
    )
    raise GateFailed(
        "too_many_images_missing",
        f"{missing} of {photos} photos ({share:.1%}) have no image, allowed are {max_missing_share:.1%}. "
        f"{reasons}. Put pictures named <photo_id>.jpg (or {', '.join(EXTENSIONS[1:])}) into {dataset_uri}/photos, "
        f"make the addresses reachable, or raise --max-missing-share. What was downloaded is kept: a rerun fetches "
        f"the rest.",
        missing=missing,
        photos=photos,
    )
