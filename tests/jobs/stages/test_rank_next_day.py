"""A day asks the release of the night before, refitted and not: on a toy series of two nights, two days apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from jobs.config.params.ablation import RankNextDayParams
from jobs.config.params.arms import FULL
from jobs.config.params.training import TrainRerankerParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.backtest import HELD_BACK, REFITTED, RERANKER_REFITTED, NextDayFacts
from jobs.datasets.clean import VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS
from jobs.datasets.features import SPLITS
from jobs.datasets.models import SEARCH_MODELS, SearchModelsFacts
from jobs.errors import BadInput, GateFailed, MissingInput
from jobs.evaluation.integers import microseconds
from jobs.evaluation.keywords import keyword_texts
from jobs.evaluation.ranking_task import Task, read_task
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.reranking import next_day
from jobs.reranking.answering import Answering
from jobs.reranking.inputs import WindowSearch
from jobs.reranking.learned_order import candidate_rows
from jobs.reranking.next_day import NEWER, OLDER, ask
from jobs.reranking.reranked_arm import Reranked
from jobs.training.arms import load_model
from jobs.training.inputs import open_pixels, read_photos
from jobs.training.variants import photo_matrix, text_matrix
from models.rerank.learning import Rows
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.stages.test_train_reranker import answering_in
from tests.training_lake import BASE_PARAMS, SEARCH_PARAMS, commit_images, commit_splits, conversions
from tests.validated_lake import commit_tables

pytestmark = pytest.mark.integration

HELD = 2
LEARNING = {
    "candidate_count": 10,
    "min_search_count": 10,
    "rounds": 5,
    "min_rows_per_leaf": 2,
    "max_missing_share": 0.1,
}
PARAMS = RankNextDayParams(held_back_days=HELD, **LEARNING)
NIGHT = ("splits", "validated", "images", "search_models")


def asked(start: datetime, shades: tuple[int, ...] = (0, 1), repeats: int = 1) -> pl.DataFrame:
    """Conversions by eight visitors, minute by minute from an instant."""
    rows = conversions(shades, repeats).with_row_index("minute")
    return rows.select(
        pl.exclude("minute"),
        visitor_id=pl.format("v{}", pl.col("minute") % 8),
        converted_at=pl.lit(start) + pl.duration(minutes="minute"),
    )


def train(ctx: RunContext) -> None:
    run_stage(ctx, "train_base", BASE_PARAMS)
    run_stage(ctx, "train_search", SEARCH_PARAMS.model_copy(update={"arms": (FULL,), "epochs": 1}))


class Series:
    """The night of the day that asks, and the one before it whose models have not seen the days held back."""

    def __init__(self, last: RunContext, folder: Path) -> None:
        self.newer, self.folder = last, folder
        self.older = last.model_copy(update={"run_date": last.run_date - timedelta(days=HELD)})

    def splits(self, ctx: RunContext, **tables: Any) -> Manifest:
        """A day of test after a day of validation; both nights train as many days."""
        test_start, end = ctx.as_of - timedelta(days=1), ctx.as_of - timedelta(days=2)
        windows: dict[str, Any] = {"protocol": "windows", "train_start": end - timedelta(days=300)}
        given = {"validation": asked(end), "test": asked(test_start, (0, 1, 2))} | tables
        return commit_splits(ctx, facts=windows | given.pop("facts", {}), **given)

    def commit(self, older: dict[str, Any] | None = None, **newer: Any) -> RunContext:
        """Commit both nights; what is given replaces tables and facts of their splits."""
        for ctx, changes in ((self.older, older or {}), (self.newer, newer)):
            self.splits(ctx, **changes)
            commit_images(ctx, self.folder)
            commit_tables(ctx, VALIDATED)
            train(ctx)
        return self.newer

    def inputs(self, ctx: RunContext) -> dict[str, Manifest]:
        return {name: ctx.read(named(name)) for name in NIGHT}


@pytest.fixture
def series(make_context: Contexts, tmp_path: Path) -> Series:
    return Series(make_context(), tmp_path / "photos")


@pytest.mark.quick
def test_no_arm_has_seen_the_day_or_what_was_held_back(series: Series) -> None:
    ctx = series.commit()
    manifest = run_stage(ctx, "rank_next_day", PARAMS)
    facts = NextDayFacts.of(manifest)
    day, held_back = ctx.as_of - timedelta(days=1), timedelta(days=HELD)
    assert (facts.held_back_days, facts.validation_days, facts.search_count) == (HELD, 1, 48)
    assert {fit.check.cutoff for fit in facts.fits.values()} == {day}
    assert {fit.check.event_count for fit in facts.fits.values()} == {64 + 32}  # train and validation
    until = {
        arm: (fit.tower_trained_until, fit.tower_selected_until, fit.reranker_trained_until)
        for arm, fit in facts.fits.items()
    }
    before = (day - timedelta(days=1) - held_back, day - held_back)
    assert until == {
        HELD_BACK: (*before, day - held_back),
        RERANKER_REFITTED: (*before, day),
        REFITTED: (day - timedelta(days=1), day, day),
    }
    for night in (series.older, series.newer):  # what these instants say is what the trainings had at hand
        reach = SearchModelsFacts.of(night.read(SEARCH_MODELS)).reach
        assert reach is not None
        assert reach.latest_conversion_at < night.as_of - timedelta(days=2)
    ranks = ctx.lake.read_table(manifest, "ranks")
    assert ranks.group_by("arm").len().sort("arm").rows() == [(arm, 48) for arm in sorted(until)]
    searches = ctx.lake.read_table(manifest, "searches")
    photos = read_task(ctx.lake, ctx.read(SPLITS)).queries["photo_id"]
    assert searches["is_new"].to_list() == [photo.endswith("-2") for photo in photos]
    assert run_stage(ctx, "rank_next_day", PARAMS) == manifest


@pytest.mark.quick
def test_a_conversion_of_the_day_is_refused_as_knowledge(series: Series) -> None:
    day = series.newer.as_of - timedelta(days=1)
    ctx = series.commit(validation=pl.concat([asked(day - timedelta(days=1)), asked(day)]))
    with raises(GateFailed, "event_past_cutoff"):
        run_stage(ctx, "rank_next_day", PARAMS)


def embed(ctx: RunContext, inputs: dict[str, Manifest], tasks: list[Task]) -> None:
    """Commit the vectors that the night's embedding stages would."""
    models = inputs["search_models"]
    model, photos = load_model(ctx, models, FULL), read_photos(ctx.lake, inputs["splits"], inputs["images"])
    with open_pixels(photos, model, ctx.settings.state_dir) as pixels:
        photo_PD, _ = photo_matrix(model, tasks[-1], photos, pixels)
    arm = pl.lit(FULL).alias("arm")

    def column(matrix: np.ndarray) -> pl.Series:
        return pl.Series("vector", matrix.tolist(), dtype=pl.List(pl.Float32))

    keywords = keyword_texts(ctx.lake.read_table(inputs["splits"], "photo_keywords")["keyword"])
    texts = pl.concat(
        [texts.select("query", "country") for texts in (*(task.texts for task in tasks), keywords)]
    ).unique()
    own = {"model_digest": SearchModelsFacts.of(models).arms[FULL].model_digest, "dim": photo_PD.shape[1]}
    rows = {
        PHOTO_EMBEDDINGS: tasks[-1].photos.select("photo_id").with_columns(column(photo_PD), arm),
        QUERY_EMBEDDINGS: texts.with_columns(column(text_matrix(model, texts)), arm),
    }
    for (dataset, table), more in zip(rows.items(), ({}, {"uses_country": True}), strict=True):
        commit_tables(ctx, dataset, {"embeddings": table}, facts={"arms": {FULL: own | more}})


def test_the_refitted_arm_is_what_the_stages_of_a_night_make(series: Series) -> None:
    misled = asked(series.older.as_of - timedelta(days=4), repeats=2)
    ctx = series.commit(older={"train": misled.with_columns(pl.col("query").shift(4, fill_value="red"))})
    inputs = series.inputs(ctx)
    tasks = [read_task(ctx.lake, inputs["splits"], window) for window in ("validation", "test")]
    embed(ctx, inputs, tasks)
    run_stage(ctx, "train_reranker", TrainRerankerParams(**LEARNING))
    whole = inputs | {name: ctx.read(named(name)) for name in ("reranker", "photo_embeddings", "query_embeddings")}
    where = answering_in(ctx)
    expected, _ = Reranked.read(ctx.lake, whole, tasks[1], where).ranks(where)
    found = ask(ctx, PARAMS, {OLDER: series.inputs(series.older), NEWER: inputs}, where)
    np.testing.assert_array_equal(found.ranks[REFITTED], expected)
    assert all((found.ranks[arm] != expected).any() for arm in (HELD_BACK, RERANKER_REFITTED))


def test_each_reranker_learns_from_its_own_window(series: Series, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, handed = series.commit(), []

    def spy(search: WindowSearch, task: Task, where: Answering) -> Rows:
        handed.append((search.check.cutoff, task.asked_at.min(), task.asked_at.max()))
        return candidate_rows(search, task, where)

    monkeypatch.setattr(next_day, "candidate_rows", spy)
    run_stage(ctx, "rank_next_day", PARAMS)
    day, hours = ctx.as_of - timedelta(days=1), timedelta(hours=24)
    ends = [day - timedelta(days=HELD), day, day]  # in the order of the arms
    assert [cutoff for cutoff, _, _ in handed] == [end - hours for end in ends]
    for (_, first, last), end in zip(handed, ends, strict=True):
        assert microseconds(end - hours) <= first <= last < microseconds(end)


def test_nights_that_are_no_series_are_refused(series: Series) -> None:
    ctx = series.commit()
    with raises(MissingInput, "stage_not_run", dataset="splits"):
        run_stage(ctx, "rank_next_day", PARAMS.model_copy(update={"held_back_days": 3}))
    series.splits(series.older, facts={"validation_end": series.older.as_of - timedelta(hours=36)})
    with raises(BadInput, "splits_differ"):
        run_stage(ctx, "rank_next_day", PARAMS)
    train(series.older)
    with raises(BadInput, "windows_not_of_a_backtest"):
        run_stage(ctx, "rank_next_day", PARAMS)


@pytest.mark.parametrize("facts", [{"protocol": "80/20"}, {"validation_end": datetime(2025, 12, 27, 12, tzinfo=UTC)}])
def test_a_night_that_tests_on_more_than_its_day_is_refused(series: Series, facts: dict[str, Any]) -> None:
    ctx = series.commit(facts=facts)
    with raises(BadInput, "windows_not_of_a_backtest"):
        run_stage(ctx, "rank_next_day", PARAMS)


def test_what_cannot_be_compared_ends_the_stage(series: Series) -> None:
    ctx = series.commit()
    with raises(MissingInput, "too_few_searches", needed_count=1000):
        run_stage(ctx, "rank_next_day", PARAMS.model_copy(update={"min_search_count": 1000}))
    commit_images(ctx, series.folder, "red-0", "blue-1")
    with raises(BadInput, "vectors_missing", missing_count=2):
        run_stage(ctx, "rank_next_day", PARAMS.model_copy(update={"max_missing_share": 0.01}))
    with pytest.raises(ValidationError):
        RankNextDayParams(when_too_few="leave_out")
