"""A night of any size up to its evaluation: photos, searches, a log and vectors drawn at random, committed to a lake.

    python -m tests.benchmarks.large_night STATE_DIR PHOTOS SEARCHES CONVERSIONS NUMBERS

Photos and queries have topics, so that vectors, keywords and counts each find something. Queries are asked as often as
1 / rank, from countries and devices of different size. `train_reranker` and `evaluate` can follow.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from jobs.config.params.base import Params
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES, VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.features import IMPRESSIONS, SPLITS
from jobs.datasets.models import CHAMPION, SEARCH_MODELS
from jobs.datasets.schema import Dataset
from tests.benchmarks.measuring import context
from tests.made_up_facts import made_up
from tests.validated_lake import commit_tables, complete

ARMS = ("finetuned_country_keywords", "zero_shot")
START, TRAIN_END = datetime(2025, 10, 1, tzinfo=UTC), datetime(2025, 12, 22, tzinfo=UTC)
TEST_START, TEST_END = datetime(2025, 12, 25, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
PHOTOS_PER_FILE, ROWS_PER_FILE, QUERIES_PER_TOPIC = 65_536, 2_000_000, 40
COUNTRIES = [f"{first}{second}" for first in "ABCD" for second in "ABCDE"]
DEVICES = ["mobile", "tablet", "desktop", None]


@dataclass(frozen=True)
class Site:
    """How large the night is."""

    photos: int
    searches: int
    conversions: int
    dim: int

    @property
    def topics(self) -> int:
        """Topics of photos and queries: a hundred photos each."""
        return max(5, self.photos // 100)


def commit_night(ctx: RunContext, site: Site) -> None:
    """Commit what `train_reranker` and `evaluate` read."""
    random = np.random.default_rng(0)
    topic_P = random.integers(0, site.topics, site.photos)
    order = np.argsort(topic_P, kind="stable")
    photos_of = np.split(order, np.searchsorted(topic_P[order], np.arange(1, site.topics)))
    names = [f"p{number:09}" for number in range(site.photos)]
    age = random.integers(0, 300 * 86_400, site.photos)
    is_new = random.random(site.photos) < 0.01  # submitted within the test window
    submitted = np.where(is_new, random.integers(0, 7 * 86_400, site.photos), -10 * 86_400 - age)
    photos = pl.DataFrame({"photo_id": names, "description": [f"photo of topic{topic}" for topic in topic_P.tolist()]})
    photos = photos.with_columns(
        submitted_at=pl.lit(TEST_START) + pl.duration(seconds=pl.Series(submitted)),
        is_in_train=pl.Series(~is_new),
        photographer=pl.lit("somebody"),
    )
    windows = {"train": (START, TRAIN_END), "validation": (TRAIN_END, TEST_START), "test": (TEST_START, TEST_END)}
    counts = {"train": site.conversions, "validation": max(1000, site.searches // 10), "test": site.searches}
    log = {name: _log(random, site, photos_of, submitted, names, counts[name], *windows[name]) for name in windows}
    keywords = _keywords(random, topic_P, names)
    facts = {"train_start": START, "train_end": TRAIN_END, "validation_end": TEST_START, "test_end": TEST_END}
    commit_tables(ctx, SPLITS, log | {"photos": photos, "photo_keywords": keywords}, facts=facts)
    sizes = photos.select("photo_id", width=pl.lit(300), height=pl.lit(200))
    commit_tables(ctx, VALIDATED, {"photos": sizes})
    digest = pl.when(pl.int_range(pl.len()) % 100 == 0).then(pl.lit("one picture")).otherwise("photo_id")
    commit_tables(ctx, IMAGES, {"images": photos.select("photo_id", status=pl.lit("present"), sha256=digest)})
    commit_tables(ctx, IMPRESSIONS, {})
    commit_tables(ctx, CHAMPION, {}, facts={"live": None})
    trained = {"arms": {arm: {"model_digest": arm} for arm in ARMS}, "challenger": ARMS[0]}
    commit_tables(ctx, SEARCH_MODELS, {}, facts=trained)
    center = random.normal(size=(site.topics, site.dim)).astype(np.float32)
    asked = pl.concat([log[name].select("query", "country") for name in ("validation", "test")]).unique()
    _commit_vectors(ctx, PHOTO_EMBEDDINGS, random, pl.DataFrame({"photo_id": names}), center[topic_P])
    asked = asked.sort("query", "country")
    topic_U = asked["query"].str.extract(r"topic(\d+)").cast(pl.Int64).to_numpy()
    _commit_vectors(ctx, QUERY_EMBEDDINGS, random, asked, center[topic_U])


def _log(
    random: np.random.Generator,
    site: Site,
    photos_of: list[np.ndarray],
    submitted: np.ndarray,
    names: list[str],
    count: int,
    start: datetime,
    end: datetime,
) -> pl.DataFrame:
    """Return conversions of one window, in the order of time, of photos that were there."""
    weight = 1 / np.arange(1, site.topics * QUERIES_PER_TOPIC + 1)
    query = random.permutation(len(weight))[random.choice(len(weight), count, p=weight / weight.sum())]
    topic = query // QUERIES_PER_TOPIC
    size = np.array([len(photos) for photos in photos_of])
    within = np.minimum(random.geometric(0.08, count) - 1, np.maximum(size[topic] - 1, 0))
    flat, first = np.concatenate(photos_of), np.cumsum(size) - size
    photo = flat[np.minimum(first[topic] + within, len(flat) - 1)]
    second = np.sort(random.integers(0, int((end - start).total_seconds()), count))
    at = second + int((start - TEST_START).total_seconds())
    at = np.maximum(at, np.minimum(submitted[photo] + 1, int((end - TEST_START).total_seconds()) - 1))
    is_there = submitted[photo] < at
    rows = pl.DataFrame(
        {
            "visitor": random.integers(0, max(10, count // 8), count),
            "query": pl.select(pl.format("topic{} word{}", pl.Series(topic), pl.Series(query % 40))).to_series(),
            "country": np.array(COUNTRIES)[np.minimum(random.geometric(0.3, count) - 1, len(COUNTRIES) - 1)],
            "photo_id": pl.Series(names).gather(photo),
            "at": at,
            "device_type": pl.Series(DEVICES).gather(random.integers(0, len(DEVICES), count)),
        }
    ).filter(pl.Series(is_there))
    return rows.with_columns(
        visitor_id=pl.format("v{}", "visitor"),
        converted_at=pl.lit(TEST_START) + pl.duration(seconds="at"),
        conversion_count=pl.lit(1),
        weight=pl.lit(1.0),
    ).drop("at")


def _keywords(random: np.random.Generator, topic_P: np.ndarray, names: list[str]) -> pl.DataFrame:
    """Return four keywords a photo: its topic, and three words of any."""
    words = random.integers(0, QUERIES_PER_TOPIC, (len(names), 3))
    own = pl.DataFrame({"photo_id": names, "keyword": pl.select(pl.format("topic{}", pl.Series(topic_P))).to_series()})
    columns = [
        pl.DataFrame({"photo_id": names}).with_columns(keyword=pl.format("word{}", pl.Series(words[:, place])))
        for place in range(3)
    ]
    return pl.concat([own, *columns]).with_columns(confidence=pl.lit(1.0)).unique(maintain_order=True)


def _commit_vectors(
    ctx: RunContext, dataset: Dataset, random: np.random.Generator, named: pl.DataFrame, center_ND: np.ndarray
) -> None:
    """Commit unit vectors about the centers, for every arm, in files as a night has them."""
    staged = ctx.begin(dataset, Params(), {}, {"fabricated": dataset.name})
    shard, is_photos = 0, dataset is PHOTO_EMBEDDINGS
    for arm, noise in zip(ARMS, (1.0, 2.0), strict=True):
        for start in range(0, len(named), PHOTOS_PER_FILE if is_photos else ROWS_PER_FILE):
            rows = named.slice(start, PHOTOS_PER_FILE if is_photos else ROWS_PER_FILE)
            center_SD = center_ND[start : start + len(rows)]
            vector_SD = center_SD + noise * random.normal(size=center_SD.shape).astype(np.float32)
            vector_SD /= np.linalg.norm(vector_SD, axis=1, keepdims=True)
            vectors = pl.Series(vector_SD.astype(np.float32), dtype=pl.Array(pl.Float32, vector_SD.shape[1]))
            table = rows.with_columns(arm=pl.lit(arm), vector=vectors.cast(pl.List(pl.Float32)))
            staged.write_table("embeddings", complete(table, dataset.table("embeddings").schema), shard)
            shard += 1
    for table in dataset.tables:
        if table.may_be_empty:
            staged.write_table(table.name, pl.DataFrame(table.schema.empty_table()))
    country = {} if is_photos else {"uses_country": True}
    arms = {arm: {"model_digest": arm, "dim": center_ND.shape[1], **country} for arm in ARMS}
    staged.commit(made_up(dataset.facts, arms=arms))


if __name__ == "__main__":
    commit_night(context(Path(sys.argv[1])), Site(*map(int, sys.argv[2:])))
