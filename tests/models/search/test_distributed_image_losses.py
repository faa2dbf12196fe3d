"""The parts of several processes add up to the losses of photos among photos of one, in value and gradients.

As in `test_distributed_losses`, the processes run every case once and each test compares one. Ranks hold batches of
different sizes; but for the kind "apart", they hold partly the same photos, whose features are then the same.
"""

from __future__ import annotations

from functools import cache
from itertools import chain, product
from pathlib import Path
from typing import Any

import pytest
import torch

from models.search.losses.distributed import RankPairs
from models.search.losses.images import co_converted, co_converted_by_gather, two_views
from models.search.losses.pairs import Pairs
from tests.models.search.batches import FEATURES, gradients, twos
from tests.models.search.photo_losses import Two, co_converted_by_definition, two_views_by_definition
from tests.models.search.ranks import in_ranks

pytestmark = pytest.mark.integration

RANKS, PHOTOS, TEXTS = 3, 12, 8  # of the whole catalogue; the ids are far apart
PHOTO_IDS, TEXT_IDS = torch.arange(PHOTOS) * 10**10 + 7, torch.arange(TEXTS).flip(0) * 10**9
HELD = {"apart": [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9]], "shared": [[0, 1, 2, 3, 4], [2, 3, 9], [4, 9]]}
KINDS = [*HELD, "known", "some without", "none"]
CASES = [*product(["views"], HELD, (None, 2)), *product(["partners"], KINDS, (None, 2))]
Case = tuple[str, str, int | None]


def features() -> list[torch.Tensor]:
    """Return two features of every photo of the catalogue."""
    generator = torch.Generator().manual_seed(0)
    sides = [torch.randn(PHOTOS, FEATURES, generator=generator, dtype=torch.float64) for _ in range(2)]
    return [torch.nn.functional.normalize(side, dim=-1).requires_grad_() for side in sides]


def held(kind: str) -> list[list[int]]:
    return HELD.get(kind, HELD["shared"])


@cache
def taken(kind: str, rank: int) -> list[Two]:
    """Return a rank's pairs, by position in the catalogue: two of every photo but the second.

    That is in the batch as a partner only. Text 7 is in nobody's batch.
    """
    return [
        (photo, (place * (rank + 2) + turn) % (TEXTS - 1))
        for place, photo in enumerate(held(kind)[rank])
        for turn in (0, 2)
        if place != 1
    ]


@cache
def known(kind: str, rank: int) -> list[Two]:
    """Return what a rank knows of its photos."""
    if kind != "known":
        return []
    return [two for photo in held(kind)[rank] for two in ((photo, photo * 3 % TEXTS), (photo, 6 + photo % 2))]


@cache
def partners(kind: str, rank: int) -> list[Two]:
    """Return a rank's partner pairs, by row: some repeated, one of each rank back and forth."""
    is_without = kind == "none" or (kind == "some without" and rank == 1)
    last = len(held(kind)[rank]) - 1
    return [] if is_without else [(0, last), (0, last), (last, 0), (0, 1)]


def rank_pairs(kind: str, rank: int) -> RankPairs:
    """Return the rank's own view. What it knows it says half by position, half by id."""
    photo = torch.tensor(held(kind)[rank])
    text, text_P = torch.unique(twos(taken(kind, rank))[1], return_inverse=True)
    photo_P = torch.searchsorted(photo, twos(taken(kind, rank))[0].contiguous())
    by_place = [(photo.tolist().index(p), text.tolist().index(t)) for p, t in known(kind, rank)[::2] if t in text]
    by_id = torch.stack((PHOTO_IDS, TEXT_IDS[torch.arange(PHOTOS) % TEXTS]))[:, :0]
    if known(kind, rank):
        known_2N = twos(known(kind, rank)[1::2] + [two for two in known(kind, rank)[::2] if two[1] not in text])
        by_id = torch.stack((PHOTO_IDS[known_2N[0]], TEXT_IDS[known_2N[1]]))
    pairs = Pairs(photo_P, text_P, len(photo), len(text), masked_2M=twos(by_place))
    return RankPairs(pairs, PHOTO_IDS[photo], TEXT_IDS[text], by_id)


def run_rank(rank: int, folder: Path) -> dict[Any, Any]:
    found: dict[Case, Any] = {}
    for name, kind, chunk_size in CASES:
        photo, tables = torch.tensor(held(kind)[rank]), features()
        if name == "views":
            views = tables[0][photo], tables[1][photo]
            value = two_views(*views, PHOTO_IDS[photo], chunk_size=chunk_size)
        else:
            own, partner_2A = rank_pairs(kind, rank), twos(partners(kind, rank))
            value = co_converted_by_gather(tables[0][photo], own, partner_2A, chunk_size=chunk_size)
        found[name, kind, chunk_size] = value.detach(), gradients(value, tables)
    try:
        two_views(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    except ValueError as error:
        found["views", "no photos", None] = str(error)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Case, Any]]:
    """Run all cases in processes of their own, and return what each found."""
    return in_ranks(run_rank, RANKS, tmp_path_factory.mktemp("ranks"))


def expected(name: str, kind: str, tables: list[torch.Tensor]) -> torch.Tensor:
    """Return the loss by definition of all ranks' rows, one rank after the other."""
    rows = [*chain(*held(kind))]
    photo = torch.tensor(rows)
    if name == "views":
        return two_views_by_definition(tables[0][photo], tables[1][photo], photo)
    pairs, texts = [], {text for rank in range(RANKS) for _, text in taken(kind, rank)}
    for rank in range(RANKS):
        first = sum(len(own) for own in held(kind)[:rank])
        pairs += [(first + one, first + other) for one, other in partners(kind, rank)]
    if not pairs:
        return tables[0].sum() * 0
    combinations = [two for rank in range(RANKS) for two in taken(kind, rank)]
    combinations += [two for rank in range(RANKS) for two in known(kind, rank) if two[1] in texts]
    by_id = [(rows[one], rows[other]) for one, other in pairs]
    return co_converted_by_definition(tables[0][photo], photo, combinations, pairs, by_id)


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(map(str, case)))
def test_the_ranks_parts_add_up_to_the_definition_of_the_whole_batch(found: list[dict[Case, Any]], case: Case) -> None:
    parts = [of_rank[case] for of_rank in found]
    tables = features()
    value = expected(*case[:2], tables)
    torch.testing.assert_close(sum(part for part, _ in parts), value.detach(), check_dtype=False)
    for index, gradient in enumerate(gradients(value, tables)):
        torch.testing.assert_close(sum(of_rank[index] for _, of_rank in parts), gradient)


@pytest.mark.parametrize("name", ["views", "partners"])
def test_ranks_that_share_no_photo_add_up_to_the_loss_of_one_process(found: list[dict[Case, Any]], name: str) -> None:
    photo, tables = torch.tensor([*chain(*HELD["apart"])]), features()
    photo_UD, view_b_UD = tables[0][photo], tables[1][photo]
    if name == "views":
        value = two_views(photo_UD, view_b_UD)
    else:
        own = [rank_pairs("apart", rank) for rank in range(RANKS)]
        starts = [0, 5, 8]
        photo_P = torch.cat([one.pairs.photo_P + start for one, start in zip(own, starts, strict=True)])
        text_P = torch.cat([twos(taken("apart", rank))[1] for rank in range(RANKS)])
        partner_2A = torch.cat([twos(partners("apart", rank)) + start for rank, start in enumerate(starts)], dim=1)
        value = co_converted(photo_UD, Pairs(photo_P, text_P, len(photo), TEXTS), partner_2A)
    parts = [of_rank[name, "apart", None] for of_rank in found]
    torch.testing.assert_close(sum(part for part, _ in parts), value.detach())
    for index, gradient in enumerate(gradients(value, tables)):
        torch.testing.assert_close(sum(of_rank[index] for _, of_rank in parts), gradient)


def test_without_partners_anywhere_no_rank_has_a_loss(found: list[dict[Case, Any]]) -> None:
    for of_rank in found:
        value, of_tables = of_rank["partners", "none", None]
        assert value == 0
        assert not any(gradient.any() for gradient in of_tables)


def test_a_rank_without_partners_has_candidates_for_the_others(found: list[dict[Case, Any]]) -> None:
    value, of_tables = found[1]["partners", "some without", None]
    assert value == 0
    assert of_tables[0].any()


def test_every_rank_refuses_a_batch_without_photos(found: list[dict[Case, Any]]) -> None:
    assert all("pairs" in of_rank["views", "no photos", None] for of_rank in found)


def test_the_cases_hold_what_they_are_for() -> None:
    """Masks that matter: without what other ranks know, and without the same photo elsewhere, the loss is another."""
    tables = features()
    for kind in ("shared", "known"):
        rows = torch.tensor([*chain(*held(kind))])
        pairs = partners(kind, 0)
        own = [*taken(kind, 0), *known(kind, 0)]
        everything = [two for rank in range(RANKS) for two in (*taken(kind, rank), *known(kind, rank))]
        by_id = [(int(rows[one]), int(rows[other])) for one, other in pairs]
        values = [
            co_converted_by_definition(tables[0][rows], ids, combinations, pairs, by_id)
            for ids, combinations in ((rows, own), (rows, everything), (torch.arange(len(rows)), everything))
        ]
        assert len({round(value.item(), 6) for value in values}) == 3
