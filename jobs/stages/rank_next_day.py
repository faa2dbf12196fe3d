"""Stage `rank_next_day`: the day's searches, put to the release of the night before, refitted and not.

This night tests on its day alone, so its tower and its reranker are those that the night before would have made if it
had held no days back. Those with days held back are made by the night so many days earlier: of the night that ended
yesterday with 7 days for the test, training and validation end 7 days earlier than here. See `jobs.reranking.next_day`.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from jobs.config.params.ablation import RankNextDayParams
from jobs.config.params.ingest import WINDOWS
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.all import named
from jobs.datasets.backtest import HELD_BACK, REFITTED, NextDayFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import SearchModelsFacts
from jobs.errors import BadInput
from jobs.evaluation.integers import microseconds
from jobs.evaluation.tables import ranks_table
from jobs.lake.staged_run import StagedRun
from models.windows import Windows

_NIGHT = ("splits", "validated", "images", "search_models")
_OLDER = "older_"


def choose(ctx: RunContext, params: RankNextDayParams, inputs: Inputs) -> Chosen:
    """Read the night whose models are those with days held back; `BadInput` unless the windows are as they must be."""
    earlier = ctx.model_copy(update={"run_date": ctx.run_date - timedelta(days=params.held_back_days)})
    older = {name: earlier.read(named(name)) for name in _NIGHT}
    for night in (inputs, older):
        models, splits = night["search_models"], night["splits"]
        if models.input_runs["splits"] != splits.reference:
            raise BadInput(
                "splits_differ",
                f"{models.reference} was trained on other splits than {splits.reference}: run train_search again",
                runs=[models.reference],
            )
    _check_windows(ctx, params, SplitsFacts.of(inputs["splits"]), SplitsFacts.of(older["splits"]))
    return Chosen({f"{_OLDER}{name}": run for name, run in older.items()})


def run(ctx: RunContext, params: RankNextDayParams, inputs: Inputs, staged: StagedRun) -> NextDayFacts:
    """Write the rank of every search's photo by every arm, and which photos are new to the tower that held back."""
    from jobs.reranking.answering import answering
    from jobs.reranking.next_day import NEWER, OLDER, ask

    newer = {name: inputs[name] for name in _NIGHT}
    nights = {OLDER: {name: inputs[_OLDER + name] for name in _NIGHT}, NEWER: newer}
    with answering(ctx.settings, "rank_next_day", inputs["splits"], staged, params.max_memory_mb) as where:
        found = ask(ctx, params, nights, where)
    staged.write_table("ranks", ranks_table(found.ranks))
    day, seen_until = found.day, found.fits[HELD_BACK].tower_trained_until
    is_new_Q = day.available_at[day.targets] >= microseconds(seen_until)
    query_ids = np.arange(len(day.targets), dtype=np.int64)
    staged.write_table("searches", pl.DataFrame({"query_id": query_ids, "is_new": is_new_Q}))
    models, splits = SearchModelsFacts.of(inputs["search_models"]), SplitsFacts.of(inputs["splits"])
    training = models.arms[models.challenger].training
    return NextDayFacts(
        held_back_days=params.held_back_days,
        validation_days=(splits.validation_end - splits.train_end) // timedelta(days=1),
        search_count=len(day.targets),
        fits=found.fits,
        tower_seconds=0.0 if training is None else training.seconds,
        reranker_seconds=found.reranker_seconds[REFITTED],
    )


def _check_windows(ctx: RunContext, params: RankNextDayParams, own: SplitsFacts, older: SplitsFacts) -> None:
    """Raise `BadInput` unless the night tests on its day alone, and the older one ends as many days earlier."""
    windows, earlier = (
        Windows(one.train_start, one.train_end, one.validation_end, one.test_end) for one in (own, older)
    )
    wanted = windows.held_back(params.held_back_days).boundaries
    names = ("train_start", "train_end", "validation_end")
    is_one_day = own.protocol == WINDOWS and own.windows["test"] == (ctx.as_of - timedelta(days=1), ctx.as_of)
    if not is_one_day or any(earlier.boundaries[name] != wanted[name] for name in names):
        raise BadInput(
            "windows_not_of_a_backtest",
            f"the night of {ctx.run_date} has to test on its day alone, and the night {params.held_back_days} days "
            f"earlier to end training and validation as many days earlier. Run split_temporal of both with --protocol "
            f"{WINDOWS} --test-days 1 and equal other days, and the stages after it (make backtest does).",
            windows={name: edge.isoformat() for name, edge in (windows.boundaries | earlier.boundaries).items()},
        )
