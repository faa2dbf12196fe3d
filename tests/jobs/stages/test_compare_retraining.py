"""Incremental against full training: nights that went on from one another, compared on the same searches."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from jobs.config.params.ablation import CompareRetrainingParams, TrainVariantParams
from jobs.config.params.arms import AS_TRAINED, FULL
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.features import SPLITS
from jobs.datasets.models import SEARCH_MODELS, VARIANT, SearchModelsFacts, VariantFacts
from jobs.errors import BadInput, MissingInput
from jobs.nights.stage_runner import run_stage
from tests.conftest import Contexts
from tests.errors import raises
from tests.training_lake import BASE_PARAMS, SEARCH_PARAMS, commit_champion, commit_images, commit_splits, conversions
from tests.validated_lake import commit_tables

TRAINING = {"epochs": 1, "batch_size": 8, "evaluations_per_epoch": 1}
PARAMS = CompareRetrainingParams(nights=2)
INCREMENTAL = SEARCH_PARAMS.model_copy(update={"arms": (FULL,), "retrain": "incremental"})


@pytest.fixture
def run_night(make_context: Contexts, tmp_path: Path) -> Contexts:
    last = make_context()

    def run(days_before: int, retrain: str = "incremental", label: str = "splits") -> RunContext:
        ctx = last.model_copy(update={"run_date": last.run_date - timedelta(days=days_before)})
        test = conversions((0, 1, 2), repeats=1).with_row_index("visitor_id")
        moment = ctx.as_of - timedelta(hours=1)
        test = test.with_columns(pl.col("visitor_id").cast(pl.String), converted_at=pl.lit(moment))
        commit_splits(ctx, label, test=test)
        commit_images(ctx, tmp_path / "photos")
        commit_tables(ctx, VALIDATED)
        commit_champion(ctx)
        run_stage(ctx, "train_base", BASE_PARAMS)
        run_stage(ctx, "train_search", INCREMENTAL.model_copy(update={"retrain": retrain}))
        for variant in (AS_TRAINED, FULL):
            run_stage(ctx, "train_variant", TrainVariantParams(variant=variant, **TRAINING))
        return ctx

    return run


def test_nights_are_compared_one_by_one_and_together(run_night: Contexts) -> None:
    nights = [run_night(days_before) for days_before in (2, 1, 0)][1:]
    ctx = nights[-1]
    manifest = run_stage(ctx, "compare_retraining", PARAMS)
    table = ctx.lake.read_table(manifest, "nights")
    assert table["night"].to_list() == [night.run_date.isoformat() for night in nights] + ["all"]
    rates = {"incremental": [], "full": []}
    for row, night in zip(table.iter_rows(named=True), nights, strict=False):
        for way, variant in (("incremental", AS_TRAINED), ("full", FULL)):
            run = night.read(VARIANT, variant=variant, repeat="0")
            rates[way].append(float((night.lake.read_table(run, "ranks")["rank"] <= 10).mean()))
            assert row[way] == pytest.approx(rates[way][-1])
            assert row[f"{way}_pairs"] == VariantFacts.of(run).training.pairs_seen
        own = SearchModelsFacts.of(night.read(SEARCH_MODELS)).arms[FULL]
        assert row["incremental_seconds"] == own.training.seconds
        assert row["difference"] == pytest.approx(row["incremental"] - row["full"])
        assert row["low"] <= row["difference"] <= row["high"]
    together = table.row(2, named=True)
    assert together["query_count"] == 2 * 48
    assert together["full"] == pytest.approx(sum(rates["full"]) / 2)
    assert together["full_pairs"] == table["full_pairs"][:2].sum()
    text = (ctx.settings.report_dir / ctx.catalogue / f"{ctx.run_date}-retraining.md").read_text()
    assert text == ctx.lake.read_file(manifest, "retraining.md").decode()
    assert f"| {ctx.run_date} | 48 |" in text


def test_a_chain_that_is_none_is_refused(run_night: Contexts) -> None:
    with raises(MissingInput, "stage_not_run", dataset="variant"):
        run_stage(run_night(0), "compare_retraining", PARAMS)
    run_night(1, retrain="always")
    ctx = run_night(0)
    with raises(BadInput, "not_incremental", run_date="2025-12-27"):
        run_stage(ctx, "compare_retraining", PARAMS)
    commit_splits(ctx, "others", test=ctx.lake.read_table(ctx.read(SPLITS), "test"))
    with raises(BadInput, "splits_differ"):
        run_stage(ctx, "compare_retraining", PARAMS)


def test_the_nights_own_arm_needs_to_be_there(run_night: Contexts) -> None:
    ctx = run_night(0)
    run_stage(ctx, "train_search", INCREMENTAL.model_copy(update={"arms": ("finetuned",)}))
    with raises(MissingInput, "arm_not_trained", arm=FULL):
        run_stage(ctx, "train_variant", TrainVariantParams(variant=AS_TRAINED))
