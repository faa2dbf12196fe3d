"""The golden small night: every stage, in order, on a tiny generated catalogue, with its real component."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from jobs.config.params.arms import FULL, TRENDING
from jobs.config.params.evaluation import TRUTHS, EvaluateSimilarParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.clean import VALIDATED
from jobs.datasets.evaluation import EVALUATION, EvaluationFacts
from jobs.datasets.features import SPLITS, SplitsFacts
from jobs.datasets.models import ChampionFacts
from jobs.datasets.releases import LISTS, GateFacts, LiveDayFacts, ReleaseFacts
from jobs.errors import BadInput, MissingInput
from jobs.evaluation.integers import microseconds
from jobs.evaluation.ranking_task import read_task
from jobs.housekeeping import lineage
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.releasing.promotion import promote
from jobs.releasing.published_pointer import name_of
from jobs.releasing.reader import open_release
from jobs.reranking.inputs import KNOWN
from jobs.reranking.reranked_arm import Reranked
from jobs.reranking.saved import reranker_digest
from jobs.reranking.tables import read_taken
from jobs.sample import TINY, make_sample
from jobs.stages import registry
from jobs.stages.measure_drift import PHOTOS, SEARCHES
from models.rerank.live import Asked
from tests.conftest import Contexts, context_in
from tests.errors import raises
from tests.jobs.stages.test_train_reranker import answering_in
from tests.released import NOW

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]

ARMS = {
    "popularity",
    "most_converted_for_query",
    "keyword_bm25",
    "zero_shot",
    "finetuned",
    "finetuned_country_keywords",
    *TRENDING,
    "reranked",
}


def run_night(context: RunContext, **overrides: dict[str, Any]) -> dict[str, Manifest]:
    """Run every stage with the preset `tiny`; return its manifests by stage."""
    manifests = {}
    for name in registry.STAGES:
        manifests[name] = run_stage(context, name, registry.stage_params(name, "tiny", overrides.get(name)))
    return manifests


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("data") / "tiny"
    info = make_sample(folder, TINY)
    return folder, info


@dataclass(frozen=True)
class Nights:
    """Two nights in a row in one lake, by stage."""

    folder: Path
    contexts: tuple[RunContext, RunContext]
    first: dict[str, Manifest]
    again: dict[str, Manifest]
    second: dict[str, Manifest]


@pytest.fixture(scope="module")
def nights(sample: tuple[Path, Any], spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """The last two nights of the sample: the first, run twice, is promoted, the second takes over its models."""
    folder, info = sample
    home, last = tmp_path_factory.mktemp("nights"), info.last_complete_day
    first, second = (context_in(home, dataset_uri=str(folder), run_date=last - timedelta(days=days)) for days in (1, 0))
    manifests = [run_night(ctx) for ctx in (first, first.model_copy(update={"run_id": "again"}))]
    promote(first.settings, first.catalogue, 1, by="ada", reason="the first", at=NOW)
    return Nights(folder, (first, second), *manifests, run_night(second, train_search={"retrain": "never"}))


def test_a_night_on_a_tiny_catalogue(nights: Nights) -> None:
    folder, (context, _), night = nights.folder, nights.contexts, nights.first
    metrics = context.lake.read_table(night["evaluate"], "metrics")
    whole = metrics.filter(
        (metrics["segment_kind"] == "all") & (metrics["k"] == 10) & (metrics["metric"] == "hit_rate")
    )
    assert set(whole["arm"]) == ARMS
    assert whole["value"].is_between(0, 1).all()
    assert (whole["low"] <= whole["value"]).all()
    assert (whole["value"] <= whole["high"]).all()
    assert night["verify_index"].facts["recall_at_10"] == 1.0  # flat shards are exact
    assert set(context.lake.read_table(night["audit_leaks"], "findings")["status"]) == {"passed"}
    assert night["gate_release"].facts["figures"]["champion"] == "none"
    assert night["gate_release"].facts["release"]["run_id"] == night["make_release"].run_id
    assert night["measure_drift"].facts["last_day_count"] > 0
    recommended = context.lake.read_table(night["evaluate_recommenders"], "metrics")
    found = recommended.filter(protocol="temporal", segment_kind="all", metric="hit_rate", k=20)
    rates = dict(found.select("arm", "value").iter_rows())
    assert rates["popularity"] > rates["random"]
    mapped = night["map_embeddings"]
    assert (mapped.facts["note"], mapped.facts["map"]["kind"]) == ("", "new")
    assert mapped.row_counts["points"] == mapped.facts["map"]["corpus_photo_count"] > 50
    report = context.settings.report_dir / "test" / f"{context.run_date}.html"
    assert b"no champion" in report.read_bytes().lower()
    _check_lineage(context, folder, whole.filter(whole["arm"] == FULL)["value"].item())


def test_similar_photos_are_found_better_by_what_was_taken_together_than_by_chance(nights: Nights) -> None:
    metrics = nights.contexts[0].lake.read_table(nights.first["evaluate_similar"], "metrics")
    by_truth = metrics.filter(metric="ndcg", k=10).partition_by("truth", as_dict=True)
    assert {truth for (truth,) in by_truth} == set(TRUTHS)
    for (truth,), rows in by_truth.items():
        found = dict(rows.select("arm", "value").iter_rows())
        arms = {"random", "co_conversion", "keyword_overlap", "zero_shot", "finetuned", FULL, "challenger_by_file"}
        assert set(found) == arms - ({"keyword_overlap"} if truth == "keywords" else set())
        assert found["co_conversion"] > found["random"], truth


def test_the_release_answers_from_words_as_the_evaluation_does(nights: Nights) -> None:
    """By the same tables; those of a release also know the conversions of the test window."""
    (context, _), night = nights.contexts, nights.first
    inputs = {name: context.read(named(name)) for name in registry.STAGES["evaluate"].inputs}
    task = read_task(context.lake, inputs["splits"])
    asked = Reranked.read(context.lake, inputs, task, answering_in(context)).asked
    release = night["make_release"]
    opened = open_release(context.lake, name_of(release, 1), release.digest, with_model=True)
    assert opened.live.catalogue.names.tolist() == [name.encode() for name in task.photos["photo_id"]]
    known = replace(opened.live.catalogue, tables=asked.search.tables, pictures=asked.search.pictures)
    released = replace(opened, live=replace(opened.live, catalogue=known))
    columns = ("query", "country", "device_type", "orientation_filter")
    test_start, visitor_ids = SplitsFacts.of(inputs["splits"]).windows["test"][0], task.queries["visitor_id"].to_list()
    taken = read_taken(context.lake, inputs["splits"], KNOWN["test"], test_start, visitor_ids)
    rows = zip(task.queries.select(columns).iter_rows(), visitor_ids, strict=True)
    asked_live = [Asked(*row, taken=taken.get(visitor_id, ())) for row, visitor_id in rows]
    assert any(one.taken for one in asked_live)
    found = released.search(asked_live, 25, at=context.as_of)
    end = np.full(len(task.targets), microseconds(context.as_of))
    for block, searches in asked.search.blocks(replace(asked.searches, asked_at=end)):
        results = asked.search.results(searches)
        for row, number in enumerate(block):
            places = results.place[results.row == row][:25]
            assert [one.photo_id for one in found[number]] == task.photos["photo_id"][places].to_list()
    gate = GateFacts.of(night["gate_release"])
    assert gate.read_search_count == min(len(task.targets), 1000)
    assert gate.evaluated_hit_rate > 0
    assert gate.read_hit_rate == pytest.approx(gate.evaluated_hit_rate, abs=0.01)
    latest = opened.live.catalogue.tables.history
    assert latest.cutoff == microseconds(context.as_of) > asked.search.tables.history.cutoff
    assert latest.photo_sums[:, 0].sum() > asked.search.tables.history.photo_sums[:, 0].sum()


def test_the_release_has_a_list_for_every_visitor_of_the_log(nights: Nights) -> None:
    context, night = nights.contexts[0], nights.first
    recommender = ReleaseFacts.of(night["make_release"]).recommender
    visitors = pl.concat(
        context.lake.read_table(night["split_temporal"], window, ["visitor_id"])
        for window in ("train", "validation", "test")
    )["visitor_id"].unique()
    lists = context.lake.read_table(night["make_release"], LISTS)
    assert (recommender.note, recommender.visitor_count) == ("", len(visitors))
    assert set(lists["visitor_id"]) == set(visitors)
    assert lists.group_by("visitor_id").len()["len"].max() <= 100


def test_the_next_night_embeds_only_what_is_new_and_is_compared_with_the_first(nights: Nights) -> None:
    (first_context, second_context), first, second = nights.contexts, nights.first, nights.second
    assert second["train_base"].facts["model_digest"] == first["train_base"].facts["model_digest"]
    assert second["train_search"].digest == first["train_search"].digest
    known = set(first_context.lake.read_table(first["split_temporal"], "photos")["photo_id"])
    now = set(second_context.lake.read_table(second["split_temporal"], "photos")["photo_id"])
    for arm, facts in second["embed_photos"].facts["arms"].items():
        assert facts["embedded_count"] <= len(now - known), arm
        assert facts["reused_count"] >= len(known & now) - 5, arm
    without = set(second_context.lake.read_table(second["embed_photos"], "quarantine")["photo_id"])
    indexed = set(second_context.lake.read_table(second["build_index"], "ids")["photo_id"])
    assert indexed == now - without
    mapped = second["map_embeddings"]  # the same model: a photo that was there lies where it lay
    assert mapped.facts["map"]["kind"] == "projected"
    places = [
        one.lake.read_table(run["map_embeddings"], "points", ["photo_id", "x", "y", "placed"])
        for one, run in ((first_context, first), (second_context, second))
    ]
    both = places[0].join(places[1].filter(placed="kept"), on="photo_id")
    assert len(both) > 0.9 * len(places[0])
    assert both.select((pl.col("x") == pl.col("x_right")) & (pl.col("y") == pl.col("y_right"))).to_series().all()
    drift = second["measure_drift"].facts
    assert drift["last_day_count"] > 0
    newest = second_context.lake.read_table(second["measure_drift"], "newest")
    assert {*newest["vectors"], *drift["not_compared"]} == {SEARCHES, PHOTOS}
    gate = second_context.lake.read_table(second["gate_release"], "findings")
    judged = gate.filter(pl.col("check").str.contains("likeness|unseen|drop|last day"))
    assert set(judged["outcome"]) == {"pass"}
    history = second_context.lake.history(EVALUATION)
    assert [m.partition["run_date"] for m in history] == [str(ctx.run_date) for ctx in nights.contexts]


def test_the_second_night_compares_whole_searches_and_says_how_the_live_one_did(nights: Nights) -> None:
    (context, tonight), first, second = nights.contexts, nights.first, nights.second
    live = ChampionFacts.of(second["snapshot_champion"]).live
    assert live is not None
    assert live.reranker is not None
    assert live.reranker.files_digest == reranker_digest(first["make_release"])
    facts = EvaluationFacts.of(second["evaluate"])
    assert (facts.champion_version, facts.champion_note) == (1, "")
    assert (facts.verdict.challenger, facts.verdict.compared_with) == ("reranked", "champion")
    ranks = tonight.lake.read_table(second["evaluate"], "ranks").pivot("arm", index="query_id", values="rank")
    assert ranks["champion"].to_list() != ranks["finetuned_country_keywords"].to_list()  # though the model is the same
    assert GateFacts.of(second["gate_release"]).figures.champion == "compared"
    yesterday = LiveDayFacts.of(second["measure_live"])
    assert yesterday.release == name_of(first["make_release"], 1)
    assert yesterday.measured is not None
    assert 0 < yesterday.measured.hit_rate_at_10 < 1
    assert LiveDayFacts.of(first["measure_live"]).note == "nothing was published"
    page = (context.settings.report_dir / context.catalogue / f"{tonight.run_date}.html").read_text()
    assert "Live yesterday" in page


def test_a_night_that_was_run_is_not_computed_again(nights: Nights) -> None:
    assert {name: manifest.night for name, manifest in nights.again.items()} == dict.fromkeys(
        nights.first, "test-night"
    )


def test_no_raw_visitor_id_is_anywhere_in_the_state_folder(nights: Nights) -> None:
    folder, (_, context) = nights.folder, nights.contexts
    raw_ids = set()
    for part in folder.glob("conversions.tsv*"):
        lines = part.read_bytes().split(b"\n")
        column = lines[0].split(b"\t").index(b"anonymous_user_id")
        rows = (line.split(b"\t") for line in lines[1:])
        raw_ids |= {row[column] for row in rows if len(row) > column and len(row[column]) >= 16}
    assert len(raw_ids) > 100
    split = context.read(SPLITS)
    for table in ("train", "validation", "test"):
        visitors = {visitor.encode() for visitor in context.lake.read_table(split, table)["visitor_id"]}
        assert visitors
        assert not visitors & raw_ids
    clean = context.read(VALIDATED)
    for table in clean.tables:
        frame = context.lake.read_table(clean, table)
        text = frame.write_json().encode()
        assert not any(raw in text for raw in raw_ids), table
    for name in clean.files:
        content = context.lake.read_file(clean, name)
        assert not any(raw in content for raw in raw_ids), name


def _check_lineage(ctx: RunContext, folder: Path, hit_rate: float) -> None:
    """From the figure in the report to the log rows it is made of, in the files as they are, and to the pictures."""
    rows_to = ctx.settings.state_dir / "rows.csv"
    lines = lineage.of_metric(ctx.lake, str(ctx.run_date), "hit_rate", 10, FULL, rows_to)
    rows = pl.read_csv(rows_to)
    searches = rows.unique("query_id")
    assert (searches["rank"] <= 10).mean() == pytest.approx(hit_rate)
    assert lines[0].startswith(f"hit_rate@10 of {FULL}, night of {ctx.run_date}: {hit_rate:.6f}")
    for row in rows.sample(20, seed=1).iter_rows(named=True):
        line = (folder / row["source_file"]).read_bytes().split(b"\n")[row["source_line"] - 1]
        assert row["photo_id"].encode() in line
    text = "\n".join(lines)
    for dataset in ("clean/validated", "clean/images", "models/base_model", "models/reranker"):
        assert f"{dataset}/run_date={ctx.run_date}" in text
    assert "from outside the lake: conversions/conversions.tsv000" in text
    photo_id = rows["photo_id"][0]
    told = "\n".join(lineage.of_photo(ctx.lake, str(ctx.run_date), photo_id))
    [picture] = (folder / "photos").glob(f"{photo_id}.*")
    assert hashlib.sha256(picture.read_bytes()).hexdigest() in told
    assert f"vector: {FULL}, model " in told
    with raises(BadInput, "no_such_figure", metric="hit_rate", k=7):
        lineage.of_metric(ctx.lake, str(ctx.run_date), "hit_rate", 7, FULL)
    with raises(MissingInput, "no_such_photo", photo_ids=["nobody"]):
        lineage.of_photo(ctx.lake, str(ctx.run_date), "nobody")
    with raises(MissingInput, "no_such_run", run="reports/none"):
        lineage.of_run(ctx.lake, "reports/none")


@pytest.mark.slow
@pytest.mark.parametrize("validation_share", [0.0, 0.1])
def test_a_night_by_the_published_protocol(
    sample: tuple[Path, Any], make_context: Contexts, spark: SparkSession, validation_share: float
) -> None:
    folder, info = sample
    context = make_context(dataset_uri=str(folder), run_date=info.last_complete_day - timedelta(days=7))
    split = {"protocol": "80/20", "validation_share": validation_share}
    night = run_night(context, split_temporal=split)

    counts = night["split_temporal"].facts["conversions"]
    total = counts["train"] + counts["validation"] + counts["test"]
    assert counts["test"] == pytest.approx(0.2 * total, abs=3)
    assert counts["validation"] == pytest.approx(validation_share * total, abs=3)
    assert night["split_temporal"].facts["photos_by_age"]["after_as_of"] > 0
    everything = night["validate_logs"].row_counts["photos"]
    assert night["evaluate"].facts["corpus_photo_count"] == everything
    assert set(context.lake.read_table(night["audit_leaks"], "findings")["status"]) == {"passed"}
    expected = ARMS if validation_share else ARMS - {"reranked", *TRENDING}
    assert set(night["evaluate"].facts["hit_rate_at_10"]) == expected
    assert night["verify_index"].facts["query_window"] == ("validation" if validation_share else "test")
    report = context.settings.report_dir / "test" / f"{context.run_date}.html"
    assert b"80/20" in report.read_bytes()


@pytest.mark.slow
def test_variants_that_were_trained_are_arms_of_searching_with_photos(nights: Nights) -> None:
    """Last in this file: afterwards the first night's similar photos are measured with three more arms."""
    context, variants = nights.contexts[0], ("image_pairs", "two_views", "hard_negatives")
    for variant in variants:
        run_stage(context, "train_variant", registry.stage_params("train_variant", "tiny", {"variant": variant}))
    params = registry.stage_params("evaluate_similar", "tiny", {"variants": variants})
    assert isinstance(params, EvaluateSimilarParams)
    manifest = run_stage(context, "evaluate_similar", params)
    metrics = context.lake.read_table(manifest, "metrics").filter(metric="ndcg").sort("truth", "k")
    found = {arm: tuple(rows["value"]) for (arm,), rows in metrics.group_by("arm", maintain_order=True)}
    models = {FULL, "challenger_by_file", *variants}
    assert models < set(found)
    assert len({found[arm] for arm in models}) == len(models)  # no two are the same model
    report = run_stage(context, "publish_report", registry.stage_params("publish_report", "tiny"))
    page = context.lake.read_file(report, "report.html").decode()
    section = page[page.index('<section id="similar"') :]
    for name in ("Photo pairs", "Two views", "Hard negatives", "Challenger, searched with a file"):
        assert name in section[: section.index("</section>")], name
