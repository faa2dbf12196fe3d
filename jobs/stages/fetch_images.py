"""Find every photo's image in the data set, or download it into the lake; one status row per photo."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import polars as pl

from jobs.adapters.safe_download import Fetcher, Limits, each_completed
from jobs.context import Chosen
from jobs.datasets.clean import IMAGES, ImagesFacts
from jobs.errors import GateFailed
from jobs.ingest.image_sources import (
    FetchedImages,
    ImageFile,
    ImageLocator,
    Known,
    Row,
    list_images,
    listing_digest,
    picture_rules,
)
from jobs.ingest.photo_files import EXTENSIONS
from jobs.runtime.progress import Progress

if TYPE_CHECKING:
    from jobs.config.params.ingest import FetchImagesParams
    from jobs.context import Inputs, RunContext
    from jobs.lake.staged_run import StagedRun

log = logging.getLogger("nightlens.fetch_images")

EXAMPLE_COUNT = 3  # per reason, where too many photos are without an image


def choose(ctx: RunContext, params: FetchImagesParams, inputs: Inputs) -> Chosen:
    """List the data set's images."""
    files = list_images(ctx.dataset_uri)
    allowed = str(ctx.settings.allow_private_addresses)
    return Chosen(sources={"images": listing_digest(files), "allow_private_addresses": allowed}, found=files)


def run(
    ctx: RunContext, params: FetchImagesParams, inputs: Inputs, staged: StagedRun, files: dict[str, ImageFile]
) -> ImagesFacts:
    """Write where the bytes of every photo are, with size and SHA-256, or why there are none.

    Only bytes that decode count, so nothing that trains or embeds sees a file that is no picture.

    Raises `GateFailed` if more than `max_missing_share` of the photos end without an image; what was
    downloaded by then is kept.
    """
    begun = time.perf_counter()
    photos = ctx.lake.read_table(inputs["validated"], "photos", ["photo_id", "image_url"])
    limits = Limits(
        max_bytes=params.max_bytes,
        timeout_seconds=params.timeout_seconds,
        retry_count=params.retry_count,
        concurrency=params.concurrency,
        allow_private_addresses=ctx.settings.allow_private_addresses,
        seed=ctx.seed,
    )
    progress = Progress(log, "images found or fetched", len(photos))
    with Fetcher(limits) as fetcher:
        finder = ImageLocator(files, _known_files(ctx, params), FetchedImages(ctx.lake), fetcher, params)
        rows: list[Row] = []
        for row in each_completed(finder.find, photos.iter_rows(), params.concurrency):
            rows.append(row)
            progress.advance()
    images = _table("images", rows).sort("photo_id")
    files_found = _table("files", finder.local_files)
    check_share(images, files_found, ctx.dataset_uri, params.max_missing_share)
    staged.write_table("images", images)
    staged.write_table("files", files_found)
    counts = Counter(images["status"].to_list())
    return ImagesFacts(
        present_count=counts["present"],
        fetched_count=counts["fetched"],
        missing_count=counts["missing"],
        refused_count=counts["refused"],
        failed_count=counts["failed"],
        reasons=dict(sorted(Counter(images["reason"].drop_nulls().to_list()).items())),
        downloaded_count=finder.downloaded_count,
        hashed_count=finder.hashed_count,
        byte_count=int(images["byte_count"].sum()),
        picture_rules=picture_rules(params),
        seconds=round(time.perf_counter() - begun, 3),
    )


def _table(name: str, rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    schema = dict(pl.DataFrame(IMAGES.table(name).schema.empty_table()).schema)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _known_files(ctx: RunContext, params: FetchImagesParams) -> Known:
    """Return what the latest night found of files: those that did not change since need not be read again."""
    history = ctx.lake.history(IMAGES)
    if not history or history[-1].facts.get("picture_rules") != picture_rules(params):
        return {}
    files = ctx.lake.read_table(history[-1], "files").drop_nulls(["modified_ns", "sha256"])
    files = files.filter(pl.col("reason").ne_missing("out_of_memory"))  # another time there may be more
    columns = ("uri", "byte_count", "modified_ns", "sha256", "reason")
    return {(uri, size, at): (sha256, reason) for uri, size, at, sha256, reason in files.select(columns).iter_rows()}


def check_share(images: pl.DataFrame, files: pl.DataFrame, dataset_uri: str, max_missing_share: float) -> None:
    """Raise `GateFailed` with counts and examples per reason if too many photos have no image.

    An example is the name of the file that is no picture, or the id of a photo without a file.
    """
    without = images.filter(pl.col("uri").is_null())
    share = len(without) / max(1, len(images))
    if share <= max_missing_share:
        return
    names = files.select("photo_id", file_name=pl.col("uri").str.split("/").list.last())
    groups: Iterable[tuple[str, str, int, list[str]]] = (
        without.join(names, on="photo_id", how="left")
        .with_columns(example=pl.coalesce("file_name", "photo_id"))
        .group_by("status", "reason")
        .agg(count=pl.len(), examples=pl.col("example").sort().head(EXAMPLE_COUNT))
        .sort("count", "status", "reason", descending=[True, False, False])
        .iter_rows()
    )
    reasons = "; ".join(
        f"{status} ({reason}): {count}, such as {', '.join(examples)}" for status, reason, count, examples in groups
    )
    raise GateFailed(
        "too_many_images_missing",
        f"{len(without)} of {len(images)} photos ({share:.1%}) have no image, allowed are {max_missing_share:.1%}. "
        f"{reasons}. Put pictures named <photo_id>.jpg (or {', '.join(EXTENSIONS[1:])}) into {dataset_uri}/photos, "
        f"make the addresses reachable, or raise --max-missing-share. What was downloaded is kept: a rerun fetches "
        f"the rest.",
        missing=len(without),
        photos=len(images),
    )
