"""Random batches for the tests of the losses, with repetitions, weights, masks, extra weights and factors."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.functional import normalize

from models.search.losses.pairs import Pairs

PHOTOS, TEXTS, PAIRS, FEATURES = 7, 6, 11, 5
KINDS = ["plain", "weights", "masked", "extras", "everything", "unmasked", "unmasked everything"]


def random_pairs(kind: str, seed: int) -> Pairs:
    """Return pairs of 7 photos and 6 texts. Photo 6 is in none, so without extras it is nothing to anyone."""
    generator = torch.Generator().manual_seed(seed)

    def positive(count: int) -> torch.Tensor:
        return torch.rand(count, generator=generator, dtype=torch.float64) * 2 + 0.1

    photo_P = torch.randint(PHOTOS - 1, (PAIRS,), generator=generator)
    text_P = torch.randint(TEXTS, (PAIRS,), generator=generator)
    masked_2M = torch.stack([torch.randint(n, (8,), generator=generator) for n in (PHOTOS, TEXTS)])
    weight_P, extra_photo_U, extra_text_V = positive(PAIRS), positive(PHOTOS), positive(TEXTS)
    extra_photo_U[:3] = 0
    photo_factor_U, text_factor_V = positive(PHOTOS), positive(TEXTS)
    is_all = "everything" in kind
    return Pairs(
        photo_P=photo_P,
        text_P=text_P,
        photo_count=PHOTOS,
        text_count=TEXTS,
        weight_P=weight_P if kind == "weights" or is_all else torch.ones_like(weight_P) if kind == "extras" else None,
        masked_2M=masked_2M if kind == "masked" or is_all else None,
        extra_photo_U=extra_photo_U if kind == "extras" or is_all else None,
        extra_text_V=extra_text_V if is_all else None,
        photo_factor_U=photo_factor_U if is_all else None,
        text_factor_V=text_factor_V if is_all else None,
        mask_known_positives="unmasked" not in kind,
    )


def count_pairs(photo_P: torch.Tensor, text_P: torch.Tensor, photo_count: int, text_count: int) -> torch.Tensor:
    """Return how often each photo and text make a pair, float32 [U, V], from the indices of both per pair."""
    count_UV = torch.zeros(photo_count * text_count, device=photo_P.device)
    count_UV.scatter_add_(0, photo_P * text_count + text_P, torch.ones_like(photo_P, dtype=torch.float32))
    return count_UV.view(photo_count, text_count)


def leaves(photo_count: int = PHOTOS, text_count: int = TEXTS, seed: int = 0, scale: float = 7.0) -> list[torch.Tensor]:
    """Return normalised features of photos and texts, scale and bias, all double and with gradients."""
    generator = torch.Generator().manual_seed(seed)
    sides = [torch.randn(n, FEATURES, generator=generator, dtype=torch.float64) for n in (photo_count, text_count)]
    numbers = [torch.tensor(value, dtype=torch.float64) for value in (scale, -2.5)]
    return [leaf.requires_grad_() for leaf in (*(normalize(side, dim=-1) for side in sides), *numbers)]


def combinations(
    pairs: Pairs,
) -> tuple[list[tuple[int, int, float]], list[tuple[int, int, float]], set[tuple[int, int]]]:
    """Return pairs and extras written out as (photo, text, weight), -1 for none, and the masked combinations."""
    own = list(zip(pairs.photo_P.tolist(), pairs.text_P.tolist(), pairs.weights.tolist(), strict=True))
    extras = [] if pairs.extra_photo_U is None else [(u, -1, w) for u, w in enumerate(pairs.extra_photo_U.tolist())]
    extras += [] if pairs.extra_text_V is None else [(-1, v, w) for v, w in enumerate(pairs.extra_text_V.tolist())]
    masked = set() if pairs.masked_2M is None else set(map(tuple, pairs.masked_2M.T.tolist()))
    pair_set = {(photo, text) for photo, text, _ in own}
    return own, extras, (masked - pair_set) | (pair_set if pairs.mask_known_positives else set())


def factors(pairs: Pairs) -> tuple[list[float], list[float]]:
    """Return the factors of photos and texts, 1 where there are none."""
    sides = (pairs.photo_factor_U, pairs.photo_count), (pairs.text_factor_V, pairs.text_count)
    photo, text = ([1.0] * count if factor is None else factor.tolist() for factor, count in sides)
    return photo, text


def gradients(value: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradients, zeros for an input that does not matter."""
    found = torch.autograd.grad(value, inputs, allow_unused=True)
    return [torch.zeros_like(leaf) if one is None else one for leaf, one in zip(inputs, found, strict=True)]


def assert_same(ours: torch.Tensor, expected: torch.Tensor, values: list[torch.Tensor]) -> None:
    """Compare value and gradients."""
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradients(ours, values), gradients(expected, values))


def twos(pairs: Iterable[tuple[int, int]]) -> torch.Tensor:
    """Return pairs as int64 [2, N]."""
    return torch.tensor(list(pairs), dtype=torch.int64).view(-1, 2).T
