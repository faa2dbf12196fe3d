"""The stage over vectors made up here: what it commits, what it refuses, what stays from night to night."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from jobs import build_index
from jobs.context import RunContext
from jobs.datasets import PHOTO_EMBEDDINGS, PHOTO_INDEX, QUERY_EMBEDDINGS, SPLITS, Dataset
from jobs.errors import BadInput, GateFailed, MissingInput
from jobs.lake import Manifest
from jobs.params import FINETUNED, FULL, BuildIndexParams, Params
from models import ann
from tests.validated_lake import complete

Contexts = Callable[..., RunContext]
DIM = 8
PARAMS = BuildIndexParams(shard_size=100)
QUERIES = [("cat", "GB"), ("cat", "DE"), ("dog", "GB"), ("dog", "")]


def unit_vectors(count: int, seed: int) -> ann.Floats:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def commit(context: RunContext, dataset: Dataset, facts: dict[str, Any], **tables: pl.DataFrame) -> Manifest:
    staged = context.begin(dataset, Params(), {}, {"made": str([frame.hash_rows().sum() for frame in tables.values()])})
    if staged.manifest is not None:
        return staged.manifest
    for table in dataset.tables:
        empty = pl.DataFrame(pl.from_arrow(table.schema.empty_table()))
        staged.write_table(table.name, tables.get(table.name, empty))
    return staged.commit(facts)


def commit_inputs(
    context: RunContext,
    photos: dict[str, ann.Floats],
    *,
    photo_digest: str = "m1",
    uses_country: bool = True,
    is_validated: bool = True,
) -> None:
    """Photos 0..N of both arms; queries of the validation window, and one that is not in it."""
    names = [f"p{number}" for number in range(len(photos[FULL]))]
    frames = [pl.DataFrame({"arm": arm, "photo_id": names, "vector": vectors}) for arm, vectors in photos.items()]
    facts = {arm: {"model_digest": photo_digest if arm == FULL else "m0"} for arm in photos}
    vectors = pl.concat(frames).with_columns(pl.col("vector").arr.to_list())
    commit(context, PHOTO_EMBEDDINGS, {"arms": facts}, embeddings=vectors)
    asked = [*(QUERIES if uses_country else [("cat", ""), ("dog", "")]), ("elsewhere", "")]
    queries = pl.DataFrame(asked, schema=["query", "country"], orient="row").with_columns(
        pl.lit(FULL).alias("arm"), pl.Series("vector", unit_vectors(len(asked), 99)).arr.to_list()
    )
    query_facts = {"arms": {FULL: {"model_digest": "m1", "uses_country": uses_country}}}
    commit(context, QUERY_EMBEDDINGS, query_facts, embeddings=queries)
    validation = pl.DataFrame(QUERIES * 2, schema=["query", "country"], orient="row").with_columns(
        pl.lit("v").alias("visitor_id"),
        pl.lit("p0").alias("photo_id"),
        pl.lit(datetime(2025, 12, 20, tzinfo=UTC)).alias("converted_at"),
        pl.lit(1, dtype=pl.Int64).alias("conversion_count"),
    )
    validation = complete(validation, SPLITS.table("validation").schema)
    photo = pl.DataFrame({"photo_id": ["p0"], "is_in_train": [True]}).with_columns(
        pl.lit(None, dtype=pl.String).alias("description"),
        pl.lit(None, dtype=pl.String).alias("photographer"),
        pl.lit(datetime(2025, 1, 1, tzinfo=UTC)).alias("submitted_at"),
    )
    windows = {"train": validation, "validation": validation, "test": validation, "photos": photo}
    if not is_validated:
        windows |= {"validation": validation.clear(), "test": validation.head(3)}
    commit(context, SPLITS, {}, **windows)


def photos_of(count: int) -> dict[str, ann.Floats]:
    return {FULL: unit_vectors(count, 1), FINETUNED: unit_vectors(count, 2)}


@pytest.fixture
def context(make_context: Contexts) -> RunContext:
    context = make_context()
    commit_inputs(context, photos_of(250))
    return context


def test_the_committed_shards_search_as_one_exact_index(context: RunContext) -> None:
    manifest = build_index.run(context, PARAMS)
    assert manifest.facts | {"build_seconds": 0} == {
        "model_digest": "m1",
        "kind": "flat",
        "nlist": None,
        "nprobe": None,
        "shard_count": 4,
        "photo_count": 250,
        "bytes": sum(info.byte_count for name, info in manifest.files.items() if name.endswith(".faiss")),
        "recall_at_10": 1.0,
        "query_count": 4,
        "query_window": "validation",
        "build_seconds": 0,
    }
    assert sorted(manifest.files) == ["index/index.json", *(f"index/shard-000{n}.faiss" for n in range(4))]
    ids = context.lake.read_table(manifest, "ids")
    query_QD, photo_ND = unit_vectors(7, 5), photos_of(250)[FULL]
    with context.lake.local_folder(manifest, build_index.FOLDER) as folder:
        index = ann.ShardedIndex.open(folder, "m1", ids["faiss_id"].to_numpy(), ids["photo_id"].to_list())
    found = [[photo_id for photo_id, _ in row] for row in index.search(query_QD, 10)]
    expected = [[f"p{row}" for row in rows] for rows in np.argsort(-(query_QD @ photo_ND.T), axis=1)[:, :10]]
    assert found == expected


def test_the_same_night_is_done_once_and_made_anew_gives_the_same_bytes(
    context: RunContext, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_index.run(context, PARAMS)
    other = make_context(catalogue="other")
    commit_inputs(other, photos_of(250))
    assert build_index.run(other, PARAMS).digest == first.digest
    monkeypatch.setattr(ann, "build_index", None)  # would fail if anything were built again
    assert build_index.run(context, PARAMS) == first


def test_photos_keep_their_ids_the_next_night(context: RunContext, make_context: Contexts) -> None:
    today = context.lake.read_table(build_index.run(context, PARAMS), "ids")
    tomorrow_context = make_context(run_date=date(2025, 12, 29))
    commit_inputs(tomorrow_context, photos_of(300))
    tomorrow = tomorrow_context.lake.read_table(build_index.run(tomorrow_context, PARAMS), "ids")
    both = today.join(tomorrow, on="photo_id", suffix="_tomorrow")
    assert len(both) == 250
    assert both["faiss_id"].equals(both["faiss_id_tomorrow"])


def test_too_low_a_recall_stops_the_run_and_commits_nothing(context: RunContext) -> None:
    params = PARAMS.model_copy(update={"kind": "ivf_flat", "shard_size": 1000, "nprobe": 1, "min_recall_at_10": 0.99})
    with pytest.raises(GateFailed, match=r"finds 0\.\d+ of the 10 best photos of 4 validation .*Raise nprobe"):
        build_index.run(context, params)
    with pytest.raises(MissingInput):
        context.read(PHOTO_INDEX)
    enough = build_index.run(context, params.model_copy(update={"nprobe": 100}))
    assert enough.facts["recall_at_10"] == 1.0
    assert enough.facts["nlist"] == enough.facts["nprobe"] == ann.list_count_for(250)


def test_recall_is_measured_on_a_sample_of_the_validation_queries(context: RunContext) -> None:
    assert build_index.run(context, PARAMS.model_copy(update={"recall_query_count": 3})).facts["query_count"] == 3


def test_without_validation_queries_recall_is_measured_on_test_queries(make_context: Contexts) -> None:
    context = make_context()
    commit_inputs(context, photos_of(250), is_validated=False)
    facts = build_index.run(context, PARAMS).facts
    assert (facts["query_window"], facts["query_count"], facts["recall_at_10"]) == ("test", 3, 1.0)
    params = PARAMS.model_copy(update={"kind": "ivf_flat", "shard_size": 1000, "nprobe": 1, "min_recall_at_10": 1})
    with pytest.raises(GateFailed, match="of 3 test queries, less than"):
        build_index.run(context, params)


def test_a_model_without_country_has_its_queries_without(make_context: Contexts) -> None:
    context = make_context()
    commit_inputs(context, photos_of(50), uses_country=False)
    assert build_index.run(context, PARAMS).facts["query_count"] == 2


def test_an_arm_that_was_not_embedded_is_named(context: RunContext) -> None:
    with pytest.raises(MissingInput, match="has no vectors of arm 'zero_shot'; it has"):
        build_index.run(context, PARAMS.model_copy(update={"arm": "zero_shot"}))


def test_photos_and_queries_of_different_models_are_refused(make_context: Contexts) -> None:
    context = make_context()
    commit_inputs(context, photos_of(50), photo_digest="m2")
    with pytest.raises(BadInput, match="photos were embedded by model m2, queries by model m1"):
        build_index.run(context, PARAMS)
