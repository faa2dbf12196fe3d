"""What refitting is worth: days compared one by one and together, on made-up ranks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from jobs.config.params.ablation import CompareBacktestParams
from jobs.context import RunContext
from jobs.datasets.backtest import HELD_BACK, NEXT_DAY, REFITTED, RERANKER_REFITTED, BacktestFacts
from jobs.datasets.features import SPLITS
from jobs.errors import BadInput, MissingInput
from jobs.evaluation.backtest import ARMS, is_better, tables
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables

PARAMS = CompareBacktestParams(nights=2)
COUNT = 60
HITS = {HELD_BACK: 20, RERANKER_REFITTED: 25, REFITTED: 50}
"""How many of a day's searches each arm finds among the first ten."""


def ranks_of(hits: int) -> np.ndarray:
    return np.where(np.arange(COUNT) < hits, 3, 40).astype(np.int32)


def commit_day(ctx: RunContext, hits: dict[str, int] = HITS, label: str = "", **facts: Any) -> Manifest:
    """Commit a day's splits and ranks; every third search is of a new photo."""
    at = ctx.as_of - timedelta(hours=1)
    searches = pl.DataFrame(
        {"visitor_id": [f"v{i % 20}" for i in range(COUNT)], "query": [f"q{i}" for i in range(COUNT)]}
    )
    searches = searches.with_columns(photo_id=pl.lit("photo"), country=pl.lit("GB"), converted_at=pl.lit(at))
    photos = pl.DataFrame({"photo_id": ["photo"], "submitted_at": [at - timedelta(days=1)]})
    windows = {"test_end": ctx.as_of, "validation_end": ctx.as_of - timedelta(days=1)}
    splits = commit_tables(ctx, SPLITS, {"test": searches, "photos": photos}, facts=windows, label=label)
    ids = np.arange(COUNT)
    ranks = pl.concat(pl.DataFrame({"query_id": ids, "arm": arm, "rank": ranks_of(n)}) for arm, n in hits.items())
    own = {"held_back_days": 7, "validation_days": 3, "tower_seconds": 30.0, "reranker_seconds": 4.0} | facts
    given = {"ranks": ranks, "searches": pl.DataFrame({"query_id": ids, "is_new": ids % 3 == 0})}
    return commit_tables(ctx, NEXT_DAY, given, inputs={"splits": splits}, facts=own)


@pytest.fixture
def nights(make_context: Contexts) -> tuple[RunContext, RunContext]:
    last = make_context()
    return last.model_copy(update={"run_date": last.run_date - timedelta(days=1)}), last


def test_days_are_compared_one_by_one_and_together(nights: tuple[RunContext, RunContext]) -> None:
    for ctx, more in zip(nights, (0, 5), strict=True):
        commit_day(ctx, {arm: hits + more for arm, hits in HITS.items()})
    ctx = nights[1]
    manifest = run_stage(ctx, "compare_backtest", PARAMS)
    rates = ctx.lake.read_table(manifest, "rates")
    value = {(day, photos, arm): value for day, photos, _, arm, value, _, _ in rates.iter_rows()}
    days = [str(night.run_date) for night in nights]
    for day, more in zip(days, (0, 5), strict=True):
        assert [value[day, "all", arm] for arm in ARMS] == [(HITS[arm] + more) / COUNT for arm in ARMS]
    for arm in ARMS:
        assert value["all", "all", arm] == pytest.approx((2 * HITS[arm] + 5) / (2 * COUNT))
        parts = [value["all", photos, arm] for photos in ("new", "known")]
        assert value["all", "all", arm] == pytest.approx(np.average(parts, weights=(1, 2)))
    counts = rates.unique(["day", "photos"], maintain_order=True).select("day", "photos", "query_count").rows()
    assert counts == [
        *((day, "all", COUNT) for day in days),
        ("all", "all", 2 * COUNT),
        ("all", "new", 2 * COUNT // 3),
        ("all", "known", 4 * COUNT // 3),
    ]
    for row in ctx.lake.read_table(manifest, "differences").iter_rows(named=True):
        own = [value[row["day"], row["photos"], row[name]] for name in ("arm", "baseline")]
        assert row["difference"] == pytest.approx(own[0] - own[1])
        assert row["low"] < row["difference"] < row["high"]
        assert (row["p_value"] < 0.05) == (row["low"] > 0)
    assert BacktestFacts.of(manifest) == BacktestFacts(
        days=tuple(night.run_date for night in nights), is_refitting_better=True, is_reranker_better=False
    )
    text = (ctx.settings.report_dir / ctx.catalogue / f"{ctx.run_date}-backtest.md").read_text()
    assert text == ctx.lake.read_file(manifest, "backtest.md").decode()
    assert f"| {days[0]} | 60 | 0.333 | 0.417 | 0.833 |" in text
    assert "| all, new photos | 40 |" in text


def test_one_arm_is_not_better_than_itself() -> None:
    day = pl.DataFrame({"day": "a", "visitor_id": ["v", "w"] * 30, "query": [str(i % 9) for i in range(COUNT)]})
    day = day.with_columns(pl.lit(False).alias("is_new"), *(pl.Series(arm, ranks_of(20)) for arm in ARMS))
    rates, differences = tables([day])
    assert not is_better(differences, REFITTED, HELD_BACK)
    assert differences["difference"].to_list() == [0.0] * len(differences)
    assert rates["photos"].unique().sort().to_list() == ["all", "known"]  # no search was for a new photo


def test_visitors_are_told_apart_whatever_their_pseudonyms() -> None:
    random = np.random.default_rng(0)

    def day(name: str, hide: dict[int, str]) -> pl.DataFrame:
        who = [hide[number] for number in np.random.default_rng(len(name)).integers(0, 12, COUNT)]
        return pl.DataFrame({"day": name, "visitor_id": who, "query": [str(i % 9) for i in range(COUNT)]})

    own = [pl.DataFrame({arm: random.integers(1, 30, COUNT) for arm in ARMS}) for _ in range(2)]
    found = []
    for hide in ({n: f"{n:02}" for n in range(12)}, {n: f"{12 - n:02}" for n in range(12)}):
        days = [
            day(name, hide).hstack(ranks).with_columns(is_new=False)
            for name, ranks in zip(("a", "bb"), own, strict=True)
        ]
        found.append(tables(days)[1])
    assert found[0].equals(found[1])


def test_a_series_with_gaps_is_refused(nights: tuple[RunContext, RunContext]) -> None:
    first, last = nights
    commit_day(last)
    with raises(MissingInput, "stage_not_run", dataset="next_day"):
        run_stage(last, "compare_backtest", PARAMS)
    commit_day(first, held_back_days=5)
    with raises(BadInput, "windows_not_of_a_backtest"):
        run_stage(last, "compare_backtest", PARAMS)
    commit_day(first)
    commit_tables(first, SPLITS, facts={"test_end": datetime.fromisoformat("2025-12-27T00:00:00Z")}, label="others")
    with raises(BadInput, "splits_differ"):
        run_stage(last, "compare_backtest", PARAMS)
