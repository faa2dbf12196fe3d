"""Tokens learned from a site's own texts: any script, nothing unknown, and they travel with the model."""

from __future__ import annotations

from pathlib import Path

import torch

from models.search.errors import ModelError
from models.search.model import SearchModel, build_tiny_model, extend_model
from models.search.tokenizer import learn_tokenizer
from tests.errors import raises

TEXTS = ["a photo of a cat", *["GB: cat", "RU: кот", "JP: 猫", "US: new york"] * 20]
SIZES = {"image_size": 16, "patch_size": 8, "vision_layers": 1, "text_layers": 1, "context_length": 8}


def model_of(texts: list[str], seed: int = 0) -> SearchModel:
    return build_tiny_model(texts=texts, seed=seed, **SIZES)


def lengths(tokens_BL: torch.Tensor) -> list[int]:
    """Count the tokens before the padding, 0."""
    return (tokens_BL != 0).sum(1).tolist()


def test_frequent_words_of_any_script_are_one_token_whatever_stands_before_them() -> None:
    tokenizer, text_cfg = learn_tokenizer(TEXTS, 1000, 8)
    tokens_BL = tokenizer(["cat", "кот", "猫", "new york", "RU: кот"])
    assert lengths(tokens_BL) == [2, 2, 2, 3, 4]  # with the end token
    assert tokens_BL[1, 0] == tokens_BL[4, 2]
    assert text_cfg["vocab_size"] == max(tokenizer.pieces.get_vocab().values()) + 1 < 1000


def test_nothing_is_unknown_and_every_text_has_its_end_token() -> None:
    tokenizer, text_cfg = learn_tokenizer(TEXTS, 1000, 8)
    texts = ["собака", "犬", "🦊", "", "a very long text that has far more than eight tokens in it"]
    tokens_BL = tokenizer(texts)
    assert tokens_BL.shape == (5, 8)
    assert ((tokens_BL == text_cfg["eos_id"]).sum(1) == 1).all()
    assert len({tuple(row) for row in tokens_BL.tolist()}) == len(texts)


def test_the_same_texts_give_the_same_tokens_in_any_order() -> None:
    tokenizer, text_cfg = learn_tokenizer(TEXTS, 1000, 8)
    again, again_cfg = learn_tokenizer(TEXTS[::-1], 1000, 8)
    assert text_cfg == again_cfg
    assert torch.equal(tokenizer(TEXTS), again(TEXTS))


def test_a_query_is_read_at_its_end_and_padding_does_not_matter() -> None:
    model = model_of(TEXTS)
    short_BL = model.tokenize(["cat", "кот"])
    with torch.no_grad():
        expected_BD = model.encode_tokens(short_BL)
        padded_BD = model.encode_tokens(torch.cat([short_BL[:, :7], short_BL[:, 7:] + 3], 1))
        torch.testing.assert_close(padded_BD, expected_BD)
    assert not torch.allclose(expected_BD[0], expected_BD[1])


def test_the_tokens_travel_with_the_model(tmp_path: Path) -> None:
    model = extend_model(model_of(TEXTS), uses_country=True, vocabulary=None)
    model.save(tmp_path)
    loaded = SearchModel.load(tmp_path)
    assert loaded.digest == model.digest
    with torch.no_grad():
        assert torch.equal(loaded.encode_queries(TEXTS), model.encode_queries(TEXTS))
    for file in (tmp_path / "tokenizer").iterdir():
        file.unlink()
    with raises(ModelError, "tokenizer_not_loaded", tokenizer=str(tmp_path / "tokenizer")):
        SearchModel.load(tmp_path)


def test_other_tokens_are_another_model() -> None:
    other = [text.replace("cat", "act") for text in TEXTS]
    assert model_of(TEXTS).text_digest != model_of(other).text_digest
    assert model_of(TEXTS).text_digest == model_of(TEXTS).text_digest
