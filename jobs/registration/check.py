"""The check of a registered version: loaded back through MLflow it embeds and finds as the release in the lake does."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from jobs.adapters import mlflow_models, mlflow_registry
from jobs.context import RunContext
from jobs.errors import NightlensError
from jobs.lake.manifest import Manifest
from jobs.releasing.reader import OpenRelease
from models.images import decode_image
from models.rerank.live import Asked
from models.search.model import SearchModel

TOLERANCE = 1e-6
_COUNT = 10


def check_version(ctx: RunContext, splits: Manifest, version: mlflow_registry.Version, opened: OpenRelease) -> float:
    """Ask a registered version and its opened release the same; return how far its vectors are off, at most.

    Raises `NightlensError` if that is more than `TOLERANCE`, or if it finds other photos for words.
    """
    assert isinstance(opened.model, SearchModel), "open the release with pictures"
    table = _probes(ctx, splits)
    predict = mlflow_models.load_version(ctx.settings, version)
    difference = float(np.abs(predict(table, params={"output": "vectors"}) - _embed(opened.model, table)).max())
    asked = table[table["image"].isna()]
    found = predict(asked, params={"k": _COUNT})
    searches = [Asked(query, country or "") for query, country in zip(asked["query"], asked["country"], strict=True)]
    expected = [[photo.photo_id for photo in one] for one in opened.search(searches, _COUNT)]
    changed = sum(mine != other for mine, other in zip(found["photos"], expected, strict=True))
    if changed or not difference <= TOLERANCE:
        raise NightlensError(
            "loads_differently",
            f"{version.uri} loaded through MLflow is not the release in the lake: its vectors differ by {difference:g} "
            f"(allowed {TOLERANCE:g}), and it finds other photos in {changed} of {len(asked)} searches. The alias was "
            f"not moved. Delete that version in MLflow and rerun the stage.",
            version=version.uri,
            difference=difference,
            changed=changed,
        )
    return difference


def _probes(ctx: RunContext, splits: Manifest) -> pd.DataFrame:
    """Return eight queries and four made-up pictures with keywords of the catalogue.

    The queries are of the validation window, or of the training window where that is empty.
    """
    window = "validation" if splits.row_counts["validation"] else "train"
    queries = ctx.lake.read_table(splits, window, ["query", "country"]).unique().sort("query", "country").head(8)
    keywords = ctx.lake.read_table(splits, "photo_keywords", ["keyword", "confidence"]).sort("keyword").head(4)
    noise = np.random.default_rng(ctx.seed)
    images = []
    for width, height in ((96, 96), (200, 120), (64, 300), (31, 17)):
        file = io.BytesIO()
        Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file, "PNG")
        images.append(file.getvalue())
    no_query, no_image = [None] * len(images), [None] * len(queries)
    columns: dict[str, list[Any]] = {
        "query": [*queries["query"], *no_query],
        "country": [*queries["country"], *no_query],
        "image": [*no_image, *images],
        "keywords": [*no_image, *[keywords.to_dicts()] * len(images)],
    }
    return pd.DataFrame(columns, dtype=object)


def _embed(model: SearchModel, table: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Embed the probes without MLflow: queries first, then pictures, as they stand in the table."""
    queries, photos = table[table["image"].isna()], table[table["image"].notna()]
    pairs = zip(queries["query"], queries["country"], strict=True)
    texts = [model.query_text(query, country or "") for query, country in pairs]
    pixels_BCHW = torch.stack([model.preprocess(decode_image(data)) for data in photos["image"]])
    keywords = [[(entry["keyword"], entry["confidence"]) for entry in entries] for entries in photos["keywords"]]
    with torch.inference_mode():
        photo_BD = model.compose_photos(model.encode_images(pixels_BCHW), keywords)
        vectors: npt.NDArray[np.float32] = torch.cat([model.encode_queries(texts), photo_BD]).numpy()
    return vectors
