"""The recommender of a release: which method it is, what it shows, the lists of the night's visitors, what it lacks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from jobs.config.params.arms import FULL
from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.params.release import MakeReleaseParams
from jobs.context import RunContext
from jobs.datasets.evaluation import RECOMMENDATION
from jobs.datasets.features import SPLITS
from jobs.datasets.models import SEARCH_MODELS
from jobs.datasets.releases import LISTS, Lead, ReleasedRecommender, ReleaseFacts
from jobs.errors import BadInput, MissingInput
from jobs.housekeeping.forget_visitor import forget
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.recommending import released, released_lists
from jobs.recommending.released import choose, chosen
from jobs.releasing.published_pointer import POINTER, Pointer, published
from jobs.releasing.reader import OpenRelease, ReleaseReader, open_release
from models.recommend.saving import ARRAYS
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.night_of_tastes import IDS, VISITORS, Night
from tests.registered import commit_log
from tests.released import commit_index, commit_order, commit_registration, name_of
from tests.validated_lake import commit_tables

PARAMS = EvaluateRecommendersParams(methods=("random", "popularity", "mean_embedding"), protocols=())
WHO, RAW = "a" * 32, "visitor of the log"


def rates(*rows: tuple[str, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["arm", "value"], orient="row")


def leads(*rows: tuple[str, str, float, float | None, float | None]) -> pl.DataFrame:
    kinds = {"arm": pl.String, "baseline": pl.String, **dict.fromkeys(("difference", "low", "high"), pl.Float64)}
    return pl.DataFrame(rows, schema=kinds, orient="row")


# -- which method it is ------------------------------------------------------------------------------------

KEPT = ["als", "popularity", "random", "two_tower"]


def test_the_best_method_is_released_if_it_is_surely_better_than_popularity() -> None:
    measured = rates(("als", 0.3), ("popularity", 0.2), ("two_tower", 0.25))
    lead = Lead(difference=0.1, low=0.01, high=0.19)
    sure = leads(("als", "two_tower", 0.05, -0.1, 0.2), ("als", "popularity", 0.1, 0.01, 0.19))
    assert chosen(KEPT, measured, sure) == ReleasedRecommender(method="als", best="als", lead=lead)
    unsure = leads(("als", "two_tower", 0.05, 0.01, 0.2), ("als", "popularity", 0.1, 0.0, 0.2))
    assert chosen(KEPT, measured, unsure) == ReleasedRecommender(
        method="popularity", best="als", lead=Lead(difference=0.1, low=0.0, high=0.2)
    )


def test_popularity_is_released_where_it_is_the_best_or_nothing_is_said_of_its_rival() -> None:
    best = rates(("als", 0.1), ("popularity", 0.2))
    assert chosen(KEPT, best, leads(("popularity", "als", 0.1, 0.05, 0.2))) == ReleasedRecommender(
        method="popularity", best="popularity"
    )
    alone = rates(("popularity", 0.2))
    assert chosen(["popularity"], alone, leads()) == ReleasedRecommender(method="popularity", best="popularity")


def test_chance_and_what_was_not_kept_are_never_released() -> None:
    measured = rates(("random", 0.9), ("sasrec", 0.8), ("als", 0.3), ("popularity", 0.2))
    found = leads(("random", "popularity", 0.7, 0.5, 0.9), ("sasrec", "popularity", 0.6, 0.5, 0.7))
    assert chosen(KEPT, measured, found) == ReleasedRecommender(method="popularity", best="als")


# -- what a release holds ----------------------------------------------------------------------------------


@pytest.fixture
def night(make_context: Contexts) -> Night:
    """A night of two tastes; photo 2 is hidden everywhere, photo 4 in Japan."""
    made = Night(make_context())
    made.names[3] = WHO
    commit_log(made.context, hidden=[(IDS[2], None), (IDS[4], "JP")])
    return made


def release(
    night: Night, evaluate: EvaluateRecommendersParams = PARAMS, params: MakeReleaseParams | None = None
) -> tuple[RunContext, Manifest]:
    """Evaluate recommenders and make the release of the night."""
    context = night.commit()
    run_stage(context, "evaluate_recommenders", evaluate)
    digest = context.read(SEARCH_MODELS).facts["arms"][FULL]["model_digest"]
    commit_order(context)
    commit_index(context, digest, IDS)
    made = run_stage(context, "make_release", params or MakeReleaseParams())
    commit_registration(context, 1, seed=0)
    return context, made


def prefer(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Let a method be surely better."""
    lead = Lead(difference=0.2, low=0.1, high=0.3)
    better = ReleasedRecommender(method=method, best=method, lead=lead)
    monkeypatch.setattr(released, "chosen", lambda kept, rates, leads: better)


def opened(context: RunContext, made: Manifest) -> OpenRelease:
    return open_release(context.lake, name_of(made), made.digest, with_recommender=True)


def taken(context: RunContext) -> dict[str, tuple[list[str], list[datetime], str]]:
    """Return what visitors took and when, oldest first, and the country that they come from."""
    windows = [context.lake.read_table(context.read(SPLITS), name) for name in ("train", "validation", "test")]
    rows = pl.concat(windows).sort("converted_at", "photo_id")
    return {
        visitor: (own["photo_id"].to_list(), own["converted_at"].to_list(), own["country"][-1])
        for (visitor,), own in rows.partition_by("visitor_id", as_dict=True, maintain_order=True).items()
    }


@pytest.mark.parametrize("method", ["popularity", "mean_embedding"])
def test_the_lists_of_the_night_are_what_the_reader_recommends_to_the_same_histories(
    night: Night, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    prefer(monkeypatch, method)
    monkeypatch.setattr(released_lists, "_VISITORS_AT_ONCE", 5)
    context, made = release(night)
    recommender = ReleaseFacts.of(made).recommender
    assert (recommender.method, recommender.visitor_count) == (method, VISITORS)
    assert {name.split("/")[2] for name in made.files if name.startswith("recommender/methods/")} == {
        "popularity",
        method,
    }
    assert len(made.tables[LISTS].files) == 3  # in blocks of five visitors
    lists = context.lake.read_table(made, LISTS).partition_by("visitor_id", as_dict=True)
    histories = taken(context)
    assert {visitor for (visitor,) in lists} == set(histories)
    photos, times, countries = zip(*histories.values(), strict=True)
    found = opened(context, made).recommend(photos, 100, countries=countries, taken_at=times)
    for (visitor, (had, _, country)), shown in zip(histories.items(), found, strict=True):
        rows = lists[visitor,]
        assert rows["position"].to_list() == list(range(1, len(shown) + 1))
        assert rows["photo_id"].to_list() == [photo_id for photo_id, _ in shown]
        assert rows["score"].to_list() == pytest.approx([score for _, score in shown], abs=1e-6)
        hidden = {IDS[2]} | ({IDS[4]} if country == "JP" else set())
        assert set(rows["photo_id"]) == set(IDS) - set(had) - hidden


def test_a_visitor_without_a_past_is_shown_what_is_popular(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    prefer(monkeypatch, "mean_embedding")
    by_method = opened(*release(night))
    monkeypatch.undo()
    by_popularity = opened(*release(night, PARAMS.model_copy(update={"methods": ("popularity",)})))
    assert by_popularity.description["recommender"]["method"] == "popularity"
    asked = [[], ["gone"], [IDS[6], IDS[8]]]
    countries = ["JP", "GB", "GB"]
    found = by_method.recommend(asked, 10, countries=countries)
    popular = by_popularity.recommend(asked, 10, countries=countries)
    assert found[:2] == popular[:2]
    assert found[0] != found[1]  # each its own country's
    assert {int(photo_id.removeprefix("photo-")) % 2 for photo_id, _ in found[2]} == {0}


def test_lists_less_alike_are_released_as_they_were_measured(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    prefer(monkeypatch, "mean_embedding")
    context, made = release(night, PARAMS.model_copy(update={"diversity": 0.7}))
    (found,) = opened(context, made).recommend([[IDS[6], IDS[8]]], 10)
    assert {int(photo_id.removeprefix("photo-")) % 2 for photo_id, _ in found} == {0, 1}


def test_lists_are_written_for_those_who_were_there_last_as_far_as_is_asked(night: Night) -> None:
    context, made = release(night, params=MakeReleaseParams(recommend_to=2))
    assert set(context.lake.read_table(made, LISTS)["visitor_id"]) == {"v10", "v11"}
    _, none = release(night, params=MakeReleaseParams(recommend_to=0))
    assert (none.row_counts[LISTS], ReleaseFacts.of(none).recommender.visitor_count) == (0, 0)


@pytest.mark.parametrize(
    ("evaluate", "why"),
    [
        (EvaluateRecommendersParams(max_visitor_count=0), "left out: max_visitor_count is 0"),
        (
            PARAMS.model_copy(update={"methods": ("random", "mean_embedding")}),
            "popularity is not among the night's methods",
        ),
    ],
)
def test_a_night_without_popularity_has_no_recommender_and_all_else(
    night: Night, evaluate: EvaluateRecommendersParams, why: str
) -> None:
    context, made = release(night, evaluate)
    assert ReleaseFacts.of(made).recommender == ReleasedRecommender(note=why)
    assert made.row_counts[LISTS] == 0
    assert not [name for name in made.files if name.startswith("recommender/")]
    one = opened(context, made)
    with raises(MissingInput, "no_released_recommender", release=str(one.name)) as caught:
        one.recommend([[]], 3)
    assert why in str(caught.value)
    assert len(one.similar(one.live.index.vectors(one.live.catalogue.ids[:1]), 3)[0]) == 3


def test_a_release_of_before_is_searched_and_says_that_it_has_no_recommender(night: Night) -> None:
    context, made = release(night)
    one = opened(context, made)
    description = {name: part for name, part in one.description.items() if name != "recommender"}
    before = replace(one, description=description, recommender=None)
    with raises(MissingInput, "no_released_recommender", release=str(one.name)) as caught:
        before.recommend([[]], 3)
    assert "earlier version" in str(caught.value)
    left_out = open_release(context.lake, name_of(made), made.digest)
    with pytest.raises(ValueError, match="with_recommender"):
        left_out.recommend([[]], 3)


def test_a_damaged_recommender_is_not_opened_and_the_search_is(night: Night) -> None:
    context, made = release(night)
    path = Path(context.lake.file_path(made, f"recommender/methods/popularity/{ARRAYS}"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with raises(BadInput, "stored_file_changed"):
        opened(context, made)
    assert open_release(context.lake, name_of(made), made.digest).recommender is None


def test_a_visitor_who_is_forgotten_has_no_list_and_the_published_release_still_opens(night: Night) -> None:
    context, made = release(night)
    pointer = Pointer(entry=1, release=name_of(made), digest=made.digest)
    published(context.lake).put(POINTER, pointer.model_dump_json().encode())
    before = context.lake.read_table(made, LISTS)
    assert WHO in before["visitor_id"].to_list()
    receipt = forget(context.lake, RAW, lambda raw: WHO if raw == RAW else "b" * 32, context.started_at)
    assert [name for name in receipt.removed_rows if f"/tables/{LISTS}/" in name]
    reader = ReleaseReader(context.lake, with_recommender=True)
    assert reader.current.name == name_of(made)
    after = context.lake.by_reference(made.reference)
    assert after.digest != made.digest
    assert context.lake.read_table(after, LISTS).equals(before.filter(pl.col("visitor_id") != WHO))


def test_why_nothing_was_learned_is_said(make_context: Contexts) -> None:
    context = make_context()
    notes = {"temporal/popularity": "nothing to learn from"}
    night = commit_tables(context, RECOMMENDATION, facts={"notes": notes})
    assert choose(context.lake, night) == ReleasedRecommender(note="nothing to learn from")
