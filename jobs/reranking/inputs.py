"""The second stage of a window's searches, read from the lake as of the window's beginning. Checked, not judged.

One cutoff per window: the validation searches, from which the reranker learns, know the training window; the test
searches know training and validation, as the counting baselines do. Nothing that happened inside a window is a
feature of that window's searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from jobs.datasets.embeddings import QueryEmbeddingsFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import EventsCheck, SearchModelsFacts
from jobs.errors import GateFailed
from jobs.evaluation.arm_plan import check_arm
from jobs.evaluation.availability import read_availability
from jobs.evaluation.integers import integers, microseconds
from jobs.evaluation.ranking_task import Task
from jobs.evaluation.scorers import keyword_match_scorer, model_scorer
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.ranking import Ints
from models.rerank.features import ORIENTATIONS, Photos, Searches
from models.rerank.history import DEVICES, Events, History
from models.rerank.rows import SecondStage

MODELS = "reranker/"
EVENTS_CHECK = "events_before_cutoff"
_KNOWN = {"validation": ("train",), "test": ("train", "validation")}
"""The windows whose conversions are known when a window begins."""


@dataclass(frozen=True)
class Arms:
    """The vector arms of a second stage: candidates come from `base`, the others only give features."""

    base: str
    others: tuple[str, ...]
    uses_country: dict[str, bool]

    @property
    def all(self) -> tuple[str, ...]:
        """Every arm, the base first."""
        return (self.base, *self.others)

    @classmethod
    def of(cls, inputs: dict[str, Manifest]) -> Arms:
        """Return the night's trained arms, the challenger as base; `NightlensError` if one is unfinished."""
        trained = SearchModelsFacts.of(inputs["search_models"])
        for arm in trained.arms:
            check_arm(inputs, arm)
        embedded = QueryEmbeddingsFacts.of(inputs["query_embeddings"]).arms
        others = tuple(sorted(set(trained.arms) - {trained.challenger}))
        return cls(trained.challenger, others, {arm: embedded[arm].uses_country for arm in trained.arms})


def read_second_stage(
    lake: Lake, inputs: dict[str, Manifest], task: Task, arms: Arms, half_life_days: float, max_missing_share: float
) -> tuple[SecondStage, EventsCheck]:
    """Return the second stage of the task's window, and what its check of the events found.

    `GateFailed` names the check if an event lies at or past the cutoff, which is the beginning of the window.
    """
    splits = inputs["splits"]
    cutoff = SplitsFacts.of(splits).windows[task.window][0]
    columns = ["query", "country", "photo_id", "device_type", "converted_at"]
    events = pl.concat([lake.read_table(splits, name, columns) for name in _KNOWN[task.window]])
    found = check_events(events, cutoff)
    scorers = {
        arm: model_scorer(lake, inputs, arms.uses_country[arm], task, arm, max_missing_share)[0] for arm in arms.all
    }
    searches, numbered, country_count = _number(task, events)
    stage = SecondStage(
        text=task.text_ids,
        target=task.targets,
        searches=searches,
        photos=Photos(task.available_at, _aspects(lake, inputs["validated"], task)),
        availability=read_availability(lake, inputs, task),
        history=History.of(numbered, microseconds(cutoff), task.available_at, country_count, half_life_days),
        base=arms.base,
        scorers=scorers,
        keyword_scorer=keyword_match_scorer(lake, splits, task),
    )
    return stage, found


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


def _number(task: Task, events: pl.DataFrame) -> tuple[Searches, Events, int]:
    """Return searches and events with queries, countries and photos as numbers, and how many countries there are.

    A query nobody asks in this window is -1; events of photos that are not in the corpus are left out.
    """
    asked = task.queries.select("query", "country", "device_type", "orientation_filter")
    events = events.with_columns(pl.col("country").fill_null("")).join(
        task.photos.select("photo_id", "place"), on="photo_id", maintain_order="left"
    )
    queries = task.texts.select("query").unique().sort("query").with_row_index("query_number")
    countries = pl.concat([asked.select("country"), events.select("country")]).unique().sort("country")
    countries = countries.with_row_index("country_number")

    def number(frame: pl.DataFrame) -> pl.DataFrame:
        joined = frame.join(queries, on="query", how="left", maintain_order="left")
        return joined.join(countries, on="country", how="left", maintain_order="left")

    asked, events = number(asked), number(events)
    searches = Searches(
        query=integers(asked["query_number"]),
        country=integers(asked["country_number"]),
        device=_places(asked["device_type"], DEVICES),
        orientation=_places(asked["orientation_filter"], ORIENTATIONS),
        asked_at=task.asked_at,
    )
    past = Events(
        photo=integers(events["place"]),
        query=integers(events["query_number"].cast(pl.Int64).fill_null(-1)),
        country=integers(events["country_number"]),
        device=_places(events["device_type"], DEVICES),
        at=integers(events["converted_at"]),
    )
    return searches, past, len(countries)


def _places(values: pl.Series, known: Sequence[str]) -> Ints:
    """Return each value's place in `known`, -1 for null and for what is not in it."""
    numbers = {name: number for number, name in enumerate(known)}
    return integers(values.replace_strict(numbers, default=-1, return_dtype=pl.Int64).fill_null(-1))


def _aspects(lake: Lake, validated: Manifest, task: Task) -> np.ndarray[Any, np.dtype[np.float64]]:
    sizes = lake.read_table(validated, "photos", ["photo_id", "width", "height"]).unique("photo_id")
    found = task.photos.join(sizes, on="photo_id", how="left", maintain_order="left")
    aspect = pl.when(pl.col("height") > 0).then(pl.col("width") / pl.col("height"))
    return found.select(aspect.cast(pl.Float64).fill_null(np.nan)).to_series().to_numpy()
