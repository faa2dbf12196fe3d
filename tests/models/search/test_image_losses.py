"""The losses of photos among photos: their definition in value and gradient, what is masked, and nothing of nothing."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, normalize

from models.search.losses.images import co_converted, partner_pairs, two_views
from models.search.losses.pairs import Pairs
from tests.models.search.batches import assert_same, gradients, twos
from tests.models.search.photo_losses import co_converted_by_definition, two_views_by_definition

PHOTOS, TEXTS, FEATURES = 7, 4, 5
CHUNKS = [None, 1, 3, 100]
PLACES = st.integers(0, PHOTOS - 1)
TAKEN = st.lists(st.tuples(PLACES, st.integers(0, TEXTS - 1)), min_size=1, max_size=14)
PARTNERS = st.lists(st.tuples(PLACES, PLACES).filter(lambda two: two[0] != two[1]), min_size=1, max_size=8)


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    vector_UD = torch.randn(count, FEATURES, generator=generator, dtype=torch.float64)
    return normalize(vector_UD, dim=-1).requires_grad_()


def batch(taken: Iterable[tuple[int, int]], known: Iterable[tuple[int, int]] = ()) -> Pairs:
    return Pairs(*twos(taken), PHOTOS, TEXTS, masked_2M=twos(known))


# -- two views -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("count", [1, 2, 6])
def test_two_views_are_nt_xent(count: int, chunk_size: int | None) -> None:
    views = [vectors(count, 1), vectors(count, 2)]
    assert_same(two_views(*views, chunk_size=chunk_size), two_views_by_definition(*views, torch.arange(count)), views)


def test_the_definition_is_that_of_simclr_s_code() -> None:
    """https://github.com/google-research/simclr/blob/master/objective.py: four quarters, the diagonals pushed down."""
    a_UD, b_UD = vectors(6, 1), vectors(6, 2)
    labels, diagonal = torch.arange(6), 1e9 * torch.eye(6)
    logits_aa, logits_bb = a_UD @ a_UD.T / 0.1 - diagonal, b_UD @ b_UD.T / 0.1 - diagonal
    logits_ab, logits_ba = a_UD @ b_UD.T / 0.1, b_UD @ a_UD.T / 0.1
    both = [cross_entropy(torch.cat(two, 1), labels) for two in ((logits_ab, logits_aa), (logits_ba, logits_bb))]
    torch.testing.assert_close(two_views(a_UD, b_UD), sum(both) / 2)


def test_no_photos_have_no_views() -> None:
    with pytest.raises(ValueError, match="pairs"):
        two_views(vectors(0), vectors(0))


# -- partners --------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(TAKEN, TAKEN, PARTNERS, st.sampled_from(CHUNKS))
def test_partners_are_their_definition(
    taken: list[tuple[int, int]], known: list[tuple[int, int]], partners: list[tuple[int, int]], chunk_size: int | None
) -> None:
    photo_UD = vectors(PHOTOS)
    ours = co_converted(photo_UD, batch(taken, known), twos(partners), chunk_size=chunk_size)
    expected = co_converted_by_definition(photo_UD, torch.arange(PHOTOS), taken + known, partners, partners)
    assert_same(ours, expected, [photo_UD])


def test_every_other_photo_is_a_candidate_once() -> None:
    pairs = partner_pairs(batch([(photo, 0) for photo in (5, 6)]), twos([(0, 1), (0, 2), (3, 2)]))
    assert pairs.photo_weights.tolist() == [1.0] * PHOTOS
    assert pairs.text_weights.tolist() == [1.0] * PHOTOS
    _, negative_UU = pairs.dense()
    is_masked = {(u, v) for u, v in (negative_UU == 0).nonzero().tolist() if u < v}
    assert is_masked == {(0, 1), (0, 2), (2, 3), (5, 6)}
    assert torch.equal(negative_UU, negative_UU.T)
    assert not negative_UU.diagonal().any()


def test_what_is_known_makes_co_positives_too() -> None:
    """Photo 1 is in the batch as a partner only: that it was taken for text 3 as well is known from the log."""
    _, without = partner_pairs(batch([(0, 3), (2, 3)]), twos([(0, 1)])).dense()
    _, negative_UU = partner_pairs(batch([(0, 3), (2, 3)], [(1, 3)]), twos([(0, 1)])).dense()
    assert without[1, 2] == without[2, 1] == 1
    assert negative_UU[1, 2] == negative_UU[2, 1] == 0


def test_a_lone_partner_is_found_without_a_choice() -> None:
    photo_UD = vectors(2)
    pairs = Pairs(torch.tensor([0, 1]), torch.tensor([0, 0]), 2, 1)
    for chunk_size in (None, 1):
        value = co_converted(photo_UD, pairs, twos([(0, 1)]), chunk_size=chunk_size)
        assert value.item() == 0
        assert not gradients(value, [photo_UD])[0].any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_no_partners_are_no_loss(dtype: torch.dtype) -> None:
    photo_UD = vectors(PHOTOS).detach().to(dtype).requires_grad_()
    some, none = (co_converted(photo_UD, batch([(0, 0)]), twos(partners)) for partners in ([(0, 1)], []))
    assert none.item() == 0
    assert none.dtype == some.dtype
    none.backward()
    assert photo_UD.grad is not None
    assert not photo_UD.grad.any()


def test_a_photo_is_not_its_own_partner() -> None:
    with pytest.raises(ValueError, match="partner"):
        partner_pairs(batch([(0, 0)]), twos([(2, 2)]))
