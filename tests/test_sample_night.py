"""What the sample's search is worth: a night up to its evaluation, with the preset that a newcomer runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from jobs.config.params.arms import FULL
from jobs.nights.stage_runner import run_stage
from jobs.sample import make_sample
from jobs.stages import registry
from tests.conftest import context_in

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(1200)]

STAGES = (
    *("validate_logs", "fetch_images", "split_temporal", "measure_impressions", "snapshot_champion", "train_base"),
    *("train_search", "embed_photos", "embed_queries", "train_reranker", "evaluate"),
)
SOURCES = (FULL, "most_converted_for_query", "keyword_bm25")
RERANKED = "reranked"


@pytest.fixture(scope="module")
def found(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Every test search: whether its photo was taken before the test, and by which arms it is among the first ten."""
    home = tmp_path_factory.mktemp("night")
    info = make_sample(home / "sample")
    context = context_in(home, dataset_uri=str(home / "sample"), run_date=info.last_complete_day)
    own = {"train_search": {"arms": (FULL,)}}
    runs = {name: run_stage(context, name, registry.stage_params(name, "sample", own.get(name))) for name in STAGES}
    splits, lake = runs["split_temporal"], context.lake
    taken = pl.concat(lake.read_table(splits, window, ["photo_id"]) for window in ("train", "validation"))
    searches = lake.read_table(runs["evaluate"], "queries").join(
        taken.unique().with_columns(has_past=True), on="photo_id", how="left"
    )
    hits = lake.read_table(runs["evaluate"], "ranks").with_columns(pl.col("rank") <= 10).pivot("arm", index="query_id")
    return searches.select("query_id", pl.col("has_past").fill_null(False)).join(hits, on="query_id")


def rates(found: pl.DataFrame) -> dict[str, float]:
    return found.select(pl.col(*SOURCES, RERANKED).mean()).row(0, named=True)


def test_the_reranker_finds_photos_without_a_past_better_than_any_of_its_sources(found: pl.DataFrame) -> None:
    new = found.filter(~pl.col("has_past"))
    assert len(new) >= 150
    by_arm = rates(new)
    assert by_arm[RERANKED] >= 1.2 * max(by_arm[source] for source in SOURCES)


def test_the_reranker_finds_more_than_any_of_its_sources(found: pl.DataFrame) -> None:
    by_arm = rates(found)
    assert by_arm[RERANKED] >= max(by_arm[source] for source in SOURCES) + 0.05
