"""The drift of a night: what is counted, what is compared with what, and when nothing is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from jobs.config.params.arms import FULL, ZERO_SHOT
from jobs.config.params.embedding import MeasureDriftParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS, QUERY_EMBEDDINGS, QueryEmbeddingsFacts
from jobs.datasets.evaluation import DRIFT
from jobs.datasets.features import SPLITS
from jobs.errors import BadInput, MissingInput
from jobs.lake.inventory import remove_run
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages import measure_drift
from jobs.stages.measure_drift import PHOTOS, SEARCHES
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables

PARAMS = MeasureDriftParams(sample_count=60, resample_count=399)
LAST = date(2025, 12, 28)
AS_OF = datetime(2025, 12, 29, tzinfo=UTC)
DIM = 6


@dataclass(frozen=True)
class Night:
    """A made-up night of ten days and fourteen weeks. Vectors of the newest lie `moved` to the side."""

    searches: tuple[int, ...] = (60,) * 10  # by day, the newest first; seven of the test window
    photos: tuple[int, ...] = (60,) * 14  # by week
    moved: dict[str, float] = field(default_factory=dict)  # of searches, of photos
    visitors: int | None = None  # of a day, as many as searches if None
    counts: tuple[int, ...] = (10,) * 70  # conversions of each day of the log, the newest last
    uses_country: bool = False


def vectors(newest: pl.Series, by: float, seed: int) -> pl.Series:
    rows_ND = np.random.default_rng(seed).normal(size=(len(newest), DIM)) + 1
    rows_ND[:, 0] += by * newest.to_numpy()
    rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return pl.Series("vector", rows_ND.astype(np.float32)).arr.to_list()


def conversions(queries: list[str], countries: list[str | None], day: int = 0) -> pl.DataFrame:
    """Return searches of different visitors so many days before the newest one."""
    count = len(queries)
    return pl.DataFrame(
        {
            "visitor_id": [f"v{i}" for i in range(count)],
            "query": queries,
            "country": countries,
            "photo_id": ["p0"] * count,
            "converted_at": [AS_OF - timedelta(days=day, hours=1)] * count,
            "conversion_count": [1] * count,
        },
        schema_overrides=dict.fromkeys(["country", "visitor_id", "query", "photo_id"], pl.String)
        | {"converted_at": pl.Datetime("us", "UTC"), "conversion_count": pl.Int64},
    )


def commit_night(context: RunContext, night: Night | None = None, **splits: pl.DataFrame) -> dict[str, Manifest]:
    """Commit what the stage reads of a night."""
    night = night or Night()
    days = [
        conversions([f"{day} query {i}" for i in range(count)], ["GB"] * count, day)
        for day, count in enumerate(night.searches)
    ]
    if night.visitors:
        visitor = pl.Series([f"v{i}" for i in range(night.visitors)])
        days = [
            rows.with_columns(visitor_id=visitor.gather(np.arange(len(rows)) % night.visitors)) if len(rows) else rows
            for rows in days
        ]
    weeks = [
        (f"w{week}p{i}", AS_OF - timedelta(days=7 * week + i % 7, minutes=1), f"of {week} {i}")
        for week, count in enumerate(night.photos)
        for i in range(count)
    ]
    photos = pl.DataFrame(weeks, schema=["photo_id", "submitted_at", "photographer"], orient="row")
    tables = {
        "train": days[-1],
        "validation": pl.concat([conversions([], []), *days[7:]]),
        "test": pl.concat(days[:7]),
        "photos": photos,
    }
    tables |= splits
    made = {"splits": commit_tables(context, SPLITS, tables)}
    inputs = dict(made)
    asked = pl.concat([tables["validation"], tables["test"]])
    newest = pl.col("converted_at") >= AS_OF - timedelta(days=1)
    country_read = pl.col("country").fill_null("") if night.uses_country else pl.lit("").alias("country")
    asked = asked.select("query", country_read, newest=newest)
    asked = asked.unique(["query", "country"], maintain_order=True)
    is_new = photos.select(pl.col("submitted_at") >= AS_OF - timedelta(days=7)).to_series()
    embedded = {
        QUERY_EMBEDDINGS: asked.select("query", "country", vectors(asked["newest"], night.moved.get("searches", 0), 1)),
        PHOTO_EMBEDDINGS: photos.select("photo_id", vectors(is_new, night.moved.get("photos", 0), 2)),
    }
    country = {QUERY_EMBEDDINGS: {"uses_country": night.uses_country}, PHOTO_EMBEDDINGS: {}}
    for dataset, frame in embedded.items():
        arms = {arm: {"model_digest": arm, **country[dataset]} for arm in (ZERO_SHOT, FULL)}
        rows = {"embeddings": pl.concat(frame.with_columns(arm=pl.lit(arm)) for arm in arms)}
        made[dataset.name] = commit_tables(context, dataset, rows, inputs=inputs, facts={"arms": arms})
    made["validated"] = commit_log(context, list(night.counts))
    return made


def commit_log(context: RunContext, counts: list[int]) -> Manifest:
    """Commit a log of so many conversions on each of the last days, the run date the last, and some of the future."""
    days = [context.run_date - timedelta(days=back) for back in reversed(range(len(counts)))]
    days = [day for day, count in zip(days, counts, strict=True) for _ in range(count)]
    days += [context.run_date + timedelta(days=1)] * 99
    at = [datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC) for day in days]
    log = pl.DataFrame({"converted_at": at}, schema={"converted_at": pl.Datetime("us", "UTC")})
    return commit_tables(context, VALIDATED, {"conversions": log})


def measured(
    context: RunContext, night: Night | None = None, **splits: pl.DataFrame
) -> tuple[Manifest, dict[str, Any]]:
    """Return the run of a night and its rows of the table `newest`."""
    commit_night(context, night, **splits)
    manifest = run_stage(context, "measure_drift", PARAMS)
    rows = context.lake.read_table(manifest, "newest").iter_rows(named=True)
    return manifest, {row["vectors"]: row for row in rows}


@pytest.mark.parametrize(("moved", "other"), [(SEARCHES, PHOTOS), (PHOTOS, SEARCHES)])
def test_what_moved_on_the_last_day_is_told_apart_on_the_first_night_already(
    make_context: Contexts, moved: str, other: str
) -> None:
    manifest, found = measured(make_context(), Night(moved={moved.split()[0]: 2.0}))
    assert manifest.facts["not_compared"] == {}
    assert manifest.facts["arm"] == ZERO_SHOT
    assert found[moved]["p_value"] < 0.01 / 3
    assert found[moved]["mmd_squared"] > found[moved]["furthest"] > found[moved]["usual"] > 0
    assert found[other]["p_value"] > 0.05
    assert {(row["count"], row["past_count"]) for row in found.values()} == {(60, 9), (60, 13)}
    assert set(manifest.input_runs) == {"validated", "splits", "query_embeddings", "photo_embeddings"}


def test_the_same_night_again_computes_nothing_and_elsewhere_gives_the_same_bytes(
    make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context()
    first, _ = measured(context)
    remove_run(context.lake, first)
    again = run_stage(make_context(run_id="again"), "measure_drift", PARAMS)
    assert (again.run_id, again.digest) == (first.run_id, first.digest)
    monkeypatch.setattr(measure_drift, "newest_against_past", None)
    assert run_stage(make_context(run_id="and again"), "measure_drift", PARAMS) == again
    assert context.read(DRIFT) == again


@pytest.mark.parametrize(
    ("night", "counts", "not_compared"),
    [
        (Night(searches=(60,) * 4, photos=(60,) * 4), {}, {SEARCHES: "fewer than 4", PHOTOS: "fewer than 4"}),
        (Night(searches=(60, *(25,) * 9)), {PHOTOS: 60}, {SEARCHES: "fewer than 4"}),  # no day is large enough
        (Night(searches=(20, *(60,) * 9)), {SEARCHES: 20, PHOTOS: 60}, {}),  # as many of every day as of the last
        (Night(searches=(0, *(60,) * 9), photos=(0, *(60,) * 13)), {}, {SEARCHES: "there are none", PHOTOS: "there"}),
    ],
)
def test_what_there_is_to_compare_with_decides(
    make_context: Contexts, night: Night, counts: dict[str, int], not_compared: dict[str, str]
) -> None:
    manifest, found = measured(make_context(), night)
    assert {what: row["count"] for what, row in found.items()} == counts
    assert set(manifest.facts["not_compared"]) == set(not_compared)
    assert all(manifest.facts["not_compared"][what].startswith(why) for what, why in not_compared.items())
    assert manifest.facts["last_day_count"] == night.searches[0]


def test_one_search_of_every_visitor_a_day_is_looked_at(make_context: Contexts) -> None:
    _, found = measured(make_context(), Night(visitors=25))
    assert found[SEARCHES]["count"] == 25
    _, found = measured(make_context(), Night(visitors=25, uses_country=True))
    assert found[SEARCHES]["count"] == 25


def test_a_day_whose_queries_are_new_as_those_of_no_day_before_is_told(make_context: Contexts) -> None:
    """Half of a day's searches for queries that nobody ever asked, though about the same things as all others."""
    known, new, country = [f"query {i}" for i in range(60)], [f"new {i}" for i in range(30)], ["GB"] * 60
    days = [conversions([*known[: 58 - day % 2], *new[: 2 + day % 2]], country, day) for day in range(1, 10)]
    before = {"train": conversions(known, country), "validation": pl.concat(days[6:])}
    test = pl.concat([conversions([*known[:30], *new], country), *days[:6]])
    manifest, found = measured(make_context(), **before, test=test)
    queries = manifest.facts["new_queries"]
    assert (queries["share"], queries["usual"]) == (0.5, pytest.approx(23 / 540))
    assert queries["p_value"] < 1e-6
    assert found[SEARCHES]["p_value"] > 0.01 / 4  # their vectors are spread as before
    manifest, _ = measured(make_context(), **before, test=pl.concat(days[:6]))
    assert manifest.facts["new_queries"] is None  # nothing on the last day


def test_what_training_never_had_is_counted(make_context: Contexts) -> None:
    train = conversions(["cat", "dog", "sea"], ["GB", "GB", None])
    test = conversions(["cat", "cat", "mer", "dog", "lac"], ["GB", "FR", "FR", None, ""])
    manifest, _ = measured(make_context(), train=train, validation=train, test=test)
    assert manifest.facts["unseen"] == {"search_count": 5, "query_share": 0.4, "country_share": 0.4}
    assert manifest.facts["unseen_before"] == {"search_count": 3, "query_share": 0.0, "country_share": 0.0}
    manifest, _ = measured(make_context(), train=train, validation=train.clear(), test=test)
    assert manifest.facts["unseen_before"] is None


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


@pytest.mark.parametrize("holes", [1, 3])
def test_days_without_conversions_are_seen_though_the_week_has_enough(make_context: Contexts, holes: int) -> None:
    """Three empty days of seven leave the week's mean above half of what it was: it passed."""
    counts = [90 + i * 7 % 20 for i in range(56)]
    counts[-1 - holes : -1] = [0] * holes
    manifest, _ = measured(make_context(), Night(counts=tuple(counts)))
    found = manifest.facts["conversions"]
    assert found["drop"] < 0.5
    assert found["low_day"]["p_value"] < 0.01 / 3
    assert (found["low_day"]["count"], found["low_day"]["drop"]) == (0, 1)
    assert found["low_day"]["day"] in [str(LAST - timedelta(days=1 + back)) for back in range(holes)]


def test_a_short_log_begins_where_it_begins(make_context: Contexts) -> None:
    context = make_context()
    manifest, _ = measured(context, Night(counts=(5, 0, 7)))
    assert context.lake.read_table(manifest, "days")["conversion_count"].to_list() == [5, 0, 7]
    nothing = dict.fromkeys(("before", "drop", "per_week", "low_day"))
    assert manifest.facts["conversions"] == {"last_week": 4.0, **nothing}


def test_what_is_missing_is_named(make_context: Contexts) -> None:
    context = make_context()
    with raises(MissingInput, "stage_not_run", dataset="validated"):
        run_stage(context, "measure_drift", PARAMS)
    commit_night(context)
    cut = context.lake.read_table(context.read(QUERY_EMBEDDINGS), "embeddings").head(10)
    facts, inputs = QueryEmbeddingsFacts.of(context.read(QUERY_EMBEDDINGS)), {"splits": context.read(SPLITS)}
    commit_tables(context, QUERY_EMBEDDINGS, {"embeddings": cut}, inputs=inputs, facts=facts)
    with raises(BadInput, "vectors_missing", arm="zero_shot", run=context.read(QUERY_EMBEDDINGS).reference):
        run_stage(context, "measure_drift", PARAMS)
