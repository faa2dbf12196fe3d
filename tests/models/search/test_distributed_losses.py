"""The parts of three processes add up to the loss of one, in value and gradients.

The processes run every case once and write what they found; each test compares one case. The ranks hold batches
of different sizes and partly the same photos and texts; encoders are the same everywhere, so the same photo has
the same features.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from models.search.losses import DISTRIBUTED_LOSSES, LOSSES
from models.search.losses.distributed import RankPairs
from models.search.losses.pairs import Pairs
from tests.models.search.batches import FEATURES, gradients
from tests.models.search.ranks import in_ranks

pytestmark = pytest.mark.integration

RANKS, PHOTOS, TEXTS = 3, 9, 8  # of the whole catalogue; the ids are far apart
PHOTO_IDS, TEXT_IDS = torch.arange(PHOTOS) * 10**10 + 7, torch.arange(TEXTS).flip(0) * 10**9
PAIR_COUNTS = [6, 4, 1]
KINDS = ["plain", "masked", "everything", "unmasked", "unmasked everything"]
CASES = [*product(DISTRIBUTED_LOSSES, [*KINDS, "empty rank"], (None, 2))]
Case = tuple[str, str, int | None]


def encoders() -> list[torch.Tensor]:
    """Return the shared parameters: what makes features of photos and texts, scale and bias."""
    generator = torch.Generator().manual_seed(0)
    sides = [torch.randn(n, FEATURES, generator=generator, dtype=torch.float64) for n in (PHOTOS, TEXTS)]
    numbers = [torch.tensor(value, dtype=torch.float64) for value in (4.0, -2.0)]
    return [leaf.requires_grad_() for leaf in (*sides, *numbers)]


@cache
def log(kind: str) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor, torch.Tensor | None]:
    """Return each rank's pairs by catalogue position and their weights, what is known, and the extras of photos."""
    generator = torch.Generator().manual_seed(len(kind) + 6)  # for overlapping ranks of three sizes
    pair_counts = [6, 4, 0] if kind == "empty rank" else PAIR_COUNTS
    pairs = [
        torch.stack([torch.randint(n, (count,), generator=generator) for n in (PHOTOS, TEXTS)]) for count in pair_counts
    ]
    is_all = "everything" in kind
    weights = [torch.rand(count, generator=generator, dtype=torch.float64) + 0.2 for count in pair_counts]
    if not is_all:
        weights = [torch.ones_like(weight) for weight in weights]
    known = torch.stack([torch.randint(n, (12,), generator=generator) for n in (PHOTOS, TEXTS)])
    if kind not in ("masked", "empty rank") and not is_all:
        known = known[:, :0]
    extras = torch.rand(RANKS, PHOTOS, generator=generator, dtype=torch.float64) if is_all else None
    return pairs, weights, known, extras


def rank_pairs(kind: str, rank: int) -> tuple[RankPairs, torch.Tensor, torch.Tensor]:
    """Return the rank's own view and the catalogue positions of its photos and texts."""
    pairs, weights, known, extras = log(kind)
    photo, photo_P = torch.unique(pairs[rank][0], return_inverse=True)
    text, text_P = torch.unique(pairs[rank][1], return_inverse=True)
    own = Pairs(
        photo_P=photo_P,
        text_P=text_P,
        photo_count=len(photo),
        text_count=len(text),
        weight_P=weights[rank],
        extra_photo_U=None if extras is None else extras[rank][photo],
        mask_known_positives="unmasked" not in kind,
    )
    mine = torch.isin(known[0], photo)  # a rank knows the log of its own photos only
    known_id = torch.stack((PHOTO_IDS[known[0, mine]], TEXT_IDS[known[1, mine]]))
    return RankPairs(own, PHOTO_IDS[photo], TEXT_IDS[text], known_id), photo, text


def whole(kind: str) -> Pairs:
    """Return the batch of all ranks in one piece, every photo and text once."""
    pairs, weights, known, extras = log(kind)
    extra_photo = None
    if extras is not None:
        extra_photo = torch.zeros(PHOTOS, dtype=torch.float64)
        for rank in range(RANKS):
            own = torch.unique(pairs[rank][0])
            extra_photo[own] += extras[rank][own]
    photo_P, text_P = torch.cat(pairs, dim=1)
    return Pairs(
        photo_P=photo_P,
        text_P=text_P,
        photo_count=PHOTOS,
        text_count=TEXTS,
        weight_P=torch.cat(weights),
        masked_2M=known,
        extra_photo_U=extra_photo,
        mask_known_positives="unmasked" not in kind,
    )


def run_rank(rank: int, folder: Path) -> dict[Any, Any]:
    found: dict[Case, Any] = {}
    for name, kind, chunk_size in CASES:
        own, photo, text = rank_pairs(kind, rank)
        parameters = encoders()
        photo_table, text_table, scale, bias = parameters
        features = photo_table[photo], text_table[text]
        value = DISTRIBUTED_LOSSES[name](*features, scale, bias, own, chunk_size=chunk_size)
        with torch.no_grad():
            alone = DISTRIBUTED_LOSSES[name](*features, scale, bias, own, chunk_size=chunk_size)
        found[name, kind, chunk_size] = value.detach(), alone, gradients(value, parameters)
    none = torch.zeros(0, dtype=torch.int64)
    empty = RankPairs(Pairs(none, none, 0, 0), none, none)
    for name, loss in DISTRIBUTED_LOSSES.items():
        try:
            loss(torch.zeros(0, FEATURES), torch.zeros(0, FEATURES), torch.tensor(1.0), torch.tensor(0.0), empty)
        except ValueError as error:
            found[name, "no pairs", None] = str(error)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Case, Any]]:
    """Run all cases in processes of their own, and return what each found."""
    return in_ranks(run_rank, RANKS, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(map(str, case)))
def test_the_ranks_parts_add_up_to_the_loss_of_the_whole_batch(found: list[dict[Case, Any]], case: Case) -> None:
    name, kind, _ = case
    parts = [of_rank[case] for of_rank in found]
    parameters = encoders()
    expected = LOSSES[name](*parameters, whole(kind))
    torch.testing.assert_close(sum(value for value, _, _ in parts), expected.detach())
    torch.testing.assert_close(sum(alone for _, alone, _ in parts), expected.detach())
    for index, gradient in enumerate(gradients(expected, parameters)):
        torch.testing.assert_close(sum(of_rank[index] for _, _, of_rank in parts), gradient)


@pytest.mark.parametrize("name", DISTRIBUTED_LOSSES)
def test_every_rank_refuses_a_batch_without_pairs(found: list[dict[Case, Any]], name: str) -> None:
    assert all("pairs" in of_rank[name, "no pairs", None] for of_rank in found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_cases_hold_what_they_are_for(kind: str) -> None:
    pairs, _, _, _ = log(kind)
    for side in (0, 1):
        held = [set(pairs[rank][side].tolist()) for rank in range(RANKS)]
        assert held[0] & held[1]
        assert len({len(of_rank) for of_rank in held}) == RANKS
    has_masks = kind == "masked" or "everything" in kind
    assert bool(len(whole(kind).rows(0, PHOTOS).row_M)) == has_masks
