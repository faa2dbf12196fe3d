"""measure_impressions: rows of one impression become one, windows are kept to, and a known bias is found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from jobs.config.params.ingest import MeasureImpressionsParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.features import SPLITS
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from tests.conftest import Contexts
from tests.validated_lake import commit_tables

START = datetime(2025, 12, 1, tzinfo=UTC)
TRAIN_END = datetime(2025, 12, 20, tzinfo=UTC)
PARAMS = MeasureImpressionsParams(place_count=4, resample_count=50)
EXAMINATION = np.array([1.0, 0.5, 0.25, 0.2])


def row(who: str, photo: str, place: int, done: str, day: int = 0, **changes: Any) -> dict[str, Any]:
    values = {
        "shown_at": START + timedelta(days=day),
        "visitor_id": who,
        "query_id": f"search of {who}",
        "query": "cat",
        "country": "GB",
        "photo_id": photo,
        "position": place,
        "interaction": done,
        "arm": "old",
    }
    return values | changes


def measured(ctx: RunContext, rows: list[dict[str, Any]], params: MeasureImpressionsParams = PARAMS) -> Manifest:
    log = pl.DataFrame(rows, schema_overrides={"position": pl.Int32, "dwell_seconds": pl.Float64})
    validated = commit_tables(ctx, VALIDATED, {"impressions": log})
    facts = {"train_start": START.isoformat(), "train_end": TRAIN_END.isoformat()}
    commit_tables(ctx, SPLITS, inputs={"validated": validated}, facts=facts)
    return run_stage(ctx, "measure_impressions", params)


def test_several_rows_of_one_impression_are_one(make_context: Contexts) -> None:
    ctx = make_context()
    rows = [
        row("u", "a", 1, "shown"),
        row("u", "a", 1, "click", dwell_seconds=3.0),
        row("u", "a", 1, "download", dwell_seconds=8.0),
        row("u", "b", 2, "shown"),
        row("u", "c", 3, "dislike"),
        row("v", "a", 2, "shown", arm="new"),
        # two lists of a photo have no id: their time tells them apart
        row("v", "b", 1, "click", query_id=None, query=None, query_photo_id="a", arm="new"),
        row("v", "b", 1, "shown", 1, query_id=None, query=None, query_photo_id="a", arm="new"),
    ]
    manifest = measured(ctx, rows)
    rates = ctx.lake.read_table(manifest, "rates")
    whole = rates.filter(pl.col("position").is_null())
    assert whole.select("arm", "shown_count", "visitor_count", "taken_count").rows() == [
        (None, 6, 2, 2),
        ("new", 3, 1, 1),
        ("old", 3, 1, 1),
    ]
    assert whole.select("taken_share", "dwell_count", "dwell_seconds").row(0) == (pytest.approx(1 / 3), 1, 8.0)
    first = rates.filter(pl.col("arm").is_null(), pl.col("position") == 1)
    assert first.select("shown_count", "taken_count").row(0) == (3, 2)
    assert ctx.lake.read_table(manifest, "pairs").rows() == [
        ("cat", "GB", "a", 1, 1, 1),
        ("cat", "GB", "a", 2, 1, 0),
        ("cat", "GB", "b", 2, 1, 0),
        ("cat", "GB", "c", 3, 1, 0),
    ]
    assert (manifest.facts["list_count"], manifest.facts["visitor_count"]) == (4, 2)


def test_a_query_of_nothing_visible_is_no_query(make_context: Contexts) -> None:
    ctx = make_context()
    rows = [row("u", "a", 1, "shown", query=""), row("u", "b", 2, "shown"), row("v", "a", 1, "shown", query="")]
    manifest = measured(ctx, rows)
    assert ctx.lake.read_table(manifest, "pairs").select("query", "photo_id").rows() == [("cat", "b")]


def test_training_learns_nothing_of_what_came_after_its_window(make_context: Contexts) -> None:
    ctx = make_context()
    days = {"before": -1, "first": 0, "last": 18, "validation": 19, "test": 27, "after": 28}
    rows = [row(name, name, 1, "click", day) for name, day in days.items()]
    manifest = measured(ctx, rows)
    assert ctx.lake.read_table(manifest, "pairs")["photo_id"].to_list() == ["first", "last"]
    assert manifest.facts["impression_count"] == 4
    assert manifest.facts["window_count"] == 2
    assert manifest.facts["note"].startswith("nothing was shown for one query at several places")
    assert ctx.lake.read_table(manifest, "examination").is_empty()


def test_what_was_taken_after_the_window_was_not_taken_for_training(make_context: Contexts) -> None:
    ctx = make_context()
    rows = [row("u", "a", 1, "shown", 18), row("u", "a", 1, "download", 20), row("v", "a", 1, "click", 18)]
    manifest = measured(ctx, rows)
    assert ctx.lake.read_table(manifest, "pairs").rows() == [("cat", "GB", "a", 1, 2, 1)]
    assert ctx.lake.read_table(manifest, "rates")["taken_count"].to_list() == [2, 2]


def test_where_people_look_is_found_again(make_context: Contexts) -> None:
    ctx = make_context()
    random = np.random.default_rng(0)
    appeal = random.beta(2, 2, 40)
    rows = []
    for number in range(3000):
        shown = random.permutation(40)[:4]
        taken = random.random(4) < appeal[shown] * EXAMINATION
        for place, (photo, done) in enumerate(zip(shown.tolist(), taken.tolist(), strict=True), start=1):
            word = "click" if done else "shown"
            rows.append(row(f"v{number % 700}", f"p{photo}", place, word, query_id=f"s{number}"))
    manifest = measured(ctx, rows)
    found = ctx.lake.read_table(manifest, "examination")
    assert manifest.facts["note"] == ""
    assert found["position"].to_list() == [1, 2, 3, 4]
    assert found["examination"].to_numpy() == pytest.approx(EXAMINATION, rel=0.12)
    assert (found["low"].to_numpy() <= EXAMINATION * 1.05).all()  # one of three intervals of 95 % just misses it
    assert (found["high"].to_numpy() >= EXAMINATION * 0.95).all()
    assert run_stage(ctx, "measure_impressions", PARAMS) == manifest


def test_a_first_place_that_was_shown_and_never_taken_tells_of_no_place(make_context: Contexts) -> None:
    """Training that asks for weights by place then says `examination_unknown`, as without such a log."""
    ctx = make_context()
    rows = [row("u", "a", 1, "shown"), row("v", "a", 2, "click"), row("w", "a", 2, "shown")]
    manifest = measured(ctx, rows)
    assert ctx.lake.read_table(manifest, "examination").is_empty()
    assert manifest.facts["note"].startswith("nothing was shown for one query at several places and taken at the first")


def test_a_night_without_such_a_log_goes_on_and_says_so(make_context: Contexts) -> None:
    ctx = make_context()
    manifest = measured(ctx, [])
    assert manifest.row_counts == {"rates": 0, "examination": 0, "pairs": 0}
    assert manifest.facts["note"].startswith("no log of what was shown")
