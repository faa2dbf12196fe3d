"""The keywords of a night's photos: as documents for keyword match, and as texts that are embedded."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.keyword_match import KeywordMatch
from models.text import normalise_query


def keyword_match(lake: Lake, splits: Manifest, photos: pl.DataFrame, as_of: datetime) -> KeywordMatch:
    """Return keyword match on the texts of photos (photo_id, description, available_at), in their order.

    How rare a word is, those tell that were there before `as_of`.
    """
    is_counted = photos.select(pl.col("available_at") < as_of).to_series().to_numpy()
    return KeywordMatch.of(_documents(lake, splits, photos), is_counted)


def keyword_texts(keywords: pl.Series) -> pl.DataFrame:
    """Return each distinct keyword and how it is embedded: query (its normal form) and country, which is ""."""
    distinct = keywords.unique().sort()
    return pl.DataFrame(
        {"keyword": distinct, "query": pl.Series(map(normalise_query, distinct), dtype=pl.String)}
    ).with_columns(country=pl.lit(""))


def _documents(lake: Lake, splits: Manifest, photos: pl.DataFrame) -> list[list[str]]:
    keywords = lake.read_table(splits, "photo_keywords", ["photo_id", "keyword"]).group_by("photo_id").agg("keyword")
    joined = photos.join(keywords, on="photo_id", how="left", maintain_order="left")
    return [
        [*(words or []), *([description] if description else [])]
        for words, description in joined.select("keyword", "description").iter_rows()
    ]
