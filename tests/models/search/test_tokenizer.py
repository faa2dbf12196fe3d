"""Tokens are open_clip's: of CLIP's own vocabulary, and of vocabularies that models bring along."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from transformers import PreTrainedTokenizerFast

from models.search.errors import ModelError
from models.search.tokenizer import clip_tokenizer, learn_tokenizer, make_tokenizer, read_tokenizer
from tests.errors import raises

PEER = SimpleTokenizer(context_length=16)
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn", "Co"], exclude_characters="\u0345")
SCRAPS = st.sampled_from(["cat", "Dogs'll ", "isn’t", ":<", "&amp;lt;", " \t", "_", "Ä", "猫", "🦊", "ﬁ", "½"])
TEXTS = ["a photo, of a_cat", *["GB: cat", "RU: кот", "JP: 猫", "US: new york!"] * 5, "a " * 30, ""]
BERT = {"pad_token": "<pad>", "sep_token": "<end>"}


@given(st.lists(st.lists(st.one_of(ASSIGNED, SCRAPS), max_size=9).map("".join), min_size=1, max_size=4))
def test_clips_own_vocabulary_gives_open_clips_tokens(texts: list[str]) -> None:
    assert torch.equal(clip_tokenizer({"context_length": 16})(texts), PEER(texts))


def test_clips_texts_are_cut_before_their_end_token() -> None:
    tokenizer, long = clip_tokenizer({"context_length": 5}), ["one two three four five six", "cat"]
    assert torch.equal(tokenizer(long), SimpleTokenizer(context_length=5)(long))
    assert torch.equal(clip_tokenizer({"context_length": 16})(long), PEER(long))  # each keeps its length


def test_the_name_of_a_special_token_is_words_in_a_text() -> None:
    start, *inner, end = clip_tokenizer({"context_length": 16})(["<end_of_text>"])[0, :12].tolist()
    assert (start, end) == (49406, 0)
    assert inner.count(49407) == 1


@pytest.mark.parametrize(
    "options",
    [{}, {"clean": "whitespace"}, {"clean": "lower"}, {"clean": "canonicalize"}, {"strip_sep_token": True}],
)
def test_a_models_own_vocabulary_gives_open_clips_tokens(tmp_path: Path, options: dict[str, Any]) -> None:
    learned, text_cfg = learn_tokenizer(TEXTS, 400, 8)
    fast = PreTrainedTokenizerFast(tokenizer_object=learned.pieces, **BERT)
    fast.save_pretrained(tmp_path)
    text_cfg |= {"context_length": 8, "tokenizer_kwargs": options}
    expected_BL = HFTokenizer(str(tmp_path), context_length=8, **options)(TEXTS)
    assert torch.equal(make_tokenizer(text_cfg, learned.pieces, BERT)(TEXTS), expected_BL)
    assert torch.equal(read_tokenizer(text_cfg, tmp_path)(TEXTS), expected_BL)  # transformers' files are read too
    assert expected_BL.shape == (len(TEXTS), 8)


def test_padding_and_cutting_are_on_the_side_that_the_vocabulary_says(tmp_path: Path) -> None:
    learned, text_cfg = learn_tokenizer(TEXTS, 400, 4)
    left = {"pad_token": "<pad>", "padding_side": "left", "truncation_side": "left"}
    PreTrainedTokenizerFast(tokenizer_object=learned.pieces, **left).save_pretrained(tmp_path / "peer")
    tokenizer = make_tokenizer(text_cfg | {"context_length": 4}, learned.pieces, left)
    tokenizer.save(tmp_path / "own")
    found_BL = read_tokenizer(text_cfg | {"context_length": 4}, tmp_path / "own")(TEXTS)
    assert torch.equal(found_BL, HFTokenizer(str(tmp_path / "peer"), context_length=4)(TEXTS))
    assert found_BL[-1].tolist()[:3] == [0, 0, 0]


def test_a_tokenizer_goes_to_another_process() -> None:
    tokenizer, _ = learn_tokenizer(TEXTS, 400, 8)
    assert torch.equal(pickle.loads(pickle.dumps(tokenizer))(TEXTS), tokenizer(TEXTS))
    assert tokenizer([]).shape == (0, 8)


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenizer_kwargs": {"clean": "nothing"}},
        {"tokenizer_kwargs": {"reduction_mask": "simple"}},
        {"tokenizer_mode": "clips"},
    ],
)
def test_what_would_give_other_tokens_is_refused(changes: dict[str, Any]) -> None:
    learned, text_cfg = learn_tokenizer(TEXTS, 400, 8)
    with raises(ModelError, "architecture_unsupported"):
        make_tokenizer(text_cfg | {"context_length": 8} | changes, learned.pieces, BERT)


@pytest.mark.parametrize(("name", "text"), [("tokenizer.json", "{"), ("tokenizer_config.json", "[]")])
def test_files_that_are_damaged_are_named(tmp_path: Path, name: str, text: str) -> None:
    learned, text_cfg = learn_tokenizer(TEXTS, 400, 8)
    learned.save(tmp_path)
    (tmp_path / name).write_text(text)
    with raises(ModelError, "tokenizer_not_loaded", tokenizer=str(tmp_path)):
        read_tokenizer(text_cfg | {"context_length": 8}, tmp_path)
