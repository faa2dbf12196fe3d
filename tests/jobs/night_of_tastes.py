"""A made-up night of two tastes, for what recommends: who is of which taste, so what is right, is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from jobs.config.params.arms import FULL
from jobs.context import RunContext
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.datasets.features import SPLITS
from jobs.datasets.models import SEARCH_MODELS
from models.search.keywords import KeywordVocabulary
from models.search.model import build_tiny_model
from tests.jobs.embedding_fixtures import SIZES
from tests.validated_lake import commit_tables

BEFORE, TEST_START, TEST_END = (datetime(2025, 12, day, tzinfo=UTC) for day in (1, 22, 29))
PHOTOS, VISITORS, HAD = 60, 12, 6
IDS = [f"photo-{i:02}" for i in range(PHOTOS)]
NEW = 2
"""Photos, the last ones, that were submitted when the test window began, so that nobody took them before."""


def conversions(rows: list[tuple[int, int]], start: datetime, names: list[str]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["visitor", "number"], orient="row")
    return frame.select(
        pl.Series("visitor_id", [names[visitor] for visitor, _ in rows]),
        "visitor",
        pl.lit("something").alias("query"),
        pl.Series("photo_id", [IDS[number] for _, number in rows]),
        pl.when(pl.col("visitor") < 3).then(pl.lit("JP")).otherwise(pl.lit("GB")).alias("country"),
        pl.Series("converted_at", [start + timedelta(minutes=n) for n in range(len(rows))], pl.Datetime("us", "UTC")),
        pl.lit(1, pl.Int64).alias("conversion_count"),
    )


class Night:
    """Even photos are of one taste and odd ones of the other, and so are visitors; visitor 11 comes for the first time.

    In the test window everybody takes all photos of the own taste that are left.
    """

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.names = [f"v{visitor:02}" for visitor in range(VISITORS)]
        self.past = [(v, (v + 2 * ((v // 2 * 3 + n) % 29)) % 58) for v in range(VISITORS - 1) for n in range(HAD)]
        had = set(self.past)
        self.test = [(v, i) for v in range(VISITORS) for i in range(v % 2, PHOTOS, 2) if (v, i) not in had]
        self.missing: set[int] = set()

    def commit(self) -> RunContext:
        vocabulary = KeywordVocabulary(("even", "odd"), 2)
        model = build_tiny_model(seed=2, uses_country=True, vocabulary=vocabulary, **SIZES)
        photos = pl.DataFrame({"photo_id": IDS, "description": [f"a thing {i}" for i in range(PHOTOS - 1)] + [None]})
        is_new = pl.int_range(pl.len()) >= PHOTOS - NEW
        submitted_at = pl.when(is_new).then(pl.lit(TEST_START)).otherwise(pl.lit(BEFORE)).cast(pl.Datetime("us", "UTC"))
        photos = photos.with_columns(submitted_at=submitted_at, is_in_train=~is_new)
        words = [(photo, ("even", "odd")[i % 2], 0.9) for i, photo in enumerate(IDS)]
        cut = len(self.past) - 5
        tables = {
            "train": conversions(self.past[:cut], BEFORE, self.names),
            "validation": conversions(self.past[cut:], BEFORE + timedelta(days=10), self.names),
            "test": conversions(self.test, TEST_START, self.names),
            "photos": photos,
            "photo_keywords": pl.DataFrame(words, schema=["photo_id", "keyword", "confidence"], orient="row"),
        }
        windows = {"train_start": BEFORE, "train_end": TEST_START, "validation_end": TEST_START, "test_end": TEST_END}
        facts = windows | {"protocol": "windows"}
        commit_tables(self.context, SPLITS, tables, facts=facts)
        arms = {FULL: {"model_digest": model.digest}}
        folders = {FULL: model.save}
        commit_tables(self.context, SEARCH_MODELS, facts={"arms": arms, "challenger": FULL}, folders=folders)
        random = np.random.default_rng(0)
        axis = np.eye(32)[np.arange(PHOTOS) % 2] + 0.05 * random.normal(size=(PHOTOS, 32))
        axis /= np.linalg.norm(axis, axis=1, keepdims=True)
        vectors = pl.DataFrame({"arm": [FULL] * PHOTOS, "photo_id": IDS}).with_columns(
            pl.Series("vector", axis.tolist(), dtype=pl.List(pl.Float32))
        )
        is_there = pl.Series([i not in self.missing for i in range(PHOTOS)])
        embedded = {"embeddings": vectors.filter(is_there)}
        commit_tables(self.context, PHOTO_EMBEDDINGS, embedded, facts={"arms": arms})
        return self.context
