"""Text to token ids: open_clip's offline byte-level BPE, or a transformers tokenizer kept beside the weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from models.search.errors import ModelError

Tokenizer = Callable[[list[str]], torch.Tensor]
"""Texts to int64 ids [B, context_length]."""

FOLDER = "tokenizer"


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
            f"the tokenizer {name!r} cannot be loaded ({_first_line(error)}). Its files (tokenizer.json ...) must be "
            f"in that folder, or, for a hub name, the hub must be reachable or hold them in its cache."
        ) from error
    return own


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files of a transformers tokenizer to `folder`/tokenizer; the offline one needs none."""
    if isinstance(tokenizer, HFTokenizer):
        tokenizer.save_pretrained(str(folder / FOLDER))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
