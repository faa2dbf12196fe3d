"""Params of embedding, drift and the map."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from jobs.config.params.arms import FULL
from jobs.config.params.base import Params


class EmbedPhotosParams(Params):
    batch_size: int = Field(256, ge=1)
    part_size: int = Field(1024, ge=1, description="photos per committed part of the store")
    precision: Literal["float32", "bfloat16"] = "float32"
    max_failed_share: float = Field(0.05, ge=0, le=1)
    exemplar_count: int = Field(
        16_384,
        ge=0,
        description="photos with keywords that tell which keywords to expect of a picture without any; 0: none",
    )


class EmbedQueriesParams(Params):
    batch_size: int = Field(512, ge=1)
    part_size: int = Field(8192, ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"


class MeasureDriftParams(Params):
    sample_count: int = Field(
        300, ge=20, le=500, description="searches of a day, and photos of a week, whose vectors are compared, at most"
    )
    resample_count: int = Field(999, ge=399, description="random divisions of the rows, for a p-value")
    trend_weeks: int = Field(8, ge=4, le=52, description="weeks of the log whose conversions per day are looked at")


class MapEmbeddingsParams(Params):
    is_made: bool = Field(True, description="False: no map, no clusters, and no such section in the report")
    arm: str = Field(FULL, description="the arm whose photo vectors are looked at")
    max_photos: int = Field(
        4000, ge=12, le=20_000, description="photos that are laid out and clustered; beyond, a sample that nights share"
    )
    perplexity: float = Field(30.0, ge=2, le=200, description="neighbours that a photo of the map holds on to")
    min_samples: tuple[int, ...] = Field((2, 5), description="HDBSCAN: photos that make a place dense, each is tried")
    min_cluster_sizes: tuple[int, ...] = Field((5, 10, 20), description="photos of a cluster, at least, each is tried")
    radius_quantiles: tuple[float, ...] = Field(
        (0.1, 0.25, 0.5), description="DBSCAN: share of the photos that its radius makes dense, each is tried"
    )
    keyword_count: int = Field(6, ge=1, description="telling keywords of a cluster")

    @model_validator(mode="after")
    def _can_be_swept(self) -> MapEmbeddingsParams:
        if min((*self.min_samples, 1)) < 1 or min((*self.min_cluster_sizes, 2)) < 2:
            raise ValueError("min_samples are at least 1, min_cluster_sizes at least 2")
        if not all(0 < quantile <= 1 for quantile in self.radius_quantiles):
            raise ValueError("radius_quantiles lie above 0 and at most at 1")
        return self
