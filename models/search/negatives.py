"""Hard negatives: photos that a model ranks high for a query, or that were shown for it, but that nobody took for it.

Mined by exact search with the vectors of an earlier model, filtered so that likely positives are left alone:
https://arxiv.org/abs/2407.15831 (positive-aware mining, "TopK-PercPos").

Shapes: T texts, N photos, P pairs, K candidates per text, D embedding dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.search.sampling import KnownPositives

Indices = npt.NDArray[np.int64]
NONE = -1


@dataclass(frozen=True)
class HardNegatives:
    """For every text up to K photos, best first; `NONE` fills the rows. Scores are cosines, -inf where none.

    A pair's limit is the highest cosine at which a candidate of its text is taken for a negative.
    """

    photos: Indices  # [T, K]
    scores: npt.NDArray[np.float32]  # [T, K]
    limits: npt.NDArray[np.float32]  # [P]

    def draw(self, texts: Indices, rows: Indices, count: int, generator: np.random.Generator) -> Indices:
        """Return at most `count` different photos, ascending, drawn evenly from what the pairs `rows` allow.

        `texts` are those of the pairs.
        """
        candidates, scores = self.photos[texts], self.scores[texts]
        allowed = np.unique(candidates[(candidates != NONE) & (scores <= self.limits[rows][:, None])])
        if len(allowed) <= count:
            return allowed
        return np.sort(generator.choice(allowed, count, replace=False))


def mine(
    text_TD: torch.Tensor,
    photo_ND: torch.Tensor,
    text_P: Indices,
    photo_P: Indices,
    known: KnownPositives,
    groups: Indices,
    *,
    k: int,
    max_share: float,
    block: int = 1024,
) -> HardNegatives:
    """Return for every text the `k` photos nearest to it that are in no known pair with it or its group.

    Vectors are unit length; a photo whose vector is not finite is never a candidate. A pair of cosine s allows
    candidates of a cosine of at most `max_share` * s (for a negative s, as far below it): what scores nearly as
    high may well be a positive. `groups` gives every text's group, of which `known` says the positives.
    """
    if not 0 < max_share <= 1:
        raise ValueError(f"{max_share=} must lie in (0, 1]")
    photo_ND = photo_ND.clone()
    is_bad_N = ~torch.isfinite(photo_ND).all(dim=1)
    photo_ND[is_bad_N] = 0
    positive_P = (text_TD[text_P] * photo_ND[photo_P]).sum(dim=1).float().cpu().numpy()
    all_photos = np.arange(len(photo_ND))
    k = min(k, len(photo_ND))
    photos, scores = [], []
    for start in range(0, len(text_TD), block):
        score_BN = text_TD[start : start + block] @ photo_ND.T
        own, group_B = np.unique(groups[start : start + block], return_inverse=True)
        is_known_NB = np.zeros((len(photo_ND), len(own)), np.bool_)
        is_known_NB[tuple(known.among(all_photos, own))] = True
        score_BN[torch.from_numpy(is_known_NB[:, group_B].T).to(score_BN.device)] = -torch.inf
        score_BN[:, is_bad_N] = -torch.inf
        best_BK = score_BN.topk(k, dim=1)
        photos.append(best_BK.indices.masked_fill(best_BK.values == -torch.inf, NONE).cpu().numpy())
        scores.append(best_BK.values.float().cpu().numpy())
    limits = positive_P - (1 - max_share) * np.abs(positive_P)
    return HardNegatives(np.concatenate(photos), np.concatenate(scores), limits)


def passed_over(
    text_R: Indices,
    photo_R: Indices,
    looks_R: npt.NDArray[np.float64],
    known: KnownPositives,
    groups: Indices,
    *,
    pair_count: int,
    k: int,
) -> HardNegatives:
    """Return for every text at most `k` of the photos that were shown for it and not taken, the most looked at first.

    `looks_R` is how often the photo of a row was looked at for the text of the row; rows of one photo and text count
    together. Known positives of a text or its group are left out, whatever was done with them in these rows. Every pair
    allows all candidates of its text: no model is asked. To have been seen and left is a sign by itself (Joachims,
    "Optimizing Search Engines using Clickthrough Data", 2002), surer the more often.
    """
    text_count = len(groups)
    cells, cell_R = np.unique(np.stack([text_R, photo_R]), axis=1, return_inverse=True)
    looks_C = np.bincount(cell_R.reshape(-1), looks_R, minlength=cells.shape[1])
    is_known_C = _are_known(cells[1], groups[cells[0]], known)
    text_C, photo_C, looks_C = cells[0][~is_known_C], cells[1][~is_known_C], looks_C[~is_known_C]
    order = np.lexsort((photo_C, -looks_C, text_C))
    text_C, photo_C = text_C[order], photo_C[order]
    place_C = np.arange(len(text_C)) - np.searchsorted(text_C, text_C)
    width = max(1, min(k, int(place_C.max(initial=0)) + 1))
    photos = np.full((text_count, width), NONE, np.int64)
    is_kept_C = place_C < width
    photos[text_C[is_kept_C], place_C[is_kept_C]] = photo_C[is_kept_C]
    scores = np.where(photos == NONE, -np.inf, 0.0).astype(np.float32)
    return HardNegatives(photos, scores, np.full(pair_count, np.inf, np.float32))


def _are_known(photo_C: Indices, group_C: Indices, known: KnownPositives) -> npt.NDArray[np.bool_]:
    """Return which combinations of a photo and a group are known positives."""
    photos, groups = np.unique(photo_C), np.unique(group_C)
    place_C = np.searchsorted(photos, photo_C) * len(groups) + np.searchsorted(groups, group_C)
    photo_M, group_M = known.among(photos, groups)
    return np.isin(place_C, photo_M * len(groups) + group_M)


def hard_share(step: int, step_count: int, final_share: float) -> float:
    """Return the share of hard negatives at a step (from 0): rising in a line from 0 to `final_share`.

    >>> [hard_share(step, 5, 0.4) for step in (0, 2, 4)]
    [0.0, 0.2, 0.4]
    """
    return final_share * step / max(1, step_count - 1)
