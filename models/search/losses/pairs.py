"""What the photos and texts of a batch are to one another: positives, negatives and neither, kept sparse.

The losses ask for the rows of a few photos at a time, so nothing of the size of the batch squared is ever made
unless a loss wants it. Which pairs are in a batch is not decided here.

Shapes: P pairs of the batch, U different photos and V different texts among them, K different combinations that
are a pair, M masked combinations, R photos of a slice; 2 is (photo, text).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch


@dataclass(frozen=True, eq=False)
class Rows:
    """`Pairs` as seen by the photos of one slice; a row is the photo's position within the slice.

    Every combination is a negative of weight photo weight * text weight, except the masked ones, which are
    nothing, and the K pairs, which have weights of their own. K are different, sorted by row and text.
    """

    photo_weight_R: torch.Tensor
    text_weight_V: torch.Tensor
    row_P: torch.Tensor  # the pairs of the slice one by one, repetitions included
    text_P: torch.Tensor
    weight_P: torch.Tensor
    candidate_P: torch.Tensor  # what the pair adds to the weight of its text among the candidates
    row_K: torch.Tensor
    text_K: torch.Tensor
    positive_K: torch.Tensor
    negative_K: torch.Tensor
    row_M: torch.Tensor  # none of them is a pair
    text_M: torch.Tensor

    def dense(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weight of every combination as a positive and as a negative, each [R, V]."""
        negative_RV = torch.outer(self.photo_weight_R, self.text_weight_V)
        positive_RV = torch.zeros_like(negative_RV)
        negative_RV[self.row_M, self.text_M] = 0
        negative_RV[self.row_K, self.text_K] = self.negative_K
        positive_RV[self.row_K, self.text_K] = self.positive_K
        return positive_RV, negative_RV


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of a batch by the positions of their photo and text, and which combinations are no negatives.

    Written out over all P x P combinations of the pairs' photos and texts, each pair's own combination is a
    positive of its weight, and the photo of one pair with the text of another is a negative of the product of
    both weights. A photo's or text's extra weight acts like a pair of that weight without a positive: a hard
    negative. A factor changes what a photo or text weighs as a negative: divided by how often photos are drawn, all
    are equally likely negatives. With `mask_known_positives`, a combination that is a pair anywhere in the batch is
    never a negative; without, as an ablation, it is one for every other pair of this photo and every other pair of
    this text. Masked combinations are never negatives either; one that is a pair of the batch counts as the pair it is.

    Raises ValueError for tensors of the wrong shape and, where it costs no transfer (on the CPU), for positions
    out of range, weights of 0 or less and negative extra weights.

    >>> twice = Pairs(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 1]), photo_count=2, text_count=2)
    >>> [weights.tolist() for weights in twice.dense()]
    [[[1.0, 0.0], [0.0, 2.0]], [[0.0, 2.0], [2.0, 0.0]]]
    """

    photo_P: torch.Tensor  # int64
    text_P: torch.Tensor  # int64
    photo_count: int
    text_count: int
    weight_P: torch.Tensor | None = None  # float, above 0; None: 1 each
    masked_2M: torch.Tensor | None = None  # int64
    extra_photo_U: torch.Tensor | None = None  # float, 0 or above
    extra_text_V: torch.Tensor | None = None  # float, 0 or above
    photo_factor_U: torch.Tensor | None = None  # float, above 0; None: 1 each
    text_factor_V: torch.Tensor | None = None  # float, above 0; None: 1 each
    mask_known_positives: bool = True

    def __post_init__(self) -> None:
        pair_count, masked = len(self.photo_P), self.masked_2M
        shapes = [
            (self.text_P, (pair_count,)),
            (self.weight_P, (pair_count,)),
            (masked, (2, -1 if masked is None else masked.shape[-1])),
            (self.extra_photo_U, (self.photo_count,)),
            (self.extra_text_V, (self.text_count,)),
            (self.photo_factor_U, (self.photo_count,)),
            (self.text_factor_V, (self.text_count,)),
        ]
        wrong = [
            f"{tuple(tensor.shape)} for {shape}"
            for tensor, shape in shapes
            if tensor is not None and tensor.shape != shape
        ]
        if wrong:
            raise ValueError(f"tensors of a batch of {pair_count} pairs have the wrong shape: {', '.join(wrong)}")
        if self.photo_P.device.type == "cpu":
            self._check_values()

    def _check_values(self) -> None:
        photo, text = self.photo_P, self.text_P
        if self.masked_2M is not None:
            photo, text = torch.cat((photo, self.masked_2M[0])), torch.cat((text, self.masked_2M[1]))
        for name, position, count in (("photo", photo, self.photo_count), ("text", text, self.text_count)):
            if ((position < 0) | (position >= count)).any():
                raise ValueError(f"a {name} position is outside 0..{count - 1}")
        if self.weight_P is not None and not (self.weight_P > 0).all():
            raise ValueError("pair weights must be above 0: leave out a pair that is not to count")
        for extra in (self.extra_photo_U, self.extra_text_V):
            if extra is not None and not (extra >= 0).all():
                raise ValueError("extra weights must be 0 or above")
        for factor in (self.photo_factor_U, self.text_factor_V):
            if factor is not None and not (factor > 0).all():
                raise ValueError("factors must be above 0")

    # -- changes of view -------------------------------------------------------------------------------

    def to(self, device: torch.device | str) -> Pairs:
        """Return the same on a device."""
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            moved[field.name] = value.to(device) if isinstance(value, torch.Tensor) else value
        return Pairs(**moved)

    def swapped(self) -> Pairs:
        """Return the same with photos and texts in each other's place."""
        return Pairs(
            photo_P=self.text_P,
            text_P=self.photo_P,
            photo_count=self.text_count,
            text_count=self.photo_count,
            weight_P=self.weight_P,
            masked_2M=None if self.masked_2M is None else self.masked_2M.flip(0),
            extra_photo_U=self.extra_text_V,
            extra_text_V=self.extra_photo_U,
            photo_factor_U=self.text_factor_V,
            text_factor_V=self.photo_factor_U,
            mask_known_positives=self.mask_known_positives,
        )

    # -- weights ---------------------------------------------------------------------------------------

    @cached_property
    def weights(self) -> torch.Tensor:
        """Weight of each pair, [P]."""
        return torch.ones(self.photo_P.shape, device=self.photo_P.device) if self.weight_P is None else self.weight_P

    @cached_property
    def weight_sum(self) -> torch.Tensor:
        """What the losses are divided by, a scalar."""
        return self.weights.sum()

    @cached_property
    def photo_weights(self) -> torch.Tensor:
        """Weight of each photo among the texts' candidates, [U]: its pairs' and its extra weight, by its factor."""
        weight_U = _summed(self.photo_P, self.weights, self.photo_count, self.extra_photo_U)
        return weight_U if self.photo_factor_U is None else weight_U * self.photo_factor_U

    @cached_property
    def text_weights(self) -> torch.Tensor:
        """Weight of each text among the photos' candidates, [V]: its pairs' and its extra weight, by its factor."""
        weight_V = _summed(self.text_P, self.weights, self.text_count, self.extra_text_V)
        return weight_V if self.text_factor_V is None else weight_V * self.text_factor_V

    def rows(self, start: int, stop: int) -> Rows:
        """Return what the photos `start` up to `stop` are to all texts."""
        photo_weight_R, text_weight_V = self.photo_weights[start:stop], self.text_weights
        one_by_one = _between(self._sorted_pairs, start, stop)
        combinations = _between(self._combinations, start, stop)
        masked = _between(self._masked, start, stop)
        return Rows(photo_weight_R, text_weight_V, *one_by_one, *combinations, *masked)

    def dense(self, start: int = 0, stop: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weights of the photos `start` up to `stop` as positives and as negatives, each [R, V]."""
        return self.rows(start, self.photo_count if stop is None else stop).dense()

    @cached_property
    def _sorted_pairs(self) -> tuple[torch.Tensor, ...]:
        order = torch.argsort(self.photo_P, stable=True)
        as_candidate = self.weights if self.text_factor_V is None else self.weights * self.text_factor_V[self.text_P]
        return self.photo_P[order], self.text_P[order], self.weights[order], as_candidate[order]

    @cached_property
    def _pair_keys(self) -> tuple[torch.Tensor, torch.Tensor]:
        keys: tuple[torch.Tensor, torch.Tensor] = torch.unique(
            self.photo_P * self.text_count + self.text_P, return_inverse=True
        )
        return keys

    @cached_property
    def _combinations(self) -> tuple[torch.Tensor, ...]:
        """Photo, text and weight as positive and as negative of each of the K pairs, sorted."""
        key_K, place_P = self._pair_keys
        photo_K, text_K = key_K // max(1, self.text_count), key_K % max(1, self.text_count)
        positive_K = _summed(place_P, self.weights, len(key_K), None)
        negative_K = torch.zeros_like(positive_K)
        if not self.mask_known_positives:
            own_K = _summed(place_P, self.weights.square(), len(key_K), None)
            for factor, position_K in ((self.photo_factor_U, photo_K), (self.text_factor_V, text_K)):
                own_K = own_K if factor is None else own_K * factor[position_K]
            negative_K = (self.photo_weights[photo_K] * self.text_weights[text_K] - own_K).clamp(min=0)
        return photo_K, text_K, positive_K, negative_K

    @cached_property
    def _masked(self) -> tuple[torch.Tensor, ...]:
        """Photo and text of each masked combination that is no pair, different and sorted."""
        if self.masked_2M is None:
            return self.photo_P[:0], self.text_P[:0]
        key_M = torch.unique(self.masked_2M[0] * self.text_count + self.masked_2M[1])
        key_M = key_M[~torch.isin(key_M, self._pair_keys[0])]
        return key_M // max(1, self.text_count), key_M % max(1, self.text_count)


def _summed(position_P: torch.Tensor, weight_P: torch.Tensor, count: int, extra: torch.Tensor | None) -> torch.Tensor:
    start = weight_P.new_zeros(count) if extra is None else extra.to(weight_P.dtype)
    return start.scatter_add(0, position_P, weight_P)


def _between(columns: tuple[torch.Tensor, ...], start: int, stop: int) -> tuple[torch.Tensor, ...]:
    """Cut columns sorted by the first, a photo, to `start` up to `stop`; the photo becomes the row of the slice."""
    edges = torch.tensor([start, stop], device=columns[0].device)
    first, last = torch.searchsorted(columns[0], edges).tolist()
    cut = [column[first:last] for column in columns]
    return cut[0] - start, *cut[1:]
