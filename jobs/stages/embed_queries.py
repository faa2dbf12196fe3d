"""Stage `embed_queries`: unit vectors of the validation and test queries for every arm, computing only new texts.

Challenger and champion embed the keywords of photos as well, which their rerankers compare with queries.

Which texts are known is settled here (one row per distinct query is little); Spark's workers embed the others.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from jobs.config.params.arms import CHAMPION_ARM
from jobs.datasets.embeddings import QueryArmFacts, QueryEmbeddingsFacts
from jobs.datasets.models import SearchModelsFacts
from jobs.embedding.encode_job import EncodeJob, ModelSource
from jobs.embedding.spark_jobs import MissingCounts, arm_sources, effective_precision, embed_missing, embed_queries
from jobs.embedding.worker_daemon import embedding_session
from jobs.errors import BadInput
from jobs.evaluation.keywords import keyword_texts
from jobs.lake.vector_store import read_part, text_key
from jobs.runtime.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.config.params.embedding import EmbedQueriesParams
    from jobs.context import RunContext
    from jobs.lake.catalogue import Lake
    from jobs.lake.files import Store
    from jobs.lake.manifest import Manifest
    from jobs.lake.staged_run import StagedRun
    from models.search.identity import ModelIdentity

log = logging.getLogger("nightlens.embed_queries")


@dataclass(frozen=True)
class ArmQueries:
    """What one arm is to embed. `wanted` has query, country, text and key; country is "" if the arm uses none."""

    arm: str
    source: ModelSource
    model: ModelIdentity
    wanted: pl.DataFrame
    store_names: tuple[str, ...]


def run(
    ctx: RunContext, params: EmbedQueriesParams, inputs: dict[str, Manifest], staged: StagedRun
) -> QueryEmbeddingsFacts:
    """Write unit vectors by arm, query and country ("" where the arm does not use it)."""
    precision = effective_precision(params.precision, ctx.settings.spark_conf)
    queries = read_queries(ctx.lake, inputs["splits"])
    keywords = read_keywords(ctx.lake, inputs["splits"])
    sources = arm_sources(ctx, inputs["search_models"], inputs["champion"])
    reranked = {SearchModelsFacts.of(inputs["search_models"]).challenger, CHAMPION_ARM}
    texts = {arm: pl.concat([queries, keywords]).unique() if arm in reranked else queries for arm in sources}
    arms = [plan_arm(arm, source, texts[arm], precision) for arm, source in sources.items()]
    embedded = embed_new_texts(ctx, params, arms, precision)
    frames: list[pl.DataFrame] = []
    facts: dict[str, QueryArmFacts] = {}
    for arm in arms:
        vectors = read_stored(ctx.lake.store(*arm.store_names), arm.wanted)
        rows = arm.wanted.join(vectors, on="key").with_columns(arm=pl.lit(arm.arm))
        if len(rows) < len(arm.wanted) or rows["vector"].null_count():
            raise BadInput(
                "vectors_not_finite",
                f"the text tower of arm {arm.arm!r} gives vectors that are not finite: train it again",
                arm=arm.arm,
            )
        frames.append(rows.select("arm", "query", "country", "vector").sort("query", "country"))
        count, seconds = embedded[arm.arm]
        facts[arm.arm] = QueryArmFacts(
            model_digest=arm.model.digest,
            dim=arm.model.dim,
            uses_country=arm.model.uses_country,
            embedded_count=count,
            reused_count=arm.wanted["key"].n_unique() - count,
            seconds=seconds,
        )
    staged.write_table("embeddings", pl.concat(frames))
    return QueryEmbeddingsFacts(arms=facts, query_count=len(queries), precision=precision)


def read_queries(lake: Lake, splits: Manifest) -> pl.DataFrame:
    """Return the distinct (query, country) of validation and test, sorted; an unknown country is ""."""
    windows = [lake.read_table(splits, window, ["query", "country"]) for window in ("validation", "test")]
    return pl.concat(windows).with_columns(pl.col("country").fill_null("")).unique().sort("query", "country")


def read_keywords(lake: Lake, splits: Manifest) -> pl.DataFrame:
    """Return the distinct keywords as queries from nowhere: the reranker compares searches with them."""
    return keyword_texts(lake.read_table(splits, "photo_keywords", ["keyword"])["keyword"]).select("query", "country")


def plan_arm(arm: str, source: ModelSource, queries: pl.DataFrame, precision: str) -> ArmQueries:
    """Return the texts an arm reads for `queries`, with their keys in its store."""
    model = source.identity()
    encoder = f"{model.text_digest}:{precision}"
    if not model.uses_country:
        queries = queries.select("query").unique().with_columns(country=pl.lit(""))
    queries = queries.sort("query", "country")
    texts = [model.query_text(query, country) for query, country in queries.iter_rows()]
    wanted = queries.with_columns(
        text=pl.Series(texts, dtype=pl.String),
        key=pl.Series([text_key(text, encoder) for text in texts], dtype=pl.String),
    )
    return ArmQueries(arm, source, model, wanted, ("query_vectors", encoder.replace(":", "-")))


def read_stored(store: Store, wanted: pl.DataFrame) -> pl.DataFrame:
    """Return key and vector of those of the `wanted` keys that the store holds."""
    keys = wanted.select("key").unique()
    found = [pl.DataFrame(schema={"key": pl.String, "vector": pl.List(pl.Float32)})]
    for name in store.names(".parquet"):
        rows = pl.DataFrame(pl.from_arrow(read_part(store, name, ["key", "vector"])))
        found.append(rows.join(keys, on="key", how="semi"))
    return pl.concat(found).unique("key", keep="first", maintain_order=True)


def embed_new_texts(
    ctx: RunContext, params: EmbedQueriesParams, arms: list[ArmQueries], precision: str
) -> dict[str, tuple[int, float]]:
    """Embed the texts that the stores do not hold; return how many and in how many seconds, by arm.

    Spark is started only if there are any. An arm that shares its text tower with an earlier one finds its
    texts there.
    """
    done: dict[str, tuple[int, float]] = {}
    spark: SparkSession | None = None
    with ExitStack() as stack:
        for arm in arms:
            begun = time.perf_counter()
            known = read_stored(ctx.lake.store(*arm.store_names), arm.wanted)
            missing = arm.wanted.select("key", "text").unique("key").join(known, on="key", how="anti").sort("key")
            if len(missing):
                spark = spark or stack.enter_context(embedding_session(ctx.settings, "embed_queries"))
                embed_texts(spark, params, arm, missing, precision)
            done[arm.arm] = len(missing), round(time.perf_counter() - begun, 3)
    return done


def embed_texts(
    spark: SparkSession, params: EmbedQueriesParams, arm: ArmQueries, missing: pl.DataFrame, precision: str
) -> None:
    """Fill the arm's store with `missing` (key and text, sorted by key), cut into parts of equal size."""
    cut = missing.with_row_index("part").with_columns(pl.col("part").cast(pl.Int32) // params.part_size)
    job = EncodeJob(arm.source, arm.store_names, precision, params.batch_size)
    progress = Progress(log, f"{arm.arm}: texts embedded", len(missing))
    rows = spark.createDataFrame(cut.to_arrow(compat_level=pl.CompatLevel.oldest()))
    embed_missing(rows, embed_queries, job, MissingCounts(len(missing), params.part_size), progress)
