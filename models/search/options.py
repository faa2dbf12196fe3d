"""The options of a training, all in one place; what they mean is said where they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tower = Literal["none", "image", "text"]


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. Rates of the tables are multiples of `learning_rate`.

    `pairs_per_epoch`: what makes an epoch, if it is not the number of pairs: arms that merge pairs differently then
    train for the same number of steps. `mask_known_positives`: known positives are never negatives (see `Pairs`).
    `augment`: what is done to pictures, see `augmentation.KINDS`. `two_views_weight`, `partner_weight`: of the losses
    of photos among photos, see `losses/images.py`; the second view is augmented with `augment` or, if that is empty,
    in every way. `hard_share`: hard negatives per pair in the last step, rising from 0.
    `average_decay`: of the averaged weights that are validated and kept, none if 0. `encode_chunk`: photos and texts
    encoded at a time (gradient caching), `loss_chunk`: photos whose logits are held at a time; both change memory and
    time, not what is learned.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    pairs_per_epoch: int | None = None
    loss: str = "sigmoid"
    mask_known_positives: bool = True
    augment: tuple[str, ...] = ()
    two_views_weight: float = 0.0
    partner_weight: float = 0.0
    hard_share: float = 0.0
    average_decay: float = 0.0
    frozen: Tower = "none"
    layer_decay: float = 1.0
    encode_chunk: int | None = None
    loss_chunk: int | None = None
    checkpoint_activations: bool = False
    keyword_rate_factor: float = 100.0
    token_rate_factor: float = 5.0
    keyword_free_share: float = 0.0
    evaluations_per_epoch: int = 4
    patience: int = 4
    checkpoint_seconds: float = 60.0
    report_seconds: float = 10.0
