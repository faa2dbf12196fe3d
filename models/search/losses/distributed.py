"""The losses of a batch whose photos and texts are spread over the ranks of a process group.

Every rank brings its own photos, texts and pairs, and their ids in the catalogue. It returns its part of the loss
of the whole batch: the parts of all ranks add up to it, and so do the gradients of a parameter that all ranks
share. `DistributedDataParallel` takes the mean of the ranks instead; multiply the part by the number of ranks there.
The gradient of a rank's features holds what the other ranks' parts owe to them. Ranks may hold the same photo or
text: ids tell that a combination is a pair, or known to be one, wherever its photo and its text are.

Each function is a collective call: every rank makes it, in the same order, with the same
`mask_known_positives`.

Shapes: on this rank, P pairs, U photos, V texts, D features, N known pairs; E combinations excluded from the
negatives, of all ranks; 2 is (photo, text).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from models.search.losses import sigmoid, softmax
from models.search.losses.blocks import compute_dtype
from models.search.losses.pairs import Pairs


@dataclass(frozen=True, eq=False)
class RankPairs:
    """A rank's `Pairs` by position, and the ids by which other ranks know its photos and texts.

    `known_id_2N` are pairs of the log by id, of this rank's photos or texts with whatever the other ranks may hold;
    those that nobody holds and those that are pairs of the batch do no harm.
    """

    pairs: Pairs
    photo_id_U: torch.Tensor  # int64
    text_id_V: torch.Tensor  # int64
    known_id_2N: torch.Tensor | None = None  # int64

    def to(self, device: torch.device | str) -> RankPairs:
        """Return the same on a device."""
        known = None if self.known_id_2N is None else self.known_id_2N.to(device)
        return RankPairs(self.pairs.to(device), self.photo_id_U.to(device), self.text_id_V.to(device), known)


def sigmoid_by_gather(
    photo_UD: torch.Tensor,
    text_VD: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    rank_pairs: RankPairs,
    *,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Return this rank's part of `sigmoid.loss`: its photos with the texts of all ranks, which it gathers."""
    batch = _Batch.gather(rank_pairs)
    all_text = _gather_rows(text_VD, batch.text_ids)
    return sigmoid.total(photo_UD, all_text, scale, bias, batch.photos_to_all(), chunk_size=chunk_size) / batch.weight


def softmax_by_gather(
    photo_UD: torch.Tensor,
    text_VD: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    rank_pairs: RankPairs,
    *,
    chunk_size: int | None = None,
) -> torch.Tensor:
    """Return this rank's part of `softmax.loss`: its photos choose among all ranks' texts and the reverse."""
    batch = _Batch.gather(rank_pairs)
    all_photo = _gather_rows(photo_UD, batch.photo_ids)
    all_text = _gather_rows(text_VD, batch.text_ids)
    photo_total = softmax.one_way_total(photo_UD, all_text, scale, batch.photos_to_all(), chunk_size=chunk_size)
    text_total = softmax.one_way_total(text_VD, all_photo, scale, batch.texts_to_all(), chunk_size=chunk_size)
    return (photo_total + text_total) / (2 * batch.weight)


# -- who is what to whom ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Batch:
    """What a rank knows of the whole batch; lists are by rank."""

    rank: int
    pairs: Pairs  # of this rank
    photo_ids: list[torch.Tensor]
    text_ids: list[torch.Tensor]
    photo_weights: list[torch.Tensor]
    text_weights: list[torch.Tensor]
    excluded_2E: torch.Tensor  # ids
    weight: torch.Tensor  # of all pairs

    @classmethod
    def gather(cls, own: RankPairs) -> _Batch:
        """Exchange ids and weights. Raises ValueError, on every rank, if none has a pair."""
        pairs = own.pairs
        pair_2P = torch.stack((own.photo_id_U[pairs.photo_P], own.text_id_V[pairs.text_P]))
        known_2N = pair_2P[:, :0] if own.known_id_2N is None else own.known_id_2N
        if pairs.masked_2M is not None:
            masked = own.photo_id_U[pairs.masked_2M[0]], own.text_id_V[pairs.masked_2M[1]]
            known_2N = torch.cat((known_2N, torch.stack(masked)), dim=1)
        ids = gather_lists([own.photo_id_U, own.text_id_V, *pair_2P, *known_2N])
        weights = gather_lists([pairs.photo_weights, pairs.text_weights, pairs.weights])
        photo_ids, text_ids, *combinations = ids
        pair_2P, known_2N = (torch.stack([torch.cat(c) for c in two]) for two in (combinations[:2], combinations[2:]))
        if not pair_2P.shape[1]:
            raise ValueError("a batch without pairs has no loss")
        return cls(
            rank=dist.get_rank(),
            pairs=pairs,
            photo_ids=photo_ids,
            text_ids=text_ids,
            photo_weights=weights[0],
            text_weights=weights[1],
            excluded_2E=_excluded(pair_2P, known_2N, pairs.mask_known_positives),
            weight=torch.cat(weights[2]).sum(),
        )

    def photos_to_all(self) -> Pairs:
        """Return what this rank's photos are to the texts of all ranks, one rank after the other."""
        return _to_all(
            self.pairs, self.photo_ids[self.rank], self.text_ids, self.text_weights, self.excluded_2E, self.rank
        )

    def texts_to_all(self) -> Pairs:
        """Return what this rank's texts, here in the place of photos, are to the photos of all ranks."""
        pairs, excluded_2E = self.pairs.swapped(), self.excluded_2E.flip(0)
        return _to_all(pairs, self.text_ids[self.rank], self.photo_ids, self.photo_weights, excluded_2E, self.rank)


def _to_all(
    pairs: Pairs,
    photo_id_U: torch.Tensor,
    text_ids: list[torch.Tensor],
    text_weights: list[torch.Tensor],
    excluded_2E: torch.Tensor,
    rank: int,
) -> Pairs:
    own_extra = torch.zeros_like(text_weights[rank]) if pairs.extra_text_V is None else pairs.extra_text_V
    all_text_id = torch.cat(text_ids)
    return Pairs(
        photo_P=pairs.photo_P,
        text_P=pairs.text_P + sum(len(ids) for ids in text_ids[:rank]),
        photo_count=pairs.photo_count,
        text_count=len(all_text_id),
        weight_P=pairs.weight_P,
        masked_2M=_positions(excluded_2E, photo_id_U, all_text_id),
        extra_photo_U=pairs.extra_photo_U,
        extra_text_V=torch.cat([*text_weights[:rank], own_extra, *text_weights[rank + 1 :]]),
        photo_factor_U=pairs.photo_factor_U,
        text_factor_V=_beside_ones(pairs.text_factor_V, text_weights, rank),
        mask_known_positives=pairs.mask_known_positives,
    )


def _beside_ones(factor_V: torch.Tensor | None, weights: list[torch.Tensor], rank: int) -> torch.Tensor | None:
    """Return a rank's factors among all; the weights of the other ranks have theirs in them."""
    if factor_V is None:
        return None
    return torch.cat([factor_V if other == rank else torch.ones_like(w) for other, w in enumerate(weights)])


def _excluded(pair_2P: torch.Tensor, known_2N: torch.Tensor, is_masked: bool) -> torch.Tensor:
    """Return the ids of combinations that are no negatives: what is known and, with masks, the pairs."""
    found: tuple[torch.Tensor, torch.Tensor] = torch.unique(
        torch.cat((pair_2P, known_2N), dim=1), dim=1, return_inverse=True
    )
    both_2E, place = found
    if is_masked:
        return both_2E
    is_pair_E = torch.zeros(both_2E.shape[1], dtype=torch.bool, device=both_2E.device)
    is_pair_E[place[: pair_2P.shape[1]]] = True
    return both_2E[:, ~is_pair_E]


def _positions(id_2E: torch.Tensor, photo_id_U: torch.Tensor, text_id_V: torch.Tensor) -> torch.Tensor:
    """Return the positions, int64 [2, M], at which combinations of ids are found, some not and some repeatedly."""
    found, photo_M = find_all(id_2E[0], photo_id_U)
    again, text_M = find_all(id_2E[1][found], text_id_V)
    return torch.stack((photo_M[again], text_M))


def find_all(wanted_E: torch.Tensor, id_V: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return every match as two positions: in what is wanted and in the ids."""
    wanted_E = wanted_E.contiguous()
    sorted_V, order_V = torch.sort(id_V)
    first_E = torch.searchsorted(sorted_V, wanted_E)
    count_E = torch.searchsorted(sorted_V, wanted_E, right=True) - first_E
    which = torch.repeat_interleave(count_E)
    begin_E = count_E.cumsum(0) - count_E
    within = torch.arange(len(which), device=which.device) - begin_E[which]
    return which, order_V[first_E[which] + within]


# -- exchanges -------------------------------------------------------------------------------------------


def gather_lists(tensors: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Return, for each vector, that of every rank; their lengths may differ, their type is the same."""
    lengths = torch.tensor([len(tensor) for tensor in tensors], device=tensors[0].device)
    every_length = [torch.empty_like(lengths) for _ in range(dist.get_world_size())]
    dist.all_gather(every_length, lengths)
    length_lists = torch.stack(every_length).tolist()
    longest = max(sum(own) for own in length_lists)
    packed = torch.cat(list(tensors))
    received = [packed.new_empty(longest) for _ in length_lists]
    dist.all_gather(received, pad(packed, (0, longest - len(packed))))
    by_rank = [vector[: sum(own)].split(own) for vector, own in zip(received, length_lists, strict=True)]
    return [list(of_ranks) for of_ranks in zip(*by_rank, strict=True)]


def _gather_rows(own: torch.Tensor, ids: list[torch.Tensor]) -> torch.Tensor:
    """Return the rows of all ranks, of which there are as many as ids, one rank after the other."""
    exact = own.to(compute_dtype(own))  # gradients of all ranks are summed up in it
    rows: torch.Tensor = _GatherRows.apply(exact, [len(of_rank) for of_rank in ids])
    return rows


class _GatherRows(torch.autograd.Function):
    """All-gather whose backward pass brings every rank the sum of the gradients of its rows."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor, counts: list[int]) -> torch.Tensor:
        ctx.counts = counts
        received = [own.new_empty(max(counts), own.shape[1]) for _ in counts]
        dist.all_gather(received, pad(own, (0, 0, 0, max(counts) - len(own))))
        return torch.cat([rows[:count] for rows, count in zip(received, counts, strict=True)])

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        counts, rank = ctx.counts, dist.get_rank()
        parts = [pad(part, (0, 0, 0, max(counts) - len(part))) for part in gradient.split(counts)]
        own = torch.empty_like(parts[0])
        dist.reduce_scatter(own, parts)
        return own[: counts[rank]], None
