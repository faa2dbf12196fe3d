"""A toy night for the training stages: plain colours, each wanted by its word, with splits and images committed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from jobs.config.params.arms import FINETUNED, FULL
from jobs.config.params.training import TrainBaseParams, TrainSearchParams
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES
from jobs.datasets.features import IMPRESSIONS, SPLITS
from jobs.datasets.models import CHAMPION, LiveModel, SearchModelsFacts
from jobs.lake.manifest import Manifest
from tests.made_up_facts import made_up
from tests.models.search.conftest import COLOURS
from tests.validated_lake import commit_tables

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)

BASE_PARAMS = TrainBaseParams(
    image_size=16,
    patch_size=8,
    vision_width=32,
    vision_layers=1,
    text_width=32,
    text_layers=1,
    embed_dim=16,
    epochs=2,
    batch_size=8,
)
SEARCH_PARAMS = TrainSearchParams(
    arms=(FINETUNED, FULL), retrain="always", epochs=2, batch_size=16, evaluations_per_epoch=2
)
EVERY_STEP = {"checkpoint_seconds": 0.0}


def photos(ctx: RunContext) -> pl.DataFrame:
    """Three shades of every colour; the third of each came after the training window. One has no description."""
    rows = []
    for number, colour in enumerate(COLOURS):
        for shade in range(3):
            submitted_at = FIRST_DAY if shade < 2 else ctx.as_of - timedelta(days=2)
            description = None if (number, shade) == (0, 0) else f"something {colour.upper()}"
            rows.append((f"{colour}-{shade}", submitted_at, description, shade < 2))
    schema = {
        "photo_id": pl.String,
        "submitted_at": pl.Datetime("us", "UTC"),
        "description": pl.String,
        "is_in_train": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def conversions(shades: tuple[int, ...], repeats: int) -> pl.DataFrame:
    """Every colour's word, from two countries, `repeats` times for each of its shades."""
    rows = [
        (colour, country, f"{colour}-{shade}")
        for _ in range(repeats)
        for colour in COLOURS
        for shade in shades
        for country in ("GB", "JP")
    ]
    return pl.DataFrame(rows, schema=["query", "country", "photo_id"], orient="row").with_columns(weight=1.0)


def commit_splits(
    ctx: RunContext, label: str = "", shard_count: int = 1, facts: dict[str, Any] | None = None, **tables: pl.DataFrame
) -> Manifest:
    """Commit splits of this night: a day of test, a day of validation; `tables` replace the toy ones."""
    corpus = photos(ctx)
    keywords = corpus.select(
        "photo_id", pl.col("photo_id").str.extract(r"(\w+)-").alias("keyword"), pl.lit(0.9).alias("confidence")
    )
    late = corpus.filter(~pl.col("is_in_train")).select(
        "photo_id", pl.lit("of the future").alias("keyword"), pl.lit(0.5).alias("confidence")
    )
    boundaries = {"train_start": FIRST_DAY, "train_end": ctx.as_of - timedelta(days=2)}
    boundaries |= {"validation_end": ctx.as_of - timedelta(days=1), "test_end": ctx.as_of}
    train = conversions((0, 1), repeats=2).with_row_index("number")
    is_late = pl.col("number") >= 32  # the second time each was taken
    second, first = boundaries["train_end"] - timedelta(hours=1), FIRST_DAY + timedelta(days=1)
    given = {
        "train": train.select(
            pl.exclude("number"), pl.when(is_late).then(second).otherwise(first).alias("converted_at")
        ),
        "validation": conversions((0, 1, 2), repeats=1),
        "test": conversions((2,), repeats=1),
        "photos": corpus,
        "photo_keywords": pl.concat([keywords, late]),
    }
    facts = boundaries | {"shard_count": shard_count} | (facts or {})
    return commit_tables(ctx, SPLITS, given | tables, label=label, facts=facts, shard_count=shard_count)


def commit_champion(ctx: RunContext, models: Manifest | None = None) -> Manifest:
    """Commit which model is live this night: the full arm of `models`, or none."""
    live = None
    if models is not None:
        live = made_up(
            LiveModel, version=1, arm=FULL, model_digest=SearchModelsFacts.of(models).arms[FULL].model_digest
        )
    return commit_tables(ctx, CHAMPION, facts={"live": live})


def commit_images(ctx: RunContext, folder: Path, *broken: str) -> Manifest:
    """Draw the photos and commit where they are; `broken` ones are cut short."""
    folder.mkdir(exist_ok=True)
    rows = []
    for photo_id in photos(ctx)["photo_id"]:
        colour, shade = photo_id.split("-")
        path = folder / f"{photo_id}.png"
        dimmed = tuple(int(value * (1 - 0.08 * int(shade))) for value in COLOURS[colour])
        Image.new("RGB", (20, 16), dimmed).save(path)
        if photo_id in broken:
            path.write_bytes(path.read_bytes()[:45])
        rows.append((photo_id, "present", str(path)))
    images = pl.DataFrame(rows, schema=["photo_id", "status", "uri"], orient="row")
    return commit_tables(ctx, IMAGES, {"images": images}, label=f"broken: {broken}")


def commit_shown(ctx: RunContext, told: dict[int, float], rows: list[tuple[str, str, str, int, int, int]]) -> None:
    """Commit how often visitors examine each place, and rows (query, country, photo, place, shown, taken)."""
    examination = pl.DataFrame({"position": list(told), "examination": list(told.values())}).with_columns(
        pl.col("position").cast(pl.Int32)
    )
    names = IMPRESSIONS.table("pairs").schema.names
    pairs = pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("position").cast(pl.Int32))
    tables = {"examination": examination, "pairs": pairs}
    commit_tables(ctx, IMPRESSIONS, tables, facts={"note": "nothing moved"})
