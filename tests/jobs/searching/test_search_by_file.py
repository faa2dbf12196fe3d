"""Photos searched with as files: as a release serves a picture alone, whatever the photo's keywords are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import polars as pl
import pytest

from jobs.config.params.arms import FULL
from jobs.config.params.embedding import EmbedPhotosParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.embeddings import PHOTO_EMBEDDINGS
from jobs.embedding.exemplars import as_exemplars, exemplar_rows
from jobs.errors import MissingInput
from jobs.evaluation.ranking_task import Task
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.similar.by_file import Matrix, picture_vectors
from models import serving
from tests.conftest import Contexts
from tests.errors import raises
from tests.jobs import embedding_fixtures as fixtures

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARAMS = EmbedPhotosParams(part_size=2, max_failed_share=0.5)
QUERIES = np.array([0, 1, 3, 4, 5])
"""Photos p000, p001, p003, one whose picture is no picture, and one that has none."""


class Photos:
    """Of a task, what a search by file needs."""

    photos = pl.DataFrame({"photo_id": ["p000", "p001", "p002", "p003", "torn", "without"], "place": range(6)})


def search(ctx: RunContext, groups: tuple[int, ...] = (0, 1, 2, 3, 4, 5)) -> Matrix:
    """Return the vectors by place, zero where a photo is not asked with."""
    names = ("splits", "images", "search_models", "champion", "photo_embeddings")
    inputs: dict[str, Manifest] = {name: ctx.read(named(name)) for name in names}
    found_QD = picture_vectors(ctx, inputs, cast("Task", Photos()), FULL, QUERIES, np.array(groups))
    vector_PD = np.zeros((len(groups), found_QD.shape[1]), np.float32)
    vector_PD[QUERIES] = found_QD
    return vector_PD


def commit(ctx: RunContext, *queries: tuple[str, str]) -> dict[Any, np.ndarray[Any, Any]]:
    """Commit splits with the keywords of now, embed, and return the full arm's photo vectors."""
    fixtures.commit_splits(ctx, Photos.photos["photo_id"].to_list(), queries)
    return fixtures.vectors(ctx, run_stage(ctx, "embed_photos", PARAMS), FULL, "photo_id")


@pytest.mark.slow
@pytest.mark.spark
def test_a_picture_is_what_a_release_serves_of_it_and_its_own_keywords_are_not_known(
    make_context: Contexts, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, models = make_context(), fixtures.make_models()
    paths = fixtures.write_pictures(tmp_path / "photos", 4, torn=b"<html>")
    fixtures.commit_images(ctx, paths, missing=("without",))
    fixtures.commit_models(ctx, models)
    in_index = commit(ctx, ("cat", "GB"))
    found_PD = search(ctx)

    photo_ids = Photos.photos["photo_id"]
    rows = exemplar_rows(ctx.lake, ctx.read(PHOTO_EMBEDDINGS), FULL)
    assert rows["photo_id"].to_list() == ["p000", "p001"]  # the photos with keywords
    for place in QUERIES[:3]:  # of a file's own keywords nothing is known
        others = as_exemplars(rows.filter(pl.col("photo_id") != photo_ids[int(place)]), models[FULL].dim)
        file = pd.DataFrame({serving.IMAGE: [paths[photo_ids[int(place)]].read_bytes()]})
        served_D = serving.Embedder(models[FULL], others).predict(file)[0]
        np.testing.assert_allclose(found_PD[place], served_D, atol=2e-6)
        assert abs(served_D - serving.Embedder(models[FULL]).predict(file)[0]).max() > 0.01  # than alone
    assert not found_PD[[2, 4, 5]].any()  # not asked for, no picture, none at all
    assert abs(found_PD[0] - in_index["p000"]).max() > 0.01
    twins_PD = search(ctx, (0, 0, 2, 3, 4, 5))  # nor of those of a near duplicate
    alone = pd.DataFrame({serving.IMAGE: [paths["p000"].read_bytes()]})
    np.testing.assert_allclose(twins_PD[0], serving.Embedder(models[FULL]).predict(alone)[0], atol=2e-6)

    monkeypatch.setitem(fixtures.KEYWORDS, "p000", [("dog", 1.0), ("never heard of", 1.0)])
    changed = commit(ctx, ("dog", "GB"))
    assert abs(changed["p000"] - in_index["p000"]).max() > 0.01
    np.testing.assert_array_equal(search(ctx)[0], found_PD[0])
    assert abs(search(ctx)[3] - found_PD[3]).max() > 0.01  # p003 learned from p000
    found_PD = search(ctx)

    for part in (ctx.lake.store(*path.parts[-2:]) for path in Path(ctx.lake.root, "store", "photo_vectors").iterdir()):
        part.remove(part.names(".parquet")[0])
    with raises(MissingInput, "features_removed"):
        search(ctx)
    run_stage(ctx, "embed_photos", PARAMS.model_copy(update={"part_size": 3}))
    np.testing.assert_allclose(search(ctx), found_PD, atol=2e-6)
