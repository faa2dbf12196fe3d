"""What arms are trained and validated on: conversions by photo number, of all shards or of some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from jobs.config.params.training import TrainSearchParams
from jobs.context import RunContext
from jobs.datasets.features import IMPRESSIONS, ImpressionsFacts, SplitsFacts
from jobs.datasets.models import Reach, SearchModelsFacts
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest
from jobs.training.inputs import keyword_lists, read_photos
from jobs.training.reach import reach_of
from models.search.data import Indices
from models.search.keywords import KeywordVocabulary, PhotoKeywords
from models.search.sampling import Float64s

_COLUMNS = ["query", "country", "photo_id", "converted_at", "position", "weight"]
_ORDER = tuple(_COLUMNS)
REPLAYED_PER_NEW = 3.0
"""Conversions from before, drawn at random, per new conversion of an incremental night."""
VALIDATION_QUERIES, VALIDATION_PHOTOS = 3000, 20_000
"""Validation queries looked up for early stopping, and photos they are looked for in, at most."""
KEYWORD_MIN_COUNT, KEYWORD_HASH_ROWS = 2, 1024
"""Keywords of fewer photos are hashed into so many shared rows."""


@dataclass(frozen=True)
class Shown:
    """What the log of what was shown gives to training, of the training window.

    `examination` is how often each place is looked at, the first being 1. `passed_over` has the photos that were shown
    for a query and never taken there: query, country, photo (number), looks (how often they were looked at).
    """

    examination: Float64s
    passed_over: pl.DataFrame


@dataclass(frozen=True)
class ArmInputs:
    """Conversions by photo number, and the corpus validation searches in.

    Of the photos those that are held (`is_held`) are trained on; others are only there to validate.
    """

    photos: pl.DataFrame
    keywords: list[list[tuple[str, float]]]  # of every photo
    log: pl.DataFrame  # query, country, photo: of the whole training window
    train: pl.DataFrame  # what is trained on: all of the log, or what an incremental night needs
    validation: pl.DataFrame  # with is_unseen: nobody took the photo in the training window
    corpus: Indices
    counts: dict[str, int]
    reach: Reach  # what is trained on can be drawn, counted and listed from
    shard_count: int
    is_validated: bool  # whether there is a validation window, whoever has read it
    shown: Shown | None = None  # where the parameters ask for it

    def vocabulary(self) -> KeywordVocabulary:
        """Return the keywords of the photos that were there in the training window."""
        counts = KeywordVocabulary.count(self.keywords_in_train())
        return KeywordVocabulary.of_counts(counts, KEYWORD_MIN_COUNT, KEYWORD_HASH_ROWS)

    def keywords_in_train(self) -> list[PhotoKeywords]:
        """Return the keywords of the photos that were there in the training window."""
        known = self.photos["is_in_train"].to_list()
        return [keywords for keywords, is_known in zip(self.keywords, known, strict=True) if is_known]

    @property
    def pairs_per_epoch(self) -> int:
        """How many different photos for a query from a country are trained on: the same for every arm."""
        return len(self.train.select("query", "country", "photo").unique())


def read_pairs(
    ctx: RunContext,
    params: TrainSearchParams,
    splits: Manifest,
    images: Manifest,
    earlier: Manifest | None = None,
    shards: Collection[int] | None = None,
    *,
    with_validation: bool = True,
) -> ArmInputs:
    """Return the conversions that arms are trained and validated on, of all photos or of some shards'.

    The photos are those of the shards and, for validation, its corpus. Raises `MissingInput` if a window that is
    read whole has no conversion; a validation window that is empty from the start is none. Raises `GateFailed` for a
    photo or conversion to train on that is not before the training window's end.
    """
    is_validated = bool(splits.row_counts["validation"])
    validation = corpus_ids = None
    if with_validation and is_validated:
        validation, corpus_ids = _read_validation(ctx, splits, images)
    photos = read_photos(ctx.lake, splits, images, shards, corpus_ids)
    is_held = pl.lit(True) if shards is None else pl.col("shard").is_in(list(shards))
    photos = photos.with_columns(is_held.alias("is_held"))
    numbers = photos.select("photo_id", "photo", "shard")
    rows = ctx.lake.read_shards(splits, "train", shards, _COLUMNS).drop("shard")
    # Sorted, so that training does not depend on how the table is cut into files.
    log = rows.join(numbers, on="photo_id").sort(_ORDER)
    if shards is None and log.is_empty():
        raise _no_conversion(splits, "train")
    train = log
    if earlier is not None:
        train = _recent(log, SearchModelsFacts.of(earlier).trained_until, REPLAYED_PER_NEW, ctx.seed)
    counts = {
        "log_pair_count": len(log),
        "train_pair_count": len(train),
        "train_pairs_without_image": len(rows) - len(log),
    }
    corpus = np.zeros(0, np.int64)
    if validation is None or corpus_ids is None:
        validation = log.clear().with_columns(is_unseen=pl.lit(False))
    else:
        validation = validation.join(numbers, on="photo_id", maintain_order="left")
        corpus = photos.filter(pl.col("photo_id").is_in(corpus_ids.implode()))["photo"].to_numpy()
    if with_validation:
        counts |= {"validation_query_count": len(validation), "validation_photo_count": len(corpus)}
        counts |= {"validation_unseen_count": int(validation["is_unseen"].sum())}
    keywords = keyword_lists(photos)
    pool = photos.filter("is_in_train", "is_held")
    shown = _read_shown(ctx, pool) if params.reads_impressions else None
    counts |= {} if shown is None else {"passed_over_count": len(shown.passed_over)}
    windows = SplitsFacts.of(splits)
    reach = reach_of(pool, log, windows.train_end)
    shards_in_all = windows.shard_count
    return ArmInputs(
        photos, keywords, log, train, validation, corpus, counts, reach, shards_in_all, is_validated, shown
    )


def _read_shown(ctx: RunContext, pool: pl.DataFrame) -> Shown:
    """Return what was shown in the training window, of the photos held here that were there by its end (`pool`).

    `MissingInput` if it does not tell where people look.
    """
    impressions = ctx.read(IMPRESSIONS)
    told = ctx.lake.read_table(impressions, "examination", ["position", "examination"]).sort("position")
    if told.is_empty():
        note = ImpressionsFacts.of(impressions).note
        raise MissingInput(
            "examination_unknown",
            f"{impressions.reference} does not say at which places people look: {note}. Give the "
            f"data set a log of what was shown, or train without it (--position-weights none, --hard-from mined).",
            run=impressions.reference,
            note=note,
        )
    examination = np.full(int(told["position"].max()), np.nan)  # type: ignore[arg-type]
    examination[told["position"].to_numpy() - 1] = told["examination"].to_numpy()
    last = float(told["examination"][-1])
    looks = pl.col("shown_count") * pl.col("examination").fill_null(last)
    numbers = pool.select("photo_id", "photo")
    pairs = pl.concat([part.join(numbers, on="photo_id") for part in ctx.lake.table_files(impressions, "pairs")])
    columns = ["query", "country", "photo"]
    of_photos = pairs.join(told, on="position", how="left").group_by(columns)
    counted = of_photos.agg(looks.sum().alias("looks"), pl.col("taken_count").sum())
    return Shown(examination, counted.filter(pl.col("taken_count") == 0).drop("taken_count").sort(columns))


def read_vocabulary(ctx: RunContext, splits: Manifest, images: Manifest) -> KeywordVocabulary:
    """Return the keywords of the training window's photos, looked at shard by shard."""
    counts: Counter[str] = Counter()
    for shard in range(SplitsFacts.of(splits).shard_count):
        photos = read_photos(ctx.lake, splits, images, [shard]).filter("is_in_train")
        counts += KeywordVocabulary.count(keyword_lists(photos))
    return KeywordVocabulary.of_counts(counts, KEYWORD_MIN_COUNT, KEYWORD_HASH_ROWS)


def _read_validation(ctx: RunContext, splits: Manifest, images: Manifest) -> tuple[pl.DataFrame, pl.Series]:
    """Return the validation queries that are looked up, and the ids of the photos they are looked for in."""
    with_image = ctx.lake.read_table(images, "images", ["photo_id", "uri"]).drop_nulls("uri").select("photo_id")
    rows = ctx.lake.read_table(splits, "validation", _COLUMNS).join(with_image, on="photo_id").sort(_ORDER)
    if rows.is_empty():
        raise _no_conversion(splits, "validation")
    chosen = rows.sample(min(VALIDATION_QUERIES, len(rows)), seed=ctx.seed)
    wanted = pl.col("photo_id").is_in(chosen["photo_id"].unique().implode())
    taken = pl.concat([part.filter(wanted).unique() for part in ctx.lake.table_files(splits, "train", ["photo_id"])])
    chosen = chosen.with_columns(is_unseen=~pl.col("photo_id").is_in(taken["photo_id"].implode()))
    there = ctx.lake.read_table(splits, "photos", ["photo_id", "submitted_at"])
    windows = SplitsFacts.of(splits)
    if not windows.takes_all_photos:
        there = there.filter(pl.col("submitted_at") < windows.validation_end)
    there_ids = there.join(with_image, on="photo_id")["photo_id"].sort()
    return chosen, _corpus(there_ids, chosen["photo_id"], VALIDATION_PHOTOS, ctx.seed)


def _corpus(there: pl.Series, converted: pl.Series, limit: int, seed: int) -> pl.Series:
    """Return the photos to look in: all or, of more than `limit`, the converted ones and a random choice of others."""
    if len(there) <= limit:
        return there
    wanted = converted.unique()
    others = there.filter(~there.is_in(wanted.implode()))
    chosen = others.sample(max(0, limit - len(wanted)), seed=seed)
    return pl.concat([wanted, chosen]).sort()


def _recent(rows: pl.DataFrame, since: datetime, replayed_per_new: float, seed: int) -> pl.DataFrame:
    """Return the conversions from `since` on and, per each of them, `replayed_per_new` of those before, at random.

    Each shard is drawn from by itself, so that it does not matter who holds the others; every night draws others.
    """
    parts, first_seed = [], seed + 100_000 * since.toordinal()  # shards are fewer than that
    for (shard,), own in rows.group_by("shard", maintain_order=True):
        is_new = own["converted_at"] >= since
        new, old = own.filter(is_new), own.filter(~is_new)
        count = min(len(old), round(replayed_per_new * max(1, len(new))))
        replayed = old.sample(count, seed=first_seed + int(str(shard)))
        parts += [new, replayed]
    return pl.concat(parts).sort(_ORDER) if parts else rows


def _no_conversion(splits: Manifest, table: str) -> MissingInput:
    return MissingInput(
        "no_conversion_with_image",
        f"no conversion of {splits.reference}, table {table!r}, is of a photo with an image",
        run=splits.reference,
        table=table,
    )
