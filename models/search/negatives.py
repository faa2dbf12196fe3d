"""Hard negatives: photos that a model ranks high for a query, or that were shown for it, but that nobody took for it.

Mined by exact search with the vectors of an earlier model, filtered so that likely positives are left alone:
https://arxiv.org/abs/2407.15831 (positive-aware mining, "TopK-PercPos").

Where several processes train together, each looks for the texts it holds. Candidates are the photos of all of them:
blocks of photos go round, with what is known of them, and every process keeps the best of its texts.

Shapes: T texts, N photos, P pairs, K candidates per text, D embedding dimension, n photos of a block, B texts of a
block, M known pairs; C different combinations of a photo and a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.search.counter_random import uniforms
from models.search.sampling import KnownPositives
from models.search.world import ALONE, World

Indices = npt.NDArray[np.int64]
NONE = -1
PHOTO_BLOCK, TEXT_BLOCK = 4096, 1024  # scores held at a time are of one by the other, and of each process's photos
_PAIR_BLOCK = 16_384
_ROW_BLOCK = 1_000_000
_STREAM = 1 << 49  # of random numbers


@dataclass(frozen=True)
class HardNegatives:
    """For every text up to K photos by id, best first; `NONE` fills the rows. Scores are cosines, -inf where none.

    A pair's limit is the highest cosine at which a candidate of its text is taken for a negative.
    """

    photos: Indices  # [T, K]
    scores: npt.NDArray[np.float32]  # [T, K]
    limits: npt.NDArray[np.float32]  # [P]

    def allowed(self, texts: Indices, rows: Indices) -> Indices:
        """Return the ids, ascending, of the photos that any of the pairs `rows` allows; `texts` are those of the pairs.

        With no photo id twice.
        """
        candidates, scores = self.photos[texts], self.scores[texts]
        return np.unique(candidates[(scores > -np.inf) & (scores <= self.limits[rows][:, None])])


def draw(photo_ids: Indices, count: int, *, seed: int, step: int) -> Indices:
    """Return `count` of the photos, or all if there are fewer, ascending and drawn evenly.

    Those with the lowest numbers of (`seed`, `step`, photo id) are drawn, so what is drawn from parts, put together and
    drawn from again is what would have been drawn from the whole.
    """
    lowest = np.argsort(uniforms(seed, _STREAM, step, photo_ids, 1)[:, 0], kind="stable")
    return np.sort(photo_ids[lowest[:count]])


# -- mined -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidates:
    """Photos held here that may be negatives; they are embedded block by block."""

    positions: Indices  # [N], ascending: by these, pairs and `KnownPositives` know them
    ids: Indices  # [N]: by these, all processes know them
    embed: Callable[[Indices], torch.Tensor]  # positions: their unit vectors, float32 [n, D], not finite where none


def mine(
    text_TD: torch.Tensor,
    photos: Candidates,
    text_P: Indices,
    photo_P: Indices,
    known: KnownPositives,
    groups: Indices,
    *,
    k: int,
    max_share: float,
    world: World = ALONE,
    photo_block: int = PHOTO_BLOCK,
    text_block: int = TEXT_BLOCK,
) -> HardNegatives:
    """Return for every text the `k` photos nearest to it that are in no known pair with it or its group.

    Of photos that are equally near, those of lower ids come first. Vectors are unit length; a photo whose vector is not
    finite is never a candidate. A pair of cosine s allows candidates of a cosine of at most `max_share` * s (for a
    negative s, as far below it): what scores nearly as high may well be a positive. `groups` gives every text's group,
    of which `known` says the positives, of photos that are held here. Candidates are those of all processes of `world`.
    """
    if not 0 < max_share <= 1:
        raise ValueError(f"{max_share=} must lie in (0, 1]")
    device = text_TD.device
    photo_TK = torch.full((len(text_TD), k), NONE, dtype=torch.int64, device=device)
    score_TK = torch.full((len(text_TD), k), -torch.inf, device=device)
    positive_P = np.zeros(len(photo_P), np.float32)
    for positions, ids, vector_nD in _embedded(photos, photo_block, text_TD, world):
        _score_positives(positive_P, text_TD, text_P, photo_P, positions, vector_nD)
        block = _gathered(ids, vector_nD, positions, known, world)
        photo_M, text_M = block.known.among(np.arange(len(block.ids)), groups)
        order = np.argsort(text_M, kind="stable")
        photo_M, text_M = photo_M[order], text_M[order]
        for start in range(0, len(text_TD), text_block):
            some = slice(start, start + text_block)
            score_Bn = text_TD[some] @ block.vector_nD.T
            masked = slice(*np.searchsorted(text_M, [start, start + text_block]))
            is_known = torch.from_numpy(text_M[masked] - start), torch.from_numpy(photo_M[masked])
            score_Bn[tuple(part.to(device) for part in is_known)] = -torch.inf
            found = _highest(score_Bn, torch.from_numpy(block.ids).to(device), k)
            photo_TK[some], score_TK[some] = _merged((photo_TK[some], score_TK[some]), found)
    limits = (positive_P - (1 - max_share) * np.abs(positive_P)).astype(np.float32)
    photo_TK = photo_TK.masked_fill(score_TK == -torch.inf, NONE)
    return HardNegatives(photo_TK.cpu().numpy(), score_TK.cpu().numpy(), limits)


@dataclass(frozen=True)
class _Block:
    """Photos of all processes by ascending id, and the groups that each is a known positive of."""

    ids: Indices  # [n]
    vector_nD: torch.Tensor
    known: KnownPositives


def _embedded(
    photos: Candidates, size: int, text_TD: torch.Tensor, world: World
) -> Iterator[tuple[Indices, Indices, torch.Tensor]]:
    """Yield positions, ids and vectors of the photos held here, in as many blocks as any process has."""
    count = round(world.highest([-(-len(photos.ids) // size)])[0])
    for start in range(0, count * size, size):
        positions = photos.positions[start : start + size]
        vector_nD = photos.embed(positions).float() if len(positions) else text_TD[:0]
        yield positions, photos.ids[start : start + size], vector_nD


def _score_positives(
    positive_P: npt.NDArray[np.float32],
    text_TD: torch.Tensor,
    text_P: Indices,
    photo_P: Indices,
    positions: Indices,
    vector_nD: torch.Tensor,
) -> None:
    """Fill in the cosines of the pairs of a block's photos; 0 where a photo has no vector."""
    place_P = np.searchsorted(positions, photo_P)
    place_P[place_P == len(positions)] = 0
    pairs = np.flatnonzero(positions[place_P] == photo_P) if len(positions) else np.zeros(0, np.int64)
    for start in range(0, len(pairs), _PAIR_BLOCK):
        some = pairs[start : start + _PAIR_BLOCK]
        cosine_n = (text_TD[text_P[some]] * vector_nD[place_P[some]]).sum(dim=1)
        positive_P[some] = cosine_n.nan_to_num(0.0, 0.0, 0.0).cpu().numpy()


def _gathered(ids: Indices, vector_nD: torch.Tensor, positions: Indices, known: KnownPositives, world: World) -> _Block:
    """Return the photos of all processes that have a vector, and what their processes know of them."""
    is_good_n = torch.isfinite(vector_nD).all(dim=1)
    has_vector_n = is_good_n.cpu().numpy()
    ids, positions, vector_nD = ids[has_vector_n], positions[has_vector_n], vector_nD[is_good_n]
    place_M, group_M = known.of_photos(positions)
    all_ids, known_id_M, group_M = world.gather([torch.from_numpy(v) for v in (ids, ids[place_M], group_M)])
    (flat,) = world.gather([vector_nD.reshape(-1)])
    order = torch.argsort(all_ids)
    all_ids = all_ids[order]
    place_M = torch.searchsorted(all_ids, known_id_M)
    numbers = [values.cpu().numpy() for values in (all_ids, place_M, group_M)]
    by_photo = KnownPositives.of(numbers[1], numbers[2], len(all_ids))
    return _Block(numbers[0], flat.view(-1, vector_nD.shape[1])[order.to(flat.device)], by_photo)


def _highest(score_Bn: torch.Tensor, id_n: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and scores of the `k` photos, or all, that score highest for each text; of equal ones the first."""
    score_BK, place_BK = score_Bn.topk(min(k, len(id_n)), dim=1)
    if score_BK.shape[1]:
        edge_B1 = score_BK[:, -1:]
        # `topk` takes any of those that are as high as the last it takes: such rows are sorted
        is_torn_B = (score_Bn == edge_B1).sum(dim=1) > (score_BK == edge_B1).sum(dim=1)
        torn = torch.nonzero(is_torn_B & (edge_B1[:, 0] > -torch.inf))[:, 0]
        if len(torn):
            place_BK[torn] = score_Bn[torn].sort(dim=1, descending=True, stable=True).indices[:, : place_BK.shape[1]]
            score_BK = score_Bn.gather(1, place_BK)
    return id_n[place_BK], score_BK


def _merged(
    one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the best of two lists of ids and scores per text, as many as the first has, of equal ones the lower id."""
    photo_BK, score_BK = (torch.cat(parts, dim=1) for parts in zip(one, other, strict=True))
    by_id = photo_BK.argsort(dim=1)
    photo_BK, score_BK = photo_BK.gather(1, by_id), score_BK.gather(1, by_id)
    by_score = score_BK.argsort(dim=1, descending=True, stable=True)[:, : one[0].shape[1]]
    return photo_BK.gather(1, by_score), score_BK.gather(1, by_score)


# -- shown and passed over -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """What was shown and not taken, of the photos held here; R rows. One photo may be there several times for a text.

    Texts and groups go by their ids: what was shown may be of texts that another process holds.
    """

    text_ids: Indices  # [R]
    group_ids: Indices  # [R]
    photos: Indices  # [R], by position
    photo_ids: Indices  # [R]
    looks: npt.NDArray[np.float64]  # [R]: how often the photo was looked at


def passed_over(
    shown: Shown, known: KnownPositives, text_ids: Indices, *, pair_count: int, k: int, world: World = ALONE
) -> HardNegatives:
    """Return for every text at most `k` of the photos that were shown for it and not taken, the most looked at first.

    Of photos that were looked at equally often, those of lower ids come first. Known positives of a text or its group
    are left out, whatever was done with them in these rows. Every pair allows all candidates of its text: no model is
    asked. To have been seen and left is a sign by itself (Joachims, "Optimizing Search Engines using Clickthrough
    Data", 2002), surer the more often. What was shown is that of all processes of `world`.
    """
    own_C = _best_shown(_counted(shown, known), k)
    by_id = np.argsort(text_ids, kind="stable")
    kept_C: _Looks = own_C[0][:0], own_C[1][:0], own_C[2][:0]
    for start in range(0, round(world.highest([len(own_C[0])])[0]), _ROW_BLOCK):
        some = [torch.from_numpy(values[start : start + _ROW_BLOCK]) for values in own_C]
        text_C, photo_C, looks_C = (v.cpu().numpy() for v in (*world.gather(some[:2]), *world.gather(some[2:])))
        is_held_C = np.isin(text_C, text_ids)
        place_C = by_id[np.searchsorted(text_ids[by_id], text_C[is_held_C])]
        further = place_C, photo_C[is_held_C], looks_C[is_held_C]
        joined = [np.concatenate(parts) for parts in zip(kept_C, further, strict=True)]
        kept_C = _best_shown((joined[0], joined[1], joined[2]), k)
    text_C, photo_C, _ = kept_C
    place_C = _places(text_C)
    photos = np.full((len(text_ids), int(place_C.max(initial=0)) + 1), NONE, np.int64)
    scores = np.full(photos.shape, -np.inf, np.float32)
    photos[text_C, place_C], scores[text_C, place_C] = photo_C, 0.0
    return HardNegatives(photos, scores, np.full(pair_count, np.inf, np.float32))


_Looks = tuple[Indices, Indices, npt.NDArray[np.float64]]  # texts, photo ids, looks: [C] each


def _counted(shown: Shown, known: KnownPositives) -> _Looks:
    """Return every combination of a text and a photo once, by their ids, without known positives."""
    cells, first_C, cell_R = np.unique(
        np.stack([shown.text_ids, shown.photos]), axis=1, return_index=True, return_inverse=True
    )
    looks_C: npt.NDArray[np.float64] = np.bincount(cell_R.reshape(-1), shown.looks, cells.shape[1]).astype(np.float64)
    is_new_C = ~_are_known(cells[1], shown.group_ids[first_C], known)
    return cells[0][is_new_C], shown.photo_ids[first_C][is_new_C], looks_C[is_new_C]


def _best_shown(of_texts: _Looks, k: int) -> _Looks:
    """Return the `k` most looked at of each text, by text."""
    text_C, photo_C, looks_C = of_texts
    order = np.lexsort((photo_C, -looks_C, text_C))
    order = order[_places(text_C[order]) < k]
    return text_C[order], photo_C[order], looks_C[order]


def _places(text_C: Indices) -> Indices:
    """Return which of its text each is, from 0; texts are ascending."""
    return np.arange(len(text_C), dtype=np.int64) - np.searchsorted(text_C, text_C)


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
