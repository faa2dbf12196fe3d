"""Params of training and registering the models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from jobs.config.params.arms import ARMS, FULL
from jobs.config.params.base import Params

Retrain = Literal["incremental", "always", "never"]


def _known_once(arms: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [arm for arm in arms if arm not in ARMS]:
        raise ValueError(f"unknown arm {', '.join(unknown)}; there are {', '.join(ARMS)}")
    if len(set(arms)) < len(arms):
        raise ValueError("name each arm once")
    return arms


TrainedArms = Annotated[tuple[str, ...], AfterValidator(_known_once)]


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
    epochs: int = Field(60, ge=1, description="passes over the photos and their descriptions, at most")
    patience: int = Field(5, ge=1, description="passes without a better result on held-out photos before it stops")
    batch_size: int = Field(256, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    checkpoint_seconds: float = Field(60.0, ge=0, description="training between two checkpoints, at most")


class TrainSearchParams(Params):
    arms: TrainedArms = Field((FULL,), min_length=1, description=f"beside the zero-shot base; of {', '.join(ARMS)}")
    retrain: Retrain = Field(
        "incremental",
        description="'incremental' goes on from the champion, else from the latest earlier night; 'never' takes the "
        "latter as it is; 'always' trains in full, as the first night does",
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
    mask_known_positives: bool = Field(True, description="known positives of the log are never negatives")
    mask_by: Literal["text", "query"] = Field(
        "text", description="positive for a text (with its country, for arms that read it), or for a query anywhere"
    )
    pair_weighting: Literal["log_count", "each"] = Field(
        "log_count", description="a pair taken n times: once with weight 1 + ln(n), or n times"
    )
    position_weights: Literal["none", "estimated"] = Field(
        "none",
        description="'estimated': a photo counts more where visitors seldom look at its place in the results, by the "
        "log of what was shown",
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
    average_decay: float = Field(
        0.998, ge=0, lt=1, description="keep averaged weights, of this decay per step; 0: those of the last step"
    )
    frozen: Literal["none", "image", "text"] = Field("none", description="tower that is not trained")
    layer_decay: float = Field(1.0, gt=0, le=1, description="rate of a block, in rates of the block above")
    encode_chunk: int | None = Field(None, ge=1, description="photos and texts encoded at a time: less memory")
    loss_chunk: int | None = Field(None, ge=1, description="photos whose logits are held at a time: less memory")
    checkpoint_activations: bool = Field(False, description="compute activations twice: less memory")
    evaluations_per_epoch: int = Field(4, ge=1, description="validations per pass, for early stopping")
    patience: int = Field(4, ge=1, description="validations without a better result before training stops")
    keyword_free_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="photos of a step that train without keywords, so that pictures alone are understood",
    )
    keyword_rate_factor: float = Field(100.0, gt=0, description="learning rate of the keyword table, in learning rates")
    token_rate_factor: float = Field(5.0, gt=0, description="learning rate of the token table, in learning rates")
    checkpoint_seconds: float = Field(60.0, ge=0, description="training between two checkpoints, at most")

    @property
    def reads_impressions(self) -> bool:
        """Whether training needs the log of what was shown."""
        return self.position_weights == "estimated" or (self.hard_share > 0 and self.hard_from == "shown")


class SnapshotChampionParams(Params):
    pass


class RegisterModelParams(Params):
    max_copied_mb: int = Field(
        1024,
        ge=0,
        description="a larger index, with the tables of the search, is not copied to MLflow: the version refers to the "
        "release in the lake, MiB",
    )


class TrainRerankerParams(Params):
    candidate_count: int = Field(200, ge=10, description="best photos of the challenger that are reordered")
    max_search_count: int = Field(20_000, ge=1, description="validation searches learned from, at most")
    max_memory_mb: int = Field(
        2048, ge=512, description="what a process that answers searches may take, MiB: more searches at a time"
    )
    min_search_count: int = Field(
        200, ge=2, description="fewer validation searches whose photo is a candidate are too few to learn from"
    )
    when_too_few: Literal["leave_out", "fail"] = Field(
        "leave_out", description="what then: 'leave_out' the reranked arm and say so, or 'fail' the stage"
    )
    half_life_days: float = Field(7.0, gt=0, description="after this many days a conversion counts half")
    mask_share: float = Field(
        0.05, ge=0, lt=1, description="share of the training rows without history, as new photos have none"
    )
    rounds: int = Field(300, ge=1, description="trees, at most")
    patience: int = Field(25, ge=1, description="rounds without a better result before training stops")
    learning_rate: float = Field(0.1, gt=0)
    leaves: int = Field(15, ge=2, description="leaves of a tree")
    min_rows_per_leaf: int = Field(50, ge=1)
    max_missing_share: float = Field(
        0.1, ge=0, le=1, description="stop if an arm has no vector of a larger share of the photos"
    )
