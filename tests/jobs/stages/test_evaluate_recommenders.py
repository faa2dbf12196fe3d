"""The stage `evaluate_recommenders` on a made-up night of two tastes: right figures, soundly dated, reasons given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from jobs.config.params.arms import FULL
from jobs.config.params.evaluation import RECOMMENDERS, EvaluateRecommendersParams
from jobs.config.settings import Settings
from jobs.datasets.evaluation import ProtocolFacts, RecommendationFacts
from jobs.datasets.models import Reach
from jobs.errors import BadInput, GateFailed
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.recommending import benchmark
from jobs.recommending.als_spark import SparkAls
from jobs.recommending.external_log import bare_items
from jobs.recommending.inputs import _countries, method
from models.recommend.als import Als, FittedAls
from models.recommend.interactions import Interactions, ItemFeatures
from models.recommend.methods import METHODS
from models.recommend.protocols import Trial, temporal
from models.recommend.random_order import FittedRandomOrder
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.night_of_tastes import BEFORE, HAD, IDS, NEW, PHOTOS, TEST_START, VISITORS, Night

PARAMS = EvaluateRecommendersParams(
    methods=("random", "popularity", "mean_embedding", "item_knn", "als", "two_tower"),
    protocols=("no_split", "leave_cold"),
    protocol_methods=("random", "mean_embedding"),
    two_tower_passes=1,
    contact_sheet_visitors=2,
)


@pytest.fixture
def night(make_context: Contexts) -> Night:
    return Night(make_context())


def run(night: Night, params: EvaluateRecommendersParams = PARAMS) -> tuple[Manifest, dict[str, pl.DataFrame]]:
    context = night.commit()
    manifest = run_stage(context, "evaluate_recommenders", params)
    return manifest, {name: context.lake.read_table(manifest, name) for name in manifest.tables}


def figures(tables: dict[str, pl.DataFrame], metric: str, **place: Any) -> dict[str, float]:
    where = {"protocol": "temporal", "segment_kind": "all", "segment": "all", "k": 10} | place
    return dict(tables["metrics"].filter(metric=metric, **where).select("arm", "value").iter_rows())


def test_every_method_learns_recommends_and_is_measured(night: Night) -> None:
    manifest, tables = run(night)
    facts = RecommendationFacts.of(manifest)
    assert (facts.arm, facts.photo_count, facts.note) == (FULL, PHOTOS, "")
    # everything before the window is learned from, and nobody's test conversions
    assert facts.protocols["temporal"] == ProtocolFacts(
        visitor_count=VISITORS, trial_count=1, log_count=len(night.past)
    )
    assert facts.reach == Reach(
        until=TEST_START,
        photo_count=PHOTOS - NEW,
        latest_photo_at=BEFORE,
        conversion_count=len(night.past),
        latest_conversion_at=BEFORE + timedelta(days=10, minutes=4),
    )
    precision = figures(tables, "precision")
    assert set(precision) == set(PARAMS.methods)
    # all ten are of the right taste, but for the visitor without a past, who gets what is popular
    of_past = figures(tables, "precision", segment_kind="history", segment="1+")
    assert of_past["mean_embedding"] == 1
    popular = VISITORS * precision["popularity"] - (VISITORS - 1) * of_past["popularity"]
    for name in ("mean_embedding", "item_knn", "als", "two_tower"):
        assert VISITORS * precision[name] - (VISITORS - 1) * of_past[name] == pytest.approx(popular)
    assert precision["als"] > 0.7
    assert 0.3 < precision["random"] < 0.7
    lists = {row["arm"]: row for row in tables["lists"].filter(protocol="temporal").to_dicts()}
    unserved = {name: row["unserved_count"] for name, row in lists.items()}  # before lists are filled up
    assert unserved == {"random": 0, "popularity": 0, "mean_embedding": 1, "item_knn": 1, "als": 1, "two_tower": 1}
    assert lists["mean_embedding"]["diversity"] < lists["random"]["diversity"]
    assert set(tables["curves"]["arm"]) == {"two_tower"}
    assert (tables["costs"]["fit_cpu_seconds"] >= 0).all()


def test_photos_of_the_test_window_in_reach_of_a_method_stop_the_night(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planted(*arguments: Any) -> Trial:
        trial = temporal(*arguments)
        return replace(trial, pool_J=np.arange(PHOTOS))

    monkeypatch.setattr("jobs.recommending.inputs.temporal", planted)
    named = {"stage": "evaluate_recommenders", "photo": TEST_START.isoformat(), "conversion": None}
    with raises(GateFailed, "future_in_reach", **named):
        run(night)


def test_a_country_that_is_known_in_the_test_window_alone_is_none_in_training() -> None:
    told = [(0, 1, 3), (0, 3, 0), (1, 1, -1), (1, 3, 1), (2, 1, 0), (3, 3, 2), (4, 1, -1)]
    rows = pl.DataFrame(told, schema=["place", "at", "country"], orient="row").with_columns(item=0)
    country_V, before_V, names = _countries(rows, ["AT", "AD", "BE", "ZW"], 2, 5)
    assert names == ("AT", "ZW", "AD", "BE")  # those that are new have the highest codes
    assert [names[code] if code >= 0 else "" for code in country_V] == ["ZW", "AD", "AT", "BE", ""]
    assert [names[code] if code >= 0 else "" for code in before_V] == ["ZW", "", "AT", "", ""]


def test_who_wins_is_told_by_group_and_against_every_other(night: Night) -> None:
    _, tables = run(night)
    counts = tables["metrics"].filter(protocol="temporal").select("segment_kind", "segment", "visitor_count").unique()
    assert {row[:2]: row[2] for row in counts.iter_rows()} == {
        ("all", "all"): VISITORS,
        ("history", "5+"): VISITORS - 1,
        ("history", "1+"): VISITORS - 1,
        ("country", "elsewhere"): 3,
        ("photos", "new"): VISITORS,
    }
    new = figures(tables, "recall", segment_kind="photos", segment="new")
    assert new["mean_embedding"] > new["als"] == new["item_knn"] == 0  # who only counts knows nothing of them
    compared = tables["comparisons"].filter(protocol="temporal", segment_kind="all", metric="hit_rate", k=10)
    assert len(compared["arm"].unique()) == 1
    assert set(compared["baseline"]) | set(compared["arm"]) == set(PARAMS.methods)
    rates = figures(tables, "hit_rate")
    for row in compared.to_dicts():
        assert row["difference"] == pytest.approx(rates[row["arm"]] - rates[row["baseline"]])


def test_protocols_stand_beside_and_the_one_without_a_split_flatters(night: Night) -> None:
    manifest, tables = run(night)
    assert set(RecommendationFacts.of(manifest).protocols) == {"temporal", "no_split", "leave_cold"}
    assert set(figures(tables, "hit_rate", protocol="no_split")) == {"random", "mean_embedding"}
    # the photos handed over are all that is right
    assert figures(tables, "precision", protocol="no_split")["mean_embedding"] > 0.9
    assert tables["metrics"].filter(protocol="leave_cold")["visitor_count"].max() <= VISITORS // 2


def test_the_contact_sheet_shows_what_was_had_taken_and_recommended(night: Night) -> None:
    _, tables = run(night)
    sheet = tables["contact_sheet"]
    assert sheet["visitor_id"].n_unique() == 2
    assert set(sheet["arm"]) == {"history", "taken", *PARAMS.methods}
    own = sheet.filter(visitor_id=sheet["visitor_id"][0], arm="mean_embedding")
    taken = {IDS[i] for v, i in night.test if f"v{v:02}" == own["visitor_id"][0]}
    assert own["is_right"].to_list() == [photo in taken for photo in own["photo_id"]]


def test_lists_chosen_by_marginal_relevance_are_less_alike(night: Night) -> None:
    params = PARAMS.model_copy(update={"methods": ("random", "mean_embedding"), "protocols": ("no_split",)})
    _, plain = run(night, params)
    _, diverse = run(night, params.model_copy(update={"diversity": 0.7}))
    for protocol in ("temporal", "no_split"):
        before, after = (
            {row["arm"]: row["diversity"] for row in tables["lists"].filter(protocol=protocol).to_dicts()}
            for tables in (plain, diverse)
        )
        assert before["mean_embedding"] < 0.1  # all of one taste
        assert after["mean_embedding"] > 0.2  # and now of both
        assert after["random"] > before["random"]
    # the best photo is still the first
    assert figures(diverse, "hit_rate")["mean_embedding"] == figures(plain, "hit_rate")["mean_embedding"]


def test_als_is_learned_by_the_library_that_is_named(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, sessions = night.context.settings, []

    @contextmanager
    def session(settings: Settings, name: str) -> Iterator[None]:
        sessions.append(name)
        yield

    def fit(self: SparkAls, log: Interactions, items: ItemFeatures, *, seed: int) -> FittedAls:
        assert (self.settings, sessions) == (settings, ["recommenders"])
        return self.als.fit(log, items, seed=seed)

    monkeypatch.setattr(benchmark, "spark_session", session)
    monkeypatch.setattr(SparkAls, "fit", fit)
    params = PARAMS.model_copy(update={"methods": ("als",), "protocols": ()})
    assert method("als", params, settings, bare_items(1)) == Als()
    run(night, params)
    assert not sessions
    _, tables = run(night, params.model_copy(update={"als_library": "spark"}))
    assert figures(tables, "precision")["als"] > 0.7
    assert sessions == ["recommenders"]


def test_visitors_beyond_the_limit_are_not_asked_about(night: Night) -> None:
    manifest, _ = run(night, PARAMS.model_copy(update={"max_visitor_count": 5}))
    assert RecommendationFacts.of(manifest).protocols["temporal"].visitor_count == 5


def test_of_a_log_too_large_to_learn_from_a_sample_is_and_all_are_asked_with_their_histories(night: Night) -> None:
    params = PARAMS.model_copy(update={"methods": ("random", "popularity", "mean_embedding")})
    _, whole = run(night, params)
    manifest, tables = run(night, params.model_copy(update={"max_learning_conversions": 3 * HAD}))
    facts = RecommendationFacts.of(manifest)
    assert facts.sample is not None
    assert (facts.sample.conversion_count, facts.sample.conversion_total) == (3 * HAD, len(night.past))
    assert facts.sample.visitor_total == VISITORS
    assert facts.protocols["temporal"].log_count == 3 * HAD
    assert facts.protocols["temporal"].visitor_count == VISITORS
    assert facts.protocols["no_split"].visitor_count == facts.sample.visitor_count
    for name in ("random", "mean_embedding"):  # what learns from nobody finds the same
        found, before = (
            figures(one, "precision", segment_kind="history", segment="1+")[name] for one in (tables, whole)
        )
        assert found == before
    assert figures(tables, "ndcg")["popularity"] != figures(whole, "ndcg")["popularity"]


def test_a_method_with_too_little_to_learn_from_is_left_out_with_its_reason(night: Night) -> None:
    night.past = [(v, v % 2) for v in range(VISITORS - 1)]  # one each: no order to learn
    params = PARAMS.model_copy(update={"methods": ("random", "sasrec"), "protocols": ()})
    manifest, tables = run(night, params)
    assert "no example to learn from" in RecommendationFacts.of(manifest).notes["temporal/sasrec"]
    assert set(figures(tables, "hit_rate")) == {"random"}


def test_what_else_goes_wrong_in_a_method_stops_the_night(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_number(_: FittedRandomOrder, histories: Interactions) -> Callable[[np.ndarray], np.ndarray]:
        return lambda candidate_C: np.full((histories.visitor_count, len(candidate_C)), np.nan, np.float32)

    monkeypatch.setattr(FittedRandomOrder, "scorer", no_number)
    with pytest.raises(ValueError, match="NaN"):
        run(night, PARAMS.model_copy(update={"methods": ("random",), "protocols": ()}))


def test_all_can_be_left_out_and_a_rerun_does_nothing(night: Night) -> None:
    without, tables = run(night, EvaluateRecommendersParams(max_visitor_count=0))
    assert RecommendationFacts.of(without).note == "left out: max_visitor_count is 0"
    assert all(rows.is_empty() for rows in tables.values())
    first, _ = run(night)
    again, _ = run(night)
    assert again == first


def test_too_many_photos_without_a_vector_stop_the_stage(night: Night) -> None:
    night.missing = set(range(20))
    with raises(BadInput, "vectors_missing", missing_count=20):
        run(night)


def test_params_know_the_methods() -> None:
    assert tuple(METHODS) == RECOMMENDERS
    with pytest.raises(ValidationError, match="magic"):
        EvaluateRecommendersParams(methods=("magic",))
    with pytest.raises(ValidationError, match="protocols"):
        EvaluateRecommendersParams(protocols=("folds", "folds"))
