"""The inputs of `measure_drift`: the night to compare with, an arm of one model in both, and samples of their vectors.

Vectors of two models lie in two spaces, and their distance means nothing; so a pair of arms is found by the digests of
the models, never by name. Shapes: N rows, D embedding dimension.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from jobs.config.params.arms import ZERO_SHOT
from jobs.context import RunContext
from jobs.datasets.embeddings import (
    PHOTO_EMBEDDINGS,
    QUERY_EMBEDDINGS,
    PhotoEmbeddingsFacts,
    QueryArmFacts,
    QueryEmbeddingsFacts,
)
from jobs.datasets.features import SplitsFacts
from jobs.datasets.schema import VECTOR
from jobs.embedding.arm_vectors import batches_of_arm
from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from models.evaluation.drift import Floats

_OF_A_NIGHT = ("splits", "query_embeddings", "photo_embeddings")
_EARLIER = "earlier_"


@dataclass(frozen=True)
class Night:
    """What is compared of one night: its windows, and the vectors of the searches and photos in them."""

    splits: Manifest
    query_embeddings: Manifest
    photo_embeddings: Manifest

    @classmethod
    def tonight(cls, inputs: dict[str, Manifest]) -> Night:
        """Return the night whose runs are the stage's inputs."""
        return cls(*(inputs[name] for name in _OF_A_NIGHT))

    @classmethod
    def earlier(cls, inputs: dict[str, Manifest]) -> Night | None:
        """Return the night that `earlier_runs` has put among the inputs; None if it has found none."""
        return cls(*(inputs[_EARLIER + name] for name in _OF_A_NIGHT)) if f"{_EARLIER}splits" in inputs else None

    @property
    def run_date(self) -> str:
        """The night's run date, ISO 8601."""
        return self.splits.partition["run_date"]

    @property
    def query_arms(self) -> dict[str, QueryArmFacts]:
        """The arms that queries are embedded by."""
        return QueryEmbeddingsFacts.of(self.query_embeddings).arms

    @property
    def models(self) -> dict[str, str]:
        """The digest of the one model of an arm's queries and photos, by arm."""
        photos = PhotoEmbeddingsFacts.of(self.photo_embeddings).arms
        digests = {arm: facts.model_digest for arm, facts in self.query_arms.items() if arm in photos}
        return {arm: digest for arm, digest in digests.items() if photos[arm].model_digest == digest}


def earlier_runs(ctx: RunContext, inputs: dict[str, Manifest]) -> dict[str, Manifest]:
    """Return the runs of the latest earlier night of the same protocol whose vectors are of its own windows."""
    protocol = SplitsFacts.of(inputs["splits"]).protocol
    photos = {manifest.partition["run_date"]: manifest for manifest in ctx.lake.history(PHOTO_EMBEDDINGS)}
    for queries in reversed(ctx.lake.history(QUERY_EMBEDDINGS)):
        day = queries.partition["run_date"]
        if day >= ctx.run_date.isoformat() or day not in photos:
            continue
        reference = queries.input_runs["splits"]
        if photos[day].input_runs["splits"] != reference:
            continue  # a night that was run again and has not got so far
        splits = ctx.lake.by_reference(reference)
        if SplitsFacts.of(splits).protocol == protocol:
            runs = (splits, queries, photos[day])
            return {_EARLIER + name: run for name, run in zip(_OF_A_NIGHT, runs, strict=True)}
    return {}


@dataclass(frozen=True)
class Pair:
    """An arm of tonight and one of the earlier night that are of one model."""

    arm: str
    earlier_arm: str
    model_digest: str


def same_model(tonight: Mapping[str, str], earlier: Mapping[str, str]) -> Pair | None:
    """Return a pair of arms of one model, given the digests by arm; None if the nights share no model.

    Preferred is the base before any training, which is the same for most nights: what moves is then what was searched.

    >>> same_model({"champion": "b", "full": "c"}, {"full": "b"})
    Pair(arm='champion', earlier_arm='full', model_digest='b')
    """
    arm_of = {digest: arm for arm, digest in sorted(earlier.items(), reverse=True)}
    if ZERO_SHOT in earlier:
        arm_of[earlier[ZERO_SHOT]] = ZERO_SHOT
    for arm in sorted(tonight, key=lambda arm: (arm != ZERO_SHOT, arm)):
        if tonight[arm] in arm_of:
            return Pair(arm, arm_of[tonight[arm]], tonight[arm])
    return None


def search_vectors(lake: Lake, night: Night, arm: str, count: int, seed: int) -> Floats:
    """Return the vectors of searches of the test window, one of each visitor, of at most `count`; shape (N, D)."""
    columns = ["visitor_id", "query", "country", "photo_id"]
    asked = lake.read_table(night.splits, "test", columns).with_columns(pl.col("country").fill_null("")).sort(columns)
    if not night.query_arms[arm].uses_country:
        asked = asked.with_columns(country=pl.lit(""))
    drawn = asked[_random(seed, "searches", night).permutation(len(asked))]
    drawn = drawn.unique("visitor_id", keep="first", maintain_order=True).head(count)
    return _vectors(lake, night.query_embeddings, arm, drawn.select("query", "country"))


def photo_vectors(lake: Lake, night: Night, arm: str, count: int, seed: int) -> Floats:
    """Return the vectors of a random sample of the corpus, of at most `count` photos; shape (N, D)."""
    ids = pl.concat(_blocks(lake, night.photo_embeddings, arm, ["photo_id"])).sort("photo_id")
    chosen = _random(seed, "photos", night).choice(len(ids), min(count, len(ids)), replace=False)
    return _vectors(lake, night.photo_embeddings, arm, ids[chosen])


def _random(seed: int, what: str, night: Night) -> np.random.Generator:
    """Return a generator of its own for either sample of either night: no sample follows another."""
    return np.random.default_rng([seed, zlib.crc32(f"{what} {night.run_date}".encode())])


def _vectors(lake: Lake, embeddings: Manifest, arm: str, wanted: pl.DataFrame) -> Floats:
    """Return a row for every row of `wanted`, in its order, holding no more than these and a block."""
    keys, distinct = wanted.columns, wanted.unique()
    found = [rows.join(distinct, on=keys, how="semi") for rows in _blocks(lake, embeddings, arm, [*keys, "vector"])]
    vectors = wanted.join(pl.concat(found), on=keys, how="left", maintain_order="left")["vector"]
    if missing := vectors.null_count():
        raise BadInput(
            "vectors_missing",
            f"{embeddings.reference} has no vector of arm {arm!r} for {missing} of {len(wanted)} rows of its own night",
            run=embeddings.reference,
            arm=arm,
            missing_count=missing,
        )
    return vectors.explode().to_numpy().astype(np.float64).reshape(len(wanted), -1)


def _blocks(lake: Lake, embeddings: Manifest, arm: str, columns: list[str]) -> Iterator[pl.DataFrame]:
    """Yield an arm's rows block by block, an empty one first, so that there is always one."""
    schema = pa.schema([pa.field(name, VECTOR if name == "vector" else pa.string()) for name in columns])
    for block in itertools.chain([schema.empty_table()], batches_of_arm(lake, embeddings, arm, columns)):
        yield pl.DataFrame(pl.from_arrow(block))
