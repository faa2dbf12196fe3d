"""What a batch's photo vectors have to learn of one another, without a text: two terms beside the losses of pairs.

Two views of a photo belong together (self-supervision), and so do two photos that were taken for the same query.
Both are the symmetric softmax of photos among photos, at a fixed temperature, and computed by `softmax.loss` or, for
several processes, by `softmax_by_gather`: what is said there of parts, chunks and half precision holds here too.
Vectors are compared as they are: normalise them first.

Shapes: on this rank, U photos, D features, A partner pairs, P combinations of a photo and what it was taken for, M
masked combinations of two photos; 2 is (photo, partner) or (photo, text).
"""

from __future__ import annotations

import torch

from models.search.losses import softmax
from models.search.losses.blocks import compute_dtype
from models.search.losses.distributed import RankPairs, find_all, gather_lists, softmax_by_gather
from models.search.losses.pairs import Pairs

TEMPERATURE = 0.1

# -- two views of a photo --------------------------------------------------------------------------------


def two_views(
    view_a_UD: torch.Tensor,
    view_b_UD: torch.Tensor,
    photo_id_U: torch.Tensor | None = None,
    *,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Return the NT-Xent loss of SimCLR (https://arxiv.org/abs/2002.05709) for two views of each of U photos.

    Each of the 2U vectors is to choose the other view of its photo among all vectors but itself; the loss is their
    mean. The photos are different ones. With their ids, int64, it is this rank's part of the loss of all ranks' photos,
    and views of a photo that several ranks hold are never negatives of one another. Raises ValueError, on every rank,
    if none has a photo.
    """
    view_VD = torch.cat((view_a_UD, view_b_UD))
    pairs = _view_pairs(len(view_a_UD), view_VD.device)
    vectors = view_VD, view_VD, *_scale_and_bias(view_VD)
    if photo_id_U is None:
        return softmax.loss(*vectors, pairs, chunk_size=chunk_size)
    id_V = photo_id_U.repeat(2)
    return softmax_by_gather(*vectors, RankPairs(pairs, id_V, id_V), chunk_size=chunk_size)


def _view_pairs(photo_count: int, device: torch.device) -> Pairs:
    """Return each vector with its photo's other view, first all of view a, then all of view b."""
    view_V = torch.arange(2 * photo_count, device=device)
    return Pairs(
        photo_P=view_V,
        text_P=view_V.roll(photo_count),
        photo_count=len(view_V),
        text_count=len(view_V),
        masked_2M=view_V.repeat(2, 1),
    )


# -- two photos of a query -------------------------------------------------------------------------------


def co_converted(
    photo_UD: torch.Tensor, pairs: Pairs, partner_2A: torch.Tensor, *, chunk_size: int | None = None
) -> torch.Tensor:
    """Return the loss of a batch's photos choosing their partners, and the reverse, per partner pair.

    `partner_2A` are pairs of different photos by position, int64, and `pairs` what the batch's photos are to its
    texts. What is masked is said at `partner_pairs`. Without partner pairs the loss is 0, and so are its gradients.
    """
    if not partner_2A.shape[1]:
        return _nothing(photo_UD)
    among_photos = partner_pairs(pairs, partner_2A)
    return softmax.loss(photo_UD, photo_UD, *_scale_and_bias(photo_UD), among_photos, chunk_size=chunk_size)


def co_converted_by_gather(
    photo_UD: torch.Tensor,
    rank_pairs: RankPairs,
    partner_2A: torch.Tensor,
    *,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Return this rank's part of `co_converted`: partners are photos of its own, candidates those of all ranks.

    Photos are co-positives, by id, whichever ranks hold them and know of it. Some ranks or all may have no partner
    pair; then theirs is 0, and their photos are candidates of the others.
    """
    text_ids, anchors = gather_lists([rank_pairs.text_id_V, partner_2A[0]])
    if not sum(len(anchor_A) for anchor_A in anchors):
        return _nothing(photo_UD)
    photo_id_U, taken_2P = rank_pairs.photo_id_U, _taken_ids(rank_pairs, torch.cat(text_ids))
    every_photo, every_text = (torch.cat(of_ranks) for of_ranks in gather_lists(list(taken_2P)))
    own_M, other_M = find_all(taken_2P[1], every_text)
    known = (
        photo_id_U.repeat(2, 1),
        photo_id_U[partner_2A.flip(0)],
        torch.stack((taken_2P[0][own_M], every_photo[other_M])),
    )
    among_photos = _all_once(partner_2A, len(photo_id_U), None)
    own = RankPairs(among_photos, photo_id_U, photo_id_U, torch.cat(known, dim=1))
    return softmax_by_gather(photo_UD, photo_UD, *_scale_and_bias(photo_UD), own, chunk_size=chunk_size)


def partner_pairs(pairs: Pairs, partner_2A: torch.Tensor) -> Pairs:
    """Return what a batch's photos are to one another, as `Pairs` with photos in the place of texts.

    Partner pairs are positives of weight 1. All photos of the batch are candidates, once each, but for the photo
    itself and its co-positives: photos of another partner pair with it, and those that share a text with it, be it
    a pair of the batch or known (`pairs.masked_2M`). They are found text by text, which costs for each text the
    square of its photos, not the square of the batch. `pairs.mask_known_positives` changes nothing of it.

    Raises ValueError for a photo that is its own partner, where it costs no transfer (on the CPU).
    """
    taken_2P = torch.unique(_taken(pairs), dim=1)
    one_M, other_M = find_all(taken_2P[1], taken_2P[1])
    photo_U = torch.arange(pairs.photo_count, device=partner_2A.device)
    masked = photo_U.repeat(2, 1), partner_2A.flip(0), torch.stack((taken_2P[0][one_M], taken_2P[0][other_M]))
    return _all_once(partner_2A, pairs.photo_count, torch.cat(masked, dim=1))


def _taken(pairs: Pairs) -> torch.Tensor:
    """Return the combinations of a photo and a text that it was taken for, in the batch or elsewhere, [2, P]."""
    pair_2P = torch.stack((pairs.photo_P, pairs.text_P))
    return pair_2P if pairs.masked_2M is None else torch.cat((pair_2P, pairs.masked_2M), dim=1)


def _taken_ids(rank_pairs: RankPairs, text_id_T: torch.Tensor) -> torch.Tensor:
    """Return what `_taken` does by id, different ones, with all that is known of the texts of all ranks, [2, P]."""
    photo_P, text_P = _taken(rank_pairs.pairs)
    taken_2P = torch.stack((rank_pairs.photo_id_U[photo_P], rank_pairs.text_id_V[text_P]))
    if rank_pairs.known_id_2N is not None:
        known_2N = rank_pairs.known_id_2N
        taken_2P = torch.cat((taken_2P, known_2N[:, torch.isin(known_2N[1], text_id_T)]), dim=1)
    different_2P: torch.Tensor = torch.unique(taken_2P, dim=1)
    return different_2P


def _all_once(partner_2A: torch.Tensor, photo_count: int, masked_2M: torch.Tensor | None) -> Pairs:
    """Return partner pairs among photos that all weigh 1 as candidates, be they the partner of none or of many."""
    if partner_2A.device.type == "cpu" and (partner_2A[0] == partner_2A[1]).any():
        raise ValueError("a photo is its own partner")
    counts = [torch.bincount(side_A, minlength=photo_count).float() for side_A in partner_2A]
    return Pairs(
        photo_P=partner_2A[0],
        text_P=partner_2A[1],
        photo_count=photo_count,
        text_count=photo_count,
        masked_2M=masked_2M,
        extra_photo_U=(counts[0] == 0).float(),
        extra_text_V=(counts[1] == 0).float(),
        photo_factor_U=1 / counts[0].clamp(min=1),
        text_factor_V=1 / counts[1].clamp(min=1),
    )


def _scale_and_bias(vector_UD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    dtype = compute_dtype(vector_UD)
    return vector_UD.new_tensor(1 / TEMPERATURE, dtype=dtype), vector_UD.new_zeros((), dtype=dtype)


def _nothing(photo_UD: torch.Tensor) -> torch.Tensor:
    """Return 0 with gradients of 0 by the photos."""
    nothing: torch.Tensor = photo_UD[:0].to(compute_dtype(photo_UD)).sum()
    return nothing
