"""A tiny committed night up to the models, for the tests of both embedding stages."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from jobs.config.params.arms import CHAMPION_ARM, FULL, ZERO_SHOT
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES
from jobs.datasets.features import SPLITS
from jobs.datasets.models import CHAMPION, SEARCH_MODELS
from jobs.lake.manifest import Manifest
from models.search.keywords import KeywordVocabulary
from models.search.model import SearchModel, build_tiny_model
from tests.validated_lake import commit_tables

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
    there = [(name, "present", None, str(path), sha256(path.read_bytes()).hexdigest()) for name, path in paths.items()]
    rows = [*there, *((photo_id, "missing", "http_404", None, None) for photo_id in missing)]
    schema = dict.fromkeys(("photo_id", "status", "reason", "uri", "sha256"), pl.String)
    return commit_tables(ctx, IMAGES, {"images": pl.DataFrame(rows, schema=schema, orient="row")})


def commit_splits(
    ctx: RunContext, photo_ids: list[str], queries: tuple[tuple[str, str | None], ...] = (("cat", "GB"),)
) -> Manifest:
    half = len(queries) // 2
    windows = {"train": (("never", "XX"),), "validation": queries[: half + 1], "test": queries[half:]}
    keywords = [(photo, *keyword) for photo, words in KEYWORDS.items() if photo in photo_ids for keyword in words]
    schema = {"photo_id": pl.String, "keyword": pl.String, "confidence": pl.Float64}
    tables = {
        **{name: pl.DataFrame(rows, schema=["query", "country"], orient="row") for name, rows in windows.items()},
        "photos": pl.DataFrame({"photo_id": photo_ids}),
        "photo_keywords": pl.DataFrame(keywords, schema=schema, orient="row"),
    }
    return commit_tables(ctx, SPLITS, tables)


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
    folders = {arm: model.save for arm, model in models.items()}
    champion = {CHAMPION_ARM: folders.pop(CHAMPION_ARM)} if CHAMPION_ARM in models else {}
    arms = {arm: {"model_digest": models[arm].digest, "uses_keywords": models[arm].uses_keywords} for arm in folders}
    commit_tables(ctx, SEARCH_MODELS, facts={"arms": arms, "challenger": FULL}, folders=folders)
    live = {"version": 1, "model_digest": models[CHAMPION_ARM].digest} if champion else None
    commit_tables(ctx, CHAMPION, facts={"live": live}, files={"champion.json": b"{}"}, folders=champion)


def vectors(ctx: RunContext, manifest: Manifest, arm: str, *keys: str) -> dict[Any, np.ndarray[Any, Any]]:
    """The vectors of one arm by their key columns."""
    rows = ctx.lake.read_table(manifest, "embeddings").filter(pl.col("arm") == arm)
    found = [tuple(row) if len(keys) > 1 else row[0] for row in rows.select(*keys).iter_rows()]
    return dict(zip(found, np.array(rows["vector"].to_list(), np.float32), strict=True))
