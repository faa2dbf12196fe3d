"""What each stage computes: one frozen Params class per stage, and presets that fill them.

Light on purpose: the DAG imports it. Defaults are those of the preset `small`.
"""

from __future__ import annotations

from datetime import time
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

ZERO_SHOT = "zero_shot"
FINETUNED = "finetuned"
FULL = "finetuned_country_keywords"
CHAMPION_ARM = "champion"
RERANKED = "reranked"
TRENDING = "trending"

Retrain = Literal["incremental", "always", "never"]

NIGHT_BEGINS, NIGHT_ENDS = time(2), time(6)
"""UTC: when the scheduled night starts, and by when its report is to be there."""

Protocol = Literal["windows", "80/20"]
WINDOWS: Protocol = "windows"
EIGHTY_TWENTY: Protocol = "80/20"


class Params(BaseModel):
    """Base of all Params: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ValidateLogsParams(Params):
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description="stop if a larger share of any table's rows is quarantined"
    )
    max_critical_share: float = Field(
        0.02, ge=0, le=1, description="stop if a larger share of a table's rows breaks one critical rule"
    )
    bot_conversions_per_minute: int = Field(
        60, ge=2, description="more conversions of one visitor within a minute count as a bot's"
    )
    conversions_folder: str | None = Field(
        None, description="read conversions from this folder instead of the data set's own"
    )


class FetchImagesParams(Params):
    width: int = Field(512, ge=16, le=4096, description="width asked for in the image URL, pixels")
    concurrency: int = Field(16, ge=1, le=256, description="downloads at a time")
    max_bytes: int = Field(30_000_000, ge=1, description="refuse a longer body")
    max_pixels: int = Field(100_000_000, ge=1, description="refuse a picture with more pixels when decoded")
    retry_count: int = Field(4, ge=0, le=20, description="further tries after 429, 5xx and broken connections")
    timeout_seconds: float = Field(30.0, gt=0)
    max_missing_share: float = Field(0.2, ge=0, le=1, description="stop if more photos end without an image")


class SplitTemporalParams(Params):
    protocol: Protocol = Field(
        WINDOWS,
        description="'windows' are cut by days; '80/20' tests on the last fifth of the conversions, among all photos",
    )
    validation_share: float = Field(
        0.1,
        ge=0,
        lt=0.8,
        description="80/20: share of all conversions, the last before the test, kept from training for validation",
    )
    test_days: int = Field(7, ge=1, description="length of the test window, which ends with the run date")
    validation_days: int = Field(3, ge=1, description="length of the window before it, for early stopping")
    train_days: int = Field(365, ge=1, description="how far back training reaches")
    max_ranked_searches: int = Field(
        200_000, ge=1, description="test searches that are ranked, at most: beyond, all those of a sample of visitors"
    )
    shards: int = Field(
        8, ge=1, le=100_000, description="files by photo that training processes share out; more for a large log"
    )


class AuditLeaksParams(Params):
    pass


class MeasureImpressionsParams(Params):
    place_count: int = Field(20, ge=1, le=1000, description="places of a list, from the first, that are told apart")
    arm_count: int = Field(6, ge=0, description="arms that are shown by themselves, those of the most impressions")
    resample_count: int = Field(1000, ge=100, description="bootstrap resamples of visitors, for rates")
    examination_resample_count: int = Field(
        200, ge=50, description="the same for how often places are looked at, which is fitted each time"
    )


class TrainBaseParams(Params):
    source: str = Field(
        "tiny",
        description="'tiny' (trained on photo descriptions), an open_clip tag 'MODEL/PRETRAINED', or a path",
    )
    image_size: int = Field(48, ge=16, le=512)
    patch_size: int = Field(16, ge=4, le=64)
    vision_width: int = Field(128, ge=16)
    vision_layers: int = Field(4, ge=1)
    text_width: int = Field(128, ge=16)
    text_layers: int = Field(2, ge=1)
    embed_dim: int = Field(128, ge=8)
    context_length: int = Field(16, ge=4)
    vocab_size: int = Field(8192, ge=512, description="tokens learned from descriptions and queries, at most")
    epochs: int = Field(60, ge=1, description="passes over the photos and their descriptions")
    batch_size: int = Field(256, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    checkpoint_seconds: float = Field(60.0, ge=0, description="training between two checkpoints, at most")


ARMS: dict[str, dict[str, Any]] = {
    FINETUNED: {},
    "finetuned_country": {"uses_country": True},
    "finetuned_keywords": {"uses_keywords": True},
    FULL: {"uses_country": True, "uses_keywords": True},
}
"""The trained arms by name: what each reads, and in what its training differs from the parameters of the night."""

VARIANTS: dict[str, dict[str, Any]] = {
    FINETUNED: ARMS[FINETUNED],
    "finetuned_country": ARMS["finetuned_country"],
    "finetuned_keywords": ARMS["finetuned_keywords"],
    FULL: ARMS[FULL],
    "without_masks": ARMS[FULL] | {"masks": False},
    "without_correction": ARMS[FULL] | {"popularity_correction": 0.0},
    "masked_by_query": ARMS[FULL] | {"mask_by": "query"},
    "each_repetition": ARMS[FULL] | {"repetitions": "each"},
    "without_average": ARMS[FULL] | {"average_decay": 0.0},
    "softmax": ARMS[FULL] | {"loss": "softmax"},
    "batch_64": ARMS[FULL] | {"batch_size": 64},
    "batch_1024": ARMS[FULL] | {"batch_size": 1024},
    "augmented": ARMS[FULL] | {"augment": ("crop", "flip", "colour")},
    "two_views": ARMS[FULL] | {"two_views_weight": 0.2},
    "image_pairs": ARMS[FULL] | {"partner_weight": 0.2},
    "hard_negatives": ARMS[FULL] | {"hard_share": 0.5},
}
"""What the ablation trains beside the zero-shot base: the arms, and the full arm with one choice made otherwise."""

STEPS = (
    (ZERO_SHOT, FINETUNED),
    (FINETUNED, "finetuned_country"),
    (FINETUNED, "finetuned_keywords"),
    ("finetuned_country", FULL),
    ("finetuned_keywords", FULL),
    (FULL, RERANKED),
)
"""How the full arm is built up: what the ablation compares besides, the second with the first of each pair."""

COMPARED = (ZERO_SHOT, *VARIANTS, RERANKED)
"""What the ablation compares, in the order of its table. The reranked arm is the night's own: nothing is trained."""


class TrainSearchParams(Params):
    arms: tuple[str, ...] = Field((FULL,), description=f"beside the zero-shot base; of {', '.join(ARMS)}")
    retrain: Retrain = Field(
        "incremental",
        description="'incremental' goes on from the champion, else from the latest earlier night; 'never' takes the "
        "latter as it is; 'always' trains in full, as the first night does",
    )
    replay_share: float = Field(
        3.0, ge=0, description="incremental: conversions from before, drawn at random, per new conversion"
    )
    incremental_rate: float = Field(
        0.5, gt=0, le=1, description="incremental: learning rates, in those of a training in full"
    )
    processes: int = Field(
        1, ge=1, description="training processes; above 1 they run under Spark, each with the photos of some shards"
    )
    epochs: int = Field(
        6, ge=1, description="an epoch has as many pairs as there are different (photo, query, country)"
    )
    batch_size: int = Field(256, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    loss: Literal["sigmoid", "softmax"] = Field("sigmoid", description="pairwise sigmoid (SigLIP) or InfoNCE (CLIP)")
    masks: bool = Field(True, description="known positives of the log are never negatives")
    mask_by: Literal["text", "query"] = Field(
        "text", description="positive for a text (with its country, for arms that read it), or for a query anywhere"
    )
    repetitions: Literal["weighted", "each"] = Field(
        "weighted", description="a pair taken n times: once with weight 1 + ln(n), or n times"
    )
    position_exponent: float = Field(
        0.0,
        ge=0,
        le=2,
        description="a photo taken from place n of the results counts n to this power, relative to the others",
    )
    position_cap: float = Field(10.0, ge=1, description="what it counts at most, before all are scaled to the same sum")
    position_weights: Literal["power", "estimated"] = Field(
        "power",
        description="'power' of the place, by position_exponent; 'estimated': by how often the place is looked at, "
        "from the log of what was shown",
    )
    popularity_exponent: float = Field(
        0.0, ge=0, le=1, description="0: photos come as often as they were taken; 1: all photos equally often"
    )
    popularity_correction: float = Field(
        1.0, ge=0, le=1, description="0: a photo is a negative as often as it was taken; 1: all are equally often"
    )
    augment: tuple[Literal["crop", "flip", "colour", "grey"], ...] = Field(
        (), description="what is done to pictures at random; what says something else in a mirror is not flipped"
    )
    two_views_weight: float = Field(
        0.0, ge=0, description="weight of self-supervision: two pictures of a photo belong together (SimCLR)"
    )
    partner_weight: float = Field(
        0.0, ge=0, description="weight of image-image positives: two photos taken for the same query belong together"
    )
    hard_share: float = Field(0.0, ge=0, le=4, description="hard negatives per pair at the end, rising from 0")
    hard_from: Literal["mined", "shown"] = Field(
        "mined",
        description="'mined': photos that the model ranks high; 'shown': photos that the log says were shown for the "
        "query and never taken",
    )
    hard_candidates: int = Field(50, ge=1, description="such photos of a query that hard negatives are drawn from")
    hard_max_score: float = Field(
        0.95, gt=0, le=1, description="a candidate above this share of the positive's score may be a positive"
    )
    average_decay: float = Field(
        0.998, ge=0, lt=1, description="keep averaged weights, of this decay per step; 0: those of the last step"
    )
    frozen: Literal["none", "image", "text"] = Field("none", description="tower that is not trained")
    layer_decay: float = Field(1.0, gt=0, le=1, description="rate of a block, in rates of the block above")
    encode_chunk: int | None = Field(None, ge=1, description="photos and texts encoded at a time: less memory")
    loss_chunk: int | None = Field(None, ge=1, description="photos whose logits are held at a time: less memory")
    checkpoint_activations: bool = Field(False, description="compute activations twice: less memory")
    compiled: bool = Field(False, description="let torch compile the towers: minutes at first, then faster steps")
    weight_decay: float = Field(0.05, ge=0)
    warmup_share: float = Field(0.05, ge=0, lt=1)
    evaluations_per_epoch: int = Field(4, ge=1, description="validations per pass, for early stopping")
    patience: int = Field(4, ge=1, description="validations without a better result before training stops")
    keyword_min_count: int = Field(2, ge=1, description="rarer keywords are hashed into shared rows")
    keyword_hash_rows: int = Field(1024, ge=1)
    keyword_dropout: float = Field(0.15, ge=0, lt=1)
    bare_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="photos of a step that train without keywords, so that pictures alone are understood",
    )
    keyword_rate_factor: float = Field(100.0, gt=0, description="learning rate of the keyword table, in learning rates")
    token_rate_factor: float = Field(5.0, gt=0, description="learning rate of the token table, in learning rates")
    validation_query_count: int = Field(3000, ge=1, description="validation queries looked up for early stopping")
    validation_photo_count: int = Field(20_000, ge=1, description="photos they are looked for in, at most")
    max_seconds: float | None = Field(None, gt=0, description="stop an arm after this much training")
    checkpoint_seconds: float = Field(60.0, ge=0, description="training between two checkpoints, at most")

    @field_validator("arms")
    @classmethod
    def _are_known(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [arm for arm in arms if arm not in ARMS]:
            raise ValueError(f"unknown arm {', '.join(unknown)}; there are {', '.join(ARMS)}")
        if not arms or len(set(arms)) < len(arms):
            raise ValueError("name at least one arm, each once")
        return arms

    @property
    def reads_impressions(self) -> bool:
        """Whether training needs the log of what was shown."""
        return self.position_weights == "estimated" or (self.hard_share > 0 and self.hard_from == "shown")

    @model_validator(mode="after")
    def _fit_together(self) -> TrainSearchParams:
        if self.processes > 1 and self.hard_share:
            raise ValueError("hard negatives are drawn from all photos: hard_share needs processes=1")
        if self.position_weights == "estimated" and self.position_exponent:
            raise ValueError("position_weights 'estimated' takes the place of position_exponent: leave that at 0")
        return self


AS_TRAINED = "as_trained"
"""A variant that is not trained but is the night's own full arm, however that came to be."""


class TrainVariantParams(TrainSearchParams):
    variant: str = Field(FULL, description=f"{ZERO_SHOT}, {AS_TRAINED}, or of {', '.join(VARIANTS)}")
    repeat: int = Field(0, ge=0, description="number of the repetition; each has a seed of its own")

    @field_validator("processes")
    @classmethod
    def _is_one(cls, processes: int) -> int:
        if processes != 1:
            raise ValueError("a variant is trained in one process")
        return processes

    @field_validator("variant")
    @classmethod
    def _is_known(cls, variant: str) -> str:
        if variant not in (ZERO_SHOT, AS_TRAINED, *VARIANTS):
            raise ValueError(f"unknown variant {variant}; there are {ZERO_SHOT}, {AS_TRAINED}, {', '.join(VARIANTS)}")
        return variant


class CompareVariantsParams(Params):
    variants: tuple[str, ...] = Field(COMPARED, description=f"in the order of the table; {FULL} is one of them")
    repeats: int = Field(3, ge=1, description="repetitions of each variant that is trained")
    resample_count: int = Field(2000, ge=100, description="bootstrap resamples of visitors")

    @field_validator("variants")
    @classmethod
    def _can_be_compared(cls, variants: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [variant for variant in variants if variant not in COMPARED]:
            raise ValueError(f"unknown variant {', '.join(unknown)}; there are {', '.join(COMPARED)}")
        if FULL not in variants or len(set(variants)) < len(variants):
            raise ValueError(f"name each variant once; they are compared with {FULL}: name it too")
        return variants


class CompareRetrainingParams(Params):
    nights: int = Field(10, ge=2, description="consecutive nights, the last of them the run date")
    resample_count: int = Field(2000, ge=100, description="bootstrap resamples of visitors")


class SnapshotChampionParams(Params):
    pass


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
        1000, ge=20, le=4000, description="searches, and photos, of a night whose vectors are compared, at most"
    )
    resample_count: int = Field(500, ge=100, description="resamples for an interval, and divisions for a p-value")
    trend_weeks: int = Field(8, ge=2, le=52, description="weeks of the log whose conversions per day are shown")


class MapEmbeddingsParams(Params):
    is_made: bool = Field(True, description="False: no map, no clusters, and no such section in the report")
    arm: str = Field(FULL, description="the arm whose photo vectors are looked at")
    max_photos: int = Field(
        4000, ge=12, le=20_000, description="photos that are laid out and clustered; beyond, a sample that nights share"
    )
    perplexity: float = Field(30.0, ge=2, le=200, description="neighbours that a photo of the map holds on to")
    max_projected_share: float = Field(
        0.3, ge=0, le=1, description="of an earlier night's map: with more photos new to it, a new one is made"
    )
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


class RegisterModelParams(Params):
    arm: str = Field(FULL, description="the arm that becomes the challenger")


IndexKind = Literal["flat", "ivf_flat", "ivf_pq", "opq_ivf_pq", "hnsw", "lsh"]
INDEX_KINDS: tuple[IndexKind, ...] = get_args(IndexKind)
TREE = "annoy"
"""A forest of random projections, in the table of kinds to compare with; nothing is published as one."""


class BuildIndexParams(Params):
    arm: str = Field(FULL, description="the arm whose photo vectors are indexed")
    kind: Literal["auto"] | IndexKind = Field(
        "auto", description="auto: by number of photos, max_index_mb and target_recall; the report says why"
    )
    target_recall: float = Field(0.9, ge=0, le=1, description="share of the ten best photos that 'auto' is to find")
    max_index_mb: int | None = Field(None, ge=1, description="what the shards together may take, for 'auto'")
    shard_size: int = Field(1_000_000, ge=1, description="photos per shard, at most")
    max_memory_mb: int = Field(
        2048, ge=1, description="memory of one process that fills a shard, MiB; less makes more and smaller shards"
    )
    nprobe: int | None = Field(
        None, ge=1, description="lists of an inverted file searched per shard; default: a sixteenth, at least 8"
    )
    ef_search: int | None = Field(None, ge=1, description="candidates that a search of hnsw keeps; default: 64")
    code_bytes: int | None = Field(
        None, ge=1, description="bytes of a product quantizer's codes; default: half the dimensions"
    )


class VerifyIndexParams(Params):
    query_count: int = Field(
        1000, ge=1, description="validation queries (test queries where there are none) it is measured on, at most"
    )
    batch_size: int = Field(64, ge=2, description="queries at a time, for the latency of batches")
    min_recall_at_10: float = Field(0.9, ge=0, le=1, description="stop if the index finds less of the exact 10 best")
    min_recall_at_100: float = Field(0.8, ge=0, le=1, description="stop if it finds less of the exact 100 best")
    max_p99_ms: float | None = Field(
        1000.0, gt=0, description="stop if one search in a hundred takes longer, milliseconds"
    )
    max_bytes_per_vector: float | None = Field(None, gt=0, description="stop if a photo takes more in the index")
    resample_count: int = Field(1000, ge=100, description="bootstrap resamples of queries")
    compare_kinds: tuple[str, ...] = Field(
        (*INDEX_KINDS, TREE), description="kinds that are built from the same photos for the report's table"
    )
    compare_photo_count: int = Field(
        50_000, ge=0, description="no such table for a corpus of more photos, as it costs a build per kind"
    )

    @field_validator("compare_kinds")
    @classmethod
    def _are_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        known = (*INDEX_KINDS, TREE)
        if unknown := [kind for kind in kinds if kind not in known]:
            raise ValueError(f"unknown kind {', '.join(unknown)}; there are {', '.join(known)}")
        if len(set(kinds)) < len(kinds):
            raise ValueError("name each kind once")
        return kinds


class TrainRerankerParams(Params):
    candidate_count: int = Field(200, ge=10, description="best photos of the challenger that are reordered")
    max_search_count: int = Field(20_000, ge=1, description="validation searches learned from, at most")
    min_search_count: int = Field(
        200, ge=2, description="fewer validation searches whose photo is a candidate are too few to learn from"
    )
    when_too_few: Literal["leave_out", "fail"] = Field(
        "leave_out", description="what then: 'leave_out' the reranked arm and say so, or 'fail' the stage"
    )
    half_life_days: float = Field(7.0, gt=0, description="after this many days a conversion counts half")
    mask_share: float = Field(
        0.2, ge=0, lt=1, description="share of the training rows without history, as new photos have none"
    )
    held_out_share: float = Field(0.2, gt=0, lt=1, description="share of the visitors held out for early stopping")
    rounds: int = Field(300, ge=1, description="trees, at most")
    patience: int = Field(25, ge=1, description="rounds without a better result before training stops")
    learning_rate: float = Field(0.1, gt=0)
    leaves: int = Field(15, ge=2, description="leaves of a tree")
    min_rows_per_leaf: int = Field(50, ge=1)
    max_missing_share: float = Field(
        0.1, ge=0, le=1, description="stop if an arm has no vector of a larger share of the photos"
    )


class EvaluateParams(Params):
    resample_count: int = Field(1000, ge=100, description="bootstrap resamples of visitors")
    contact_sheet_queries: int = Field(12, ge=1, description="queries shown with their top photos")
    trend_tuning_searches: int = Field(
        5000,
        ge=0,
        description="validation searches, at most, that the weight of recent conversions is tuned on; 0 leaves the arm "
        "`trending` out",
    )
    trend_refresh_hours: int = Field(
        1, ge=1, le=24, description="the site counts recent conversions anew after so many hours"
    )
    max_missing_share: float = Field(
        0.1, ge=0, le=1, description="stop if an arm has no vector of a larger share of the photos"
    )


Truth = Literal["co_conversion", "keywords", "collections"]
TRUTHS: tuple[Truth, ...] = get_args(Truth)


class EvaluateSimilarParams(Params):
    query_count: int = Field(
        1000, ge=0, description="photos that are searched with, at most, by each ground truth; 0 leaves all of it out"
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
    duplicate_photo_count: int = Field(
        100_000,
        ge=0,
        description="near duplicates are not looked for in a corpus of more photos: all pairs are compared",
    )
    variants: tuple[str, ...] = Field(
        (), description="further arms: variants of the full arm that train_variant has trained this night"
    )
    resample_count: int = Field(1000, ge=100, description="bootstrap resamples")
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
    "interests",
    "content",
    "als",
    "sasrec",
    "two_tower",
    "graphsage",
)
"""Ways to recommend from a history, see `models.recommend.methods`."""
RECOMMENDER_PROTOCOLS = ("no_split", "half_held_out", "fifth_held_out", "folds", "leave_cold")
"""How logs are cut beside the night's own windows, see `models.recommend.protocols`."""


class EvaluateRecommendersParams(Params):
    methods: tuple[str, ...] = Field(RECOMMENDERS, min_length=1, description=f"of {', '.join(RECOMMENDERS)}")
    protocols: tuple[str, ...] = Field(
        RECOMMENDER_PROTOCOLS,
        description=f"beside the night's windows, of {', '.join(RECOMMENDER_PROTOCOLS)}",
    )
    protocol_methods: tuple[str, ...] = Field(
        ("random", "popularity", "item_knn", "mean_embedding", "session_embedding", "content", "als"),
        description="those of the methods that these protocols compare: each learns anew by each of them",
    )
    max_visitor_count: int = Field(
        5000, ge=0, description="visitors asked about, at most, by each protocol; 0 leaves all of it out"
    )
    als_library: Literal["implicit", "spark"] = Field(
        "implicit", description="'spark': MLlib, for logs whose factorisation is beyond one machine"
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
    sasrec_passes: int = Field(5, ge=1)
    two_tower_passes: int = Field(5, ge=1)
    graphsage_passes: int = Field(1, ge=1)
    resample_count: int = Field(1000, ge=100, description="bootstrap resamples of visitors")
    contact_sheet_visitors: int = Field(4, ge=0, description="visitors shown with what every arm recommends")
    max_missing_share: float = Field(
        0.1, ge=0, le=1, description="stop if the arm has no vector of a larger share of the photos"
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


class MakeReleaseParams(Params):
    pass


class GateReleaseParams(Params):
    rule: Literal["superior", "parity"] = Field(
        "superior", description="'superior': better than the champion; 'parity': not worse by more than the margin"
    )
    margin: float = Field(0.01, ge=0, le=1, description="how much worse counts as not worse, over all searches")
    segment_margin: float = Field(0.05, ge=0, le=1, description="the same for a slice of the searches")
    min_segment_queries: int = Field(
        200, ge=1, description="slices of fewer searches fail if surely worse, but need not be shown not to be"
    )
    min_index_recall: float = Field(0.95, ge=0, le=1, description="share of the exact 10 best that the index finds")
    max_latency_p99_milliseconds: float = Field(200.0, gt=0, description="99th percentile of single searches")
    max_index_bytes: int = Field(16_000_000_000, ge=1, description="size of all shards together")
    max_quarantined_share: float = Field(0.03, ge=0, le=1, description="share of any table's rows in quarantine")
    max_missing_image_share: float = Field(0.05, ge=0, le=1, description="share of the photos without an image")
    max_unseen_query_share: float | None = Field(
        0.9,
        ge=0,
        le=1,
        description="share of the searches with queries that training never had; more, and the log was normalised or "
        "encoded otherwise, or is too young",
    )
    max_unseen_country_share: float | None = Field(
        0.5, ge=0, le=1, description="share of the searches from countries that training never had"
    )
    max_conversion_drop: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="share by which the last week's conversions per day lie below the weeks before; more, and the log "
        "is cut short",
    )
    max_embedding_shift: float | None = Field(
        0.1,
        ge=0,
        le=2,
        description="squared MMD between tonight's vectors and the earlier night's, of searches and of photos; 0.1 is "
        "about what means give that lie apart by a third of the variance",
    )
    latency_query_count: int = Field(200, ge=10, description="searches that are timed")


class RetentionParams(Params):
    keep_count: int = Field(5, ge=1, description="releases of the latest nights that are kept")
    keep_days: int = Field(30, ge=0, description="releases made within so many days are kept")


class CleanUpParams(Params):
    keep_nights: int = Field(30, ge=1, description="latest nights whose current runs are kept")
    keep_days: int = Field(30, ge=0, description="runs made within so many days are kept")


class PublishReportParams(Params):
    cpu_hour_price: float = Field(default=0.04, ge=0, description="of one processor core, for the table of costs")
    gpu_hour_price: float = Field(default=2.5, ge=0, description="of one GPU")
    gb_month_price: float = Field(default=0.025, ge=0, description="of keeping 10^9 bytes for a month")
    currency: str = Field(default="USD", max_length=8, description="of the prices")
    map_picture_count: int = Field(
        default=600,
        ge=0,
        le=4000,
        description="photos of the map whose picture is shown: each adds about 1 KB to the page",
    )


class NightParams(Params):
    """The form of the nightly DAG: what a person fills in to run a night."""

    run_date: str | None = Field(
        None, description="last day used; empty: the day before the run, or the log's last complete day"
    )
    dataset: str | None = Field(
        None, description="folder in the Unsplash layout, or 'sample' for the generated one; empty: the configured one"
    )
    catalogue: str | None = Field(
        None, description="name of the data set in lake and registry; empty: the folder's name"
    )
    preset: str = Field(
        "auto", description="sizes of model and training; 'auto': 'sample' for the sample, else 'small'"
    )
    retrain: Retrain = Field(
        "incremental",
        description="'incremental' goes on from the champion, else from the latest earlier night; 'never' takes the "
        "latter as it is; 'always' trains in full, as the first night does",
    )
    protocol: Protocol | None = Field(
        None,
        description="'windows' cuts the log by days, '80/20' tests on its last fifth, among all photos; "
        "empty: what the preset says",
    )


def _on_a_gpu(source: str, **training: Any) -> dict[str, dict[str, Any]]:
    """Return the preset of a pretrained model: one pass at a low rate, vectors computed in bfloat16."""
    return {
        "train_base": {"source": source},
        # its tokens are known already: what moves them faster makes it forget
        "train_search": {
            "epochs": 1,
            "batch_size": 128,
            "learning_rate": 1e-5,
            "token_rate_factor": 1.0,
            "average_decay": 0.0,
            **training,
        },
        "embed_photos": {"precision": "bfloat16"},
        "embed_queries": {"precision": "bfloat16"},
    }


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {
        "train_base": {
            "image_size": 32,
            "vision_width": 64,
            "vision_layers": 1,
            "text_width": 64,
            "text_layers": 1,
            "embed_dim": 64,
            "epochs": 2,
            "batch_size": 64,
        },
        "train_search": {"arms": (FINETUNED, FULL), "epochs": 1, "batch_size": 64, "evaluations_per_epoch": 1},
        "embed_photos": {"part_size": 64, "batch_size": 32},
        "map_embeddings": {"min_cluster_sizes": (5, 10), "radius_quantiles": (0.25, 0.5)},
        "build_index": {"shard_size": 100},
        "train_reranker": {"candidate_count": 50, "min_search_count": 20, "rounds": 20, "min_rows_per_leaf": 10},
        "evaluate": {"resample_count": 200, "contact_sheet_queries": 4},
        "evaluate_similar": {"query_count": 100, "min_visitors": 1, "resample_count": 200, "contact_sheet_photos": 2},
        "evaluate_recommenders": {
            "methods": ("random", "popularity", "item_knn", "mean_embedding", "als", "two_tower"),
            "protocols": ("no_split", "fifth_held_out"),
            "protocol_methods": ("popularity", "mean_embedding"),
            "max_visitor_count": 200,
            "two_tower_passes": 1,
            "resample_count": 200,
            "contact_sheet_visitors": 2,
        },
    },
    "sample": {
        # small batches: the catalogue is small, and what it lacks is steps
        "train_base": {"vision_layers": 2, "text_layers": 1, "epochs": 10, "batch_size": 64},
        "train_search": {
            "arms": (FINETUNED, FULL),
            "epochs": 4,
            "batch_size": 64,
            "evaluations_per_epoch": 1,
        },
        "train_reranker": {"candidate_count": 100, "rounds": 150},
    },
    "small": {},
    # every arm beside the others, in half the passes each
    "all-arms": {"train_search": {"arms": tuple(ARMS), "epochs": 3}},
    "thorough": {"train_search": {"epochs": 12, "patience": 8, "average_decay": 0.999, "repetitions": "each"}},
    "vit-b-16-siglip": _on_a_gpu("ViT-B-16-SigLIP/webli"),
    "vit-b-16-siglip2": _on_a_gpu("ViT-B-16-SigLIP2/webli"),
    # the setting of the published table of Unsplash Lite
    "unsplash-lite": _on_a_gpu("ViT-B-16-SigLIP/webli", arms=(FINETUNED, FULL))
    | {"split_temporal": {"protocol": EIGHTY_TWENTY, "validation_share": 0.0}},
    "so400m-siglip2": _on_a_gpu(
        "ViT-SO400M-16-SigLIP2-256/webli",
        # more than a billion parameters: the batch is encoded in pieces, with the gradients of the whole
        encode_chunk=32,
        checkpoint_activations=True,
        layer_decay=0.9,
    ),
}
