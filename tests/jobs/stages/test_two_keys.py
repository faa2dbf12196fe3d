"""Two installations draw two pseudonym keys. On one log they publish equal figures: the key enters no choice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.params.ingest import MeasureImpressionsParams, SplitTemporalParams
from jobs.context import RunContext
from jobs.ingest.rows import pseudonym
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages.compare_retraining import _Night, _table
from tests.conftest import Contexts
from tests.jobs.night_of_tastes import Night as NightOfTastes
from tests.jobs.stages import test_measure_drift as drift
from tests.jobs.stages import test_train_reranker as reranking
from tests.jobs.stages.test_evaluate import PARAMS as EVALUATE
from tests.jobs.stages.test_evaluate import Night
from tests.jobs.stages.test_measure_impressions import measured, row
from tests.jobs.stages.test_train_reranker import night as night
from tests.validated_lake import commit_validated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEYS = (b"one installation", b"another one")


def hidden(ids: pl.Series, key: bytes) -> pl.Series:
    names = {name: pseudonym(name, key) for name in ids.unique()}
    return ids.replace_strict(names, return_dtype=pl.String)


def with_pseudonyms(log: pl.DataFrame, key: bytes) -> pl.DataFrame:
    """Return a table of the splits as an installation has it: ids by its key, numbers by the log."""
    numbers = {name: number for number, name in enumerate(sorted(log["visitor_id"].unique(), key=lambda n: n[::-1]))}
    number = log["visitor_id"].replace_strict(numbers, return_dtype=pl.Int64).alias("visitor")
    return log.with_columns(number, hidden(log["visitor_id"], key).alias("visitor_id"))


def figures(context: RunContext, manifest: Manifest) -> dict[str, pl.DataFrame]:
    """Return a run's tables, in the order of their rows, without pseudonyms and costs."""
    names = [name for name in manifest.tables if name != "costs"]
    return {name: context.lake.read_table(manifest, name).select(pl.exclude("visitor_id")) for name in names}


def assert_equal(found: list[dict[str, pl.DataFrame]]) -> None:
    one, other = found
    assert set(one) == set(other)
    for name, table in one.items():
        assert table.equals(other[name]), name


def test_the_splits_differ_in_nothing_but_the_pseudonyms(spark: SparkSession, make_context: Contexts) -> None:
    random, start = Random(3), datetime(2025, 12, 22, tzinfo=UTC)
    photos = pl.DataFrame({"photo_id": ["a", "b"], "submitted_at": [start - timedelta(days=9)] * 2})
    rows = [  # hours, so that many visitors come at the same instant
        (f"visitor {random.randrange(60)}", random.choice("xy"), "GB", random.choice("ab"), random.randrange(7 * 24))
        for _ in range(300)
    ]
    log = pl.DataFrame(rows, schema=["visitor_id", "query", "country", "photo_id", "hour"], orient="row")
    log = log.select(
        pl.exclude("hour"),
        (pl.lit(start) + pl.duration(hours="hour")).alias("converted_at"),
        source_file=pl.lit("conversions.tsv000"),
        source_line=pl.int_range(2, pl.len() + 2),
        weight=1.0,
    )
    found = []
    for number, key in enumerate(KEYS):
        context = make_context(catalogue=f"installation-{number}")
        own = log.with_columns(hidden(log["visitor_id"], key).alias("visitor_id"))
        commit_validated(context, photos, own, pl.DataFrame({"photo_id": ["a"], "keyword": ["k"]}))
        manifest = run_stage(
            context, "split_temporal", SplitTemporalParams(test_days=2, validation_days=1, train_days=4)
        )
        found.append(figures(context, manifest))
        whole = pl.concat(context.lake.read_table(manifest, name) for name in ("train", "validation", "test"))
        first = whole.group_by("visitor").agg(pl.col("converted_at").min()).sort("visitor")
        assert first["converted_at"].is_sorted()
        assert first["visitor"].to_list() == list(range(whole["visitor_id"].n_unique()))
    assert_equal(found)


def test_arms_intervals_and_the_reranker_are_the_same(night: Night, make_context: Contexts) -> None:
    logs = {name: getattr(night, name) for name in ("train", "validation", "test")}
    night.split_facts["max_ranked_searches"] = 100
    found = []
    for number, key in enumerate(KEYS):
        night.context = make_context(catalogue=f"installation-{number}")
        for name, log in logs.items():
            setattr(night, name, with_pseudonyms(log, key))
        context, reranker = reranking.trained(night)
        manifest = run_stage(context, "evaluate", EVALUATE)
        assert manifest.facts["reranker_note"] == ""
        found.append(figures(context, reranker) | figures(context, manifest))
    assert_equal(found)


def test_recommenders_ask_about_and_learn_from_the_same_visitors(make_context: Contexts) -> None:
    params = EvaluateRecommendersParams(
        methods=("popularity", "als", "sasrec", "two_tower"),
        protocols=("folds", "leave_cold"),
        protocol_methods=("popularity", "als"),
        max_visitor_count=5,
        two_tower_passes=1,
        sasrec_passes=1,
    )
    found = []
    for number, key in enumerate(KEYS):
        made = NightOfTastes(make_context(catalogue=f"installation-{number}"))
        made.names = [pseudonym(name, key) for name in made.names]
        context = made.commit()
        found.append(figures(context, run_stage(context, "evaluate_recommenders", params)))
    assert_equal(found)


def test_drift_looks_at_the_same_searches(make_context: Contexts) -> None:
    days = [drift.conversions([f"{day} query {n // 3}" for n in range(180)], ["GB"] * 180, day) for day in range(10)]
    who = pl.Series([f"v{n % 70}" for n in range(180)])
    days = [rows.with_columns(visitor_id=who) for rows in days]
    found = []
    for number, key in enumerate(KEYS):
        context = make_context(catalogue=f"installation-{number}")
        test, validation = (with_pseudonyms(pl.concat(part), key) for part in (days[:7], days[7:]))
        drift.commit_night(context, test=test, validation=validation)
        found.append(figures(context, run_stage(context, "measure_drift", drift.PARAMS)))
    assert_equal(found)


def test_what_was_shown_is_measured_on_the_same_resamples(make_context: Contexts) -> None:
    random, found = Random(5), []
    shown = [
        row(f"v{random.randrange(40)}", random.choice("abc"), place, random.choice(("click", "shown")), day % 9)
        for day in range(60)
        for place in (1, 2, 3)
    ]
    for number, key in enumerate(KEYS):
        context = make_context(catalogue=f"installation-{number}")
        own = [{**one, **{name: pseudonym(one[name], key) for name in ("visitor_id", "query_id")}} for one in shown]
        found.append(figures(context, measured(context, own, MeasureImpressionsParams(place_count=3))))
    assert_equal(found)


def test_nights_that_are_compared_know_visitors_again() -> None:
    random = np.random.default_rng(0)
    names = pl.Series("visitor_id", [f"v{number}" for number in random.integers(0, 30, 100)])
    words = pl.Series([f"q{number}" for number in random.integers(0, 9, 100)])
    ranks = {way: random.integers(1, 30, 100) for way in ("incremental", "full")}

    def table(hide: Callable[[pl.Series], pl.Series]) -> pl.DataFrame:
        parts = (slice(60), slice(60, None))
        asked = [hide(names[part]).to_frame().with_columns(query=words[part]) for part in parts]
        tasks: list[Any] = [SimpleNamespace(queries=queries) for queries in asked]
        ranked = [{way: rank[part] for way, rank in ranks.items()} for part in parts]
        nights = [_Night(f"night {n}", task, own, {}) for n, (task, own) in enumerate(zip(tasks, ranked, strict=True))]
        trainings = {way: SimpleNamespace(pairs_seen=1, seconds=1.0) for way in ranks}
        for one in nights:
            one.trainings.update(trainings)  # type: ignore[arg-type]
        return _table(nights)

    one, other = (table(lambda ids, key=key: hidden(ids, key)) for key in KEYS)
    assert one.equals(other)
    everybody_alone = table(lambda ids: pl.Series("visitor_id", [f"{id(ids)} {n}" for n in range(len(ids))]))
    assert not one["low"].equals(everybody_alone["low"])
