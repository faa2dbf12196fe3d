"""The arms: what each one uses, where their files come from, resuming after a kill, and nights without training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from jobs.config.params.arms import FINETUNED, FULL, ZERO_SHOT
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES
from jobs.datasets.features import SPLITS, SplitsFacts
from jobs.datasets.models import BASE_MODEL, SEARCH_MODELS, ArmFacts, Reach, SearchModelsFacts
from jobs.errors import GateFailed, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.training import arm_inputs
from jobs.training.arm_inputs import _recent, read_pairs
from jobs.training.arms import _weighted_pairs
from jobs.training.inputs import text_ids
from models.evaluation.impressions import examination_weights
from models.search.model import SearchModel
from models.search.negatives import NONE, HardNegatives, mine
from models.search.sampling import merge_pairs
from models.search.validation import HIT_RATE, UNSEEN_HIT_RATE
from models.search.world import ALONE, World
from tests.conftest import Contexts
from tests.errors import raises
from tests.training_lake import (
    BASE_PARAMS,
    EVERY_STEP,
    FIRST_DAY,
    SEARCH_PARAMS,
    commit_champion,
    commit_images,
    commit_shown,
    commit_splits,
    conversions,
    photos,
)

pytestmark = pytest.mark.integration

FIRST, SECOND = date(2025, 6, 1), date(2025, 6, 2)


@pytest.fixture
def make_night(make_context: Contexts, tmp_path: Path) -> Contexts:
    def make(*broken: str, **changes: object) -> RunContext:
        ctx = make_context(**({"run_date": FIRST} | changes))
        commit_splits(ctx)
        commit_images(ctx, tmp_path / "photos", *broken)
        commit_champion(ctx)
        run_stage(ctx, "train_base", BASE_PARAMS)
        return ctx

    return make


def load(ctx: RunContext, manifest: Manifest, arm: str) -> SearchModel:
    with ctx.lake.local_folder(manifest, arm) as folder:
        return SearchModel.load(folder)


def arms_of(models: Manifest) -> dict[str, ArmFacts]:
    return SearchModelsFacts.of(models).arms


@pytest.mark.quick
def test_only_photos_of_the_training_window_are_hard_negatives(
    make_night: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, found = make_night(), []

    def watched(*arguments: Any, **options: Any) -> HardNegatives:
        found.append(mine(*arguments, **options))
        return found[-1]

    monkeypatch.setattr("jobs.training.arms.mine", watched)
    params = SEARCH_PARAMS.model_copy(update={"arms": (FINETUNED,), "epochs": 1, "hard_share": 0.5})
    manifest = run_stage(ctx, "train_search", params)
    corpus = photos(ctx).sort("photo_id")
    candidates = np.unique(found[0].photos[found[0].photos != NONE])
    assert candidates.tolist() == sorted(text_ids(corpus.filter("is_in_train")["photo_id"].to_list()).tolist())
    windows = SplitsFacts.of(ctx.read(SPLITS))
    assert SearchModelsFacts.of(manifest).reach == Reach(
        until=windows.train_end,
        photo_count=len(candidates),
        latest_photo_at=FIRST_DAY,
        conversion_count=64,
        latest_conversion_at=windows.train_end - timedelta(hours=1),
    )


@pytest.mark.quick
def test_a_later_photo_in_reach_of_the_training_stops_the_night(make_night: Contexts) -> None:
    ctx = make_night()
    commit_splits(ctx, "all known", photos=photos(ctx).with_columns(is_in_train=pl.lit(True)))
    at = (ctx.as_of - timedelta(days=2)).isoformat()
    other_base = BASE_PARAMS.model_copy(update={"epochs": 1})  # one that no night has made
    for stage, params in (("train_search", SEARCH_PARAMS), ("train_base", other_base)):
        with raises(GateFailed, "future_in_reach", photo=at, until=at):
            run_stage(ctx, stage, params)


@pytest.mark.quick
def test_every_arm_is_committed_with_what_it_is_and_how_it_was_made(make_night: Contexts) -> None:
    ctx = make_night()
    manifest = run_stage(ctx, "train_search", SEARCH_PARAMS)
    arms = arms_of(manifest)
    assert list(arms) == [ZERO_SHOT, FINETUNED, FULL]
    for arm, facts in arms.items():
        model = load(ctx, manifest, arm)
        assert (facts.model_digest, facts.image_digest) == (model.digest, model.image_digest)
        uses = arm == FULL
        assert (facts.uses_country, facts.uses_keywords) == (uses, uses)
        assert (model.uses_country, model.uses_keywords) == (uses, uses)
        assert facts.best_validation_hit_rate is not None
        assert 0 <= facts.best_validation_hit_rate <= 1
        assert (facts.training is None) == (arm == ZERO_SHOT)
    assert len({facts.model_digest for facts in arms.values()}) == 3
    training = arms[FULL].training
    assert training is not None
    assert training.pairs_seen == 2 * 32  # every pair of a photo and a text once per pass
    assert training.stopped_because
    assert manifest.facts["challenger"] == FULL
    assert manifest.facts["trained_until"] == "2025-05-31T00:00:00+00:00"
    assert manifest.facts["selected_until"] == "2025-06-01T00:00:00+00:00"  # early stopping looked at a day more
    assert manifest.facts["train_pair_count"] == 64
    assert manifest.facts["validation_unseen_count"] == 16  # the third shade of each colour, from two countries
    assert ctx.lake.store("checkpoints", "search_models", manifest.run_id).names() == []


def test_the_base_is_linked_and_its_arm_comes_first_in_the_curves(make_night: Contexts) -> None:
    ctx = make_night()
    manifest = run_stage(ctx, "train_search", SEARCH_PARAMS)
    base = ctx.read(BASE_MODEL)
    assert {name: manifest.files[name] for name in base.files} == base.files
    curves = ctx.lake.read_table(manifest, "curves")
    assert curves["arm"].unique(maintain_order=True).to_list() == [ZERO_SHOT, FINETUNED, FULL]
    starts = curves.filter((pl.col("step") == 0) & (pl.col("name") == "validation_hit_rate@10"))
    assert starts["value"].to_list()[0] == starts["value"].to_list()[1]  # untrained, it is the base


def test_photos_that_nobody_had_taken_have_a_curve_of_their_own(make_night: Contexts) -> None:
    ctx = make_night()
    commit_splits(ctx, validation=conversions((0, 1, 2), repeats=2))
    manifest = run_stage(ctx, "train_search", SEARCH_PARAMS)
    assert manifest.facts["validation_unseen_count"] == 32
    curves = ctx.lake.read_table(manifest, "curves")
    found = {name: set(curves.filter(name=name).select("arm", "step").rows()) for name in (HIT_RATE, UNSEEN_HIT_RATE)}
    assert found[HIT_RATE] == found[UNSEEN_HIT_RATE]
    assert {arm for arm, _ in found[HIT_RATE]} == {ZERO_SHOT, FINETUNED, FULL}


def test_the_vocabulary_is_of_photos_known_in_the_training_window(make_night: Contexts) -> None:
    ctx = make_night()
    vocabulary = load(ctx, run_stage(ctx, "train_search", SEARCH_PARAMS), FULL).vocabulary
    assert vocabulary is not None
    assert vocabulary.keywords == ("black", "blue", "green", "orange", "purple", "red", "white", "yellow")


def test_a_rerun_does_nothing_and_another_lake_gives_the_same(make_night: Contexts) -> None:
    ctx = make_night()
    first = run_stage(ctx, "train_search", SEARCH_PARAMS)
    assert run_stage(ctx, "train_search", SEARCH_PARAMS) == first
    assert run_stage(make_night(catalogue="other"), "train_search", SEARCH_PARAMS).digest == first.digest


@pytest.mark.parametrize("killed_in", [FINETUNED, FULL])
def test_a_killed_night_goes_on_to_the_same_models(
    make_night: Contexts, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    small_batches = SEARCH_PARAMS.model_copy(update={"batch_size": 4})
    unbroken = run_stage(make_night(catalogue="unbroken"), "train_search", small_batches)
    ctx, params = make_night(), small_batches.model_copy(update=EVERY_STEP)
    put = Lake.put
    written: list[str] = []

    def put_and_die(lake: Lake, path: str, data: bytes) -> None:
        put(lake, path, data)
        if "checkpoints" in path:
            written.append(path.rsplit("/", 1)[1])
            if written.count(killed_in) == 3:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "put", put_and_die)
        with pytest.raises(KeyboardInterrupt):
            run_stage(ctx, "train_search", params)
        with pytest.raises(MissingInput):
            ctx.read(SEARCH_MODELS)
        before = len(written)
        resumed = run_stage(ctx, "train_search", params)
    assert resumed.digest == unbroken.digest
    steps = {arm: written.count(arm) for arm in (FINETUNED, FULL)}
    assert steps == {FINETUNED: 16, FULL: 16}  # one checkpoint per step: none was made twice
    assert (FINETUNED in written[before:]) == (killed_in == FINETUNED)


def test_a_broken_picture_is_left_out(make_night: Contexts, caplog: pytest.LogCaptureFixture) -> None:
    ctx = make_night("red-0", "blue-2")
    manifest = run_stage(ctx, "train_search", SEARCH_PARAMS)
    assert arms_of(manifest)[FULL].training.pairs_seen == 2 * (32 - 2)
    assert "pictures left out: {'truncated': 2}" in caplog.text


def test_pairs_of_photos_without_an_image_are_counted(make_night: Contexts) -> None:
    ctx = make_night()
    gone = pl.DataFrame({"query": "x", "country": "GB", "photo_id": ["gone"] * 3, "weight": 1.0})
    rows = pl.concat([conversions((0, 1), 2), gone])
    commit_splits(ctx, train=rows)
    facts = run_stage(ctx, "train_search", SEARCH_PARAMS).facts
    assert (facts["train_pair_count"], facts["train_pairs_without_image"]) == (64, 3)
    commit_splits(ctx, train=rows.filter(pl.col("query") == "x"))
    with raises(MissingInput, "no_conversion_with_image", table="train"):
        run_stage(ctx, "train_search", SEARCH_PARAMS)


def test_without_a_validation_window_every_pass_is_made_and_the_last_weights_are_kept(make_night: Contexts) -> None:
    ctx = make_night()
    nothing = conversions((0,), 1).clear()
    commit_splits(ctx, validation=nothing)
    one_pass = SEARCH_PARAMS.model_copy(update={"epochs": 1})
    manifest = run_stage(ctx, "train_search", one_pass)
    counts = ("train_pair_count", "validation_query_count", "validation_photo_count")
    assert [manifest.facts[name] for name in counts] == [64, 0, 0]
    arms = arms_of(manifest)
    assert arms[ZERO_SHOT].best_validation_hit_rate is None
    for arm in (FINETUNED, FULL):
        training = arms[arm].training
        assert (arms[arm].best_validation_hit_rate, training.best_step) == (None, None)
        assert training.stopped_because == "all epochs done"
        assert load(ctx, manifest, arm).digest == arms[arm].model_digest != arms[ZERO_SHOT].model_digest
    curves = ctx.lake.read_table(manifest, "curves")
    assert set(curves["arm"]) == {FINETUNED, FULL}
    assert "validation_hit_rate@10" not in set(curves["name"])
    in_two = run_stage(ctx, "train_search", SEARCH_PARAMS)  # nothing stops it early
    assert arms_of(in_two)[FULL].training.steps == 2 * arms[FULL].training.steps
    without_image = pl.DataFrame({"query": "x", "country": "GB", "photo_id": ["gone"]})
    commit_splits(ctx, validation=without_image)
    with raises(MissingInput, "no_conversion_with_image", table="validation"):
        run_stage(ctx, "train_search", SEARCH_PARAMS)


def test_by_the_protocol_of_all_photos_validation_searches_among_all(make_night: Contexts) -> None:
    ctx = make_night()
    corpus = photos(ctx).with_columns(
        submitted_at=pl.when(pl.col("photo_id") == "red-2").then(ctx.as_of).otherwise("submitted_at")
    )
    assert run_stage(ctx, "train_search", SEARCH_PARAMS).facts["validation_photo_count"] == 24
    later = conversions((0, 1), 1)
    commit_splits(ctx, photos=corpus, validation=later)
    assert run_stage(ctx, "train_search", SEARCH_PARAMS).facts["validation_photo_count"] == 23
    commit_splits(ctx, facts={"protocol": "80/20"}, photos=corpus, validation=later[::-1])
    assert run_stage(ctx, "train_search", SEARCH_PARAMS).facts["validation_photo_count"] == 24


def test_validation_can_be_a_sample(make_night: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm_inputs, "VALIDATION_QUERIES", 5)
    monkeypatch.setattr(arm_inputs, "VALIDATION_PHOTOS", 9)
    facts = run_stage(make_night(), "train_search", SEARCH_PARAMS).facts
    assert (facts["validation_query_count"], facts["validation_photo_count"]) == (5, 9)


NEVER = SEARCH_PARAMS.model_copy(update={"retrain": "never"})


def test_a_night_without_training_takes_over_the_latest_earlier_models(make_night: Contexts) -> None:
    first = run_stage(make_night(), "train_search", SEARCH_PARAMS)
    run_stage(make_night(run_date=date(2025, 5, 30)), "train_search", SEARCH_PARAMS)
    second = run_stage(make_night(run_date=SECOND), "train_search", NEVER)
    assert second.files == first.files
    assert second.tables == first.tables
    assert second.facts == first.facts | {"reused_from": first.reference}


def test_without_earlier_models_it_says_so(make_night: Contexts) -> None:
    ctx = make_night()
    with raises(MissingInput, "no_earlier_models", run_date=date(2025, 6, 1)):
        run_stage(ctx, "train_search", NEVER)
    run_stage(make_night(run_date=SECOND), "train_search", SEARCH_PARAMS)  # the future is no help
    with raises(MissingInput, "no_earlier_models"):
        run_stage(ctx, "train_search", NEVER)
    only = SEARCH_PARAMS.model_copy(update={"arms": (FINETUNED,)})
    run_stage(make_night(run_date=date(2025, 5, 1)), "train_search", only)
    with raises(MissingInput, "no_earlier_models", arms=NEVER.arms):
        run_stage(ctx, "train_search", NEVER)


INCREMENTAL = SEARCH_PARAMS.model_copy(update={"retrain": "incremental"})


def test_models_that_the_test_window_had_a_part_in_choosing_are_not_gone_on_from(make_night: Contexts) -> None:
    ctx = make_night()
    commit_splits(
        ctx, facts={"validation_end": ctx.as_of + timedelta(days=2)}
    )  # this night validated on three days more
    assert run_stage(ctx, "train_search", SEARCH_PARAMS).facts["selected_until"] == "2025-06-04T00:00:00+00:00"
    later = make_night(run_date=date(2025, 6, 4))  # the test begins on the 4th: nothing of it was looked at
    chosen = run_stage(later, "train_search", INCREMENTAL).facts
    assert chosen["warm_started_from"] is not None
    assert chosen["selected_until"] == "2025-06-04T00:00:00+00:00"
    with raises(MissingInput, "no_earlier_models"):
        run_stage(make_night(run_date=SECOND), "train_search", NEVER)


def test_an_incremental_night_goes_on_with_what_is_new_and_a_sample_of_the_rest(
    make_night: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arm_inputs, "REPLAYED_PER_NEW", 0.5)  # the toy log is too short for more
    first = run_stage(make_night(), "train_search", INCREMENTAL)
    assert first.facts["warm_started_from"] is None  # no night before: in full
    assert first.facts["train_pair_count"] == 64
    ctx = make_night(run_date=SECOND)
    second = run_stage(ctx, "train_search", INCREMENTAL)
    assert second.facts["warm_started_from"] == first.reference
    assert second.facts["log_pair_count"] == 64
    assert second.facts["train_pair_count"] == 32 + 16
    assert second.input_runs["earlier"] == first.reference
    for arm in (FINETUNED, FULL):
        assert arms_of(second)[arm].best_validation_hit_rate >= found_at_start(ctx, second, arm)
    assert digests(second)[FULL] != digests(first)[FULL]
    in_full = run_stage(ctx, "train_search", SEARCH_PARAMS)
    assert in_full.digest != second.digest


def test_an_incremental_night_goes_on_at_lower_rates_and_is_validated_once_a_pass(make_night: Contexts) -> None:
    run_stage(make_night(), "train_search", INCREMENTAL)
    ctx, found = make_night(run_date=SECOND), set()
    for rate in (0.5, 1.0):
        second = run_stage(ctx, "train_search", INCREMENTAL.model_copy(update={"incremental_rate": rate}))
        found.add(digests(second)[FULL])
        curves = ctx.lake.read_table(second, "curves").filter(pl.col("arm") == FULL)
        validated = curves.filter(pl.col("name").str.contains("hit_rate"))
        assert len(validated) == INCREMENTAL.epochs + 1  # and before the first step
    assert len(found) == 2


@pytest.mark.quick
def test_every_night_replays_other_conversions(make_night: Contexts) -> None:
    rows = conversions((0, 1), repeats=8).with_columns(
        shard=pl.lit(0), converted_at=pl.lit(FIRST_DAY), position=pl.lit(None, dtype=pl.Int32)
    )
    later = [FIRST_DAY + timedelta(days=days) for days in (1, 2)]
    drawn = [rows.with_row_index("row").pipe(_recent, since, 4.0, 7)["row"].to_list() for since in [*later, later[0]]]
    assert len(drawn[0]) == 4
    assert drawn[0] == drawn[2] != drawn[1]


def test_an_incremental_night_goes_on_from_the_champion_before_what_is_newer(make_night: Contexts) -> None:
    first = run_stage(make_night(), "train_search", INCREMENTAL)
    newer = run_stage(make_night(run_date=SECOND), "train_search", INCREMENTAL)
    third = make_night(run_date=date(2025, 6, 3))
    assert run_stage(third, "train_search", INCREMENTAL).facts["warm_started_from"] == newer.reference
    commit_champion(third, first)
    assert run_stage(third, "train_search", INCREMENTAL).facts["warm_started_from"] == first.reference
    assert run_stage(third, "train_search", SEARCH_PARAMS).facts["warm_started_from"] is None


def test_a_champion_of_the_future_or_of_another_base_is_not_gone_on_from(make_night: Contexts) -> None:
    first = run_stage(make_night(), "train_search", INCREMENTAL)
    future = run_stage(make_night(run_date=date(2025, 6, 4)), "train_search", INCREMENTAL)
    ctx = make_night(run_date=SECOND)
    commit_champion(ctx, future)
    assert run_stage(ctx, "train_search", INCREMENTAL).facts["warm_started_from"] == first.reference
    run_stage(ctx, "train_base", BASE_PARAMS.model_copy(update={"epochs": 1}))
    commit_champion(ctx, first)
    assert run_stage(ctx, "train_search", INCREMENTAL).facts["warm_started_from"] is None


def found_at_start(ctx: RunContext, manifest: Manifest, arm: str) -> float:
    curves = ctx.lake.read_table(manifest, "curves").filter(pl.col("arm") == arm, pl.col("step") == 0)
    return float(curves.filter(pl.col("name").str.contains("hit_rate"))["value"][0])


def placed(*places: int | None) -> pl.DataFrame:
    """The toy conversions, each taken from one of the places, in turn."""
    rows = conversions((0, 1), repeats=2)
    position = pl.Series([places[number % len(places)] for number in range(len(rows))], dtype=pl.Int32)
    return rows.with_columns(position=position, converted_at=pl.lit(FIRST_DAY))


@pytest.mark.quick
def test_processes_that_train_together_scale_weights_by_position_alike() -> None:
    random = np.random.default_rng(0)
    photo_R, text_R = np.sort(random.integers(0, 10, 60)), random.integers(0, 4, 60)
    examination_K = np.arange(1, 31) ** -0.5
    rarity_R = examination_weights(np.array([np.nan, *random.integers(1, 30, 59).tolist()]), examination_K, 4.0)
    options = {"pair_weighting": "log_count"}
    plain = merge_pairs(photo_R, text_R)[2]
    *_, equal = _weighted_pairs(photo_R, text_R, np.full(60, 3.0), options, ALONE)
    assert equal == pytest.approx(plain, rel=1e-6)
    *_, whole = _weighted_pairs(photo_R, text_R, rarity_R, options, ALONE)
    assert whole.sum() == pytest.approx(plain.sum(), rel=1e-5)
    assert whole.max() / whole.min() > plain.max() / plain.min()
    told: list[list[float]] = []

    class Together(World):
        def total(self, values: Sequence[float]) -> list[float]:
            told.append(list(values))
            return [sum(column) for column in zip(*told[:2], strict=True)]

    halves = [photo_R < 5, photo_R >= 5] * 2  # what the first time each tells is known the second time
    parts = [_weighted_pairs(photo_R[h], text_R[h], rarity_R[h], options, Together())[2] for h in halves]
    assert np.concatenate(parts[2:]) == pytest.approx(whole, rel=1e-6)


def test_what_was_shown_and_not_taken_is_a_negative_where_that_is_wanted(make_night: Contexts) -> None:
    ctx = make_night()
    commit_splits(ctx, train=placed(None).filter(pl.col("photo_id") != "green-1"))
    params = SEARCH_PARAMS.model_copy(update={"hard_share": 4.0, "hard_from": "shown", "epochs": 1, "batch_size": 8})
    params = params.model_copy(update={"evaluations_per_epoch": 1})  # the weights of the second, last step are kept
    commit_shown(ctx, {1: 1.0, 3: 0.5}, [])
    nothing = run_stage(ctx, "train_search", params)
    rows = [
        ("red", "GB", "green-1", 1, 5, 0),  # in no pair: without this it would be in no batch
        ("red", "GB", "green-1", 2, 4, 0),  # a place that is not told counts as the last
        ("red", "GB", "blue-0", 1, 5, 1),  # was taken
        ("red", "GB", "red-0", 1, 5, 0),  # a known positive
        ("nobody asked", "GB", "blue-0", 1, 5, 0),
        ("red", "GB", "gone", 1, 5, 0),
        ("red", "GB", "green-2", 1, 5, 0),  # by its own date it was not there yet
    ]
    commit_shown(ctx, {1: 1.0, 3: 0.5}, rows)
    pairs = read_pairs(ctx, params, ctx.read(SPLITS), ctx.read(IMAGES))
    assert pairs.shown is not None
    names = dict(pairs.photos.select("photo", "photo_id").iter_rows())
    found = [(query, names[photo], looks) for query, _, photo, looks in pairs.shown.passed_over.iter_rows()]
    assert sorted(found) == [("nobody asked", "blue-0", 5.0), ("red", "green-1", 7.0), ("red", "red-0", 5.0)]
    assert pairs.shown.examination.tolist() == pytest.approx([1.0, np.nan, 0.5], nan_ok=True)
    trained = run_stage(ctx, "train_search", params)
    assert trained.facts["passed_over_count"] == 3
    assert digests(trained) != digests(nothing)
    assert "impressions" in trained.input_runs


@pytest.mark.parametrize("pair_weighting", ["log_count", "each"])
def test_places_count_by_how_often_they_are_looked_at(make_night: Contexts, pair_weighting: str) -> None:
    ctx = make_night()
    commit_splits(ctx, train=placed(None))
    params = SEARCH_PARAMS.model_copy(update={"arms": (FINETUNED,), "pair_weighting": pair_weighting})
    unplaced = run_stage(ctx, "train_search", params)
    commit_splits(ctx, train=placed(1, 2, None))
    estimated = params.model_copy(update={"position_weights": "estimated"})
    plain = run_stage(ctx, "train_search", params)
    assert digests(plain) == digests(unplaced)  # positions count only where that is wanted
    commit_shown(ctx, {1: 1.0, 2: 1.0}, [])
    assert digests(run_stage(ctx, "train_search", estimated)) == digests(plain)  # every place is looked at alike
    commit_shown(ctx, {1: 1.0, 2: 0.1}, [])
    assert digests(run_stage(ctx, "train_search", estimated)) != digests(plain)
    commit_shown(ctx, {}, [])
    with raises(MissingInput, "examination_unknown", note="nothing moved"):
        run_stage(ctx, "train_search", estimated)


def digests(models: Manifest) -> dict[str, str]:
    return {arm: facts.model_digest for arm, facts in arms_of(models).items()}
