"""What all losses have in common: their definition, blocks equal to one piece, half precision, extremes, no leaks."""

from __future__ import annotations

import math
import weakref

import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn.functional import softplus

from models.search.losses import LOSSES
from models.search.losses.pairs import Pairs
from tests.models.search.batches import KINDS, assert_same, combinations, factors, gradients, leaves, random_pairs


def sigmoid_by_definition(values: list[torch.Tensor], pairs: Pairs) -> torch.Tensor:
    photo_UD, text_VD, scale, bias = values
    own, extras, excluded = combinations(pairs)
    photo_factors, text_factors = factors(pairs)
    total = torch.zeros((), dtype=torch.float64)
    for i, (photo, text, weight) in enumerate(own + extras):
        if i < len(own):
            total = total + weight * softplus(-(scale * photo_UD[photo] @ text_VD[text] + bias))
        for j, (_, other, other_weight) in enumerate(own + extras):
            if i != j and photo >= 0 and other >= 0 and (photo, other) not in excluded:
                product = weight * photo_factors[photo] * other_weight * text_factors[other]
                total = total + product * softplus(scale * photo_UD[photo] @ text_VD[other] + bias)
    return total / sum(weight for _, _, weight in own)


def softmax_by_definition(values: list[torch.Tensor], pairs: Pairs) -> torch.Tensor:
    photo_UD, text_VD, scale, _ = values
    own, extras, excluded = combinations(pairs)
    photo_factors, text_factors = factors(pairs)
    exponential_UV = (scale * photo_UD @ text_VD.T).exp()
    total = torch.zeros((), dtype=torch.float64)
    for i, (photo, text, weight) in enumerate(own):
        texts, photos = exponential_UV[photo, text], exponential_UV[photo, text]
        for j, (other_photo, other_text, other_weight) in enumerate(own + extras):
            if i != j and other_text >= 0 and (photo, other_text) not in excluded:
                texts = texts + other_weight * text_factors[other_text] * exponential_UV[photo, other_text]
            if i != j and other_photo >= 0 and (other_photo, text) not in excluded:
                photos = photos + other_weight * photo_factors[other_photo] * exponential_UV[other_photo, text]
        total = total + weight * (texts.log() + photos.log() - 2 * exponential_UV[photo, text].log()) / 2
    return total / sum(weight for _, _, weight in own)


BY_DEFINITION = {"sigmoid": sigmoid_by_definition, "softmax": softmax_by_definition}
PEERS = {"sigmoid": SigLipLoss, "softmax": ClipLoss}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk_size", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("name", LOSSES)
def test_it_is_its_definition_in_value_and_gradient(name: str, chunk_size: int | None, kind: str, seed: int) -> None:
    values, pairs = leaves(seed=seed), random_pairs(kind, seed)
    ours = LOSSES[name](*values, pairs, chunk_size=chunk_size)
    assert_same(ours, BY_DEFINITION[name](values, pairs), values)


@pytest.mark.parametrize("chunk_size", [None, 4])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mask_known_positives", [True, False])
def test_without_repetitions_it_is_open_clips(name: str, chunk_size: int | None, mask_known_positives: bool) -> None:
    values = leaves(9, 9, seed=1)
    ours = LOSSES[name](
        *values,
        Pairs(torch.arange(9), torch.arange(9), 9, 9, mask_known_positives=mask_known_positives),
        chunk_size=chunk_size,
    )
    assert_same(ours, PEERS[name]()(*values), values)


@pytest.mark.parametrize("chunk_size", [None, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_without_masks_it_is_open_clips_of_the_pairs_one_by_one(name: str, chunk_size: int | None) -> None:
    values, pairs = leaves(), random_pairs("unmasked", seed=3)
    photo_UD, text_VD, scale, bias = values
    ours = LOSSES[name](*values, pairs, chunk_size=chunk_size)
    assert_same(ours, PEERS[name]()(photo_UD[pairs.photo_P], text_VD[pairs.text_P], scale, bias), values)


@pytest.mark.parametrize("name", LOSSES)
def test_torch_finds_the_gradients_of_blocks_right(name: str) -> None:
    pairs = random_pairs("everything", seed=5)

    def in_blocks(*values: torch.Tensor) -> torch.Tensor:
        return LOSSES[name](*values, pairs, chunk_size=3)

    assert torch.autograd.gradcheck(in_blocks, leaves(seed=5))


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("mask_known_positives", [True, False])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [1000.0, -1000.0])
def test_logits_of_a_thousand_give_finite_values_and_gradients(
    name: str, chunk_size: int | None, mask_known_positives: bool, scale: float
) -> None:
    values = [torch.eye(4), torch.eye(4) * 2 - 1, torch.tensor(scale), torch.tensor(0.0)]
    values = [value.requires_grad_() for value in values]
    pairs = Pairs(
        torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 3]), 4, 4, mask_known_positives=mask_known_positives
    )
    value = LOSSES[name](*values, pairs, chunk_size=chunk_size)
    assert math.isfinite(value.item())
    assert all(gradient.isfinite().all() for gradient in gradients(value, values))
    if scale < 0:
        assert value.item() > 500


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_a_pair_without_any_negative_costs_nothing_to_choose(name: str, chunk_size: int | None) -> None:
    values = leaves(1, 2)
    pairs = Pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
    value = LOSSES[name](*values, pairs, chunk_size=chunk_size)
    assert all(gradient.isfinite().all() for gradient in gradients(value, values))
    if name == "softmax":
        assert value.item() == 0


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("autocast", [True, False])
def test_features_of_half_precision_are_compared_in_float32(name: str, chunk_size: int | None, autocast: bool) -> None:
    pairs = random_pairs("masked", seed=2)
    halves = [value.detach().bfloat16().requires_grad_() for value in leaves()[:2]]
    numbers = [torch.tensor(7.0, requires_grad=True), torch.tensor(-2.5, requires_grad=True)]
    full = [value.detach().float().requires_grad_() for value in (*halves, *numbers)]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        value = LOSSES[name](*halves, *numbers, pairs, chunk_size=chunk_size)
    assert value.dtype == torch.float32
    expected = LOSSES[name](*full, pairs)
    torch.testing.assert_close(value, expected)
    found = gradients(value, [*halves, *numbers])
    assert [gradient.dtype for gradient in found] == [torch.bfloat16] * 2 + [torch.float32] * 2
    for gradient, exact in zip(found, gradients(expected, full), strict=True):
        torch.testing.assert_close(gradient.float(), exact, rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_in_blocks_only_gradients_of_the_features_wait_for_the_backward_pass(name: str) -> None:
    photos, texts, features = 64, 48, 4
    values = [torch.randn(n, features, requires_grad=True) for n in (photos, texts)]
    values += [torch.tensor(7.0, requires_grad=True), torch.tensor(-2.0, requires_grad=True)]
    pairs = Pairs(torch.arange(64), torch.arange(64) % 48, photos, texts)
    kept = {chunk_size: kept_numbers(name, values, pairs, chunk_size) for chunk_size in (None, 8)}
    assert kept[None] > photos * texts
    assert kept[8] <= (photos + texts) * features + 8


def kept_numbers(name: str, values: list[torch.Tensor], pairs: Pairs, chunk_size: int | None) -> int:
    """Count the numbers that autograd still holds after the forward pass."""
    held: list[weakref.ref[torch.Tensor]] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        held.append(weakref.ref(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = LOSSES[name](*values, pairs, chunk_size=chunk_size)
    alive = [tensor for reference in held if (tensor := reference()) is not None]
    assert value.requires_grad  # and with it what it holds is alive until here
    return sum({tensor.untyped_storage().data_ptr(): tensor.numel() for tensor in alive}.values())


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_is_kept_where_no_gradient_is_wanted(name: str) -> None:
    values, pairs = leaves(), random_pairs("weights", seed=1)
    expected = LOSSES[name](*values, pairs)
    with torch.no_grad():
        value = LOSSES[name](*values, pairs, chunk_size=2)
    assert not value.requires_grad
    torch.testing.assert_close(value, expected.detach())
    photo_UD, text_VD, scale, bias = values
    partly = LOSSES[name](photo_UD.detach(), text_VD, scale.detach(), bias.detach(), pairs, chunk_size=2)
    torch.testing.assert_close(gradients(partly, [text_VD]), gradients(expected, [text_VD]))


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_pairs_is_refused(name: str) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(ValueError, match="pairs"):
        LOSSES[name](*leaves(2, 2), Pairs(none, none, 2, 2))
