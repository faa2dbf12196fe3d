"""Params of the evaluations: search, similar photos, recommenders."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from jobs.config.params.arms import ARMS, VARIANTS
from jobs.config.params.base import Params


class EvaluateParams(Params):
    contact_sheet_queries: int = Field(12, ge=1, description="queries shown with their top photos")
    max_missing_share: float = Field(
        0.1, ge=0, le=1, description="stop if an arm has no vector of a larger share of the photos"
    )
    max_memory_mb: int = Field(2048, ge=512, description="memory (MiB) of each process that ranks, at most")


class MeasureLiveParams(Params):
    max_search_count: int = Field(
        5000, ge=1, description="searches of the day that are asked, at most: beyond, all those of a sample of visitors"
    )


Truth = Literal["co_conversion", "keywords", "collections"]


TRUTHS: tuple[Truth, ...] = get_args(Truth)


class EvaluateSimilarParams(Params):
    query_count: int = Field(
        1000, ge=0, description="query photos of each ground truth, at most; 0 leaves all of it out"
    )
    truths: tuple[Truth, ...] = Field(
        TRUTHS, min_length=1, description="what counts as alike: taken for the same query, same keywords, collection"
    )
    min_visitors: int = Field(
        2, ge=1, description="co-conversion: visitors who took a photo for a query, for it to count; fewer are noise"
    )
    min_shared_keywords: int = Field(2, ge=1, description="keywords that photos must have in common to be alike")
    min_confidence: float = Field(0.5, ge=0, le=1, description="of a keyword, for it to count in the ground truth")
    max_group_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="a query, keyword or collection of a larger share of the photos says too little to count",
    )
    min_cosine: float = Field(
        0.97, gt=-1, le=1, description="near duplicates: least cosine of their vectors by the zero-shot base"
    )
    max_bits: int = Field(10, ge=0, le=128, description="near duplicates: most different bits of their hashes, of 128")
    variants: tuple[str, ...] = Field(
        (), description="further arms: variants of the full arm that train_variant has trained this night"
    )
    contact_sheet_photos: int = Field(4, ge=0, description="photos shown with what every arm finds for them")
    max_missing_share: float = Field(
        0.1, ge=0, le=1, description="stop if an arm has no vector of a larger share of the photos"
    )

    @field_validator("variants")
    @classmethod
    def _are_variants(cls, variants: tuple[str, ...]) -> tuple[str, ...]:
        known = [variant for variant in VARIANTS if variant not in ARMS]  # arms are the night's own
        if unknown := [variant for variant in variants if variant not in known]:
            raise ValueError(f"unknown variant {', '.join(unknown)}; there are {', '.join(known)}")
        if repeated := [variant for variant in variants if variants.count(variant) > 1]:
            raise ValueError(f"name each variant once: {repeated[0]}")
        return variants


RECOMMENDERS = (
    "random",
    "popularity",
    "item_knn",
    "mean_embedding",
    "session_embedding",
    "content",
    "als",
    "ease",
    "sasrec",
    "two_tower",
    "graphsage",
)
"""Ways to recommend from a history, see `models.recommend.methods`."""


HANDFUL = ("random", "popularity", "item_knn", "als", "two_tower", "graphsage")
"""What a night compares unless its preset or its parameters name others: the best of each kind, and chance."""


RECOMMENDER_PROTOCOLS = ("no_split", "half_held_out", "fifth_held_out", "folds", "leave_cold")
"""How logs are cut beside the night's own windows, see `models.recommend.protocols`."""


class EvaluateRecommendersParams(Params):
    methods: tuple[str, ...] = Field(HANDFUL, min_length=1, description=f"of {', '.join(RECOMMENDERS)}")
    protocols: tuple[str, ...] = Field(
        (),
        description=f"beside the night's windows, of {', '.join(RECOMMENDER_PROTOCOLS)}",
    )
    protocol_methods: tuple[str, ...] = Field(
        ("random", "popularity", "item_knn", "mean_embedding", "session_embedding", "content", "als"),
        description="those of the methods that these protocols compare: each learns anew by each of them",
    )
    max_visitor_count: int = Field(
        5000, ge=0, description="visitors asked about, at most, by each protocol; 0 leaves all of it out"
    )
    max_learning_conversions: int = Field(
        20_000_000,
        ge=1,
        description="conversions before the test window that methods learn from, at most: of a larger log all those of "
        "a sample of visitors",
    )
    als_library: Literal["implicit", "spark"] = Field(
        "implicit", description="'spark': MLlib, for logs whose factorisation is beyond one machine"
    )
    dislike_weight: float = Field(
        0.0,
        ge=0,
        description="what a dislike, or a rating under the limit, counts against a photo in item_knn and als, as a "
        "share of a like; what was seen is never recommended, whatever it weighs",
    )
    diversity: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="how much a photo's likeness to those before it in a list counts against it (marginal relevance); "
        "0: not at all",
    )
    diversity_candidates: int = Field(
        300, ge=100, le=10_000, description="the best photos from which such a list is chosen"
    )
    sasrec_passes: int = Field(
        5, ge=1, description="at most; beyond 10 (other methods: beyond 5) likes held out say when to stop"
    )
    two_tower_passes: int = Field(5, ge=1, description="at most")
    graphsage_passes: int = Field(1, ge=1, description="at most")
    contact_sheet_visitors: int = Field(4, ge=0, description="visitors shown with what every arm recommends")
    max_missing_share: float = Field(
        0.1, ge=0, le=1, description="stop if the arm has no vector of a larger share of the photos"
    )
    max_memory_mb: int = Field(
        2048, ge=1024, description="memory that a process may take to recommend, beside the files that processes share"
    )

    @field_validator("methods", "protocols", "protocol_methods")
    @classmethod
    def _are_known(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = RECOMMENDER_PROTOCOLS if info.field_name == "protocols" else RECOMMENDERS
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        if len(set(names)) < len(names):
            raise ValueError("name each once")
        return names
