"""Hit rate of a model on held-out queries, the number early stopping looks at.

Shapes: N photos of the corpus, Q queries, T different texts, D embedding dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from models.search.data import Indices, PhotoPixels
from models.search.keywords import RaggedKeywords
from models.search.model import SearchModel


@dataclass(frozen=True)
class ValidationSet:
    """Queries with the photo that was converted, and the corpus it is looked for in.

    `photos` index `pixels` and `keywords`, `texts` index `tokens`, `targets` are positions in `photos`.
    """

    photos: Indices  # [N]
    tokens: torch.Tensor  # int32 [T, L]
    texts: Indices  # [Q]
    targets: Indices  # [Q]
    pixels: PhotoPixels
    keywords: RaggedKeywords | None = None


@torch.inference_mode()
def hit_rate(model: SearchModel, validation: ValidationSet, k: int = 10, batch_size: int = 512) -> float:
    """Return the share of queries whose photo is among the first `k` of the corpus.

    Of photos with equal scores the target comes last, so a constant scorer gets nothing. A target whose picture
    cannot be decoded is a miss.
    """
    photo_ND = photo_vectors(model, validation.photos, validation.pixels, validation.keywords, batch_size)
    text_TD = text_vectors(model, validation.tokens, batch_size)
    text_Q, target_Q = torch.from_numpy(validation.texts), torch.from_numpy(validation.targets)
    hits = 0
    for text_B, target_B in zip(text_Q.split(batch_size), target_Q.split(batch_size), strict=True):
        score_BN = text_TD[text_B.to(model.device)] @ photo_ND.T
        target_score_B1 = score_BN.gather(1, target_B.to(model.device)[:, None])
        rank_B = (score_BN >= target_score_B1).sum(dim=1)  # NaN, for pictures that failed, compares as false
        hits += int(((rank_B <= k) & (rank_B > 0)).sum())
    return hits / len(text_Q)


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
