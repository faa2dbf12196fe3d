"""The temporal split against a plain one: nothing leaks, nothing is lost, and the same rows give the same bytes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jobs.adapters.query_engine import query_engine
from jobs.config.params.ingest import EIGHTY_TWENTY, SplitTemporalParams
from jobs.context import RunContext
from jobs.datasets.features import SPLITS
from jobs.errors import MissingInput
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages import split_temporal
from models.windows import Windows, instant
from tests.conftest import Contexts, make_settings
from tests.errors import raises
from tests.validated_lake import LOG_COLUMNS, commit_validated

PARAMS = SplitTemporalParams(test_days=2, validation_days=1, train_days=4)
AS_OF = datetime(2025, 12, 29, tzinfo=UTC)
EDGES = [AS_OF - timedelta(days=days) for days in (7, 3, 2, 0)]
TICKS = [timedelta(microseconds=ticks) for ticks in (-1, 0, 1)]

moments = st.builds(lambda edge, tick: edge + tick, st.sampled_from(EDGES), st.sampled_from(TICKS)) | st.datetimes(
    datetime(2025, 12, 20), datetime(2025, 12, 31), timezones=st.just(UTC)
)
photo_numbers, visitor_numbers = st.integers(0, 3), st.integers(0, 2)
searches = st.tuples(  # device, orientation filter, position
    st.sampled_from((None, "mobile", "tablet")), st.sampled_from((None, "all")), st.sampled_from((None, 1, 12))
)
conversions = st.tuples(
    visitor_numbers, st.sampled_from("ab"), st.sampled_from(("GB", "US")), photo_numbers, moments, searches
)
logs = st.tuples(st.lists(moments, min_size=2, max_size=4), st.lists(conversions, max_size=15))
Search = tuple[str | None, str | None, int | None]
Log = tuple[list[datetime], list[tuple[int, str, str, int, datetime, Search]]]

NOT_SAID: Search = (None, None, None)
WEIGHT = pl.col("position").fill_null(1).cast(pl.Float64).alias("weight")
PHOTOS = pl.DataFrame(
    {
        "photo_id": ["old", "mid", "new", "late"],
        "submitted_at": [datetime(2025, 1, 1, tzinfo=UTC), EDGES[1] - TICKS[2], EDGES[2], AS_OF],
        "description": ["an old one", None, "a new one", "a late one"],
        "ai_description": ["x", "in between", None, None],
        "stats_views": [9, 9, 9, 9],
    }
)
KEYWORDS = pl.DataFrame({"photo_id": ["old", "late"], "keyword": ["age", "future"], "confidence": [0.5, 1.0]})
CONVERSIONS = pl.DataFrame(
    [
        ("v1", "cat", "GB", "old", EDGES[0] - TICKS[2], "tablet", "all", 4),
        ("v1", "cat", "GB", "old", EDGES[0], "mobile", "portrait", 3),
        ("v1", "cat", "GB", "old", EDGES[0] + timedelta(hours=1), "desktop", "all", 1),
        ("v2", "cat", "GB", "old", EDGES[0] + timedelta(hours=2), *NOT_SAID),
        ("v3", "cat", "GB", "mid", EDGES[0], *NOT_SAID),  # before that photo was submitted
        ("v1", "cat", "GB", "old", EDGES[1], *NOT_SAID),
        ("v1", "cat", "GB", "new", EDGES[2], "mobile", "all", 2),
        ("v1", "cat", "GB", "new", EDGES[2], "desktop", "all", 5),  # at the same instant
        ("v1", "cat", "GB", "old", AS_OF - TICKS[2], *NOT_SAID),
        ("v1", "cat", "GB", "old", AS_OF, *NOT_SAID),
        ("v1", "cat", "GB", "late", AS_OF + timedelta(days=1), *NOT_SAID),
    ],
    schema=LOG_COLUMNS,
    orient="row",
).with_columns(WEIGHT, source_file=pl.lit("conversions.tsv000"), source_line=pl.int_range(2, pl.len() + 2))


def split_plainly(log: list[tuple[Any, ...]], submitted: dict[str, datetime]) -> dict[str, set[tuple[object, ...]]]:
    """Split a log row by row: window, then one row per visitor, query, country and photo, the first of its repeats."""
    found: dict[str, dict[tuple[str, ...], list[tuple[Any, ...]]]] = {"train": {}, "validation": {}, "test": {}}
    for *key, converted_at, device, orientation, position, weight in log:
        for name, start, end in zip(found, EDGES, EDGES[1:], strict=False):
            if start <= converted_at < end and submitted[key[-1]] <= converted_at:
                found[name].setdefault(tuple(key), []).append((converted_at, device, orientation, position, weight))
    plain: dict[str, set[tuple[object, ...]]] = {name: set() for name in found}
    for name, key, repeats in ((name, *item) for name, by_key in found.items() for item in by_key.items()):
        converted_at, *search, _ = min(repeats, key=nulls_first)
        heaviest = max(weight for *_, weight in repeats)
        plain[name].add((*key, converted_at, len(repeats), heaviest, *search))
    return plain


def nulls_first(values: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    return [(value is not None, value) for value in values]


def frames_of(cases: list[Log]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return photos and conversions of many logs in one, kept apart by their ids, and a row for every window."""
    photos = [("anchor", EDGES[0])]
    rows = [("anchor", "a", "GB", "anchor", edge, *NOT_SAID) for edge in EDGES[:3]]
    for number, (submissions, log) in enumerate(cases):
        photos += [(f"{number}-p{photo}", at) for photo, at in enumerate(submissions)]
        rows += [
            (f"{number}-v{visitor}", query, country, f"{number}-p{photo % len(submissions)}", at, *search)
            for visitor, query, country, photo, at, search in log
        ]
    return (
        pl.DataFrame(photos, schema=["photo_id", "submitted_at"], orient="row"),
        pl.DataFrame(rows, schema=CONVERSIONS.select(LOG_COLUMNS).schema, orient="row").with_columns(WEIGHT),
    )


def read_rows(ctx: RunContext, manifest: Manifest, table: str) -> list[tuple[object, ...]]:
    return ctx.lake.read_table(manifest, table).select(pl.exclude("visitor")).sort(pl.all()).rows()


@pytest.mark.integration
@settings(
    max_examples=2,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # one example takes seconds: no shrinking
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(cases=st.lists(logs, min_size=15, max_size=30))
def test_the_split_is_the_plain_one_and_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, make_context: Contexts, cases: list[Log]
) -> None:
    ctx = make_context(settings=make_settings(tmp_path_factory.mktemp("state")))
    photos, log = frames_of(cases)
    commit_validated(ctx, photos, log, pl.DataFrame({"photo_id": photos["photo_id"], "keyword": "k"}))
    manifest = run_stage(ctx, "split_temporal", PARAMS)

    submitted = dict(photos.rows())
    plain = split_plainly(log.rows(), submitted)
    for name, expected in plain.items():
        found = read_rows(ctx, manifest, name)
        assert set(found) == expected
        assert len(found) == len(expected)
        assert manifest.facts["conversions"][name] == sum(row[5] for row in found)
    sharded = ctx.lake.read_shards(manifest, "photos")
    shard_of = dict(sharded.select("photo_id", "shard").iter_rows())
    assert manifest.facts["shard_count"] == 8
    assert set(shard_of.values()) == set(range(8))
    for name in ("train", "photo_keywords"):  # what is of one photo lies in the file of its number
        rows = ctx.lake.read_shards(manifest, name, columns=["photo_id"])
        assert len(rows) == manifest.row_counts[name]
        assert all(shard_of[photo_id] == shard for photo_id, shard in rows.iter_rows())
        one = ctx.lake.read_shards(manifest, name, [3], ["photo_id"])
        assert one.equals(rows.filter(shard=3))
    corpus = ctx.lake.read_table(manifest, "photos").sort("photo_id")
    assert {row["photo_id"]: row["is_in_train"] for row in corpus.to_dicts()} == {
        photo_id: at < EDGES[1] for photo_id, at in submitted.items() if at < AS_OF
    }
    assert set(ctx.lake.read_table(manifest, "photo_keywords")["photo_id"]) == set(corpus["photo_id"])
    assert sum(manifest.facts["conversions"].values()) == log.height
    assert sum(manifest.facts["photos_by_age"].values()) == corpus.height


def test_a_small_log_is_split_once_with_its_facts(make_context: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = make_context()
    commit_validated(ctx, PHOTOS, CONVERSIONS, KEYWORDS)
    manifest = run_stage(ctx, "split_temporal", PARAMS)
    assert manifest.facts == {
        "protocol": "windows",
        "shard_count": 8,
        "train_start": "2025-12-22T00:00:00+00:00",
        "train_end": "2025-12-26T00:00:00+00:00",
        "validation_end": "2025-12-27T00:00:00+00:00",
        "test_end": "2025-12-29T00:00:00+00:00",
        "conversions": {
            "before_train": 1,
            "train": 3,
            "validation": 1,
            "test": 3,
            "after_as_of": 2,
            "photo_not_yet_submitted": 1,
        },
        "photos_by_age": {"before_train": 1, "train": 1, "validation": 0, "test": 1},
        "max_ranked_searches": 50_000,
    }
    assert read_rows(ctx, manifest, "train") == [
        ("v1", "cat", "GB", "old", EDGES[0], 2, 3.0, "mobile", "portrait", 3),
        ("v2", "cat", "GB", "old", EDGES[0] + timedelta(hours=2), 1, 1.0, *NOT_SAID),
    ]
    assert read_rows(ctx, manifest, "photos") == [
        ("mid", EDGES[1] - TICKS[2], "in between", None, True),
        ("new", EDGES[2], "a new one", None, False),
        ("old", datetime(2025, 1, 1, tzinfo=UTC), "an old one", None, True),
    ]
    assert read_rows(ctx, manifest, "photo_keywords") == [("old", "age", 0.5)]
    monkeypatch.setattr(split_temporal, "query_engine", None)  # a rerun must not need it
    assert run_stage(ctx, "split_temporal", PARAMS) == manifest


def test_the_same_rows_in_another_order_give_the_same_bytes(
    make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_temporal, "ROWS_PER_FILE", 3)
    digests = []
    for catalogue, order in (("one", slice(None)), ("two", slice(None, None, -1))):
        ctx = make_context(catalogue=catalogue)
        commit_validated(ctx, PHOTOS[order], CONVERSIONS[order], KEYWORDS[order])
        manifest = run_stage(ctx, "split_temporal", PARAMS)
        digests.append(manifest.digest)
    assert digests[0] == digests[1]
    assert len(manifest.tables["photos"].files) > 1


@pytest.mark.parametrize(("run_day", "is_advised"), [(1, False), (2, True)])
def test_the_run_date_that_was_chosen_is_not_advised_again(run_day: int, is_advised: bool) -> None:
    as_of = datetime(2025, 3, run_day + 1, tzinfo=UTC)
    windows = Windows.before(as_of, test_days=7, validation_days=3, train_days=365)
    first, last = (datetime(2025, 3, 1, hour, tzinfo=UTC) for hour in (8, 9))
    log = [{"first_at": first, "last_at": last, "conversion_count": 5}]
    text = split_temporal._empty_windows_message(["train"], windows, log, "shorter windows")
    assert ("another run date (DATE=..., --run-date), such as 2025-03-01, or" in text) == is_advised
    assert text.endswith("shorter windows.")


@pytest.mark.parametrize(
    ("run_date", "empty"), [(date(2026, 3, 1), ["train", "validation", "test"]), (date(2025, 12, 24), ["test"])]
)
def test_an_empty_window_says_what_the_log_has_and_what_to_do(
    make_context: Contexts, run_date: date, empty: list[str]
) -> None:
    ctx = make_context(run_date=run_date)
    commit_validated(ctx, PHOTOS, CONVERSIONS, KEYWORDS)
    with raises(MissingInput, "empty_window", windows=empty) as caught:
        run_stage(ctx, "split_temporal", PARAMS)
    message = str(caught.value)
    assert all(figure in message for figure in ("2025-12-21 23:59:59.999999", "2025-12-30 00:00:00", "11 rows"))
    assert f"{run_date + timedelta(days=1):%Y-%m-%d})" in message
    assert "2025-12-30" in message.replace("2025-12-30 00:00:00", "")  # the day to take
    with raises(MissingInput, "stage_not_run", dataset="splits"):
        ctx.read(SPLITS)


# -- 80/20: cut by number, all photos ----------------------------------------------------------------------


def test_eighty_twenty_cuts_the_log_by_number_and_takes_all_photos(make_context: Contexts) -> None:
    ctx = make_context()
    commit_validated(ctx, PHOTOS, CONVERSIONS, KEYWORDS)
    manifest = run_stage(ctx, "split_temporal", SplitTemporalParams(protocol=EIGHTY_TWENTY, validation_share=0.25))
    # of 8 usable conversions the one at position 6 begins the test, with the one at position 5, which is as late
    assert manifest.facts == {
        "protocol": "80/20",
        "shard_count": 8,
        "train_start": "2025-12-21T23:59:59.999999+00:00",
        "train_end": "2025-12-26T00:00:00+00:00",
        "validation_end": "2025-12-27T00:00:00+00:00",
        "test_end": "2025-12-29T00:00:00+00:00",
        "conversions": {
            "before_train": 0,
            "train": 4,
            "validation": 1,
            "test": 3,
            "after_as_of": 2,
            "photo_not_yet_submitted": 1,
        },
        "photos_by_age": {"before_train": 1, "train": 1, "validation": 0, "test": 1, "after_as_of": 1},
        "max_ranked_searches": 50_000,
    }
    assert read_rows(ctx, manifest, "train") == [
        ("v1", "cat", "GB", "old", EDGES[0] - TICKS[2], 3, 4.0, "tablet", "all", 4),
        ("v2", "cat", "GB", "old", EDGES[0] + timedelta(hours=2), 1, 1.0, *NOT_SAID),
    ]
    assert read_rows(ctx, manifest, "validation") == [("v1", "cat", "GB", "old", EDGES[1], 1, 1.0, *NOT_SAID)]
    assert read_rows(ctx, manifest, "test") == [
        ("v1", "cat", "GB", "new", EDGES[2], 2, 5.0, "desktop", "all", 5),
        ("v1", "cat", "GB", "old", AS_OF - TICKS[2], 1, 1.0, *NOT_SAID),
    ]
    corpus = ctx.lake.read_table(manifest, "photos").sort("photo_id")
    assert corpus.select("photo_id", "is_in_train").rows() == [
        ("late", False),
        ("mid", True),
        ("new", False),
        ("old", True),
    ]
    assert set(read_rows(ctx, manifest, "photo_keywords")) == {("old", "age", 0.5), ("late", "future", 1.0)}


def test_eighty_twenty_may_keep_nothing_aside_but_not_lose_what_it_should_keep(make_context: Contexts) -> None:
    ctx = make_context()
    commit_validated(ctx, PHOTOS, CONVERSIONS, KEYWORDS)
    published = SplitTemporalParams(protocol=EIGHTY_TWENTY, validation_share=0)
    manifest = run_stage(ctx, "split_temporal", published)
    assert manifest.facts["train_end"] == manifest.facts["validation_end"] == "2025-12-27T00:00:00+00:00"
    counts = manifest.facts["conversions"]
    assert (counts["train"], counts["validation"], counts["test"]) == (5, 0, 3)
    assert manifest.row_counts["validation"] == 0
    assert ctx.lake.read_table(manifest, "validation").schema == ctx.lake.read_table(manifest, "train").schema
    with raises(MissingInput, "empty_window", windows=["validation"]):
        run_stage(
            ctx, "split_temporal", published.model_copy(update={"validation_share": 0.1})
        )  # one row, as late as the test
    early = make_context(run_date=date(2025, 12, 1))
    commit_validated(early, PHOTOS, CONVERSIONS, KEYWORDS)
    with raises(MissingInput, "nothing_to_cut"):
        run_stage(early, "split_temporal", published)


@pytest.mark.parametrize("share", ["0", "0.1", "0.33"])
def test_both_queries_cut_where_a_plain_sort_does(make_context: Contexts, share: str) -> None:
    random = Random(share)
    submitted = {"a": AS_OF - timedelta(days=90), "b": AS_OF - timedelta(days=10)}
    log = [  # quarters of hours, so that many are equal
        (random.choice("ab"), AS_OF - timedelta(days=30) + timedelta(minutes=15) * random.randrange(3000))
        for _ in range(2000)
    ]
    times = sorted(at for photo_id, at in log if submitted[photo_id] <= at < AS_OF)
    cuts = [int((Fraction("0.8") - kept) * len(times)) for kept in (Fraction(share), 0)]
    photos = pl.DataFrame({"photo_id": list(submitted), "submitted_at": list(submitted.values())})
    conversions = pl.DataFrame(log, schema=["photo_id", "converted_at"], orient="row")
    with query_engine(make_context().settings, "test", 0) as engine:
        views = {"photos": engine.frame(photos), "conversions": engine.frame(conversions)}
        for query in ("split_quantiles", "audit_quantiles"):
            cut = engine.run(query, views, as_of=AS_OF, validation_share=float(share))
            [row] = engine.collect(cut).to_dicts()
            ends = [instant(row[name]) for name in ("train_end", "validation_end")]
            assert ends == [times[cut] for cut in cuts], query
            assert instant(row["train_start"]) == min(at for _, at in log)
