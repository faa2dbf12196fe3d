"""What the methods that are trained share: the loop, when it stops, what an item is, negatives, losses. No network.

Shape letters: B rows of a batch, N negatives per row, H visitors of whom a like is held out, C candidates, I items,
D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import softplus

from models.recommend.interactions import Bools, Interactions, Ints, ItemFeatures, has_vector
from models.recommend.interface import Fitted, TooLittleToLearn

LossCurve = npt.NDArray[np.float64]
"""The mean loss of each pass over the examples, [passes]."""
NO_CURVE: LossCurve = np.zeros(0)
BatchLoss = Callable[[Ints, np.random.Generator], torch.Tensor]
"""The mean loss of the examples with the given numbers; all that is random in it comes from the generator."""
_FEWEST_HELD_OUT, _MOST_HELD_OUT, _HELD_OUT_SHARE = 30, 1000, 0.1
_VISITORS_AT_ONCE = 128
CANDIDATE_COUNT = 4096
"""Items that a batch's targets are told from, at most."""
_ROW_DEVIATION = 0.05


@dataclass(frozen=True)
class Training:
    """How a network is trained: passes over the examples by Adam (Kingma and Ba, 2015).

    There are at most `pass_count` passes. After `patience` of them without a better result on likes that are held out
    training stops, and the best pass counts.
    """

    pass_count: int = 5
    batch_size: int = 1024
    learning_rate: float = 1e-3
    negative_count: int = 4
    """Negatives drawn for every positive, where they are drawn."""
    patience: int = 5


ROW_TRAINING = Training(pass_count=40, batch_size=512, learning_rate=5e-3, patience=10)
"""For learned rows: at a lower rate they stay where all visitors get what is popular."""


class Network(torch.nn.Module):
    """A network that knows what it was made from, so that one like it can be made: numbers, or a method."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.arguments = arguments

    @classmethod
    def of(cls, items: ItemFeatures, log: Interactions, **sizes: int) -> Self:
        """Return a network for items with such features, and for the countries of a log."""
        return cls(
            feature_count=items.content_dim,
            keyword_count=items.keyword_count,
            country_count=log.country_count,
            item_count=0 if items.content_dim else items.item_count,
            **sizes,
        )


def item_layer(feature_count: int, item_count: int, dim: int, *, bias: bool = True) -> torch.nn.Module:
    """Return what makes a vector of an item: a projection of its features, or a learned row where items have none."""
    if feature_count:
        return torch.nn.Linear(feature_count, dim, bias=bias)
    table = torch.nn.Embedding(item_count, dim)
    torch.nn.init.normal_(table.weight, std=_ROW_DEVIATION)
    return table


def item_inputs(item: Ints, feature_IF: torch.Tensor) -> torch.Tensor:
    """Return what an `item_layer` takes for items: their features, or their numbers where they have none."""
    item_B = torch.from_numpy(item)
    return feature_IF[item_B] if feature_IF.shape[1] else item_B


def learned_items(liked: Interactions, items: ItemFeatures) -> Bools:
    """Tell which items a vector can be made of: those with features; without any, those that somebody liked, [I]."""
    if items.content_dim:
        return has_vector(items.content())
    return np.bincount(liked.item_N, minlength=items.item_count) > 0


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw the same numbers inside, and go on outside as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Likes at the end of a log, of which nothing is learned: what H visitors had before, and what each liked next."""

    histories: Interactions
    item_H: Ints

    def gain(self, fitted: Fitted) -> float:
        """Return the mean of 1 / log2(1 + place) of what each visitor liked next among all that the visitor lacks."""
        gain_H = np.zeros(len(self.item_H))
        for start in range(0, len(self.item_H), _VISITORS_AT_ONCE):
            block = self.histories.take(np.arange(start, min(start + _VISITORS_AT_ONCE, len(self.item_H))))
            score_BI = fitted.scores(block, np.arange(fitted.item_count))
            score_BI[block.row_visitors(), block.item_N] = -np.inf
            own_B = score_BI[np.arange(len(score_BI)), self.item_H[start : start + len(score_BI)]]
            gain_H[start : start + len(score_BI)] = 1 / np.log2(2 + (score_BI > own_B[:, None]).sum(axis=1))
        return float(gain_H.mean())


def hold_out(liked: Interactions, options: Training) -> tuple[Interactions, HeldOut | None]:
    """Return what to learn from and what is held out: the latest last likes of visitors, a tenth of all at most.

    An item's only like stays, and a visitor's. Nothing is held out where so few passes are allowed that patience never
    ends, or where the log is too small for an answer.
    """
    last_V = (liked.start_V1[1:] - 1)[np.diff(liked.start_V1) > 1]
    count = min(_MOST_HELD_OUT, len(last_V), int(_HELD_OUT_SHARE * len(liked.item_N)))
    if options.pass_count <= options.patience or count < _FEWEST_HELD_OUT:
        return liked, None
    latest_H = last_V[np.argsort(liked.at_N[last_V], kind="stable")[-count:]]
    is_held_N = np.zeros(len(liked.item_N), np.bool_)
    is_held_N[latest_H] = True
    is_held_N &= np.bincount(liked.item_N[~is_held_N], minlength=liked.item_count)[liked.item_N] > 0
    if not is_held_N.any():
        return liked, None
    learned = liked.where(~is_held_N)
    return learned, HeldOut(learned.take(liked.row_visitors()[is_held_N]), liked.item_N[is_held_N])


def gain_by(held: HeldOut | None, fitted: Callable[[], Fitted]) -> Callable[[], float] | None:
    """Return what tells `train` how good a network is by what is held out, None if nothing is."""
    return None if held is None else lambda: held.gain(fitted())


def train(
    network: torch.nn.Module,
    loss_of: BatchLoss,
    example_count: int,
    options: Training,
    seed: int,
    gain_of: Callable[[], float] | None = None,
) -> LossCurve:
    """Train in place, examples in a new order each pass; the network is left ready for scoring, as of its best pass.

    `gain_of` says how good the network is by now; without it all passes are made. Raises `TooLittleToLearn` if there is
    no example, ValueError if the loss stops being finite.
    """
    if example_count == 0:
        raise TooLittleToLearn(
            "nothing_to_learn_from", "the log has no example to learn from: too little in it is liked"
        )
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    random = np.random.default_rng(seed)
    curve: list[float] = []
    best, best_pass, best_state = -np.inf, 0, network.state_dict()
    while len(curve) < options.pass_count and len(curve) - best_pass < options.patience:
        network.train()
        curve.append(_pass(optimizer, loss_of, example_count, options, random))
        if not np.isfinite(curve[-1]):
            text = f"the loss is {curve[-1]} in pass {len(curve)}: lower learning_rate={options.learning_rate}"
            raise ValueError(text)
        network.eval()
        gain = gain_of() if gain_of else float(len(curve))
        if gain > best:
            best, best_pass, best_state = gain, len(curve), deepcopy(network.state_dict())
    network.load_state_dict(best_state)
    return np.array(curve)


def _pass(
    optimizer: torch.optim.Optimizer,
    loss_of: BatchLoss,
    example_count: int,
    options: Training,
    random: np.random.Generator,
) -> float:
    """Learn from every example once; return the mean loss."""
    total = 0.0
    for example_B in np.array_split(random.permutation(example_count), -(-example_count // options.batch_size)):
        loss = loss_of(example_B, random)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item() * len(example_B) / example_count
    return total


class KnownPairs:
    """Which visitors took which items: what must not serve as a negative."""

    def __init__(self, log: Interactions) -> None:
        self._item_count = log.item_count
        self._keys = np.unique(self._key(log.row_visitors(), log.item_N))

    def has(self, visitor: Ints, item: Ints) -> Bools:
        """Tell for visitors and items, of shapes that fit each other, whether they are a pair."""
        key = self._key(visitor, item)
        place = np.searchsorted(self._keys, key).clip(max=len(self._keys) - 1)
        return np.asarray(self._keys[place] == key)

    def negatives(self, visitor_B: Ints, count: int, random: np.random.Generator) -> tuple[Ints, Bools]:
        """Return items drawn evenly, [B, N], and which of them are negatives, [B, N].

        One that the visitor took is drawn again, a few times; what is then still one is not a negative.
        """
        item_BN = random.integers(0, self._item_count, (len(visitor_B), count))
        is_known_BN = self.has(visitor_B[:, None], item_BN)
        for _ in range(4):
            if not is_known_BN.any():
                break
            item_BN[is_known_BN] = random.integers(0, self._item_count, np.count_nonzero(is_known_BN))
            is_known_BN = self.has(visitor_B[:, None], item_BN)
        return item_BN, ~is_known_BN

    def _key(self, visitor: Ints, item: Ints) -> Ints:
        return visitor * self._item_count + item


def take_rows(vector_UD: torch.Tensor, place: Ints) -> torch.Tensor:
    """Return the rows at places of any shape, [..., D].

    As `vector_UD[place]`, but with a gradient that costs less on a CPU.

    >>> take_rows(torch.tensor([[1.0], [2.0]]), np.array([[1, 0], [1, 1]])).squeeze(2).tolist()
    [[2.0, 1.0], [2.0, 2.0]]
    """
    rows: torch.Tensor = vector_UD.index_select(0, torch.from_numpy(place.ravel())).unflatten(0, place.shape)
    return rows


def sampled_cross_entropy(
    positive_B: torch.Tensor, negative_BN: torch.Tensor, is_negative_BN: torch.Tensor
) -> torch.Tensor:
    """Return the mean binary cross-entropy of logits: -log s(x) of a positive, -log(1 - s(x)) of a negative.

    What is not a negative has no part in it.

    A positive of logit 0 and a negative of logit 0 cost log 2 each.

    >>> one, zero = torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2)
    >>> round(sampled_cross_entropy(zero[:, 0], zero, one).item(), 4)
    0.6931
    """
    total = softplus(-positive_B).sum() + softplus(negative_BN)[is_negative_BN].sum()
    return total / (len(positive_B) + is_negative_BN.sum())


def drawn_candidates(item_K: Ints, random: np.random.Generator) -> tuple[Ints, float]:
    """Return what the targets of a batch are told from, [C], and its share of all items: all, or a sample of many."""
    if len(item_K) <= CANDIDATE_COUNT:
        return item_K, 1.0
    return random.choice(item_K, CANDIDATE_COUNT, replace=False, shuffle=False), CANDIDATE_COUNT / len(item_K)


def softmax_among(
    expected_BD: torch.Tensor,
    target_BD: torch.Tensor,
    candidate_CD: torch.Tensor,
    is_target_BC: torch.Tensor,
    share: float,
) -> torch.Tensor:
    """Return the mean of -log of the share that a row's target has beside candidates, which are a `share` of all.

    Those that are drawn stand for all: each counts 1 / share. A candidate that is the target counts once.

    >>> zero = torch.zeros(1, 3)
    >>> round(softmax_among(zero, zero, torch.zeros(2, 3), torch.tensor([[True, False]]), 1.0).item(), 4)  # of two
    0.6931
    """
    own_B1 = (expected_BD * target_BD).sum(dim=1, keepdim=True)
    logit_BC = (expected_BD @ candidate_CD.T - math.log(share)).masked_fill(is_target_BC, -torch.inf)
    return (torch.cat([own_B1, logit_BC], dim=1).logsumexp(dim=1) - own_B1[:, 0]).mean()
