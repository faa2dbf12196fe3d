"""Query photos as if somebody had uploaded them: known by their picture, without their keywords.

The store of vectors has what the challenger's image tower makes of a picture, before any keywords: the numbers that
`embed_photos` composes photo vectors from, and that a search with a file computes. So no model is loaded. As such a
search does it, a picture is completed by what keywords add to photos that look like it (`models.search.completion`), of
which the photo itself and its near duplicates are none: a file is not known.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.context import RunContext
from jobs.datasets.embeddings import PhotoEmbeddingsFacts
from jobs.embedding.exemplars import as_exemplars, exemplar_rows
from jobs.embedding.photo_features import Encoder
from jobs.embedding.spark_jobs import arm_sources
from jobs.errors import MissingInput
from jobs.evaluation.ranking_task import Task
from jobs.lake.files import Store
from jobs.lake.manifest import Manifest
from jobs.lake.vector_store import read_part, text_key
from models.evaluation.ranking import Ints

Matrix = NDArray[np.float32]


def picture_vectors(
    ctx: RunContext, inputs: dict[str, Manifest], task: Task, arm: str, query_Q: Ints, group_P: Ints
) -> Matrix:
    """Return the unit vectors of some photos by an arm, as if their keywords were not known, shape (Q, D).

    `query_Q` are their places, ascending; `group_P` says which photos are near duplicates. Zero are the rows of photos
    without a picture that could be read. `MissingInput` for a picture that was embedded and is not in the store any
    more.
    """
    source = arm_sources(ctx, inputs["search_models"], inputs["champion"])[arm]
    identity = source.identity()
    embeddings = inputs["photo_embeddings"]
    encoder = Encoder(source, identity.image_digest, PhotoEmbeddingsFacts.of(embeddings).precision)
    known = ctx.lake.read_table(inputs["images"], "images", ["photo_id", "sha256"]).drop_nulls().unique("photo_id")
    # In one order: where a row stands in a matrix product decides on the last bit of what comes out.
    asked = task.photos[query_Q].select("photo_id", "place").join(known, on="photo_id").sort("place")
    keys = [text_key(sha256, encoder.name) for sha256 in asked["sha256"]]
    asked = asked.with_columns(key=pl.Series(keys, dtype=pl.String))
    store = ctx.lake.store(*encoder.store_names)
    feature_of = _features(store, asked["key"].to_list())
    failed = ctx.lake.read_table(embeddings, "quarantine")["photo_id"].to_list()
    is_gone = ~pl.col("key").is_in(list(feature_of)) & ~pl.col("photo_id").is_in(failed)
    if gone := asked.filter(is_gone)["photo_id"].to_list():
        raise MissingInput(
            "features_removed",
            f"{store.folder} has no features of {len(gone)} pictures that {embeddings.reference} was made from, such "
            f"as of photo {min(gone)}. Run embed_photos again with another --part-size, which embeds what is missing.",
            folder=store.folder,
            missing_count=len(gone),
            photo_id=min(gone),
        )
    readable = {place: feature_of.get(key) for place, key in asked.select("place", "key").iter_rows()}
    found = {place: feature_D for place, feature_D in readable.items() if feature_D is not None}
    picture_QD = np.zeros((len(query_Q), identity.dim), np.float32)
    if found:
        place_B = np.array(list(found))
        exemplars = exemplar_rows(ctx.lake, embeddings, arm)
        rows = exemplars.join(task.photos.select("photo_id", "place"), on="photo_id").sort("place")
        of_query_BE = group_P[place_B][:, None] == group_P[rows["place"].to_numpy()][None]
        feature_BD = np.stack(list(found.values()))
        picture_QD[np.searchsorted(query_Q, place_B)] = as_exemplars(rows, identity.dim).complete(
            feature_BD, of_query_BE
        )
    return picture_QD


def _features(store: Store, keys: list[str]) -> dict[str, NDArray[np.float32] | None]:
    """Return what the store holds under some keys, None where a picture could not be read. One part is held at a time.

    Two runs at the same time may both have stored a key: the lesser vector counts, as in sql/photo_features.sql.
    """
    found: dict[str, list[float] | None] = {}
    for name in store.names(".parquet"):
        part = pl.DataFrame(pl.from_arrow(read_part(store, name, ["key", "vector"])))
        for key, vector in part.filter(pl.col("key").is_in(keys)).iter_rows():
            both = [one for one in (found.get(key), vector) if one is not None]
            found[key] = min(both) if both else None
    return {key: None if vector is None else np.array(vector, np.float32) for key, vector in found.items()}
