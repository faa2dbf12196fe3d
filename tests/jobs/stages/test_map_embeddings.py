"""The stage: what is laid out, when a night lies on an earlier one's map, when it does not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from jobs.config.params.arms import FULL, ZERO_SHOT
from jobs.config.params.embedding import MapEmbeddingsParams
from jobs.context import RunContext
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.datasets.evaluation import PHOTO_MAP, ClusterFate, MapFacts, PhotoMapFacts
from jobs.datasets.features import SPLITS
from jobs.errors import MissingInput
from jobs.lake.inventory import remove_run
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.stages import map_embeddings
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables

LAST = date(2025, 12, 28)
DIM = 8
PARAMS = MapEmbeddingsParams(min_samples=(2,), min_cluster_sizes=(5,), radius_quantiles=(0.5,), perplexity=8)
WORDS = ("cat", "sea", "car")


def vector(number: int, moved: float = 0.0) -> list[float]:
    """A unit vector near one of three directions; every eleventh photo is near none."""
    rows = 0.06 * np.random.default_rng(number).normal(size=DIM)
    rows[3 + number % 5 if number % 11 == 10 else number % 3] += 1
    rows[DIM - 1] += moved
    return list((rows / np.linalg.norm(rows)).astype(np.float32))


def commit_photos(
    context: RunContext, numbers: Sequence[int], model: str = "m", moved: dict[int, float] | None = None
) -> None:
    """Commit what the stage reads: photos of these numbers by two arms, their keywords."""
    ids = [f"p{number:03}" for number in numbers]
    rows = pl.DataFrame({"photo_id": ids, "vector": [vector(n, (moved or {}).get(n, 0.0)) for n in numbers]})
    arms = {FULL: {"model_digest": model}, ZERO_SHOT: {"model_digest": "base"}}
    both = pl.concat([rows[::-1].with_columns(arm=pl.lit(FULL)), rows.head(3).with_columns(arm=pl.lit(ZERO_SHOT))])
    in_groups = [n for n in numbers if n % 11 != 10]
    keywords = [(f"p{n:03}", *of) for n in in_groups for of in ((WORDS[n % 3], 0.9), ("picture", 0.5))]
    tables = {
        "photos": pl.DataFrame({"photo_id": ids}),
        "photo_keywords": pl.DataFrame(keywords, schema=["photo_id", "keyword", "confidence"], orient="row"),
    }
    commit_tables(context, SPLITS, tables)
    commit_tables(context, PHOTO_EMBEDDINGS, {"embeddings": both}, facts={"arms": arms})


def night(
    make_context: Contexts, days_ago: int, numbers: Sequence[int], model: str = "m", **moved: dict[int, float]
) -> Manifest:
    context = make_context(run_date=LAST - timedelta(days=days_ago))
    commit_photos(context, numbers, model, **moved)
    return run_stage(context, "map_embeddings", PARAMS)


def made(manifest: Manifest) -> MapFacts:
    """The map that a run says it made."""
    found = PhotoMapFacts.of(manifest).map
    assert found is not None
    return found


def points(context: RunContext, manifest: Manifest) -> pl.DataFrame:
    return context.lake.read_table(manifest, "points")


@pytest.fixture
def context(make_context: Contexts) -> RunContext:
    return make_context()


def test_a_first_night_gets_a_map_with_clusters_and_their_words(make_context: Contexts, context: RunContext) -> None:
    manifest = night(make_context, 0, range(66))
    facts, found = made(manifest), points(context, manifest)
    assert (facts.kind, facts.why, facts.earlier_run_date) == ("new", "no earlier night has a map", None)
    assert (facts.photo_count, facts.corpus_photo_count, facts.dim, facts.arm) == (66, 66, DIM, FULL)
    assert facts.placed == {"fitted": 66}
    assert facts.neighbours_kept > 0.4
    assert found["photo_id"].to_list() == [f"p{number:03}" for number in range(66)]
    of_cat = found.filter(pl.Series([n % 3 == 0 and n % 11 != 10 for n in range(66)]))["cluster"]
    assert of_cat.n_unique() == 1
    assert of_cat[0] != -1
    assert (found.filter(pl.Series([n % 11 == 10 for n in range(66)]))["cluster"] == -1).mean() > 0.5
    words = context.lake.read_table(manifest, "keywords")
    assert words.filter(cluster=of_cat[0])["keyword"].to_list() == ["cat"]  # 'picture' is everywhere
    sweep = context.lake.read_table(manifest, "sweep")
    assert sweep["is_chosen"].sum() == 1
    chosen = sweep.filter("is_chosen").row(0, named=True)
    assert (chosen["cluster_count"], chosen["agreement"]) == (3, pytest.approx(1))
    assert chosen["dbcv"] == sweep.filter("is_within_limits")["dbcv"].max()


def test_the_same_night_again_computes_nothing_and_elsewhere_gives_the_same_bytes(
    make_context: Contexts, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = night(make_context, 0, range(40))
    remove_run(context.lake, first)
    again = run_stage(make_context(run_id="again"), "map_embeddings", PARAMS)
    assert (again.run_id, again.digest) == (first.run_id, first.digest)
    monkeypatch.setattr(map_embeddings, "make_map", None)
    assert run_stage(make_context(), "map_embeddings", PARAMS) == again


def test_photos_of_an_earlier_map_stay_and_new_and_changed_ones_are_laid_onto_it(
    make_context: Contexts, context: RunContext
) -> None:
    earlier = night(make_context, 3, range(60))
    manifest = night(make_context, 0, range(4, 66), moved={7: 0.4, 8: 1e-6})
    before, now = (
        {row["photo_id"]: row for row in points(context, run).iter_rows(named=True)} for run in (earlier, manifest)
    )
    assert made(manifest).kind == "projected"
    assert made(manifest).why.startswith("the night of 2025-12-25 has the same model")
    assert made(manifest).map_run_date == "2025-12-25"
    assert made(manifest).placed == {"kept": 55, "projected": 7}
    assert {p for p, row in now.items() if row["placed"] == "projected"} == {
        "p007",
        *(f"p{n:03}" for n in range(60, 66)),
    }
    kept = [photo_id for photo_id, row in now.items() if row["placed"] == "kept"]
    assert [(now[p]["x"], now[p]["y"]) for p in kept] == [(before[p]["x"], before[p]["y"]) for p in kept]
    middle = np.mean([(before[f"p{n:03}"]["x"], before[f"p{n:03}"]["y"]) for n in range(0, 54, 3) if n % 11 != 10], 0)
    others = np.mean([(before[f"p{n:03}"]["x"], before[f"p{n:03}"]["y"]) for n in range(1, 54, 3) if n % 11 != 10], 0)
    new = np.array([now["p060"]["x"], now["p060"]["y"]])
    assert np.linalg.norm(new - middle) < np.linalg.norm(new - others)
    assert manifest.tables["reference"].files == earlier.tables["reference"].files  # taken over, not copied


def test_a_third_night_lies_on_the_map_of_the_first(make_context: Contexts, context: RunContext) -> None:
    night(make_context, 3, range(60))
    second, third = night(make_context, 2, range(63)), night(make_context, 1, range(2, 66))
    assert made(third).earlier_run_date == "2025-12-26"
    assert made(third).map_run_date == "2025-12-25"
    place = {run.run_id: dict(points(context, run).select("photo_id", "x").iter_rows()) for run in (second, third)}
    for photo_id in (
        "p010",
        "p062",
    ):  # of the map itself, and one that was laid onto it: by the same rule to the same place
        assert place[third.run_id][photo_id] == pytest.approx(place[second.run_id][photo_id], abs=1e-6)


def test_another_model_is_never_laid_onto_a_map_and_begins_from_it(make_context: Contexts) -> None:
    night(make_context, 3, range(60))
    facts = made(night(make_context, 0, range(62), model="other"))
    assert (facts.kind, facts.map_run_date, facts.earlier_run_date) == ("new", "2025-12-28", "2025-12-25")
    assert facts.why.startswith("the night of 2025-12-25 mapped another model")
    assert facts.why.endswith("it begins from where that map had the photos")
    assert facts.placed == {"fitted": 62}


def test_clusters_keep_their_numbers_over_nights_and_models(make_context: Contexts, context: RunContext) -> None:
    """On the second night the smallest of three clusters has most photos, and a fourth one is there."""
    first = night(make_context, 3, range(60))
    assert made(first).clusters is None
    smallest = next(n for n in range(3) if points(context, first).filter(photo_id=f"p{n:03}")["cluster"].item() == 2)
    of_it = [n for n in range(60, 100) if n % 3 == smallest]
    fourth = range(109, 190, 11)
    second = night(make_context, 1, [*range(60), *of_it, *fourth], "other", moved=dict.fromkeys(fourth, 5.0))
    was, now = (dict(points(context, run).select("photo_id", "cluster").iter_rows()) for run in (first, second))
    assert made(second).clusters == ClusterFate(kept=3, new=(3,), gone=0)
    assert {one: {now[p] for p, label in was.items() if label == one} - {-1} for one in range(3)} == {
        one: {one} for one in range(3)
    }
    sizes = points(context, second)["cluster"].value_counts().sort("count", descending=True)["cluster"]
    assert sizes[0] == 2  # the largest, and not 0
    assert context.lake.read_table(second, "keywords").filter(keyword=WORDS[smallest])["cluster"].to_list() == [2]
    third = night(make_context, 0, [n for n in range(60) if n % 3 == smallest or n % 3 == (smallest + 1) % 3])
    assert made(third).clusters == ClusterFate(kept=2, new=(), gone=2)
    assert 2 in points(context, third)["cluster"]


def test_too_many_new_photos_or_another_perplexity_make_a_new_map(make_context: Contexts, context: RunContext) -> None:
    night(make_context, 3, range(30))
    facts = made(night(make_context, 1, range(60)))
    assert facts.kind == "new"
    assert facts.why.startswith("50% of the photos are new to the map of 2025-12-25, more than 30%")
    commit_photos(context, range(60))
    other = made(run_stage(context, "map_embeddings", PARAMS.model_copy(update={"perplexity": 5.0})))
    assert other.why.startswith("the map of 2025-12-27 has another perplexity")


def test_beyond_the_most_photos_a_sample_is_laid_out_that_nights_share(
    make_context: Contexts, context: RunContext
) -> None:
    few = PARAMS.model_copy(update={"max_photos": 30})
    before = make_context(run_date=LAST - timedelta(days=1))
    runs = []
    for one, numbers in ((before, range(90)), (context, range(92))):
        commit_photos(one, numbers)
        runs.append(run_stage(one, "map_embeddings", few))
    first, second = (set(points(context, run)["photo_id"]) for run in runs)
    assert len(first) == len(second) == 30
    assert len(first & second) >= 28
    assert made(runs[1]).corpus_photo_count == 92
    assert made(runs[1]).kind == "projected"


def test_nothing_to_lay_out_is_a_result_with_its_reason(make_context: Contexts, context: RunContext) -> None:
    commit_photos(context, range(40))
    left_out = run_stage(context, "map_embeddings", PARAMS.model_copy(update={"is_made": False}))
    assert PhotoMapFacts.of(left_out) == PhotoMapFacts(note="left out by the parameters")
    assert set(left_out.row_counts.values()) == {0}
    few = run_stage(context, "map_embeddings", PARAMS.model_copy(update={"arm": ZERO_SHOT}))
    assert PhotoMapFacts.of(few).note == "3 photos with a vector are too few"
    later = night(make_context, -1, range(40))  # a night without a map is none to lay anything onto
    assert made(later).why == "no earlier night has a map"
    assert context.read(PHOTO_MAP) == few


def test_an_arm_that_is_not_there_is_named(context: RunContext) -> None:
    commit_photos(context, range(20))
    with raises(MissingInput, "arm_not_embedded", arm="finetuned"):
        run_stage(context, "map_embeddings", PARAMS.model_copy(update={"arm": "finetuned"}))
