"""What is ranked: the queries of a window, and the photos that existed then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.datasets.features import SplitsFacts
from jobs.errors import BadInput
from jobs.evaluation.integers import integers
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.ranking import Ints, tie_order
from models.evaluation.statistics import Clusters
from models.search.counter_random import uniforms

_DRAW = 0x766973  # tells the draw of visitors apart from others by the same hash


@dataclass(frozen=True)
class Task:
    """What is to be ranked: Q queries with U distinct texts, among P photos. Times in microseconds, UTC."""

    window: str
    photos: pl.DataFrame  # the P photos of the corpus in the order that decides ties, `place` numbering them
    queries: pl.DataFrame  # the Q test conversions, `query_id` numbering them
    texts: pl.DataFrame  # the U distinct (query, country), `text` numbering them
    text_ids: Ints  # (Q,) the text of each query
    targets: Ints  # (Q,) the place of the photo converted
    visitors: Ints  # (Q,) their numbers by first appearance in the log
    asked_at: Ints  # (Q,) when the photo was converted
    available_at: Ints  # (P,) when the photo was submitted; by the protocol 80/20 the log's beginning, for all alike

    @property
    def words(self) -> Ints:
        """Numbers of the words of each text, the same in every country, shape (U,)."""
        return integers(self.texts["query"].rank("dense"))

    def clusters(self, is_in_Q: NDArray[np.bool_] | None = None) -> Clusters:
        """Return which of the queries (of some of them) hang together: by visitor, and by words."""
        kept = slice(None) if is_in_Q is None else is_in_Q
        return Clusters.of(self.visitors[kept], self.words[self.text_ids[kept]])


def read_task(lake: Lake, splits: Manifest, window: str = "test") -> Task:
    """Return a window's queries and the corpus as of its end; `BadInput` if a converted photo is not in it.

    By the protocol 80/20 all photos are in it, there from the beginning: every photo is a candidate for every query,
    and nothing that ranks can tell by its time of submission that a photo cannot have been converted.

    Of a test window with more than the splits' `max_ranked_searches` those of some visitors are read: ranking one costs
    a score of every photo, by every arm.
    """
    photos = lake.read_table(splits, "photos", ["photo_id", "submitted_at", "description", "is_in_train"])
    facts = SplitsFacts.of(splits)
    photos = photos.with_columns(available_at=available_at(facts))
    photos = photos.filter(pl.col("available_at") < facts.windows[window][1])
    photos = photos[tie_order(photos["photo_id"].to_list())].with_row_index("place")
    order = ("query", "country", "converted_at", "visitor", "photo_id")
    queries = _read_queries(lake, splits, window, facts.max_ranked_searches)
    queries = queries.with_columns(pl.col("country").fill_null("")).sort(order)
    texts = queries.select("query", "country").unique(maintain_order=True).with_row_index("text")
    is_asked = pl.col("query").is_in(texts["query"].unique().implode())
    seen = pl.concat(rows.filter(is_asked).unique() for rows in lake.table_files(splits, "train", ["query"]))["query"]
    queries = (
        queries.with_row_index("query_id")
        .join(texts, on=["query", "country"], how="left", maintain_order="left")
        .join(photos.select("photo_id", "place", "is_in_train"), on="photo_id", how="left", maintain_order="left")
        .with_columns(pl.col("query").is_in(seen.implode()).alias("is_seen"))
    )
    if unknown := queries["place"].null_count():
        example = queries.filter(pl.col("place").is_null())["photo_id"][0]
        raise BadInput(
            "photos_outside_corpus",
            f"{unknown} of {len(queries)} {window} conversions in {splits.reference} are of photos that are not in its "
            f"corpus, such as {example!r}. Rerun split_temporal.",
            run=splits.reference,
            photo_id=example,
        )
    return Task(
        window=window,
        photos=photos,
        queries=queries,
        texts=texts,
        text_ids=integers(queries["text"]),
        targets=integers(queries["place"]),
        visitors=integers(queries["visitor"]),
        asked_at=integers(queries["converted_at"]),
        available_at=integers(photos["available_at"]),
    )


def _read_queries(lake: Lake, splits: Manifest, window: str, limit: int) -> pl.DataFrame:
    """Return the conversions of a window, of the test window at most `limit`; the others are never held whole."""
    if window != "test":
        return lake.read_table(splits, window)
    visitors = of_some_visitors(lake.read_table(splits, window, ["visitor"]), limit)["visitor"].unique()
    is_kept = pl.col("visitor").is_in(visitors.implode())
    return pl.concat(rows.filter(is_kept) for rows in lake.table_files(splits, window))


def available_at(facts: SplitsFacts) -> pl.Expr:
    """Return since when a photo counts as there: since it was submitted, by the protocol 80/20 since the log begins."""
    if facts.takes_all_photos:
        return pl.lit(facts.train_start, pl.Datetime("us", "UTC"))
    return pl.col("submitted_at")


def of_some_visitors(queries: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Return at most `limit` of the queries: all those of some visitors, of one visitor at least.

    Visitors are taken in their `drawn_order`.
    """
    if len(queries) <= limit:
        return queries
    counts = queries.group_by("visitor").len("count")
    counts = counts[drawn_order(integers(counts["visitor"]))]
    kept = counts.filter((pl.col("count").cum_sum() <= limit) | (pl.int_range(pl.len()) == 0))
    return queries.join(kept, on="visitor", how="semi", maintain_order="left")


def drawn_order(visitor_V: Ints) -> Ints:
    """Return the places of visitors, given by their numbers, in an order as good as drawn, and the same every night.

    The order goes by a hash of the number, so whoever comes later is put in somewhere, and nobody else moves.
    """
    return np.argsort(uniforms(0, _DRAW, 0, visitor_V, 1)[:, 0]).astype(np.int64)
