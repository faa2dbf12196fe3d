"""Gradients of a batch in chunks against those of the same chunks encoded with one graph, dropout included."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn.functional import normalize

from models.search.gradient_cache import backward_in_chunks
from models.search.losses import LOSSES
from models.search.losses.pairs import Pairs

CPU = torch.device("cpu")
PHOTOS, TEXTS = 10, 7


class Towers(torch.nn.Module):
    """Two encoders with dropout, scale and bias, and a batch to encode."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.photo = self._tower(dropout)
        self.text = self._tower(dropout)
        self.scale = torch.nn.Parameter(torch.tensor(5.0))
        self.bias = torch.nn.Parameter(torch.tensor(-2.0))
        self.photos, self.texts = torch.randn(PHOTOS, 6), torch.randn(TEXTS, 6)
        self.pairs = Pairs(torch.arange(PHOTOS), torch.arange(PHOTOS) % TEXTS, PHOTOS, TEXTS)
        self.double()

    @staticmethod
    def _tower(dropout: float) -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Linear(6, 16), torch.nn.GELU(), torch.nn.Dropout(dropout), torch.nn.Linear(16, 4)
        )

    def encode_photos(self, start: int, stop: int) -> torch.Tensor:
        return normalize(self.photo(self.photos[start:stop].double()), dim=-1)

    def encode_texts(self, start: int, stop: int) -> torch.Tensor:
        return normalize(self.text(self.texts[start:stop].double()), dim=-1)

    def loss(self, name: str, photo_UD: torch.Tensor, text_VD: torch.Tensor) -> torch.Tensor:
        return LOSSES[name](photo_UD, text_VD, self.scale, self.bias, self.pairs)

    def gradients(self) -> dict[str, torch.Tensor]:
        return {name: value.grad for name, value in self.named_parameters() if value.grad is not None}

    def in_chunks(self, chunk_size: int, name: str = "sigmoid") -> torch.Tensor:
        return backward_in_chunks(
            self.encode_photos,
            PHOTOS,
            self.encode_texts,
            TEXTS,
            partial(self.loss, name),
            chunk_size=chunk_size,
            device=CPU,
        )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("chunk_size", [1, 3, 5, 100])
def test_chunks_have_the_gradients_of_the_whole_batch(name: str, chunk_size: int) -> None:
    whole, chunked = Towers(dropout=0.0), Towers(dropout=0.0)
    expected = whole.loss(name, whole.encode_photos(0, PHOTOS), whole.encode_texts(0, TEXTS))
    expected.backward()
    value = chunked.in_chunks(chunk_size, name)
    assert not value.requires_grad
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(chunked.gradients(), whole.gradients())


@pytest.mark.parametrize("chunk_size", [3, 100])
def test_dropout_is_replayed_and_random_numbers_go_on_as_after_encoding_once(chunk_size: int) -> None:
    whole, chunked = Towers(dropout=0.5), Towers(dropout=0.5)
    torch.manual_seed(1)
    sides = [
        torch.cat([encode(start, min(start + chunk_size, count)) for start in range(0, count, chunk_size)])
        for encode, count in ((whole.encode_photos, PHOTOS), (whole.encode_texts, TEXTS))
    ]
    expected = whole.loss("sigmoid", *sides)
    expected.backward()
    after = torch.rand(3)
    torch.manual_seed(1)
    value = chunked.in_chunks(chunk_size)
    assert torch.equal(torch.rand(3), after)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(chunked.gradients(), whole.gradients())
    torch.manual_seed(2)
    assert chunked.in_chunks(chunk_size) != value


def test_gradients_are_added_to_those_already_there() -> None:
    towers = Towers(dropout=0.0)
    towers.in_chunks(4)
    once = {name: gradient.clone() for name, gradient in towers.gradients().items()}
    towers.in_chunks(4)
    torch.testing.assert_close(towers.gradients(), {name: 2 * gradient for name, gradient in once.items()})


def test_no_more_than_a_chunk_is_encoded_with_a_graph_and_a_frozen_tower_not_twice() -> None:
    towers, calls = Towers(dropout=0.0), []
    towers.text.requires_grad_(False)

    def noted(side: str, start: int, stop: int) -> torch.Tensor:
        calls.append((side, start, stop, torch.is_grad_enabled()))
        return (towers.encode_photos if side == "photo" else towers.encode_texts)(start, stop)

    loss = partial(towers.loss, "sigmoid")
    backward_in_chunks(partial(noted, "photo"), PHOTOS, partial(noted, "text"), TEXTS, loss, chunk_size=4, device=CPU)
    photo_chunks, text_chunks = [(0, 4), (4, 8), (8, 10)], [(0, 4), (4, 7)]
    expected = [("photo", *chunk, False) for chunk in photo_chunks]
    expected += [("text", *chunk, False) for chunk in text_chunks]
    expected += [("photo", *chunk, True) for chunk in photo_chunks]
    expected += [("text", 0, 4, True)]  # which tells that no gradient is needed
    assert calls == expected
    assert "text.0.weight" not in towers.gradients()
    assert "photo.0.weight" in towers.gradients()


@pytest.mark.gpu
def test_dropout_is_replayed_on_a_gpu() -> None:
    towers = Towers(dropout=0.5).cuda()
    device = torch.device("cuda", torch.cuda.current_device())
    masks: list[torch.Tensor] = []

    def encode(start: int, stop: int) -> torch.Tensor:
        dropped = torch.nn.functional.dropout(torch.ones(stop - start, 6, device=device).double())
        masks.append(dropped)
        return towers.photo[0](dropped)

    count = 5
    backward_in_chunks(encode, count, encode, count, lambda a, b: (a @ b.T).sum(), chunk_size=2, device=device)
    assert len(masks) == 12
    assert all(torch.equal(first, again) for first, again in zip(masks[:6], masks[6:], strict=True))
