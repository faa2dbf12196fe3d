"""The keywords of a night's photos with the vectors of their meaning."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from jobs.evaluation.integers import integers
from jobs.evaluation.keywords import keyword_texts
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.exact_scores import Matrix
from models.rerank.photo_keywords import PhotoKeywords


def read_photo_keywords(
    lake: Lake, splits: Manifest, photos: pl.DataFrame, embedded: Callable[[pl.DataFrame], Matrix]
) -> PhotoKeywords:
    """Return the keywords of photos (photo_id), in their order; `embedded` gives the vectors of (query, country)."""
    places = photos.select("photo_id").with_row_index("place")
    rows = lake.read_table(splits, "photo_keywords", ["photo_id", "keyword"]).join(places, on="photo_id")
    texts = keyword_texts(rows["keyword"])
    queries = texts.select("query", "country").unique(maintain_order=True).with_row_index("number")
    rows = rows.join(texts, on="keyword").join(queries, on="query")
    return PhotoKeywords.of(integers(rows["place"]), integers(rows["number"]), embedded(queries), len(photos))
