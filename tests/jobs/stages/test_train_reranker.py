"""The stage `train_reranker` and the arm it makes possible, on the small made-up night of the evaluation's tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from jobs.adapters.task_pool import LocalPool
from jobs.config.params.arms import FULL, TRENDING
from jobs.config.params.training import TrainRerankerParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.evaluation import EvaluationFacts
from jobs.datasets.models import RERANKER, EventsCheck, RerankerFacts
from jobs.embedding.arm_vectors import batches_of_file, photo_arm
from jobs.embedding.located_arm import LocatedArm, as_matrix
from jobs.embedding.short_vectors import short_vectors
from jobs.errors import BadInput, GateFailed, MissingInput
from jobs.evaluation.availability import read_availability
from jobs.evaluation.ranking_task import Task, read_task
from jobs.lake.manifest import Manifest
from jobs.lake.shared_arrays import Scratch
from jobs.nights.stage_runner import run_stage
from jobs.reranking.answering import Answering
from jobs.reranking.inputs import WindowSearch
from jobs.reranking.reranked_arm import Reranked
from jobs.reranking.saved import RERANKER_FILES
from jobs.reranking.tables import check_events
from jobs.stages import train_reranker
from jobs.stages.registry import STAGES
from models.evaluation.ranking import NOT_FOUND
from models.rerank.candidates import Candidates
from models.rerank.features import FEATURES, Searches
from models.rerank.learning import FOLD_COUNT, Reranker
from models.rerank.search import Search
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs.stages.test_evaluate import (
    COUNTRIES,
    LIVE,
    PHOTO_COUNT,
    PUBLISHED,
    TEST_START,
    TRAIN_END,
    Night,
    begin_a_trend,
    make_published,
    ranks_of,
)
from tests.jobs.stages.test_evaluate import PARAMS as EVALUATE

PARAMS = TrainRerankerParams(
    candidate_count=30, min_search_count=20, rounds=30, patience=10, learning_rate=0.1, min_rows_per_leaf=5, leaves=4
)


@pytest.fixture
def night(make_context: Contexts) -> Night:
    """A night in which the challenger is unsure, so that there is something to learn, and some visitors surprise."""
    made = Night(make_context())
    random = np.random.default_rng(7)
    made.validation = made.conversions(random, 400, TRAIN_END, PHOTO_COUNT - 4)
    offset = 0.6 * random.normal(size=8)
    for i in range(PHOTO_COUNT):
        rows = (pl.col("arm") == "finetuned_country_keywords") & (pl.col("query") == f"q{i}")
        vector = np.array(made.query_vectors.filter(rows)["vector"][0]) + offset * (-1) ** i
        made.spoil("query_vectors", rows, (vector / np.linalg.norm(vector)).tolist())
    surprised = pl.int_range(pl.len()) % 4 == 0
    made.test = made.test.with_columns(photo_id=pl.when(surprised).then(pl.lit("photo-09")).otherwise("photo_id"))
    return made


def inputs_of(context: RunContext) -> dict[str, Manifest]:
    return {name: context.read(named(name)) for name in STAGES["evaluate"].inputs}


def task_of(context: RunContext) -> tuple[dict[str, Manifest], Task]:
    inputs = inputs_of(context)
    return inputs, read_task(context.lake, inputs["splits"])


def trained(night: Night) -> tuple[RunContext, Manifest]:
    context = night.commit()
    return context, run_stage(context, "train_reranker", PARAMS)


def models_of(context: RunContext, manifest: Manifest) -> list[str]:
    return [context.lake.read_file(manifest, name).decode() for name in sorted(manifest.files)]


def test_it_learns_an_order_and_says_how(night: Night) -> None:
    context, manifest = trained(night)
    facts = RerankerFacts.of(manifest)
    assert facts.note == ""
    assert facts.base_arm == "finetuned_country_keywords"
    assert (facts.cutoff, facts.trained_until) == (TRAIN_END, TEST_START)
    assert facts.search_count == 400
    assert 0 < facts.learnable_search_count <= 400
    assert facts.learned is not None
    assert facts.learned.held_out_hit_rate_after > facts.learned.held_out_hit_rate_before
    check = EventsCheck(check="events_before_cutoff", status="passed", event_count=300, cutoff=TRAIN_END)
    assert facts.checks == (check,)
    importances = context.lake.read_table(manifest, "importances")
    assert tuple(importances["feature"]) == facts.feature_names
    assert importances["gain"].sum() > 0
    curves = context.lake.read_table(manifest, "curves")
    assert set(curves["searches"]) == {"training", "held_out"}
    assert curves["step"].max() >= facts.learned.best_rounds[0]
    assert len(facts.learned.best_rounds) == len(models_of(context, manifest)) == FOLD_COUNT
    assert tuple(Reranker(models_of(context, manifest)).names) == facts.feature_names


def test_equal_inputs_give_an_equal_model_and_a_rerun_does_nothing(
    night: Night, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, manifest = trained(night)
    night.context = make_context(catalogue="other")
    assert run_stage(night.commit(), "train_reranker", PARAMS).digest == manifest.digest
    monkeypatch.setattr(train_reranker, "grow", None)  # would fail if anything were trained again
    assert run_stage(context, "train_reranker", PARAMS) == manifest


def test_a_killed_run_leaves_nothing_and_the_next_ends_with_the_same_model(
    night: Night, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = night.commit()

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(train_reranker, "_write_tables", kill)  # the model is written, the manifest is not
        with pytest.raises(Killed):
            run_stage(context, "train_reranker", PARAMS)
    assert RerankerFacts.of(context.read(RERANKER)).note == "too few searches"  # still what was there before
    night.context = make_context(catalogue="other")
    assert (
        run_stage(context, "train_reranker", PARAMS).digest
        == run_stage(night.commit(), "train_reranker", PARAMS).digest
    )


def test_too_few_searches_leave_the_arm_out_and_say_so(night: Night) -> None:
    context = night.commit()
    manifest = run_stage(context, "train_reranker", PARAMS.model_copy(update={"min_search_count": 10_000}))
    assert "of 400 searches" in RerankerFacts.of(manifest).note
    assert "10000 are needed" in RerankerFacts.of(manifest).note
    assert manifest.row_counts == {"importances": 0, "curves": 0}
    evaluation = run_stage(context, "evaluate", EVALUATE)
    assert "reranked" not in EvaluationFacts.of(evaluation).hit_rate_at_10
    assert EvaluationFacts.of(evaluation).reranker_note == RerankerFacts.of(manifest).note


def test_too_few_searches_fail_the_night_where_that_is_asked_for(night: Night) -> None:
    params = PARAMS.model_copy(update={"min_search_count": 10_000, "when_too_few": "fail"})
    with raises(MissingInput, "too_few_searches", needed_count=10_000):
        run_stage(night.commit(), "train_reranker", params)


def answering_in(context: RunContext) -> Answering:
    """Tasks of this process."""
    lake = context.lake
    return Answering(LocalPool(), Scratch(lake.root_uri, lake.catalogue, f"{lake.root}/scratch"), PARAMS.max_memory_mb)


def window_search(context: RunContext, inputs: dict[str, Manifest], task: Task) -> WindowSearch:
    where = answering_in(context)
    return WindowSearch.read(context.lake, inputs, task, FULL, PARAMS.model_dump(), where, reranker=None)


def matrix_of(asked: WindowSearch) -> np.ndarray:
    """The features of all candidates of all searches."""
    blocks = [searches for _, searches in asked.search.blocks(asked.searches)]
    return np.concatenate([candidates_of(asked.search, one)[1] for one in blocks])


def candidates_of(search: Search, searches: Searches) -> tuple[Candidates, np.ndarray]:
    """The candidates of searches and their features."""
    named = search.named(searches)
    candidates = search.candidates(searches, named)
    return candidates, search.features(searches, candidates, named)


def test_the_arm_is_ranked_and_measured_beside_the_others(night: Night) -> None:
    context = night.commit()
    run_stage(context, "train_reranker", PARAMS.model_copy(update={"candidate_count": 10}))
    manifest = run_stage(context, "evaluate", EVALUATE)
    facts = EvaluationFacts.of(manifest)
    verdict = facts.verdict
    assert (verdict.challenger, facts.base_arm, verdict.compared_with) == ("reranked", FULL, "zero_shot")
    assert verdict.difference == pytest.approx(facts.hit_rate_at_10["reranked"] - facts.hit_rate_at_10["zero_shot"])
    assert facts.rival not in ("reranked", *TRENDING)
    assert facts.reranker_note == ""
    assert facts.checks[0].event_count == 700  # training and validation are known, the test is not
    assert facts.past is not None
    known = pl.concat([night.train, night.validation])["visitor_id"].unique()
    assert facts.past.search_count == night.test["visitor_id"].is_in(known.implode()).sum()
    gain = facts.past.gains["hit_rate@10"]
    assert gain.value == pytest.approx(facts.past.hit_rate_at_10 - facts.past.hit_rate_at_10_without)
    assert gain.low <= gain.value <= gain.high
    ranks = context.lake.read_table(manifest, "ranks").pivot("arm", index="query_id", values="rank")
    assert (ranks["reranked"] == 1).mean() > (ranks["finetuned_country_keywords"] == 1).mean() + 0.1
    assert facts.candidate_recall["vector"] == (ranks["finetuned_country_keywords"] <= 10).mean()
    lost = ranks.filter(pl.col("reranked") == NOT_FOUND).height / ranks.height
    assert facts.candidate_recall["any"] == pytest.approx(1 - lost)
    assert facts.candidate_recall["any"] > facts.candidate_recall["vector"]
    for table in ("comparisons", "segment_comparisons", "query_comparisons"):
        compared = context.lake.read_table(manifest, table)
        assert set(compared["arm"]) == {"reranked"}
        assert FULL in set(compared["baseline"])
    sheet = context.lake.read_table(manifest, "contact_sheet")
    assert set(sheet["arm"]) == {"reranked", facts.rival}
    found = sheet.filter(pl.col("photo_id") == pl.col("converted_photo_id"), arm="reranked")
    asked = context.lake.read_table(manifest, "queries").rename({"photo_id": "converted_photo_id"})
    own = asked.with_columns(rank=ranks.sort("query_id")["reranked"])
    shown = found.join(own, on=["query", "country", "converted_photo_id"])
    assert len(shown) >= len(found) > 0
    assert set(found["position"]) <= set(shown["rank"])


def evaluated(night: Night) -> tuple[EvaluationFacts, dict[str, pl.DataFrame]]:
    context = night.commit()
    run_stage(context, "train_reranker", PARAMS)
    manifest = run_stage(context, "evaluate", EVALUATE)
    names = ("ranks", "queries", "judgement_ranks")
    return EvaluationFacts.of(manifest), {name: context.lake.read_table(manifest, name) for name in names}


def test_fresher_counts_follow_a_trend_and_know_nothing_of_what_comes_later(night: Night) -> None:
    follows = begin_a_trend(night)
    facts, tables = evaluated(night)
    assert set(TRENDING) < set(tables["ranks"]["arm"])
    assert set(TRENDING).isdisjoint(tables["judgement_ranks"]["arm"])  # a query has no time of day
    ranks = {arm: ranks_of(tables, arm) for arm in ("reranked", *TRENDING)}
    followers = {arm: found.filter(follows).sort("visitor_id")["rank"] for arm, found in ranks.items()}
    assert followers["trending_1h"][:3].to_list() == followers["reranked"][:3].to_list()  # nobody has followed yet
    first = {arm: int((found != followers["reranked"]).arg_max() or 0) for arm, found in followers.items()}
    assert 0 < first["trending_1h"] <= first["trending_6h"]  # three in an hour, from midnight on
    assert first["trending_24h"] == 0  # all is over before the next midnight
    assert followers["trending_1h"][30:].mean() < followers["reranked"][30:].mean()
    trending, rates = facts.trending, facts.hit_rate_at_10
    assert trending.note == ""
    for found, arm in ((trending.over_start, "reranked"), (trending.over_nightly, "trending_24h")):
        assert found is not None
        assert found.value == pytest.approx(rates["trending_1h"] - rates[arm])
        assert found.low <= found.value <= found.high
    night.test = night.test.filter(pl.col("converted_at") < TEST_START + timedelta(days=3, hours=9, minutes=5))
    _, short = evaluated(night)
    for arm in TRENDING:
        same = ranks[arm].join(night.test, on=["visitor_id", "query", "country", "photo_id"], how="semi")
        assert same.sort(pl.all()).equals(ranks_of(short, arm).sort(pl.all()))


def live_search(night: Night, manifest: Manifest, **changed: Any) -> dict[str, Any]:
    """Have the champion's release hold the night's own reranker; return what is said of it."""
    night.champion_files = {
        f"{RERANKER_FILES}{n}.txt": text.encode() for n, text in enumerate(models_of(night.context, manifest))
    }
    told = {
        "files_digest": "d",
        "trained_until": TEST_START,
        "half_life_days": PARAMS.half_life_days,
        "candidate_count": 30,
    }
    return LIVE | {"model_digest": "champion", "reranker": told | changed}


def test_the_champion_is_the_whole_search_that_is_live(night: Night) -> None:
    for table in ("photo_vectors", "query_vectors"):
        own = getattr(night, table).filter(arm=FULL).with_columns(arm=pl.lit("champion"))
        setattr(night, table, pl.concat([getattr(night, table).filter(pl.col("arm") != "champion"), own]))
    context, manifest = trained(night)
    night.champion = live_search(night, manifest)
    trained(night)
    evaluation = run_stage(context, "evaluate", EVALUATE)
    facts = EvaluationFacts.of(evaluation)
    assert (facts.champion_version, facts.champion_note, facts.verdict.compared_with) == (7, "", "champion")
    ranks = context.lake.read_table(evaluation, "ranks").pivot("arm", index="query_id", values="rank")
    assert ranks["champion"].to_list() == ranks["reranked"].to_list() != ranks[FULL].to_list()
    assert (facts.verdict.difference, facts.rival) == (0.0, "champion")
    assert len(facts.checks) == 2
    sheet = context.lake.read_table(evaluation, "contact_sheet")
    tops = [sheet.filter(arm=arm).drop("arm") for arm in ("reranked", "champion")]
    assert tops[0].equals(tops[1])

    night.champion = live_search(night, manifest, candidate_count=10)
    trained(night)
    other = context.lake.read_table(run_stage(context, "evaluate", EVALUATE), "ranks")
    assert other.filter(arm="champion")["rank"].to_list() != other.filter(arm="reranked")["rank"].to_list()


def test_a_live_search_that_has_seen_answers_or_cannot_be_made_again_is_left_out(night: Night) -> None:
    context, manifest = trained(night)
    for live, note in (
        (live_search(night, manifest, trained_until=TEST_START + timedelta(days=1)), "it has seen answers"),
        (LIVE | {"reranker_note": "other features"}, "cannot be made again: other features"),
    ):
        night.champion = live
        trained(night)
        facts = EvaluationFacts.of(run_stage(context, "evaluate", EVALUATE))
        assert note in facts.champion_note
        assert (facts.champion_version, facts.verdict.compared_with) == (None, "zero_shot")
        assert "champion" not in facts.hit_rate_at_10


def test_device_and_orientation_are_those_of_each_search(night: Night) -> None:
    night.train = night.train.with_columns(device_type=pl.lit("mobile"))
    context = night.commit()
    inputs, task = task_of(context)
    asked_for = window_search(context, inputs, task)
    code = {"mobile": 0.0, "desktop": 2.0, "fridge": np.nan}
    match = {"landscape": 1.0, "portrait": 0.0, "all": np.nan}  # every photo is wider than high
    asked = task.queries.select("device_type", "orientation_filter").rows()
    seen = set()
    for block, searches in asked_for.search.blocks(asked_for.searches):
        candidates, matrix = candidates_of(asked_for.search, searches)
        found = dict(zip(FEATURES, matrix.T, strict=True))
        rows = [asked[search] for search in block[candidates.row]]
        seen |= set(rows)
        np.testing.assert_array_equal(found["device"], [code[device] for device, _ in rows])
        np.testing.assert_array_equal(found["orientation_match"], [match[orientation] for _, orientation in rows])
    assert len(seen) == 9
    share = asked_for.search.tables.history.device_share
    assert share[2] < share[0]  # most of what is known of devices is of the training window


@pytest.mark.parametrize(("window", "known"), [("validation", ["train"]), ("test", ["train", "validation"])])
def test_what_a_visitor_took_is_known_from_before_the_window(night: Night, window: str, known: list[str]) -> None:
    context = night.commit()
    inputs = inputs_of(context)
    task = read_task(context.lake, inputs["splits"], window)
    asked_for, seen = window_search(context, inputs, task), set()
    columns = ["visitor", "photo_id", "query"]
    rows = [row for name in known for row in context.lake.read_table(inputs["splits"], name, columns).rows()]
    taken, for_query = {row[:2] for row in rows}, set(rows)
    asked = task.queries.select("visitor", "query").rows()
    for block, searches in asked_for.search.blocks(asked_for.searches):
        candidates, matrix = candidates_of(asked_for.search, searches)
        photo_ids = task.photos["photo_id"][candidates.place]
        expected = [
            2.0 if (who, photo_id, query) in for_query else 1.0 if (who, photo_id) in taken else np.nan
            for (who, query), photo_id in zip((asked[row] for row in block[candidates.row]), photo_ids, strict=True)
        ]
        seen |= {one for one in expected if one == one}
        np.testing.assert_array_equal(matrix[:, FEATURES.index("visitor_taken")], expected)
    assert seen == {1.0, 2.0}


def test_judged_by_query_no_device_or_orientation_is_known(night: Night) -> None:
    context, _ = trained(night)
    inputs, task = task_of(context)
    reranked = inputs | {"reranker": context.read(RERANKER)}
    arm = Reranked.read(context.lake, reranked, task, answering_in(context))
    own = arm.asked.searches
    assert min(own.device.max(), own.orientation.max()) > -1
    unknown = np.full(len(task.targets), -1)
    alike, judged = replace(own, device=unknown, orientation=unknown), arm.judged(task.text_ids, task.asked_at)
    search = arm.asked.search
    assert search.ranks(judged, task.targets)[0].tolist() == search.ranks(alike, task.targets)[0].tolist()


@pytest.mark.parametrize(("window", "start"), [("validation", TRAIN_END), ("test", TEST_START)])
def test_what_happens_inside_a_window_changes_no_feature_of_it(night: Night, window: str, start: Any) -> None:
    context = night.commit()
    inputs = inputs_of(context)
    task = read_task(context.lake, inputs["splits"], window)

    def matrix() -> np.ndarray:
        return matrix_of(window_search(context, inputs_of(context), task))

    before = matrix()
    planted = night.conversions(np.random.default_rng(1), 200, start, PHOTO_COUNT - 4)
    setattr(night, window, pl.concat([getattr(night, window), planted]))
    night.commit()
    np.testing.assert_array_equal(matrix(), before)
    night.train = pl.concat([night.train, planted.with_columns(pl.col("converted_at") - timedelta(days=10))])
    night.commit()
    assert not np.array_equal(matrix(), before, equal_nan=True)


def test_the_check_fails_by_name_on_an_event_at_its_cutoff(night: Night) -> None:
    late = night.train.head(1).with_columns(converted_at=pl.lit(TRAIN_END))
    night.train = pl.concat([night.train, late])
    with raises(GateFailed, "event_past_cutoff", check="events_before_cutoff", late_count=1):
        run_stage(night.commit(), "train_reranker", PARAMS)
    with raises(GateFailed, "event_past_cutoff", cutoff=TEST_START.isoformat()):
        check_events(night.test, TEST_START)
    before = late.with_columns(pl.col("converted_at") - timedelta(microseconds=1))
    assert check_events(before, TRAIN_END).status == "passed"


def test_the_reranked_arm_shows_what_the_others_may_show(night: Night) -> None:
    night.equal_pictures = {f"photo-{i:02}": "same" for i in range(10)}
    night.hidden = [("photo-11", None), ("photo-12", COUNTRIES[0]), ("never-there", COUNTRIES[1])]
    night.drop("test", pl.col("photo_id").is_in(["photo-11", "photo-12"]))
    context, _ = trained(night)
    inputs, task = task_of(context)
    availability = read_availability(context.lake, inputs, task)
    picture = dict(zip(task.photos["photo_id"], availability.picture.tolist(), strict=True))
    assert picture["photo-01"] == picture["photo-02"]
    assert len(set(picture.values())) == PHOTO_COUNT - 9
    assert task.photos[availability.hidden]["photo_id"].to_list() == sorted(
        ["photo-11", "photo-12"], key=lambda name: task.photos["photo_id"].to_list().index(name)
    )
    assert availability.hidden_at.shape == (2, 2)  # everywhere, and the one country with a rule about a photo
    ranks = context.lake.read_table(run_stage(context, "evaluate", EVALUATE), "ranks")
    by_arm = {arm: rows.sort("query_id")["rank"] for (arm,), rows in ranks.group_by("arm")}
    there_QP = task.available_at <= task.asked_at[:, None]
    there_QP[:, availability.hidden[0]] = False
    most_Q = there_QP.sum(axis=1) - 9
    assert all((rank.to_numpy() <= most_Q + 1).all() for rank in by_arm.values())
    of_the_ten = task.queries["photo_id"] < "photo-10"
    assert (by_arm["reranked"].filter(of_the_ten) <= 10).mean() > 0.9  # whichever of the ten is shown


def test_a_reranker_of_other_arms_or_of_the_test_window_is_refused(night: Night) -> None:
    context, manifest = trained(night)
    [text, *_] = models_of(context, manifest)

    def commit(trained_until: datetime, model: str) -> None:
        staged = context.begin(RERANKER, PARAMS, {}, {"other": str(trained_until)})
        for table in ("importances", "curves"):
            staged.write_table(table, context.lake.read_table(manifest, table))
        staged.write_file(f"{RERANKER_FILES}0.txt", model.encode())
        staged.commit(RerankerFacts.of(manifest).model_copy(update={"trained_until": trained_until}))

    commit(TEST_START + timedelta(days=1), text)
    with raises(BadInput, "reranker_trained_too_late"):
        run_stage(context, "evaluate", EVALUATE)
    commit(TEST_START, text.replace("vector_gap", "vector_gup"))
    with raises(BadInput, "reranker_of_other_features") as caught:
        run_stage(context, "evaluate", EVALUATE)
    assert any("vector_gup" in name for name in caught.value.named["features"])


def test_of_many_searches_a_sample_is_learned_from(night: Night) -> None:
    manifest = run_stage(night.commit(), "train_reranker", PARAMS.model_copy(update={"max_search_count": 150}))
    assert RerankerFacts.of(manifest).search_count == 150


def test_without_a_validation_window_the_arm_is_left_out_or_the_stage_fails(night: Night) -> None:
    make_published(night)
    context, manifest = trained(night)
    assert RerankerFacts.of(manifest).note.startswith("nothing was kept aside for validation (--validation-share 0")
    assert RerankerFacts.of(manifest).search_count == 0
    evaluation = run_stage(context, "evaluate", EVALUATE)
    assert "reranked" not in EvaluationFacts.of(evaluation).hit_rate_at_10
    assert EvaluationFacts.of(evaluation).reranker_note == RerankerFacts.of(manifest).note
    with raises(MissingInput, "no_validation_window"):
        run_stage(context, "train_reranker", PARAMS.model_copy(update={"when_too_few": "fail"}))


def test_by_the_protocol_of_all_photos_no_feature_tells_which_came_later(night: Night) -> None:
    night.split_facts = PUBLISHED
    context = night.commit()
    assert RerankerFacts.of(run_stage(context, "train_reranker", PARAMS)).note == ""
    assert "reranked" in EvaluationFacts.of(run_stage(context, "evaluate", EVALUATE)).hit_rate_at_10
    inputs, task = task_of(context)
    asked = window_search(context, inputs, task)
    assert (asked.search.availability.since == asked.search.availability.since[0]).all()
    found = dict(zip(FEATURES, matrix_of(asked).T, strict=True))
    assert np.isnan(found["photo_observed_days"]).all()
    assert np.isnan(found["photo_age_days"]).all()
    assert not (found["photo_conversions"] == 0).any()


def test_short_vectors_keep_the_products_of_the_arms_vectors(night: Night) -> None:
    context = night.commit()
    embeddings = context.read(named("photo_embeddings"))
    _, task = task_of(context)
    located = LocatedArm.of(context.lake, embeddings, FULL, task.photos, 0.5)
    short_PK = short_vectors(located).astype(np.float32)
    np.testing.assert_array_equal(short_PK, short_vectors(located, LocalPool().each))
    whole_PD = np.zeros((len(task.photos), photo_arm(embeddings, FULL).dim), np.float32)
    for file in located.files:
        for batch in batches_of_file(context.lake, file.info, FULL, ["vector"]):
            whole_PD[file.place_R[file.place_R >= 0]] = as_matrix(batch["vector"])[file.place_R >= 0]
    assert whole_PD.any(axis=1).mean() > 0.8
    np.testing.assert_array_equal(short_PK.any(axis=1), whole_PD.any(axis=1))
    np.testing.assert_allclose(short_PK @ short_PK.T, whole_PD @ whole_PD.T, atol=2e-3)
