"""The loss of given logits by hand and at the edges of float32, and the scale and bias to begin with.

That it is its definition, and open_clip's loss where nothing is repeated, stands in `test_losses`.
"""

from __future__ import annotations

import math

import pytest
import torch

from models.search.losses.pairs import Pairs
from models.search.losses.sigmoid import best_bias, calibrate, loss


def loss_of(logits_UV: torch.Tensor, photos: list[int] | None = None, texts: list[int] | None = None) -> torch.Tensor:
    """Return the loss of logits, by default of a pair of the first photo and text, of the second ones, and so on."""
    places = list(range(len(logits_UV)))
    pairs = Pairs(torch.tensor(photos or places), torch.tensor(texts or places), *logits_UV.shape)
    return loss(torch.eye(len(logits_UV)), logits_UV.T, torch.tensor(1.0), torch.tensor(0.0), pairs)


def weights(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weights, as positives and as negatives, of so many different pairs."""
    return torch.eye(count), 1 - torch.eye(count)


def test_a_case_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [-math.log(3), 0.0]])
    # positives: 2 x log 2; negatives: log(1 + 3) and log(1 + 1/3); two pairs
    expected = (2 * math.log(2) + math.log(4) + math.log(4 / 3)) / 2
    assert loss_of(logits).item() == pytest.approx(expected)


def test_the_same_photo_or_text_elsewhere_in_the_batch_is_no_negative() -> None:
    assert loss_of(torch.full((1, 2), 50.0), [0, 0], [0, 1]).item() == pytest.approx(0, abs=1e-6)
    assert loss_of(torch.full((2, 1), 50.0), [0, 1], [0, 0]).item() == pytest.approx(0, abs=1e-6)
    # (0, x), (1, y), (0, y): photo 0 is a known answer to y, so only photo 1 with x is a negative
    chain = loss_of(torch.zeros(2, 2), [0, 1, 0], [0, 1, 1])
    negative_count = (chain.item() * 3 - 3 * math.log(2)) / math.log(2)
    assert negative_count == pytest.approx(1)


def test_it_stays_finite_for_extreme_logits() -> None:
    logits = torch.tensor([[-1e4, 1e4], [1e4, -1e4]], requires_grad=True)
    value = loss_of(logits)
    assert value.item() == pytest.approx(2e4)
    (gradient,) = torch.autograd.grad(value, [logits])
    torch.testing.assert_close(gradient, torch.tensor([[-0.5, 0.5], [0.5, -0.5]]))


@pytest.mark.parametrize("batch_size", [2, 256])
def test_the_best_bias_of_unrelated_vectors_is_minus_the_log_of_the_negatives(batch_size: int) -> None:
    bias = best_bias(torch.full((batch_size, batch_size), 3.0), *weights(batch_size))
    assert bias == pytest.approx(-math.log(batch_size - 1) - 3.0, abs=1e-6)


def test_no_other_bias_is_better() -> None:
    scaled = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)) * 5
    bias = best_bias(scaled, *weights(6))
    best = loss_of(scaled + bias).item()
    assert all(best <= loss_of(scaled + bias + change).item() for change in (-0.1, 0.1))


def test_a_scale_that_is_surely_wrong_is_lowered_and_one_that_is_right_is_kept() -> None:
    right = torch.eye(16) * 2 - 1
    scale, bias = calibrate(right, *weights(16), 60.0)
    assert scale > 20
    assert abs(bias) < scale
    wrong = right.roll(1, dims=0)
    scale, bias = calibrate(wrong, *weights(16), 60.0)
    assert scale == 10
    assert loss_of(scale * wrong + bias).item() < loss_of(60 * wrong + bias).item()


def test_a_low_scale_is_left_as_it_is() -> None:
    scale, bias = calibrate(torch.zeros(8, 8), *weights(8), 4.0)
    assert scale == 4
    assert bias == pytest.approx(-math.log(7), abs=1e-6)
