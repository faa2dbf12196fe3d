"""The losses are torch's formulas, negatives are what was not taken, and a seed stays within its block."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from models.recommend.training import (
    KnownPairs,
    Training,
    hold_out,
    sampled_cross_entropy,
    seeded,
    softmax_among,
    train,
)
from tests.models.recommend.tastes import histories


def test_sampled_cross_entropy_is_torchs() -> None:
    torch.manual_seed(0)
    positive, negative = torch.randn(6, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    is_negative = torch.rand(6, 3) < 0.7
    logits = torch.cat([positive, negative[is_negative]])
    label = torch.cat([torch.ones(6), torch.zeros(int(is_negative.sum()))]).double()
    expected = binary_cross_entropy_with_logits(logits, label)
    torch.testing.assert_close(sampled_cross_entropy(positive, negative, is_negative), expected)


def test_sampled_cross_entropy_is_the_formula_with_numbers() -> None:
    # s(ln 3) is 3/4: a positive costs -ln(3/4), a negative -ln(1/4)
    logit = torch.log(torch.tensor([3.0]))
    loss = sampled_cross_entropy(logit, logit[None], torch.ones(1, 1, dtype=torch.bool))
    assert loss.item() == pytest.approx((np.log(4 / 3) + np.log(4)) / 2)


def test_negatives_are_items_that_the_visitor_did_not_take() -> None:
    rows = [(0, item, 1.0) for item in range(0, 20, 2)] + [(1, item, 1.0) for item in range(19)]
    rows += [(2, item, 1.0) for item in range(20)]
    known = KnownPairs(histories(rows, 3, 20))
    visitor_B = np.repeat([0, 1, 2], 300)
    item_BN, is_negative_BN = known.negatives(visitor_B, 4, np.random.default_rng(0))
    for visitor, expected in ((0, set(range(1, 20, 2))), (1, {19}), (2, set())):
        own = visitor_B == visitor
        assert set(item_BN[own][is_negative_BN[own]].tolist()) == expected
    assert is_negative_BN[visitor_B == 0].mean() > 0.95
    drawn = np.bincount(item_BN[visitor_B == 0][is_negative_BN[visitor_B == 0]], minlength=20)[1::2]
    assert drawn.min() > 80  # about 120 each


def test_pairs_are_known_whatever_the_shape() -> None:
    known = KnownPairs(histories([(0, 2, 1.0), (1, 0, 1.0)], 2, 3))
    is_known = known.has(np.array([0, 1])[:, None], np.arange(3))
    assert is_known.tolist() == [[False, False, True], [True, False, False]]


def test_every_example_comes_once_a_pass() -> None:
    network, seen = torch.nn.Linear(1, 1), []

    def loss(example_B: np.ndarray, random: np.random.Generator) -> torch.Tensor:
        seen.append(example_B)
        return network(torch.ones(len(example_B), 1)).square().mean()

    curve = train(network, loss, 10, Training(pass_count=3, batch_size=4, learning_rate=0.1), seed=0)
    assert [len(batch) for batch in seen] == [4, 3, 3] * 3
    passes = [np.concatenate(seen[start : start + 3]) for start in (0, 3, 6)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert passes[0].tolist() != passes[1].tolist()
    assert curve[2] < curve[0]
    assert not network.training


def test_a_loss_that_is_not_finite_stops() -> None:
    network = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="learning_rate"):
        train(network, lambda example, random: network(torch.full((1, 1), torch.nan)).sum(), 4, Training(), seed=0)


def test_a_seed_does_not_reach_outside() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(0):
        first = torch.rand(3)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    with seeded(0):
        torch.testing.assert_close(torch.rand(3), first, rtol=0, atol=0)


def test_softmax_among_all_is_torchs() -> None:
    torch.manual_seed(0)
    expected_BD, item_ID, target = torch.randn(4, 3), torch.randn(6, 3), torch.tensor([2, 0, 5, 2])
    found = softmax_among(expected_BD, item_ID[target], item_ID, target[:, None] == torch.arange(6), 1.0)
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(expected_BD @ item_ID.T, target))


def test_what_is_held_out_comes_last_and_leaves_every_item_a_like() -> None:
    # 40 visitors take items 0 to 9 in turn; the last like of visitor 39 is the only one of item 10
    rows = [(visitor, (visitor + step) % 10, 1.0) for visitor in range(40) for step in range(9)] + [(39, 10, 1.0)]
    liked = histories(rows, 40, 11)
    learned, held = hold_out(liked, Training(pass_count=6, patience=5))
    assert held is not None
    assert len(held.item_H) == 35  # a tenth of 361, less the one of item 10
    assert len(learned.item_N) + len(held.item_H) == len(liked.item_N)
    assert set(learned.item_N.tolist()) == set(range(11))
    for place, visitor in enumerate(held.histories.visitor_V):
        whole = liked.item_N[liked.history(visitor)]
        own = held.histories.item_N[held.histories.history(place)]
        assert [*own, held.item_H[place]] == whole.tolist()
    assert hold_out(liked, Training(pass_count=5, patience=5)) == (liked, None)


def test_training_stops_after_patience_and_keeps_its_best_pass() -> None:
    network, gains = torch.nn.Linear(1, 1), iter([0.1, 0.3, 0.2, 0.2, 0.9])
    states = []

    def gain() -> float:
        states.append(network.weight.item())
        return next(gains)

    def loss(example_B: np.ndarray, random: np.random.Generator) -> torch.Tensor:
        return network(torch.ones(1, 1)).square().mean()

    curve = train(network, loss, 4, Training(pass_count=9, patience=2), 0, gain)
    assert len(curve) == 4
    assert network.weight.item() == states[1] != states[3]
