"""The ablation on a toy night: every variant trains, ranks all test queries, and is compared with the full arm."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from jobs.config.params.ablation import CompareVariantsParams, TrainVariantParams
from jobs.config.params.arms import COMPARED, FINETUNED, FULL, RERANKED, VARIANTS, ZERO_SHOT
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.evaluation import EVALUATION
from jobs.datasets.features import SPLITS
from jobs.errors import BadInput, MissingInput
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from tests.conftest import Contexts
from tests.errors import raises
from tests.training_lake import BASE_PARAMS, commit_images, commit_splits, conversions
from tests.validated_lake import commit_tables

pytestmark = pytest.mark.integration

TRAINING = {"epochs": 1, "batch_size": 8, "evaluations_per_epoch": 1}


@pytest.fixture
def night(make_context: Contexts, tmp_path: Path) -> RunContext:
    ctx = make_context()
    moment = ctx.as_of - timedelta(hours=1)
    test = conversions((0, 1, 2), repeats=2).with_row_index("visitor_id")
    test = test.with_columns(pl.col("visitor_id").cast(pl.String), converted_at=pl.lit(moment))
    commit_splits(ctx, test=test)
    commit_images(ctx, tmp_path / "photos", "red-0")
    commit_tables(ctx, VALIDATED)
    run_stage(ctx, "train_base", BASE_PARAMS)
    return ctx


def train(ctx: RunContext, variant: str, repeat: int = 0, **choices: Any) -> Manifest:
    params = TrainVariantParams(variant=variant, repeat=repeat, **(TRAINING | choices))
    return run_stage(ctx, "train_variant", params)


def train_twice(ctx: RunContext, variant: str, **choices: Any) -> list[Manifest]:
    return [train(ctx, variant, number, **choices) for number in (0, 1)]


@pytest.mark.parametrize("variant", [ZERO_SHOT, *VARIANTS])
def test_every_variant_ranks_every_test_query(night: RunContext, variant: str) -> None:
    manifest = train(night, variant)
    ranks = night.lake.read_table(manifest, "ranks")
    assert ranks["query_id"].to_list() == list(range(96))
    assert ranks["rank"].is_between(1, 24).all()
    assert manifest.partition == {"run_date": str(night.run_date), "variant": variant, "repeat": "0"}
    assert (len(night.lake.read_table(manifest, "curves")) == 0) == (variant == ZERO_SHOT)
    assert train(night, variant).started_at == manifest.started_at


@pytest.mark.quick
def test_a_night_cut_by_number_is_ablated_on_its_own_splits(night: RunContext) -> None:
    by_days = night.read(SPLITS)
    later = night.lake.read_table(by_days, "photos").with_columns(
        submitted_at=pl.when(pl.col("photo_id") == "red-2").then(night.as_of).otherwise("submitted_at")
    )
    tables = {"photos": later, "test": night.lake.read_table(by_days, "test")}
    validation = night.lake.read_table(by_days, "validation").clear()
    splits = commit_splits(night, facts={"protocol": "80/20"}, validation=validation, **tables)
    runs = train_twice(night, FULL)
    assert {run.input_runs["splits"] for run in runs} == {splits.reference}
    assert night.lake.read_table(runs[0], "ranks")["rank"].max() == 24  # all photos, later ones too
    commit_evaluation(night, {FULL: [1] * 96}, note="nothing to learn from.")
    manifest = run_stage(night, "compare_variants", WITH_RERANKED)
    assert manifest.input_runs["splits"] == splits.reference


def test_variants_are_compared_with_the_full_arm(night: RunContext) -> None:
    runs = {
        (v, n): train(night, v, n) for v in (ZERO_SHOT, FULL, "softmax") for n in (0, 1) if n == 0 or v != ZERO_SHOT
    }
    assert runs[FULL, 0].digest != runs[FULL, 1].digest
    params = CompareVariantsParams(variants=(ZERO_SHOT, FULL, "softmax"), repeats=2)
    manifest = run_stage(night, "compare_variants", params)
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


@pytest.mark.quick
def test_each_step_to_the_full_arm_is_compared_with_the_one_before(night: RunContext) -> None:
    country, keywords = "finetuned_country", "finetuned_keywords"
    variants = (FINETUNED, country, keywords, FULL)
    runs = {v: train_twice(night, v) for v in variants}
    ranks = {v: [night.lake.read_table(run, "ranks")["rank"] for run in several] for v, several in runs.items()}
    manifest = run_stage(night, "compare_variants", CompareVariantsParams(variants=variants, repeats=2))
    steps = night.lake.read_table(manifest, "steps")
    pairs = [(FINETUNED, country), (FINETUNED, keywords), (country, FULL), (keywords, FULL)]
    assert steps.filter(pl.col("k") == 5).select("base", "variant").rows() == pairs
    for row in steps.iter_rows(named=True):
        base, variant = (
            sum(float((rank <= row["k"]).mean()) for rank in ranks[row[end]]) / 2 for end in ("base", "variant")
        )
        assert row["difference"] == pytest.approx(variant - base)
        assert row["low"] <= row["difference"] <= row["high"]
    lines = night.lake.read_file(manifest, "ablation.md").decode().splitlines()
    assert len([line for line in lines if line.startswith("| finetuned | finetuned ")]) == 2


def test_variants_trained_otherwise_than_by_their_one_choice_are_not_compared(night: RunContext) -> None:
    train_twice(night, FULL)
    others = train_twice(night, "softmax", epochs=2)
    params = CompareVariantsParams(variants=(FULL, "softmax"), repeats=2)
    with raises(BadInput, "params_differ", runs=[other.reference for other in others]):
        run_stage(night, "compare_variants", params)
    train_twice(night, FULL, epochs=2)
    manifest = run_stage(night, "compare_variants", params)
    assert manifest.facts["epochs"] == 2
    assert "trained for 2 passes" in night.lake.read_file(manifest, "ablation.md").decode()


def test_what_is_missing_is_named(night: RunContext) -> None:
    train(night, FULL)
    with raises(MissingInput, "stage_not_run", dataset="variant"):
        run_stage(night, "compare_variants", CompareVariantsParams(variants=(FULL,), repeats=2))
    with pytest.raises(ValidationError, match=f"compared with {FULL}"):
        CompareVariantsParams(variants=(ZERO_SHOT,))
    with pytest.raises(ValidationError, match="unknown variant mse"):
        CompareVariantsParams(variants=(FULL, "mse"))
    with pytest.raises(ValidationError, match="unknown variant mse"):
        TrainVariantParams(variant="mse")
    train(night, FULL, 1)
    commit_splits(night, label="other splits", test=night.lake.read_table(night.read(SPLITS), "test"))
    with raises(BadInput, "splits_differ"):
        run_stage(night, "compare_variants", CompareVariantsParams(variants=(FULL,), repeats=2))


# -- the reranked arm, which is the night's own ------------------------------------------------------------

WITH_RERANKED = CompareVariantsParams(variants=(FULL, RERANKED), repeats=2)


def commit_evaluation(ctx: RunContext, ranks: dict[str, list[int]], note: str = "", in_order: bool = False) -> Manifest:
    """Commit what the comparison reads of a night's evaluation, the last query first."""
    frames = [
        pl.DataFrame({"query_id": range(len(found)), "rank": found}).with_columns(arm=pl.lit(arm))
        for arm, found in ranks.items()
    ]
    frames = frames if in_order else [frame.reverse() for frame in frames]
    facts = {"base_arm": FULL, "reranker_note": note}
    inputs = {"splits": ctx.read(SPLITS)}
    return commit_tables(ctx, EVALUATION, {"ranks": pl.concat(frames)}, inputs=inputs, facts=facts)


@pytest.mark.quick
def test_it_comes_last_in_the_table_unless_told_otherwise() -> None:
    assert CompareVariantsParams().variants == COMPARED == (ZERO_SHOT, *VARIANTS, RERANKED)


def test_its_ranks_are_those_of_the_night_query_by_query(night: RunContext) -> None:
    full = train_twice(night, FULL)
    rank_Q = night.lake.read_table(full[0], "ranks").sort("query_id")["rank"].to_list()
    evaluation = commit_evaluation(night, {FULL: [1] * 96, RERANKED: rank_Q})
    manifest = run_stage(night, "compare_variants", WITH_RERANKED)
    assert manifest.input_runs[f"{RERANKED} 0"] == evaluation.reference
    assert manifest.facts["reranked"] == {"base_arm": FULL, "note": ""}
    row = night.lake.read_table(manifest, "variants").row(
        by_predicate=pl.col("variant").eq(RERANKED) & (pl.col("k") == 5), named=True
    )
    rates = [float((night.lake.read_table(run, "ranks")["rank"] <= 5).mean()) for run in full]
    assert row["repeats"] == 1
    assert row["deviation"] is None
    assert row["value"] == pytest.approx(rates[0])
    assert row["difference"] == pytest.approx(rates[0] - sum(rates) / 2)
    commit_evaluation(night, {FULL: [1] * 96, RERANKED: rank_Q}, in_order=True)
    again = run_stage(night, "compare_variants", WITH_RERANKED)
    assert again != manifest
    tables = [night.lake.read_table(run, "variants") for run in (manifest, again)]
    assert tables[0].equals(tables[1])  # each search is paired with itself, in whatever order they come
    text = night.lake.read_file(manifest, "ablation.md").decode()
    assert f"it reorders what the night's own `{FULL}` found" in text


def test_a_night_without_it_leaves_the_row_out_and_says_so(night: RunContext) -> None:
    train_twice(night, FULL)
    commit_evaluation(night, {FULL: [1] * 96}, note="only 3 searches.")
    manifest = run_stage(night, "compare_variants", WITH_RERANKED)
    assert night.lake.read_table(manifest, "variants")["variant"].unique().to_list() == [FULL]
    assert manifest.facts["reranked"]["note"] == "only 3 searches."
    published = night.settings.report_dir / night.catalogue / f"{night.run_date}-ablation.md"
    assert "`reranked` is left out: only 3 searches." in published.read_text()
    commit_evaluation(night, {FULL: [1] * 96}, note="only 4 searches.")  # the same ranks, told otherwise
    told = run_stage(night, "compare_variants", WITH_RERANKED)
    assert "only 4 searches" in night.lake.read_file(told, "ablation.md").decode()
    commit_evaluation(night, {FULL: [1] * 96}, note="only 3 searches.")  # compared before, and published again
    assert run_stage(night, "compare_variants", WITH_RERANKED) == manifest
    assert "only 3 searches." in published.read_text()


def test_it_must_be_of_the_same_searches(night: RunContext) -> None:
    train_twice(night, FULL)
    with raises(MissingInput, "stage_not_run", dataset="evaluation"):
        run_stage(night, "compare_variants", WITH_RERANKED)
    commit_evaluation(night, {RERANKED: [1] * 47})
    with raises(BadInput, "missing_ranks", variant=RERANKED) as caught:
        run_stage(night, "compare_variants", WITH_RERANKED)
    assert "47" in str(caught.value)
    commit_evaluation(night, {RERANKED: [1] * 96})
    commit_splits(night, label="other splits", test=night.lake.read_table(night.read(SPLITS), "test"))
    with raises(BadInput, "splits_differ") as caught:
        run_stage(night, "compare_variants", WITH_RERANKED)
    assert f"{RERANKED} 0" in caught.value.named["runs"]
