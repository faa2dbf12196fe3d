"""Hit rate of a model on held-out queries: the number that early stopping goes by.

Shapes: N photos of the corpus, Q queries, T different texts, D embedding dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.search.data import Indices, PhotoPixels
from models.search.keywords import RaggedKeywords
from models.search.model import SearchModel

HIT_RATE = "validation_hit_rate@10"
UNSEEN_HIT_RATE = "unseen_photos_hit_rate@10"
FEWEST_UNSEEN = 20
"""Queries of unseen photos: fewer have no figure of their own."""


@dataclass(frozen=True)
class ValidationSet:
    """Queries with the photo that was converted, and the corpus it is looked for in.

    `photos` index `pixels` and `keywords`, `texts` index `tokens`, `targets` are positions in `photos`. `is_unseen` are
    the queries whose photo is no positive of the training.
    """

    photos: Indices  # [N]
    tokens: torch.Tensor  # int32 [T, L]
    texts: Indices  # [Q]
    targets: Indices  # [Q]
    pixels: PhotoPixels
    keywords: RaggedKeywords | None = None
    is_unseen: npt.NDArray[np.bool_] | None = None  # [Q]; none if None


def hit_rates(model: SearchModel, validation: ValidationSet) -> dict[str, float]:
    """Return the hit rates at 10 by name: of all queries and, if there are enough, of those of unseen photos."""
    is_hit_Q = hits(model, validation)
    found = {HIT_RATE: _share(is_hit_Q)}
    if validation.is_unseen is not None and np.count_nonzero(validation.is_unseen) >= FEWEST_UNSEEN:
        found[UNSEEN_HIT_RATE] = _share(is_hit_Q[validation.is_unseen])
    return found


def _share(is_hit_Q: npt.NDArray[np.bool_]) -> float:
    return int(is_hit_Q.sum()) / len(is_hit_Q)


@torch.inference_mode()
def hits(model: SearchModel, validation: ValidationSet, k: int = 10, batch_size: int = 512) -> npt.NDArray[np.bool_]:
    """Return for every query whether its photo is among the first `k` of the corpus, shape (Q,).

    Of photos with equal scores the target comes last, so a constant scorer gets nothing. A target whose picture
    cannot be decoded is a miss.
    """
    photo_ND = photo_vectors(model, validation.photos, validation.pixels, validation.keywords, batch_size)
    text_TD = text_vectors(model, validation.tokens, batch_size)
    text_Q, target_Q = torch.from_numpy(validation.texts), torch.from_numpy(validation.targets)
    parts = []
    for text_B, target_B in zip(text_Q.split(batch_size), target_Q.split(batch_size), strict=True):
        score_BN = text_TD[text_B.to(model.device)] @ photo_ND.T
        target_score_B1 = score_BN.gather(1, target_B.to(model.device)[:, None])
        rank_B = (score_BN >= target_score_B1).sum(dim=1)  # NaN, for pictures that failed, compares as false
        parts.append(((rank_B <= k) & (rank_B > 0)).cpu())
    is_hit_Q: npt.NDArray[np.bool_] = torch.cat(parts).numpy()
    return is_hit_Q


def text_vectors(model: SearchModel, tokens_TL: torch.Tensor, batch_size: int = 512) -> torch.Tensor:
    """Return the unit vectors of texts, float32 [T, D]."""
    parts = [model.encode_tokens(part.long().to(model.device)) for part in tokens_TL.split(batch_size)]
    return torch.cat(parts).float()


def photo_vectors(
    model: SearchModel,
    photos: Indices,
    pixels: PhotoPixels,
    keywords: RaggedKeywords | None,
    batch_size: int = 512,
) -> torch.Tensor:
    """Return the unit vectors of photos, float32 [N, D]; NaN for those whose picture cannot be decoded."""
    parts = []
    for start in range(0, len(photos), batch_size):
        some = photos[start : start + batch_size]
        pixels_BCHW, is_good = pixels.fetch(some)
        features_BD = model.encode_images(pixels_BCHW.to(model.device))
        vectors_BD = model.combine(features_BD, None if keywords is None else keywords.take(some))
        vectors_BD[torch.from_numpy(~is_good).to(model.device)] = float("nan")
        parts.append(vectors_BD)
    return torch.cat(parts)
