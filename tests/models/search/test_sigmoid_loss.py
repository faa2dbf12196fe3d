"""The loss against open_clip's, against its plain definition, by hand, and at the edges of float32."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from open_clip.loss import SigLipLoss
from torch.nn.functional import normalize, softplus

from models.search.losses import sigmoid
from models.search.losses.sigmoid import best_bias, calibrate, sigmoid_loss
from tests.models.search.batches import count_pairs


def leaves(photo_count: int, text_count: int, seed: int) -> list[torch.Tensor]:
    """Features of photos and texts, scale and bias, all double and with gradients."""
    generator = torch.Generator().manual_seed(seed)
    photo_UD = torch.randn(photo_count, 6, generator=generator, dtype=torch.float64)
    text_VD = torch.randn(text_count, 6, generator=generator, dtype=torch.float64)
    scale, bias = torch.tensor(7.0, dtype=torch.float64), torch.tensor(-2.5, dtype=torch.float64)
    return [leaf.requires_grad_() for leaf in (photo_UD, text_VD, scale, bias)]


def fast_loss(values: list[torch.Tensor], photo_P: torch.Tensor, text_P: torch.Tensor) -> torch.Tensor:
    photo_UD, text_VD, scale, bias = values
    logits_UV = scale * normalize(photo_UD, dim=-1) @ normalize(text_VD, dim=-1).T + bias
    return sigmoid_loss(logits_UV, count_pairs(photo_P, text_P, len(photo_UD), len(text_VD)).double())


def plain_loss(values: list[torch.Tensor], photo_P: torch.Tensor, text_P: torch.Tensor) -> torch.Tensor:
    """The definition, pair by pair: own combination positive, others negative unless they are a pair themselves."""
    photo_UD, text_VD, scale, bias = values
    pairs = list(zip(photo_P.tolist(), text_P.tolist(), strict=True))
    total = torch.zeros((), dtype=torch.float64)
    for i, (photo, _) in enumerate(pairs):
        for j, (_, text) in enumerate(pairs):
            logit = scale * normalize(photo_UD[photo], dim=0) @ normalize(text_VD[text], dim=0) + bias
            if i == j:
                total = total + softplus(-logit)
            elif (photo, text) not in pairs:
                total = total + softplus(logit)
    return total / len(pairs)


def gradients(loss: torch.Tensor, values: list[torch.Tensor]) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, values))


def test_without_repetitions_it_is_open_clips_loss_in_value_and_gradient() -> None:
    values = leaves(9, 9, seed=1)
    index = torch.arange(9)
    photo_UD, text_VD, scale, bias = values
    ours = fast_loss(values, index, index)
    theirs = SigLipLoss()(normalize(photo_UD, dim=-1), normalize(text_VD, dim=-1), scale, bias)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradients(ours, values), gradients(theirs, values))


@pytest.mark.parametrize("seed", range(3))
def test_with_repetitions_it_is_the_masked_pairwise_loss_in_value_and_gradient(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    photo_P = torch.randint(5, (12,), generator=generator)
    text_P = torch.randint(4, (12,), generator=generator)
    values = leaves(5, 4, seed)
    ours, plain = fast_loss(values, photo_P, text_P), plain_loss(values, photo_P, text_P)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(gradients(ours, values), gradients(plain, values))


def test_a_case_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [-math.log(3), 0.0]])
    # positives: 2 x log 2; negatives: log(1 + 3) and log(1 + 1/3); two pairs
    expected = (2 * math.log(2) + math.log(4) + math.log(4 / 3)) / 2
    assert sigmoid_loss(logits, torch.eye(2)).item() == pytest.approx(expected)


def test_the_same_photo_or_text_elsewhere_in_the_batch_is_no_negative() -> None:
    same_photo = count_pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), 1, 2)
    assert sigmoid_loss(torch.full((1, 2), 50.0), same_photo).item() == pytest.approx(0, abs=1e-6)
    same_text = count_pairs(torch.tensor([0, 1]), torch.tensor([0, 0]), 2, 1)
    assert sigmoid_loss(torch.full((2, 1), 50.0), same_text).item() == pytest.approx(0, abs=1e-6)
    # (0, x), (1, y), (0, y): photo 0 is a known answer to y, so only photo 1 with x is a negative
    chain = count_pairs(torch.tensor([0, 1, 0]), torch.tensor([0, 1, 1]), 2, 2)
    logits = torch.zeros(2, 2)
    negative_count = (sigmoid_loss(logits, chain).item() * 3 - 3 * math.log(2)) / math.log(2)
    assert negative_count == pytest.approx(1)


def test_it_stays_finite_for_extreme_logits() -> None:
    logits = torch.tensor([[-1e4, 1e4], [1e4, -1e4]], requires_grad=True)
    loss = sigmoid_loss(logits, torch.eye(2))
    assert loss.item() == pytest.approx(2e4)
    (gradient,) = torch.autograd.grad(loss, [logits])
    torch.testing.assert_close(gradient, torch.tensor([[-0.5, 0.5], [0.5, -0.5]]))


@pytest.mark.parametrize("batch_size", [2, 256])
def test_the_best_bias_of_unrelated_vectors_is_minus_the_log_of_the_negatives(batch_size: int) -> None:
    bias = best_bias(torch.full((batch_size, batch_size), 3.0), torch.eye(batch_size))
    assert bias == pytest.approx(-math.log(batch_size - 1) - 3.0, abs=1e-6)


def test_no_other_bias_is_better() -> None:
    scaled = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)) * 5
    bias = best_bias(scaled, torch.eye(6))
    best = sigmoid_loss(scaled + bias, torch.eye(6)).item()
    assert all(best <= sigmoid_loss(scaled + bias + change, torch.eye(6)).item() for change in (-0.1, 0.1))


def test_a_scale_that_is_surely_wrong_is_lowered_and_one_that_is_right_is_kept() -> None:
    right, pairs = torch.eye(16) * 2 - 1, torch.eye(16)
    scale, bias = calibrate(right, pairs, 60.0)
    assert scale > 20
    assert abs(bias) < scale
    wrong = right.roll(1, dims=0)
    scale, bias = calibrate(wrong, pairs, 60.0)
    assert scale == 10
    assert sigmoid_loss(scale * wrong + bias, pairs).item() < sigmoid_loss(60 * wrong + bias, pairs).item()


def test_a_low_scale_is_left_as_it_is() -> None:
    scale, bias = calibrate(torch.zeros(8, 8), torch.eye(8), 4.0)
    assert scale == 4
    assert bias == pytest.approx(-math.log(7), abs=1e-6)


def test_examples_in_the_documentation() -> None:
    assert doctest.testmod(sigmoid) == (0, 2)
