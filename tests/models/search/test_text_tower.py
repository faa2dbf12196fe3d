"""The shortened run of the text tower equals open_clip's own, in value and gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from open_clip.transformer import TextTransformer

from models.search.model import build_tiny_model
from models.search.text_tower import text_features

END = 39


def tower(**changes: Any) -> TextTransformer:
    torch.manual_seed(1)
    sizes = {"context_length": 9, "vocab_size": END + 1, "width": 16, "heads": 2, "layers": 2, "output_dim": 6}
    return TextTransformer(**(sizes | {"pool_type": "argmax", "eos_id": END} | changes)).double()


def tokens(lengths: list[int]) -> torch.Tensor:
    """Return texts of so many tokens, the end among them; 0 is padding."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.zeros(len(lengths), 9, dtype=torch.int64)
    for row, length in zip(rows, lengths, strict=True):
        row[: length - 1] = torch.randint(1, END, (length - 1,), generator=generator)
        row[length - 1] = END
    return rows


@pytest.mark.parametrize("changes", [{}, {"pool_type": "eos"}, {"proj_bias": True}, {"output_dim": None}])
@pytest.mark.parametrize("lengths", [[3, 9, 2, 2, 5, 1], [9, 9], [2, 2, 2], [1]])
def test_equals_the_tower_in_value_and_gradient(changes: dict[str, Any], lengths: list[int]) -> None:
    model, text_BL = tower(**changes), tokens(lengths)
    plain_BD = model(text_BL)
    plain_BD.square().sum().backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    found_BD = text_features(model, text_BL)
    torch.testing.assert_close(found_BD, plain_BD)
    found_BD.square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], msg=name)


def test_computes_no_more_positions_than_the_texts_have(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = tower(), []
    monkeypatch.setattr(
        model.transformer, "forward", lambda x, attn_mask: (seen.append(tuple(x.shape)), attn_mask, x)[2]
    )
    text_features(model, tokens([2, 8, 3, 2, 3]))
    assert seen == [(4, 3, 16), (1, 8, 16)]


@pytest.mark.parametrize("changes", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}])
def test_a_tower_that_looks_at_every_position_runs_as_it_is(changes: dict[str, Any]) -> None:
    model, text_BL = tower(**changes), tokens([3, 9, 2])
    torch.testing.assert_close(text_features(model, text_BL), model(text_BL), rtol=0, atol=0)


def test_a_text_without_an_end_is_read_where_open_clip_reads_it() -> None:
    model = tower(pool_type="eos")
    text_BL = torch.randint(1, END, (2, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(text_features(model, text_BL), model(text_BL))


def test_gradients_are_the_same_with_checkpointed_activations() -> None:
    model, text_BL = tower(), tokens([3, 9, 2])
    plain_BD = model(text_BL)
    model.transformer.grad_checkpointing = True
    torch.testing.assert_close(text_features(model, text_BL), plain_BD)


def test_a_search_model_encodes_as_its_tower_does() -> None:
    model = build_tiny_model(texts=["red cat", "GB: red cat", "blue dog"] * 3, text_layers=2, text_width=32)
    text_BL = model.tokenize(["cat", "GB: red cat on a blue dog", "猫"])
    plain_BD = torch.nn.functional.normalize(model.network.text(text_BL), dim=-1)
    torch.testing.assert_close(model.encode_tokens(text_BL), plain_BD)
