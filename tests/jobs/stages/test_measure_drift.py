"""The drift of a night: what is counted, with which night and by which model it is compared, and when it is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from jobs.config.params.arms import CHAMPION_ARM, FULL, ZERO_SHOT
from jobs.config.params.embedding import MeasureDriftParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS, QueryEmbeddingsFacts
from jobs.datasets.evaluation import DRIFT
from jobs.datasets.features import SPLITS
from jobs.errors import BadInput, MissingInput
from jobs.evaluation.drift_inputs import Pair, same_model
from jobs.lake.inventory import remove_run
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages import measure_drift
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables

PARAMS = MeasureDriftParams(sample_count=200, resample_count=100)
LAST = date(2025, 12, 28)
DIM = 6


@dataclass(frozen=True)
class Night:
    """A made-up night. Its searches' vectors lie around `searches`, its photos' around `photos`."""

    models: dict[str, str] | None = None  # digest by arm
    searches: float = 0.0
    photos: float = 0.0
    search_count: int = 300
    protocol: str = "windows"
    uses_country: bool = False
    seed: int = 0


def vectors(count: int, by: float, seed: int) -> pl.Series:
    rows_ND = np.random.default_rng(seed).normal(size=(count, DIM)) + 1
    rows_ND[:, 0] += by
    rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return pl.Series("vector", rows_ND.astype(np.float32)).arr.to_list()


def conversions(queries: list[str], countries: list[str | None]) -> pl.DataFrame:
    count = len(queries)
    return pl.DataFrame(
        {
            "visitor_id": [f"v{i}" for i in range(count)],
            "query": queries,
            "country": countries,
            "photo_id": "p0",
            "converted_at": [datetime(2025, 12, 20, tzinfo=UTC)] * count,
            "conversion_count": [1] * count,
        },
        schema_overrides={"country": pl.String},
    )


def commit_night(context: RunContext, night: Night | None = None, **splits: pl.DataFrame) -> dict[str, Manifest]:
    """Commit what the stage reads of one night."""
    night = night or Night()
    models = night.models or {ZERO_SHOT: "base", FULL: f"{context.run_date}"}
    queries = [f"{night.seed} query {i}" for i in range(night.search_count)]
    log = conversions(queries, ["GB"] * night.search_count)
    tables = {"train": log, "test": log, **splits}
    made = {"splits": commit_tables(context, SPLITS, tables, facts={"protocol": night.protocol})}
    inputs = dict(made)
    asked = tables["test"].select("query", country=pl.col("country").fill_null("")).unique(maintain_order=True)
    if not night.uses_country:
        asked = asked.select("query", country=pl.lit("")).unique(maintain_order=True)
    query_vectors = asked.with_columns(vectors(len(asked), night.searches, 1 + night.seed))
    photos = pl.DataFrame({"photo_id": [f"p{i}" for i in range(400)]})
    photo_vectors = photos.with_columns(vectors(400, night.photos, 2 + night.seed))
    arms = {arm: {"model_digest": digest} for arm, digest in models.items()}
    asked_arms = {arm: facts | {"uses_country": night.uses_country} for arm, facts in arms.items()}
    for dataset, frame, facts in (
        (QUERY_EMBEDDINGS, query_vectors, asked_arms),
        (PHOTO_EMBEDDINGS, photo_vectors, arms),
    ):
        rows = {"embeddings": pl.concat(frame.with_columns(arm=pl.lit(arm)) for arm in models)}
        made[dataset.name] = commit_tables(context, dataset, rows, inputs=inputs, facts={"arms": facts})
    made["validated"] = commit_log(context, [10] * 70)
    return made


def commit_log(context: RunContext, counts: list[int]) -> Manifest:
    """Commit a log of so many conversions on each of the last days, the run date the last, and some of the future."""
    days = [context.run_date - timedelta(days=back) for back in reversed(range(len(counts)))]
    days = [day for day, count in zip(days, counts, strict=True) for _ in range(count)]
    days += [context.run_date + timedelta(days=1)] * 99
    at = [datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC) for day in days]
    log = pl.DataFrame({"converted_at": at}, schema={"converted_at": pl.Datetime("us", "UTC")})
    return commit_tables(context, VALIDATED, {"conversions": log})


def two_nights(make_context: Contexts, earlier: Night | None = None, tonight: Night | None = None) -> RunContext:
    """Commit a night three days ago and tonight."""
    commit_night(make_context(run_date=LAST - timedelta(days=3)), earlier or Night(seed=100))
    context = make_context()
    commit_night(context, tonight or Night())
    return context


def shifts(context: RunContext, manifest: Manifest) -> dict[str, dict[str, Any]]:
    rows = context.lake.read_table(manifest, "shifts").iter_rows(named=True)
    return {row["vectors"]: row for row in rows}


def test_vectors_of_the_same_base_are_compared_and_what_moved_is_told_apart(make_context: Contexts) -> None:
    context = two_nights(make_context, tonight=Night(searches=2.0))
    manifest = run_stage(context, "measure_drift", PARAMS)
    facts, found = manifest.facts, shifts(context, manifest)
    assert (facts["earlier_run_date"], facts["note"]) == ("2025-12-25", "")
    assert (facts["arm"], facts["earlier_arm"], facts["model_digest"]) == (ZERO_SHOT, ZERO_SHOT, "base")
    assert found["searches"]["p_value"] < 0.02
    assert 0.05 < found["searches"]["low"] < found["searches"]["mmd_squared"] < found["searches"]["high"]
    assert found["searches"]["mean_cosine"] < 0.95
    assert found["photos"]["p_value"] > 0.05
    assert abs(found["photos"]["mmd_squared"]) < 0.01
    assert found["photos"]["mean_cosine"] > 0.99
    assert {(row["count"], row["earlier_count"]) for row in found.values()} == {(200, 200)}
    assert set(manifest.input_runs) >= {"earlier_splits", "earlier_query_embeddings", "earlier_photo_embeddings"}


def test_the_same_night_again_computes_nothing_and_elsewhere_gives_the_same_bytes(
    make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = two_nights(make_context)
    first = run_stage(context, "measure_drift", PARAMS)
    remove_run(context.lake, first)
    again = run_stage(make_context(run_id="again"), "measure_drift", PARAMS)
    assert (again.run_id, again.digest) == (first.run_id, first.digest)
    monkeypatch.setattr(measure_drift, "embedding_shift", None)
    assert run_stage(make_context(run_id="and again"), "measure_drift", PARAMS) == again
    assert run_stage(make_context(), "measure_drift", PARAMS).night == "again"
    assert context.read(DRIFT) == again


def test_the_first_night_has_nothing_to_compare_with(make_context: Contexts) -> None:
    context = make_context()
    commit_night(context)
    commit_night(make_context(run_date=LAST + timedelta(days=1)))  # a later night is none before
    manifest = run_stage(context, "measure_drift", PARAMS)
    assert manifest.row_counts["shifts"] == 0
    assert manifest.facts["note"] == "no earlier night by this protocol has vectors to compare with"
    assert (manifest.facts["earlier_unseen"], manifest.facts["earlier_run_date"], manifest.facts["arm"]) == (None,) * 3


def test_two_models_are_never_compared(make_context: Contexts) -> None:
    other = Night(models={ZERO_SHOT: "another base", FULL: "another"})
    context = two_nights(make_context, earlier=other)
    manifest = run_stage(context, "measure_drift", PARAMS)
    assert manifest.row_counts["shifts"] == 0
    assert manifest.facts["note"].startswith("the night of 2025-12-25 has another base and shares no model")
    assert manifest.facts["model_digest"] is None
    assert manifest.facts["earlier_unseen"]["query_share"] == 0  # queries compare all the same


def test_an_arm_whose_photos_and_queries_are_of_two_models_is_not_compared(make_context: Contexts) -> None:
    context = two_nights(make_context)
    facts = {"arms": {ZERO_SHOT: {"model_digest": "newer"}}}
    frame = context.lake.read_table(context.read(PHOTO_EMBEDDINGS), "embeddings").filter(arm=ZERO_SHOT)
    inputs = {"splits": context.read(SPLITS)}
    commit_tables(context, PHOTO_EMBEDDINGS, {"embeddings": frame}, inputs=inputs, facts=facts)
    assert run_stage(context, "measure_drift", PARAMS).row_counts["shifts"] == 0


def test_a_pair_is_found_by_its_model_and_the_base_comes_first() -> None:
    assert same_model({FULL: "x", ZERO_SHOT: "b"}, {FULL: "x", ZERO_SHOT: "b"}) == Pair(ZERO_SHOT, ZERO_SHOT, "b")
    assert same_model({ZERO_SHOT: "new", CHAMPION_ARM: "x"}, {ZERO_SHOT: "old", FULL: "x"}) == Pair(
        CHAMPION_ARM, FULL, "x"
    )
    assert same_model({ZERO_SHOT: "b"}, {CHAMPION_ARM: "b", ZERO_SHOT: "b"}) == Pair(ZERO_SHOT, ZERO_SHOT, "b")
    assert same_model({ZERO_SHOT: "new", FULL: "y"}, {ZERO_SHOT: "old", FULL: "x"}) is None


def test_yesterdays_model_that_is_live_now_is_compared_by_its_own_vectors(make_context: Contexts) -> None:
    live = Night(models={ZERO_SHOT: "old base", FULL: "m"}, uses_country=True, seed=100)
    context = two_nights(
        make_context, live, Night(models={ZERO_SHOT: "new base", CHAMPION_ARM: "m"}, uses_country=True, searches=2.0)
    )
    manifest = run_stage(context, "measure_drift", PARAMS)
    assert (manifest.facts["arm"], manifest.facts["earlier_arm"]) == (CHAMPION_ARM, FULL)
    assert shifts(context, manifest)["searches"]["p_value"] < 0.02


def test_nights_of_another_protocol_and_unfinished_ones_are_passed_over(make_context: Contexts) -> None:
    for days, night in ((7, Night(seed=100)), (6, Night(protocol="80/20"))):
        commit_night(make_context(run_date=LAST - timedelta(days=days)), night)
    for days, dataset in ((2, QUERY_EMBEDDINGS), (1, PHOTO_EMBEDDINGS)):
        begun = make_context(run_date=LAST - timedelta(days=days))
        of_before = commit_night(begun)[dataset.name]
        splits = commit_night(begun, train=conversions(["new"], ["GB"]))["splits"]
        begun.lake.point_to(of_before)  # one of the two has run again, the other has not
        assert of_before.input_runs["splits"] != splits.reference
    only_queries = make_context(run_date=LAST - timedelta(days=5))
    remove_run(only_queries.lake, commit_night(only_queries)[PHOTO_EMBEDDINGS.name])
    context = make_context()
    commit_night(context)
    assert run_stage(context, "measure_drift", PARAMS).facts["earlier_run_date"] == "2025-12-21"


def test_what_training_never_had_is_counted(make_context: Contexts) -> None:
    train = conversions(["cat", "dog", "sea"], ["GB", "GB", None])
    test = conversions(["cat", "cat", "mer", "dog", "lac"], ["GB", "FR", "FR", None, ""])
    context = make_context()
    commit_night(context, train=train, test=test)
    unseen = run_stage(context, "measure_drift", PARAMS).facts["unseen"]
    assert unseen == {"search_count": 5, "query_share": 0.4, "country_share": 0.4}


def test_a_night_is_compared_with_the_shares_of_the_earlier_one(make_context: Contexts) -> None:
    commit_night(make_context(run_date=LAST - timedelta(days=1)), test=conversions(["new"] * 30, ["GB"] * 30))
    context = make_context()
    commit_night(context)
    facts = run_stage(context, "measure_drift", PARAMS).facts
    assert (facts["unseen"]["query_share"], facts["earlier_unseen"]["query_share"]) == (0.0, 1.0)


def test_one_search_of_every_visitor_is_looked_at_and_few_are_too_few(make_context: Contexts) -> None:
    context = two_nights(make_context)
    one = conversions([f"0 query {i}" for i in range(300)], ["GB"] * 300)
    commit_night(context, test=one.with_columns(visitor_id=pl.Series([f"v{i % 25}" for i in range(300)])))
    assert shifts(context, run_stage(context, "measure_drift", PARAMS))["searches"]["count"] == 25
    commit_night(context, replace(Night(), seed=7), test=one.with_columns(visitor_id=pl.lit("v")))
    manifest = run_stage(context, "measure_drift", PARAMS)
    assert set(shifts(context, manifest)) == {"photos"}
    assert manifest.facts["note"] == "fewer than 20 searches of one night are too few to compare"


def test_conversions_per_day_are_those_before_the_night_ended_and_days_without_any_count(
    make_context: Contexts,
) -> None:
    context = make_context()
    commit_night(context)
    counts = [40 - i for i in range(28)]
    counts[14] = 0
    commit_log(context, [500, *counts])
    manifest = run_stage(context, "measure_drift", PARAMS.model_copy(update={"trend_weeks": 4}))
    days = context.lake.read_table(manifest, "days")
    assert days["conversion_date"].to_list() == [LAST - timedelta(days=back) for back in reversed(range(28))]
    assert days["conversion_count"].to_list() == counts
    found, before = manifest.facts["conversions"], sum(counts[:21]) / 21
    assert (found["last_week"], found["before"]) == (16, pytest.approx(before))
    assert found["drop"] == pytest.approx(1 - 16 / before)
    assert found["per_week"] == pytest.approx(-7 / 26.5)
    assert days["trend"].is_sorted(descending=True)


def test_a_short_log_begins_where_it_begins(make_context: Contexts) -> None:
    context = make_context()
    commit_night(context)
    commit_log(context, [5, 0, 7])
    manifest = run_stage(context, "measure_drift", PARAMS)
    assert context.lake.read_table(manifest, "days")["conversion_count"].to_list() == [5, 0, 7]
    assert manifest.facts["conversions"] == {"last_week": 4.0, "before": None, "drop": None, "per_week": None}


def test_what_is_missing_is_named(make_context: Contexts) -> None:
    context = make_context()
    with raises(MissingInput, "stage_not_run", dataset="validated"):
        run_stage(context, "measure_drift", PARAMS)
    context = two_nights(make_context)
    cut = context.lake.read_table(context.read(QUERY_EMBEDDINGS), "embeddings").head(10)
    facts, inputs = QueryEmbeddingsFacts.of(context.read(QUERY_EMBEDDINGS)), {"splits": context.read(SPLITS)}
    commit_tables(context, QUERY_EMBEDDINGS, {"embeddings": cut}, inputs=inputs, facts=facts)
    with raises(BadInput, "vectors_missing", arm="zero_shot", run=context.read(QUERY_EMBEDDINGS).reference):
        run_stage(context, "measure_drift", PARAMS)
