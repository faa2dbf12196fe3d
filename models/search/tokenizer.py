"""Text to token ids: open_clip's offline byte-level BPE, or a transformers tokenizer kept beside the weights.

The latter comes with a pretrained model or is learned from a site's own texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from tokenizers import Tokenizer as Pieces
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from models.search.errors import ModelError

Tokenizer = Callable[[list[str]], torch.Tensor]
"""Texts to int64 ids [B, context_length]."""

FOLDER = "tokenizer"
_PAD, _END = "<pad>", "<end>"


def needs_files(text_cfg: dict[str, Any]) -> bool:
    """Say whether a text tower has a vocabulary of its own, which a saved model must bring along."""
    return bool(text_cfg.get("hf_tokenizer_name"))


def make_tokenizer(text_cfg: dict[str, Any], source: str | Path | None = None) -> Tokenizer:
    """Return the tokenizer of a text tower.

    `source` is a folder of tokenizer files; without it a tower with its own vocabulary asks the hub. Raises
    `ModelError` if its files can be had from neither.
    """
    options: dict[str, Any] = dict(text_cfg.get("tokenizer_kwargs") or {})
    context_length = int(text_cfg["context_length"])
    if not needs_files(text_cfg):
        plain: Tokenizer = SimpleTokenizer(context_length=context_length, **options)
        return plain
    name = str(source or text_cfg["hf_tokenizer_name"])
    try:
        own: Tokenizer = HFTokenizer(
            name, context_length=context_length, tokenizer_mode=text_cfg.get("tokenizer_mode"), **options
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            "tokenizer_not_loaded",
            f"the tokenizer {name!r} cannot be loaded ({_first_line(error)}). Its files (tokenizer.json ...) must be "
            f"in that folder, or, for a hub name, the hub must be reachable or hold them in its cache.",
            tokenizer=name,
        ) from error
    return own


def learn_tokenizer(texts: Iterable[str], vocab_size: int, context_length: int) -> tuple[HFTokenizer, dict[str, Any]]:
    """Learn byte-level BPE from texts; return the tokenizer and the `text_cfg` entries of a tower that reads it.

    Frequent words of any script become one token, rare ones pieces; nothing is unknown (Sennrich et al. 2016; bytes
    as in GPT-2). There are fewer than `vocab_size` tokens if fewer pieces occur twice. The tower reads the text's
    vector at its end token.
    """
    pieces = Pieces(BPE())
    pieces.pre_tokenizer = ByteLevel(add_prefix_space=True)
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[_PAD, _END],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces.train_from_iterator(texts, trainer)
    end = pieces.token_to_id(_END)
    pieces.post_processor = TemplateProcessing(single=f"$A {_END}", special_tokens=[(_END, end)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=pieces, pad_token=_PAD, eos_token=_END, model_max_length=context_length
    )
    with TemporaryDirectory() as folder:
        fast.save_pretrained(folder)
        tokenizer = HFTokenizer(folder, context_length=context_length)
    text_cfg = {
        # no hub has it: the name makes the model's digest depend on the files, which are beside the weights
        "hf_tokenizer_name": "learned-" + hashlib.sha256(pieces.to_str().encode()).hexdigest()[:16],
        "vocab_size": pieces.get_vocab_size(),
        "pool_type": "eos",
        "eos_id": end,
        "pad_id": pieces.token_to_id(_PAD),
    }
    return tokenizer, text_cfg


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files of a transformers tokenizer to `folder`/tokenizer; the offline one needs none."""
    if isinstance(tokenizer, HFTokenizer):
        tokenizer.save_pretrained(str(folder / FOLDER))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
