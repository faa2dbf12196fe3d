"""Stage `embed_photos`: unit vectors of the corpus for every arm, computing only what the store does not hold.

First each image tower fills its part of the store with raw features (new and changed images only; arms whose
towers are equal share it), then each arm composes features and keywords into the vectors it is ranked by. Of arms that
read keywords a sample of photos is kept with both apart: by these a picture without keywords is searched with
(`models.search.completion`).
"""

from __future__ import annotations

from collections import Counter
from functools import partial, reduce
from typing import TYPE_CHECKING

import polars as pl

from jobs.adapters.spark_tables import read_spark, write_spark
from jobs.datasets.embeddings import EXEMPLARS, PHOTO_EMBEDDINGS, PhotoArmFacts, PhotoEmbeddingsFacts
from jobs.datasets.models import SearchModelsFacts
from jobs.embedding.photo_features import Encoder, embed_corpus, with_stored
from jobs.embedding.spark_jobs import (
    COMPOSED_DDL,
    EXEMPLAR_DDL,
    arm_sources,
    compose_photos,
    describe_exemplars,
    effective_precision,
)
from jobs.embedding.worker_daemon import embedding_session
from jobs.errors import GateFailed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.config.params.embedding import EmbedPhotosParams
    from jobs.context import RunContext
    from jobs.embedding.photo_features import Pass
    from jobs.lake.manifest import Manifest
    from jobs.lake.staged_run import StagedRun
    from models.search.identity import ModelIdentity

ROWS_PER_FILE = 65_536


def run(
    ctx: RunContext, params: EmbedPhotosParams, inputs: dict[str, Manifest], staged: StagedRun
) -> PhotoEmbeddingsFacts:
    """Write unit vectors by arm and photo_id, and why photos are without one.

    Raises `GateFailed` if more than `max_failed_share` of the images cannot be embedded.
    """
    precision = effective_precision(params.precision, ctx.settings.spark_conf)
    sources = arm_sources(ctx, inputs["search_models"], inputs["champion"])
    trained = SearchModelsFacts.of(inputs["search_models"]).arms
    photo_count = inputs["splits"].row_counts["photos"]
    facts: dict[str, PhotoArmFacts] = {}
    passes: dict[str, Pass] = {}
    composed: list[DataFrame] = []
    exemplars = [pl.DataFrame(PHOTO_EMBEDDINGS.table(EXEMPLARS).schema.empty_table())]
    with embedding_session(ctx.settings, "embed_photos") as spark:
        views = {name: read_spark(spark, ctx.lake, inputs["splits"], name) for name in ("photos", "photo_keywords")}
        views["images"] = read_spark(spark, ctx.lake, inputs["images"], "images")
        for arm, source in sources.items():
            model = source.identity()
            encoder = Encoder(source, model.image_digest, precision)
            is_new = encoder.name not in passes
            if is_new:
                passes[encoder.name] = embed_corpus(spark, ctx, params, encoder, views)
                check_share(passes[encoder.name], photo_count, params.max_failed_share)
            facts[arm] = _measure(model, passes[encoder.name], photo_count, is_new)
            if arm in trained and trained[arm].uses_keywords:
                exemplars.append(_exemplars(spark, ctx, params, arm, encoder, views))
            composed.append(_compose(spark, ctx, arm, encoder, views, photo_count))
        write_spark(reduce(lambda first, second: first.union(second), composed), staged, "embeddings")
    quarantine = pl.concat([done.without_vector for done in passes.values()]).select("photo_id", "reason")
    staged.write_table("quarantine", quarantine.unique().sort("photo_id", "reason"))
    staged.write_table(EXEMPLARS, pl.concat(exemplars))
    return PhotoEmbeddingsFacts(arms=facts, photo_count=photo_count, precision=precision)


def _compose(
    spark: SparkSession, ctx: RunContext, arm: str, encoder: Encoder, views: dict[str, DataFrame], photo_count: int
) -> DataFrame:
    """Return an arm's rows of the table, sorted by photo_id, in files that do not depend on how the data lie."""
    features = with_stored(spark, ctx, encoder, "photo_features", views, part_size=ROWS_PER_FILE)
    return (
        features.repartitionById(-(-photo_count // ROWS_PER_FILE), features["part"])
        .sortWithinPartitions("photo_id")
        .select("photo_id", "vector", "keywords")
        .mapInArrow(partial(compose_photos, source=encoder.source, arm=arm), COMPOSED_DDL)
    )


def _exemplars(
    spark: SparkSession,
    ctx: RunContext,
    params: EmbedPhotosParams,
    arm: str,
    encoder: Encoder,
    views: dict[str, DataFrame],
) -> pl.DataFrame:
    """Return a sample of the photos with keywords, as an arm sees them, sorted by photo_id."""
    chosen = with_stored(spark, ctx, encoder, "choose_exemplars", views, exemplar_count=params.exemplar_count)
    described = chosen.mapInArrow(partial(describe_exemplars, source=encoder.source, arm=arm), EXEMPLAR_DDL)
    return pl.DataFrame(pl.from_arrow(described.toArrow())).sort("photo_id")


def _measure(model: ModelIdentity, done: Pass, photo_count: int, is_new: bool) -> PhotoArmFacts:
    """Return the facts of an arm, whose encoder is new or an earlier arm's."""
    embedded = done.embedded_count if is_new else 0
    return PhotoArmFacts(
        model_digest=model.digest,
        dim=model.dim,
        embedded_count=embedded,
        reused_count=max(0, photo_count - len(done.without_vector) - embedded),
        failed_count=int(done.without_vector["has_image"].sum()),
        seconds=round(done.seconds, 3) if is_new else 0.0,
        images_per_second=round(embedded / done.seconds, 1) if embedded else None,
    )


def check_share(done: Pass, photo_count: int, max_failed_share: float) -> None:
    """Raise `GateFailed` with the counts per reason if too many images could not be embedded."""
    failed = done.without_vector.filter("has_image")
    with_image = photo_count - (len(done.without_vector) - len(failed))
    share = len(failed) / max(1, with_image)
    if share <= max_failed_share:
        return
    counted = Counter(failed["reason"].to_list())
    reasons = ", ".join(f"{reason}: {count}" for reason, count in counted.most_common())
    examples = failed["photo_id"].sort().head(5).to_list()
    raise GateFailed(
        "too_many_images_failed",
        f"{len(failed)} of {with_image} images ({share:.1%}) could not be embedded, allowed are "
        f"{max_failed_share:.1%}. Reasons: {reasons}. Photos such as {', '.join(examples)}. Replace or "
        f"remove these image files and run fetch_images again, or raise --max-failed-share. What was embedded is kept.",
        failed_count=len(failed),
        image_count=with_image,
        reasons=dict(counted),
        examples=examples,
    )
