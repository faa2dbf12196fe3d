"""What the methods that are trained share: the loop, batches of rows, sampled negatives, losses. No network.

Shape letters: B rows of a batch, N negatives per row, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy, softplus

from models.recommend.interactions import Bools, Interactions, Ints, ItemFeatures
from models.recommend.interface import TooLittleToLearn

LossCurve = npt.NDArray[np.float64]
"""The mean loss of each pass over the examples, [passes]."""
BatchLoss = Callable[[Ints, np.random.Generator], torch.Tensor]
"""The mean loss of the examples with the given numbers; all that is random in it comes from the generator."""


@dataclass(frozen=True)
class Training:
    """How a network is trained: passes over the examples by Adam (Kingma and Ba, 2015)."""

    pass_count: int = 5
    batch_size: int = 1024
    learning_rate: float = 1e-3
    negative_count: int = 4
    """Negatives drawn for every positive, where they are drawn."""


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
            **sizes,
        )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw the same numbers inside, and go on outside as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def train(network: torch.nn.Module, loss_of: BatchLoss, example_count: int, options: Training, seed: int) -> LossCurve:
    """Train in place, examples in a new order each pass; the network is left ready for scoring.

    Raises `TooLittleToLearn` if there is no example, ValueError if the loss stops being finite.
    """
    if example_count == 0:
        raise TooLittleToLearn(
            "nothing_to_learn_from", "the log has no example to learn from: too little in it is liked"
        )
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    random = np.random.default_rng(seed)
    network.train()
    curve = np.zeros(options.pass_count)
    for number in range(options.pass_count):
        for example_B in np.array_split(random.permutation(example_count), -(-example_count // options.batch_size)):
            loss = loss_of(example_B, random)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            curve[number] += loss.item() * len(example_B) / example_count
        if not np.isfinite(curve[number]):
            raise ValueError(
                f"the loss is {curve[number]} in pass {number + 1}: lower learning_rate={options.learning_rate}"
            )
    network.eval()
    return curve


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


def in_batch_softmax(logits_BB: torch.Tensor, is_known_BB: torch.Tensor) -> torch.Tensor:
    """Return the mean of -log of the share that a row's own column has among those that are candidates.

    The own column is on the diagonal; any other that the row's visitor is known to have taken is no candidate.

    >>> known = torch.tensor([[True, False], [True, True]])
    >>> round(in_batch_softmax(torch.zeros(2, 2), known).item(), 4)  # of two, and of one
    0.3466
    """
    own = torch.eye(len(logits_BB), dtype=torch.bool)
    return cross_entropy(logits_BB.masked_fill(is_known_BB & ~own, -torch.inf), torch.arange(len(logits_BB)))
