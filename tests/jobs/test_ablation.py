"""The ablation on a toy night: every variant trains, ranks all test queries, and is compared with the full arm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from jobs import compare_variants, datasets, train_base, train_variant
from jobs.context import RunContext
from jobs.errors import BadInput, MissingInput
from jobs.lake import Manifest
from jobs.params import FULL, VARIANTS, ZERO_SHOT, CompareVariantsParams, TrainVariantParams
from tests.training_lake import BASE_PARAMS, commit_images, commit_splits, conversions

TRAINING = {"epochs": 1, "batch_size": 8, "evaluations_per_epoch": 1}


@pytest.fixture
def night(make_context: Callable[..., RunContext], tmp_path: Path) -> RunContext:
    ctx = make_context()
    moment = ctx.as_of - timedelta(hours=1)
    test = conversions((0, 1, 2), repeats=1).with_row_index("visitor_id")
    test = test.with_columns(pl.col("visitor_id").cast(pl.String), converted_at=pl.lit(moment))
    commit_splits(ctx, test=test)
    commit_images(ctx, tmp_path / "photos", "red-0")
    train_base.run(ctx, BASE_PARAMS)
    return ctx


def train(ctx: RunContext, variant: str, repeat: int = 0) -> Manifest:
    return train_variant.run(ctx, TrainVariantParams(variant=variant, repeat=repeat, **TRAINING))


@pytest.mark.parametrize("variant", [ZERO_SHOT, *VARIANTS])
def test_every_variant_ranks_every_test_query(night: RunContext, variant: str) -> None:
    manifest = train(night, variant)
    ranks = night.lake.read_table(manifest, "ranks")
    assert ranks["query_id"].to_list() == list(range(48))
    assert ranks["rank"].is_between(1, 24).all()
    assert manifest.partition == {"run_date": str(night.run_date), "variant": variant, "repeat": "0"}
    assert (len(night.lake.read_table(manifest, "curves")) == 0) == (variant == ZERO_SHOT)
    assert train(night, variant).started_at == manifest.started_at


def test_variants_are_compared_with_the_full_arm(night: RunContext) -> None:
    runs = {
        (v, n): train(night, v, n) for v in (ZERO_SHOT, FULL, "softmax") for n in (0, 1) if n == 0 or v != ZERO_SHOT
    }
    assert runs[FULL, 0].digest != runs[FULL, 1].digest
    params = CompareVariantsParams(variants=(ZERO_SHOT, FULL, "softmax"), repeats=2, resample_count=200)
    manifest = compare_variants.run(night, params)
    table = night.lake.read_table(manifest, "variants").filter(pl.col("k") == 5)
    for row in table.iter_rows(named=True):
        ranks = [
            night.lake.read_table(run, "ranks")["rank"] for (name, _), run in runs.items() if name == row["variant"]
        ]
        rates = [float((rank <= 5).mean()) for rank in ranks]
        assert row["value"] == pytest.approx(sum(rates) / len(rates))
        assert row["repeats"] == len(rates)
        assert (row["difference"] is None) == (row["variant"] == FULL)
    full, softmax = (table.filter(pl.col("variant") == name).row(0, named=True) for name in (FULL, "softmax"))
    assert softmax["difference"] == pytest.approx(softmax["value"] - full["value"])
    text = (night.settings.report_dir / night.catalogue / f"{night.run_date}-ablation.md").read_text()
    assert [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")] == [
        "| variant",
        "| zero shot",
        "| finetuned country keywords",
        "| softmax",
    ]


def test_what_is_missing_is_named(night: RunContext) -> None:
    train(night, FULL)
    with pytest.raises(MissingInput, match="variant"):
        compare_variants.run(night, CompareVariantsParams(variants=(FULL,), repeats=2))
    with pytest.raises(BadInput, match=f"compared with {FULL}"):
        compare_variants.run(night, CompareVariantsParams(variants=(ZERO_SHOT,), repeats=1))
    with pytest.raises(ValidationError, match="unknown variant mse"):
        TrainVariantParams(variant="mse")
    commit_splits(night, label="other splits", test=night.lake.read_table(night.read(datasets.SPLITS), "test"))
    with pytest.raises(BadInput, match="trained on other splits"):
        compare_variants.run(night, CompareVariantsParams(variants=(FULL,), repeats=1))
