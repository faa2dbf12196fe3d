"""The text tower equals open_clip's own: bit for bit where all positions run, in value and gradient where not."""

from __future__ import annotations

import json
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CustomTextCLIP
from open_clip.transformer import TextTransformer

from models.search.config import tiny_architecture
from models.search.errors import ModelError
from models.search.model import build_network, build_tiny_model
from models.search.text_tower import TextTower
from tests.errors import raises

END, PLACES, DIM = 39, 9, 6
SMALL = {"width": 16, "heads": 2, "layers": 2}
SIZES = {"context_length": PLACES, "vocab_size": END + 1, "eos_id": END, **SMALL}


def tower(**changes: Any) -> tuple[TextTransformer, TextTower]:
    """Return open_clip's tower and the project's with the same weights."""
    torch.manual_seed(1)
    text_cfg: dict[str, Any] = SIZES | changes
    peer = TextTransformer(**text_cfg, output_dim=DIM).double()
    return peer, TextTower.of_weights({"embed_dim": DIM, "text_cfg": text_cfg}, peer.state_dict())


def tokens(lengths: list[int]) -> torch.Tensor:
    """Return texts of so many tokens, the end among them; 0 is padding."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.zeros(len(lengths), PLACES, dtype=torch.int64)
    for row, length in zip(rows, lengths, strict=True):
        row[: length - 1] = torch.randint(1, END, (length - 1,), generator=generator)
        row[length - 1] = END
    return rows


def small_architectures() -> list[dict[str, Any]]:
    """Return the different text towers of open_clip's models, those of transformers and CoCa left out, made small."""
    different = {}
    for name in open_clip.list_models():
        architecture = open_clip.get_model_config(name)
        text_cfg = architecture["text_cfg"]
        if text_cfg.get("hf_model_name") or "multimodal_cfg" in architecture:
            continue
        small = {
            "embed_dim": SMALL["width"],
            "vision_cfg": tiny_architecture(image_size=16, vision_layers=1, vision_width=32)["vision_cfg"],
            "text_cfg": {name: value for name, value in text_cfg.items() if name != "hf_tokenizer_name"}
            | SMALL
            | {"vocab_size": END + 1},
            "quick_gelu": architecture.get("quick_gelu", False),
        }
        different[json.dumps(small, sort_keys=True)] = small
    return list(different.values())


def test_every_text_tower_of_open_clip_gives_its_very_numbers() -> None:
    architectures = small_architectures()
    assert len(architectures) >= 15
    for architecture in architectures:
        torch.manual_seed(0)
        peer = CustomTextCLIP(**architecture).text.eval()
        own = TextTower.of_weights(architecture, peer.state_dict()).eval()
        assert [name for name, _ in own.named_parameters()] == [name for name, _ in peer.named_parameters()]
        text_cfg = architecture["text_cfg"]
        text_BL = torch.randint(3, END, (3, text_cfg.get("context_length", 77)))
        text_BL[:, -1] = END if text_cfg.get("pool_type", "argmax") == "argmax" else text_cfg.get("eos_id", 2)
        expected_BD = peer(text_BL)
        assert torch.equal(own._features(text_BL), expected_BD), text_cfg
        torch.testing.assert_close(own(text_BL), expected_BD)


@pytest.mark.parametrize("changes", [{}, {"pool_type": "eos"}, {"proj_bias": True}, {"proj_type": "none"}])
@pytest.mark.parametrize("lengths", [[3, 9, 2, 2, 5, 1], [9, 9], [2, 2, 2], [1]])
def test_equals_the_tower_in_value_and_gradient(changes: dict[str, Any], lengths: list[int]) -> None:
    (peer, own), text_BL = tower(**changes), tokens(lengths)
    plain_BD = peer(text_BL)
    plain_BD.square().sum().backward()
    found_BD = own(text_BL)
    torch.testing.assert_close(found_BD, plain_BD)
    found_BD.square().sum().backward()
    expected = dict(peer.named_parameters())
    for name, parameter in own.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, msg=name)


def test_computes_no_more_positions_than_the_texts_have(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    _, own = tower()
    monkeypatch.setattr(own.transformer, "forward", lambda x, attn_mask: (seen.append(tuple(x.shape)), attn_mask, x)[2])
    own(tokens([2, 8, 3, 2, 3]))
    assert seen == [(4, 3, 16), (1, 8, 16)]


@pytest.mark.parametrize("changes", [{"no_causal_mask": True}, {"pool_type": "last"}, {"pool_type": "first"}])
def test_a_tower_that_looks_at_every_position_runs_as_it_is(changes: dict[str, Any]) -> None:
    (peer, own), text_BL = tower(**changes), tokens([3, 9, 2])
    torch.testing.assert_close(own(text_BL), peer(text_BL), rtol=0, atol=0)


def test_a_text_without_an_end_is_read_where_open_clip_reads_it() -> None:
    peer, own = tower(pool_type="eos")
    text_BL = torch.randint(1, END, (2, PLACES), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own(text_BL), peer(text_BL))


def test_no_text_has_no_vector() -> None:
    assert tower()[1](tokens([])).shape == (0, DIM)


def test_gradients_are_the_same_with_checkpointed_activations() -> None:
    _, own = tower()
    text_BL = tokens([3, 9, 2])
    own(text_BL).square().sum().backward()
    expected = {name: parameter.grad for name, parameter in own.named_parameters()}
    own.zero_grad()
    own.set_grad_checkpointing()
    own(text_BL).square().sum().backward()
    for name, parameter in own.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], msg=name)


def test_a_search_model_encodes_as_its_tower_does() -> None:
    model = build_tiny_model(texts=["red cat", "GB: red cat", "blue dog"] * 3, text_layers=2, text_width=32)
    text_BL = model.tokenize(["cat", "GB: red cat on a blue dog", "猫"])
    plain_BD = torch.nn.functional.normalize(model.network.text._features(text_BL), dim=-1)
    torch.testing.assert_close(model.encode_tokens(text_BL), plain_BD)


def test_towers_that_would_give_other_numbers_are_refused() -> None:
    architecture = tiny_architecture(vision_layers=1, text_layers=1)
    architecture["text_cfg"] |= {"qk_norm": False, "ls_init_value": None}  # off: nothing is asked for
    assert isinstance(build_network(architecture).text, TextTower)
    architecture["text_cfg"] |= {"embed_cls": True, "ls_init_value": 0.1}
    with raises(ModelError, "architecture_unsupported", options=["embed_cls", "ls_init_value"]):
        build_network(architecture)
