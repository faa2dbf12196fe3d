"""The base: trained on what was known, the same over the nights, resumable, or imported from disk."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from jobs.config.params.training import TrainBaseParams, TrainSearchParams
from jobs.context import RunContext
from jobs.datasets.features import SPLITS
from jobs.datasets.models import BASE_MODEL, BaseModelFacts
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.training import base
from models.search.data import TrainingData
from models.search.model import SearchModel, build_tiny_model
from models.search.training import train
from tests.conftest import Contexts
from tests.errors import raises
from tests.training_lake import BASE_PARAMS, EVERY_STEP, commit_images, commit_splits, conversions, photos

pytestmark = pytest.mark.integration

FIRST, SECOND = date(2025, 6, 1), date(2025, 6, 2)


@pytest.fixture
def make_night(make_context: Contexts, tmp_path: Path) -> Contexts:
    def make(**changes: object) -> RunContext:
        ctx = make_context(**({"run_date": FIRST} | changes))
        commit_splits(ctx)
        commit_images(ctx, tmp_path / "photos")
        return ctx

    return make


def load(ctx: RunContext, manifest: Manifest) -> SearchModel:
    with ctx.lake.local_folder(manifest, "zero_shot") as folder:
        return SearchModel.load(folder)


@pytest.mark.quick
def test_a_base_is_trained_on_descriptions_known_in_the_training_window(make_night: Contexts) -> None:
    ctx = make_night()
    manifest = run_stage(ctx, "train_base", BASE_PARAMS)
    model = load(ctx, manifest)
    assert manifest.facts["model_digest"] == model.digest
    assert manifest.facts["image_digest"] == model.image_digest
    assert manifest.facts["trained_until"] == "2025-05-31T00:00:00+00:00"
    assert (
        manifest.facts["photo_count"] == 16
    )  # two shades of eight colours; keywords describe the one without a description
    assert (model.uses_country, model.uses_keywords) == (False, False)
    curves = ctx.lake.read_table(manifest, "curves")
    assert set(curves["arm"]) == {"zero_shot"}
    assert {"loss", "logit_scale", "logit_bias"} <= set(curves["name"])
    assert ctx.lake.store("checkpoints", "base_model", manifest.run_id).names() == []


@pytest.mark.quick
def test_some_photos_are_held_out_if_there_are_enough(make_night: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FEWEST_DESCRIBED", 16)
    monkeypatch.setattr(base, "HELD_OUT_LEAST", 4)
    trained: list[TrainingData] = []

    def watched(model: SearchModel, data: TrainingData, *rest: Any) -> Any:
        trained.append(data)
        return train(model, data, *rest)

    monkeypatch.setattr(base, "train", watched)
    ctx = make_night()
    manifest = run_stage(ctx, "train_base", BASE_PARAMS)
    facts = BaseModelFacts.of(manifest)
    assert (facts.photo_count, facts.held_out_photo_count) == (12, 4)
    assert len(np.unique(trained[0].photos)) == 12
    curve = ctx.lake.read_table(manifest, "curves").filter(name="held_out_hit_rate@10")
    assert curve["step"].to_list() == [0, 1, 2]  # once a pass
    assert facts.held_out_hit_rate == curve["value"].max() > 0
    assert facts.stopped_because
    search_models = run_stage(
        ctx, "train_search", TrainSearchParams(arms=("finetuned",), epochs=1, batch_size=8, retrain="always")
    )
    parts = [ctx.lake.read_table(one, "curves") for one in (manifest, search_models)]
    keys = pl.concat(parts).select("arm", "step", "name")
    assert keys.is_unique().all()  # MLflow takes one value of a curve at a step


@pytest.mark.quick
def test_a_photo_is_held_out_by_its_id(make_context: Contexts) -> None:
    some = pl.DataFrame({"photo_id": [f"photo-{number}" for number in range(2000)]})
    fitted, held_out = base._hold_out(some)
    assert (len(fitted), len(held_out)) == (1900, 100)
    assert set(fitted["photo_id"]) | set(held_out["photo_id"]) == set(some["photo_id"])
    again = base._hold_out(some.reverse())[1]
    assert set(again["photo_id"]) == set(held_out["photo_id"])
    assert [len(base._hold_out(some.head(count))[1]) for count in (499, 500)] == [0, 50]


def test_its_tokens_are_learned_from_descriptions_and_from_searches_of_the_training_window(
    make_context: Contexts, tmp_path: Path
) -> None:
    ctx = make_context(run_date=FIRST)
    searches = {
        window: conversions((0, 1), repeats=2).with_columns(query=pl.lit(query), conversion_count=pl.lit(3))
        for window, query in {"train": "жёлтый", "validation": "позже", "test": "потом"}.items()
    }
    commit_splits(ctx, **searches)
    commit_images(ctx, tmp_path / "photos")
    model = load(ctx, run_stage(ctx, "train_base", BASE_PARAMS))
    lengths = (model.tokenize(["жёлтый", "GB: жёлтый", "something", "позже", "потом"]) != 0).sum(1)
    assert lengths[:3].tolist() == [2, 4, 2]  # with the end token
    assert lengths[3:].min() > 4


def test_a_rerun_does_nothing_and_another_lake_gives_the_same(make_night: Contexts) -> None:
    ctx = make_night()
    first = run_stage(ctx, "train_base", BASE_PARAMS)
    assert run_stage(ctx, "train_base", BASE_PARAMS) == first
    other = make_night(catalogue="other")
    assert run_stage(other, "train_base", BASE_PARAMS).digest == first.digest


def test_the_next_night_takes_the_base_over(make_night: Contexts) -> None:
    first = run_stage(make_night(), "train_base", BASE_PARAMS)
    second = run_stage(make_night(run_date=SECOND), "train_base", BASE_PARAMS)
    assert second.files == first.files  # the very same files, not copies
    assert second.facts["reused_from"] == first.reference
    assert second.facts["trained_until"] == first.facts["trained_until"]
    third = run_stage(make_night(run_date=date(2025, 6, 3)), "train_base", BASE_PARAMS)
    assert third.facts["model_digest"] == first.facts["model_digest"]


@pytest.mark.parametrize(
    ("night", "changes"), [({}, {"epochs": 1}), ({"seed": 1}, {}), ({"run_date": date(2025, 5, 31)}, {})]
)
def test_another_kind_or_the_future_is_not_taken_over(
    make_night: Contexts, night: dict[str, object], changes: dict[str, int]
) -> None:
    first = run_stage(make_night(), "train_base", BASE_PARAMS)
    ctx = make_night(**({"run_date": SECOND} | night))
    second = run_stage(ctx, "train_base", BASE_PARAMS.model_copy(update=changes))
    assert second.facts["reused_from"] is None
    assert second.files != first.files  # written anew


def test_a_killed_training_goes_on_to_the_same_base(make_night: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = run_stage(make_night(catalogue="unbroken"), "train_base", BASE_PARAMS)
    ctx, params = make_night(), BASE_PARAMS.model_copy(update=EVERY_STEP)
    put, count = Lake.put, 0

    def put_and_die(lake: Lake, path: str, data: bytes) -> None:
        nonlocal count
        put(lake, path, data)
        count += "checkpoints" in path
        if count == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "put", put_and_die)
        with pytest.raises(KeyboardInterrupt):
            run_stage(ctx, "train_base", params)
    with pytest.raises(MissingInput):
        ctx.read(BASE_MODEL)
    assert run_stage(ctx, "train_base", params).digest == unbroken.digest


def test_a_model_on_disk_is_imported_and_never_out_of_date(make_night: Contexts, tmp_path: Path) -> None:
    model = build_tiny_model(seed=9, image_size=16, patch_size=8, vision_layers=1, text_layers=1)
    model.save(tmp_path / "mine")
    params = TrainBaseParams(source=str(tmp_path / "mine"))
    ctx = make_night()
    first = run_stage(ctx, "train_base", params)
    assert first.facts["trained_until"] is None
    assert load(ctx, first).digest == model.digest
    assert ctx.lake.read_table(first, "curves")["value"].to_list() == [sum(p.numel() for p in model.parameters())]
    before = run_stage(make_night(run_date=date(2025, 5, 1)), "train_base", params)
    assert before.facts["reused_from"] == first.reference
    with torch.no_grad():
        model.network.logit_bias += 1
    model.save(tmp_path / "mine")
    changed = run_stage(ctx, "train_base", params)
    assert changed.facts["model_digest"] == model.digest
    assert changed.facts["reused_from"] is None


@pytest.mark.quick
@pytest.mark.parametrize("source", ["./nowhere", "no-such/tag"])
def test_a_source_that_is_not_there_is_named(make_night: Contexts, source: str) -> None:
    with raises(BadInput, "model_source_unknown", source=source):
        run_stage(make_night(), "train_base", TrainBaseParams(source=source))


@pytest.mark.quick
def test_nothing_to_train_on_is_said_and_keywords_are_enough(make_night: Contexts) -> None:
    ctx = make_night()
    silent = photos(ctx).with_columns(pl.lit(None, pl.String).alias("description"))
    none = pl.DataFrame({"photo_id": ["gone"], "keyword": ["x"], "confidence": [0.5]})
    commit_splits(ctx, photos=silent, photo_keywords=none)
    with raises(MissingInput, "no_described_photo", run=ctx.read(SPLITS).reference):
        run_stage(ctx, "train_base", BASE_PARAMS)
    commit_splits(ctx, photos=silent.with_columns(pl.lit("\u200b").alias("description")), photo_keywords=none)
    with raises(MissingInput, "no_described_photo", run=ctx.read(SPLITS).reference):
        run_stage(ctx, "train_base", BASE_PARAMS)
    commit_splits(ctx, photos=photos(ctx).with_columns(pl.col("photo_id") + "?"))
    with raises(MissingInput, "no_photo_with_image", run=ctx.read(SPLITS).reference):
        run_stage(ctx, "train_base", BASE_PARAMS)
    commit_splits(ctx, photos=silent)
    facts = run_stage(ctx, "train_base", BASE_PARAMS).facts
    assert facts["photo_count"] == silent["is_in_train"].sum()  # keywords stand in for descriptions
