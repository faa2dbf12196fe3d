"""The tables of a search, made of a night's splits as of an instant. Checked: nothing of them is of a later time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import EventsCheck
from jobs.embedding.located_arm import LocatedArm
from jobs.embedding.short_vectors import short_vectors
from jobs.errors import GateFailed
from jobs.evaluation.availability import picture_numbers
from jobs.evaluation.integers import integers, microseconds
from jobs.evaluation.keywords import keyword_match
from jobs.evaluation.ranking_task import available_at
from jobs.evaluation.text_vectors import texts_of_arm
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.reranking.photo_keywords import read_photo_keywords
from models.evaluation.ranking import Availability, Ints, tie_order
from models.keyword_match import token_ids
from models.rerank.features import Photos
from models.rerank.history import DEVICES, Events, History
from models.rerank.likeness import country_tastes
from models.rerank.live import Catalogue, Taken
from models.rerank.pasts import Pasts
from models.rerank.photo_keywords import PhotoKeywords
from models.rerank.tables import Conversions, SearchTables

EVENTS_CHECK = "events_before_cutoff"
ALL_WINDOWS = ("train", "validation", "test")


def read_tables(
    lake: Lake,
    inputs: dict[str, Manifest],
    photos: pl.DataFrame,
    short_PK: NDArray[np.float16],
    keywords: PhotoKeywords,
    windows: Sequence[str],
    as_of: datetime,
    half_life_days: float,
    asked: Sequence[str] | None = None,
) -> tuple[SearchTables, EventsCheck]:
    """Return the tables of photos (photo_id, description, available_at, in the order that decides ties).

    `short_PK` are their short vectors and `keywords` their keywords.
    Conversions are those of some `windows` of the splits, read a file at a time; those of queries that are not `asked`,
    if these are given, count for photos alone. `GateFailed` names the check if one is not before `as_of`.
    """
    places = photos.select("photo_id").with_row_index("place")
    known = _Known.read(lake, inputs["splits"], windows, places, as_of, asked)
    available_at = integers(photos["available_at"])
    query, queries = _numbered(known.queries, token_ids(known.queries))
    country, countries = _numbered(known.countries, np.array(known.countries, dtype=np.str_))
    history: History | None = None
    for rows in _conversions(lake, inputs["splits"], windows):
        past = _events(rows.join(places, on="photo_id", maintain_order="left"), query, country)
        found = History.of(past, microseconds(as_of), available_at, len(countries), half_life_days)
        history = found if history is None else history.joined(found, available_at)
    assert history is not None  # a table has a file at least
    pairs = history.by_photo_country
    is_dated = not SplitsFacts.of(inputs["splits"]).takes_all_photos
    tables = SearchTables(
        photos=Photos(available_at, _aspects(lake, inputs["validated"], photos), short_PK, keywords, is_dated),
        history=history,
        keywords=keyword_match(lake, inputs["splits"], photos, as_of),
        queries=queries,
        countries=countries,
        tastes=country_tastes(pairs.keys, pairs.sums[:, 0], short_PK, len(countries)),
    )
    return tables, known.check


@dataclass(frozen=True)
class _Known:
    """The queries (those that are asked, if these are given) and countries of conversions, and that all are past."""

    queries: list[str]
    countries: list[str]
    check: EventsCheck

    @classmethod
    def read(
        cls,
        lake: Lake,
        splits: Manifest,
        windows: Sequence[str],
        places: pl.DataFrame,
        as_of: datetime,
        asked: Sequence[str] | None,
    ) -> _Known:
        queries, countries, checks = set[str](), set[str](), []
        for rows in _conversions(lake, splits, windows):
            checks.append(check_events(rows, as_of))
            counted = rows.join(places, on="photo_id", how="semi")
            queries |= set(counted["query"].unique())
            countries |= set(counted["country"].unique())
        kept = queries if asked is None else queries & set(asked)
        count = sum(one.event_count for one in checks)
        return cls(sorted(kept), sorted(countries), checks[0].model_copy(update={"event_count": count}))


def read_pasts(
    lake: Lake, splits: Manifest, photos: pl.DataFrame, windows: Sequence[str], as_of: datetime, visitor_Q: Ints
) -> Pasts:
    """Return what some visitors, by their numbers in the log, took of the photos in some windows, before `as_of`."""
    places = photos.select("photo_id").with_row_index("place")
    rows = _taken(lake, splits, windows, as_of, pl.Series("visitor", np.unique(visitor_Q))).join(places, on="photo_id")
    visitor, place, at = (integers(rows[name]) for name in ("visitor", "place", "converted_at"))
    return Pasts.of(visitor, place, token_ids(rows["query"].to_list()), at, microseconds(as_of), len(photos))


def read_taken(
    lake: Lake, splits: Manifest, windows: Sequence[str], as_of: datetime, visitor_ids: Sequence[str]
) -> dict[str, tuple[Taken, ...]]:
    """Return what some visitors, by their pseudonyms, took in some windows before `as_of`, oldest first."""
    rows = _taken(lake, splits, windows, as_of, pl.Series("visitor_id", list(set(visitor_ids))))
    rows = rows.sort("converted_at", "photo_id", "query")
    return {
        str(visitor_id): tuple(Taken(*row) for row in own.select("photo_id", "query").iter_rows())
        for (visitor_id,), own in rows.partition_by("visitor_id", as_dict=True).items()
    }


def _taken(lake: Lake, splits: Manifest, windows: Sequence[str], as_of: datetime, visitors: pl.Series) -> pl.DataFrame:
    """Return the conversions before `as_of` of visitors, who are named or numbered in the column of this name."""
    columns, asked = [visitors.name, "query", "photo_id", "converted_at"], visitors.to_frame()
    parts = (
        rows.join(asked, on=visitors.name, how="semi").filter(pl.col("converted_at") < as_of)
        for name in windows
        for rows in lake.table_files(splits, name, columns)
    )
    return pl.concat(parts)


def _conversions(lake: Lake, splits: Manifest, windows: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Yield the conversions of windows, a file at a time."""
    for name in windows:
        for rows in lake.table_files(splits, name, ["query", "country", "photo_id", "device_type", "converted_at"]):
            yield rows.with_columns(pl.col("country").fill_null(""))


def _events(rows: pl.DataFrame, query: dict[str, int], country: dict[str, int]) -> Events:
    """Return conversions by number."""
    return Events(
        photo=integers(rows["place"]),
        query=integers(rows["query"].replace_strict(query, default=-1, return_dtype=pl.Int64)),
        country=integers(rows["country"].replace_strict(country, return_dtype=pl.Int64)),
        device=_devices(rows["device_type"]),
        at=integers(rows["converted_at"]),
    )


def read_catalogue(
    lake: Lake,
    inputs: dict[str, Manifest],
    arm: str,
    half_life_days: float,
    windows: Sequence[str] = ALL_WINDOWS,
    as_of: datetime | None = None,
) -> Catalogue:
    """Return the photos of the night's index, which is of `arm`, with all that windows tell of them `as_of` an instant.

    By default that is all that was known when the night ended.
    """
    facts = SplitsFacts.of(inputs["splits"])
    indexed = lake.read_table(inputs["photo_index"], "ids", ["photo_id"])
    photos = lake.read_table(inputs["splits"], "photos", ["photo_id", "submitted_at", "description"])
    photos = photos.join(indexed, on="photo_id", how="semi").with_columns(available_at=available_at(facts))
    photos = photos[tie_order(photos["photo_id"].to_list())]
    located = LocatedArm.of(lake, inputs["photo_embeddings"], arm, photos.with_row_index("place"), 1.0)
    embedded = partial(texts_of_arm, lake, inputs["query_embeddings"], arm)
    keywords = read_photo_keywords(lake, inputs["splits"], photos, embedded)
    end = as_of or facts.test_end
    tables, _ = read_tables(lake, inputs, photos, short_vectors(located), keywords, windows, end, half_life_days)
    numbers = picture_numbers(lake, inputs["images"], photos)
    shown = Availability(tables.photos.available_at, picture=numbers)
    return Catalogue.of(photos["photo_id"].to_list(), shown.pictures, tables)


def conversions_of(events: pl.DataFrame, place_E: Ints) -> Conversions:
    """Return conversions (query, country, device_type) of photos that have these places, as counts take them."""
    return Conversions(
        photo=place_E,
        query=token_ids(events["query"].to_list()),
        country=events["country"].fill_null("").to_numpy().astype(np.str_),
        device=_devices(events["device_type"]),
    )


def check_events(events: pl.DataFrame, cutoff: datetime) -> EventsCheck:
    """Return what the check found; `GateFailed` if an event (`converted_at`) is not before the cutoff."""
    late = events.filter(pl.col("converted_at") >= cutoff)
    if len(late):
        raise GateFailed(
            "event_past_cutoff",
            f"check {EVENTS_CHECK!r} failed: {len(late)} of {len(events)} conversions that features are made from lie "
            f"at or past their cutoff {cutoff.isoformat()}, such as one at {late['converted_at'][0]}. The reranker "
            f"would know the future: run split_temporal and audit_leaks again.",
            check=EVENTS_CHECK,
            late_count=len(late),
            cutoff=cutoff.isoformat(),
        )
    return EventsCheck(check=EVENTS_CHECK, status="passed", event_count=len(events), cutoff=cutoff)


def _numbered(values: Sequence[str], ids: NDArray[Any]) -> tuple[dict[str, int], NDArray[Any]]:
    """Return the number of each value and the ascending ids that are so numbered; `ids` are those of `values`."""
    order = np.argsort(ids)
    return {values[place]: number for number, place in enumerate(order)}, ids[order]


def _devices(values: pl.Series) -> Ints:
    numbers = {name: number for number, name in enumerate(DEVICES)}
    return integers(values.replace_strict(numbers, default=-1, return_dtype=pl.Int64).fill_null(-1))


def _aspects(lake: Lake, validated: Manifest, photos: pl.DataFrame) -> NDArray[np.float64]:
    sizes = lake.read_table(validated, "photos", ["photo_id", "width", "height"]).unique("photo_id")
    found = photos.select("photo_id").join(sizes, on="photo_id", how="left", maintain_order="left")
    aspect = pl.when(pl.col("height") > 0).then(pl.col("width") / pl.col("height"))
    return found.select(aspect.cast(pl.Float64).fill_null(np.nan)).to_series().to_numpy()
