"""A tiny committed night up to the models, for the tests of both embedding stages."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from jobs.config.params.arms import CHAMPION_ARM, FULL, ZERO_SHOT
from jobs.config.params.base import Params
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES, ImagesFacts
from jobs.datasets.features import SPLITS, SplitsFacts
from jobs.datasets.models import CHAMPION, SEARCH_MODELS, ChampionFacts, SearchModelsFacts
from jobs.datasets.schema import Dataset
from jobs.lake.manifest import Manifest
from models.search.keywords import KeywordVocabulary
from models.search.model import SearchModel, build_tiny_model
from tests.made_up_facts import made_up

SIZES = {
    "image_size": 32,
    "patch_size": 16,
    "vision_width": 32,
    "vision_layers": 1,
    "text_width": 32,
    "text_layers": 1,
    "embed_dim": 32,
}
KEYWORDS = {"p000": [("sea", 0.9), ("blue", 0.4)], "p001": [("dog", 1.0)]}


def table(dataset: Dataset, table_name: str, /, **columns: Any) -> pl.DataFrame:
    """A table of a dataset with the given columns and nulls in the others."""
    schema = pl.DataFrame(dataset.table(table_name).schema.empty_table()).schema
    count = len(next(iter(columns.values()), []))
    return pl.DataFrame({column: columns.get(column, [None] * count) for column in schema}, schema=schema)


def picture(number: int, side: int = 24) -> bytes:
    """A picture of coloured noise; equal numbers, equal bytes."""
    noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def write_pictures(folder: Path, count: int, side: int = 24, **others: bytes) -> dict[str, Path]:
    """Write pictures p000, p001 ... and `others`; return their paths by photo_id."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {f"p{number:03}": picture(number, side) for number in range(count)} | others
    paths = {photo_id: folder / f"{photo_id}.png" for photo_id in contents}
    for photo_id, data in contents.items():
        paths[photo_id].write_bytes(data)
    return paths


def commit_images(ctx: RunContext, paths: dict[str, Path], missing: tuple[str, ...] = ()) -> Manifest:
    staged = ctx.begin(IMAGES, Params(), {}, {"images": repr((sorted(paths), missing))})
    count = len(paths)
    staged.write_table(
        "images",
        table(
            IMAGES,
            "images",
            photo_id=[*paths, *missing],
            status=["present"] * count + ["missing"] * len(missing),
            reason=[None] * count + ["http_404"] * len(missing),
            uri=[str(path) for path in paths.values()] + [None] * len(missing),
            sha256=[hashlib.sha256(path.read_bytes()).hexdigest() for path in paths.values()] + [None] * len(missing),
        ),
    )
    return staged.commit(made_up(ImagesFacts))


def commit_splits(
    ctx: RunContext, photo_ids: list[str], queries: tuple[tuple[str, str | None], ...] = (("cat", "GB"),)
) -> Manifest:
    staged = ctx.begin(SPLITS, Params(), {}, {"splits": repr((photo_ids, queries))})
    moment = datetime(2025, 12, 1, tzinfo=UTC)
    half = len(queries) // 2
    for name, rows in (("train", (("never", "XX"),)), ("validation", queries[: half + 1]), ("test", queries[half:])):
        staged.write_table(
            name,
            table(
                SPLITS,
                name,
                query=[query for query, _ in rows],
                country=[country for _, country in rows],
                converted_at=[moment] * len(rows),
            ),
        )
    staged.write_table("photos", table(SPLITS, "photos", photo_id=photo_ids))
    pairs = [(photo, *keyword) for photo, words in KEYWORDS.items() if photo in photo_ids for keyword in words]
    columns = dict(zip(("photo_id", "keyword", "confidence"), zip(*pairs, strict=True), strict=True)) if pairs else {}
    staged.write_table("photo_keywords", table(SPLITS, "photo_keywords", **columns))
    return staged.commit(made_up(SplitsFacts))


def make_models() -> dict[str, SearchModel]:
    """Zero-shot, an arm with country and keywords of its own, and a champion whose towers are those of zero-shot."""
    zero_shot = build_tiny_model(seed=1, **SIZES)
    vocabulary = KeywordVocabulary(("dog", "sea"), 4)
    full = build_tiny_model(seed=2, uses_country=True, vocabulary=vocabulary, **SIZES)
    assert full.keyword_encoder is not None
    for parameter in full.keyword_encoder.parameters():
        parameter.data.copy_(torch_noise(parameter.shape))
    return {ZERO_SHOT: zero_shot, FULL: full, CHAMPION_ARM: zero_shot}


def torch_noise(shape: Any) -> Any:
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def commit_models(ctx: RunContext, models: dict[str, SearchModel]) -> None:
    """Commit SEARCH_MODELS and CHAMPION."""
    arms = {arm: model for arm, model in models.items() if arm != CHAMPION_ARM}
    digests = {arm: model.digest for arm, model in models.items()}
    staged = ctx.begin(SEARCH_MODELS, Params(), {}, digests)
    for arm, model in arms.items():
        with staged.local_folder(arm) as folder:
            model.save(folder)
    curves = table(SEARCH_MODELS, "curves", arm=["x"], step=[1], name=["loss"], value=[0.0])
    staged.write_table("curves", curves)
    facts = {arm: {"model_digest": digests[arm], "uses_keywords": model.uses_keywords} for arm, model in arms.items()}
    staged.commit(made_up(SearchModelsFacts, arms=facts))
    staged = ctx.begin(CHAMPION, Params(), {}, digests)
    staged.write_file("champion.json", b"{}")
    if CHAMPION_ARM in models:
        with staged.local_folder(CHAMPION_ARM) as folder:
            models[CHAMPION_ARM].save(folder)
    staged.commit(made_up(ChampionFacts, live={"version": 1} if CHAMPION_ARM in models else None))


def vectors(ctx: RunContext, manifest: Manifest, arm: str, *keys: str) -> dict[Any, np.ndarray[Any, Any]]:
    """The vectors of one arm by their key columns."""
    rows = ctx.lake.read_table(manifest, "embeddings").filter(pl.col("arm") == arm)
    found = [tuple(row) if len(keys) > 1 else row[0] for row in rows.select(*keys).iter_rows()]
    return dict(zip(found, np.array(rows["vector"].to_list(), np.float32), strict=True))
