"""The arm `trending`: the scores of the night's model with recent conversions mixed in, as a site knows them by then.

Every other arm knows what was there when the night began. This one also knows the conversions of the test window that
lie before a search, up to the last time the site counted them (every `trend_refresh_hours`); how much they weigh is
tuned on the validation window, where the model has seen no answers either. The evaluation by query asks as of the
beginning of the window, since it judges by the conversions of all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.config.params.evaluation import EvaluateParams
from jobs.datasets.evaluation import TrendingFacts, TunedTrend
from jobs.datasets.features import SplitsFacts
from jobs.evaluation.by_query import Judgements
from jobs.evaluation.integers import integers, microseconds
from jobs.evaluation.ranking_task import Task, of_some_visitors, read_task
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.ranking import Availability, Ints, Scorer
from models.evaluation.segments import is_rising
from models.evaluation.trending import HOUR, Conversions, Searches, mixed_ranks, tune

_WINDOWS = ("train", "validation", "test")
_DAY = 24 * HOUR


@dataclass(frozen=True)
class Past:
    """The conversions that the searches of a task may know, counted for their words and for their photos."""

    by_words: Conversions
    by_photo: Conversions
    words_U: Ints  # number of each text's words, the same in every country; from 1 on
    refresh: int  # microseconds from one count to the next

    @classmethod
    def read(cls, lake: Lake, splits: Manifest, task: Task, refresh_hours: int) -> Past:
        """Return the conversions of all windows of photos that are in the task's corpus."""
        words = task.texts.select("query").unique().sort("query").with_row_index("words", offset=1)
        columns = ["query", "photo_id", "converted_at"]
        rows = pl.concat([lake.read_table(splits, name, columns) for name in _WINDOWS])
        rows = rows.join(task.photos.select("photo_id", "place"), on="photo_id")
        rows = rows.with_columns(all=pl.lit(0))

        def counted(events: pl.DataFrame, key: str) -> Conversions:
            return Conversions(
                integers(events[key]), integers(events["place"]), integers(events["converted_at"]), len(task.photos)
            )

        return cls(
            by_words=counted(rows.join(words, on="query"), "words"),
            by_photo=counted(rows, "all"),
            words_U=integers(task.texts.join(words, on="query", how="left", maintain_order="left")["words"]),
            refresh=refresh_hours * HOUR,
        )

    def searches(self, task: Task, rows: Ints) -> Searches:
        """Return some of the task's searches, knowing what had been counted when they were asked."""
        text, asked_at = task.text_ids[rows], task.asked_at[rows]
        return Searches(text, self.words_U[text], task.targets[rows], asked_at, self._counted_at(asked_at))

    def judged(self, judgements: Judgements, known_until: int) -> Searches:
        """Return the judgements as searches that know what was there at one instant."""
        text = judgements.text_ids
        return Searches(
            text, self.words_U[text], judgements.targets, judgements.asked_at, np.full(len(text), known_until)
        )

    def is_rising(self, task: Task, splits: Manifest) -> NDArray[np.bool_]:
        """Tell of every search whether its words were asked for far more on the day before than in training, (Q,)."""
        words_Q, now_Q = self.words_U[task.text_ids], self._counted_at(task.asked_at)
        start, end = (np.full(len(now_Q), microseconds(bound)) for bound in SplitsFacts.of(splits).windows["train"])
        usual_Q = self.by_words.between(words_Q, start, end) / max((end[0] - start[0]) / _DAY, 1)
        return is_rising(self.by_words.between(words_Q, now_Q - _DAY, now_Q), usual_Q)

    def _counted_at(self, asked_at_Q: Ints) -> Ints:
        return asked_at_Q // self.refresh * self.refresh


@dataclass(frozen=True)
class Trending:
    """The arm's ranks of the photos converted, (Q,), and judged, (N,), and what it is; None where it is left out."""

    ranks: tuple[NDArray[np.int32], NDArray[np.int32]] | None
    facts: TrendingFacts

    @classmethod
    def find(
        cls,
        lake: Lake,
        splits: Manifest,
        task: Task,
        past: Past,
        judgements: Judgements,
        load: Callable[[Task], tuple[Scorer, Availability]],
        params: EvaluateParams,
    ) -> Trending:
        """Tune the arm on validation searches and rank the test window's.

        `load` gives the model's scorer, and which photos the searches could be shown.
        """
        if not params.trend_tuning_searches:
            return cls(None, TrendingFacts(note="left out: trend_tuning_searches is 0"))
        tuning = read_task(lake, splits, "validation")
        rows = integers(of_some_visitors(tuning.queries, params.trend_tuning_searches)["query_id"])
        if not len(rows):
            return cls(None, TrendingFacts(note="the validation window has no searches to tune it on"))
        before = Past.read(lake, splits, tuning, params.trend_refresh_hours)
        scorer, availability = load(tuning)
        mixture, rates = tune(scorer, before.searches(tuning, rows), before.by_words, before.by_photo, availability)
        beginning = microseconds(SplitsFacts.of(splits).validation_end)
        scorer, availability = load(task)
        rank_Q, rank_N = (
            mixed_ranks(scorer, asked, past.by_words, past.by_photo, availability, [mixture])[0]
            for asked in (past.searches(task, np.arange(len(task.targets))), past.judged(judgements, beginning))
        )
        tuned = TunedTrend(
            refresh_hours=params.trend_refresh_hours,
            half_life_hours=mixture.half_life_hours,
            query_weight=mixture.query_weight,
            photo_weight=mixture.photo_weight,
            tuning_count=len(rows),
            tuned_hit_rate=rates[mixture],
            hit_rate_alone=next(rate for one, rate in rates.items() if one.query_weight == one.photo_weight == 0),
        )
        return cls((rank_Q, rank_N), TrendingFacts(tuned=tuned))
