"""Text to token ids: CLIP's byte-level BPE, which comes with open_clip, or pieces kept beside the weights.

The latter come with a pretrained model or are learned from a site's own texts. All are run by one library, which loads
in no time; open_clip and transformers, which have tokenizers too, take longer to load than a search does.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import importlib.util
import json
import string
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import ftfy
import torch
from tokenizers import Regex
from tokenizers import Tokenizer as Pieces
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from models.search.errors import ModelError

FOLDER = "tokenizer"
PIECES, SPECIAL = "tokenizer.json", "tokenizer_config.json"
"""The files of a vocabulary: what the library saves, and which tokens pad and separate (transformers' names)."""
_PAD, _END = "<pad>", "<end>"
_CLIP_START, _CLIP_END = "<start_of_text>", "<end_of_text>"
_CLIP_MERGES = 49152 - 256 - 2
_CLIP_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Tokenizer:
    """Texts to int64 ids [B, context_length]; picklable.

    `special` says which token pads (`pad_token`) and perhaps which separates (`sep_token`), and at which side texts are
    padded and cut. Raises `ModelError` for `options` (`tokenizer_kwargs`) that it does not know.
    """

    def __init__(
        self, pieces: Pieces, special: dict[str, str], context_length: int, options: dict[str, Any] | None = None
    ) -> None:
        options = {"clean": "whitespace", "strip_sep_token": False} | (options or {})
        if len(options) > 2 or options["clean"] not in _CLEAN:
            raise ModelError(
                "architecture_unsupported",
                f"tokenizers with the options {options} are not supported: take another model",
                options=options,
            )
        self.pieces, self.special, self._clean = pieces, special, _CLEAN[options["clean"]]
        self._length = context_length
        self._removed = pieces.token_to_id(special["sep_token"]) if options["strip_sep_token"] else None
        pad, side = special["pad_token"], special.get("padding_side", "right")
        pieces.enable_truncation(context_length, direction=special.get("truncation_side", "right"))
        pieces.enable_padding(length=context_length, pad_id=pieces.token_to_id(pad), pad_token=pad, direction=side)

    def __call__(self, texts: Iterable[str]) -> torch.Tensor:
        """Return the ids."""
        found = self.pieces.encode_batch([self._clean(text) for text in texts])
        id_BL = torch.tensor([one.ids for one in found], dtype=torch.int64).reshape(len(found), self._length)
        return id_BL if self._removed is None else id_BL.masked_fill(id_BL == self._removed, 0)

    def save(self, folder: Path) -> None:
        """Write the files of the vocabulary."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PIECES).write_text(self.pieces.to_str(), encoding="utf-8")
        (folder / SPECIAL).write_text(json.dumps(self.special, ensure_ascii=False, sort_keys=True), encoding="utf-8")


def needs_files(text_cfg: dict[str, Any]) -> bool:
    """Say whether a text tower has a vocabulary of its own, which a saved model must bring along."""
    return bool(text_cfg.get("hf_tokenizer_name"))


def read_tokenizer(text_cfg: dict[str, Any], folder: Path) -> Tokenizer:
    """Return the tokenizer of a text tower, from a folder that `Tokenizer.save` wrote if it needs one.

    Raises `ModelError` if its files are gone or unreadable.
    """
    if not needs_files(text_cfg):
        return clip_tokenizer(text_cfg)
    try:
        special = json.loads((folder / SPECIAL).read_text(encoding="utf-8"))
        pieces = _pieces((folder / PIECES).read_text(encoding="utf-8"))
        return make_tokenizer(text_cfg, pieces, special)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise tokenizer_not_loaded(str(folder), error) from error


def make_tokenizer(text_cfg: dict[str, Any], pieces: Pieces, special: dict[str, str]) -> Tokenizer:
    """Return the tokenizer of a text tower with a vocabulary of its own."""
    if text_cfg.get("tokenizer_mode"):
        raise ModelError(
            "architecture_unsupported",
            f"the tokenizer mode {text_cfg['tokenizer_mode']!r} is not supported: take another model",
            options=[text_cfg["tokenizer_mode"]],
        )
    return Tokenizer(pieces, special, int(text_cfg["context_length"]), text_cfg.get("tokenizer_kwargs"))


def clip_tokenizer(text_cfg: dict[str, Any]) -> Tokenizer:
    """Return CLIP's tokenizer (English; Radford et al. 2021), whose pad token is the first of its vocabulary, 0."""
    options, length = {"clean": "lower"} | (text_cfg.get("tokenizer_kwargs") or {}), int(text_cfg["context_length"])
    return Tokenizer(_clip_pieces(length), {"pad_token": "!"}, length, options)


def tokenizer_not_loaded(name: str, error: Exception) -> ModelError:
    """Return the error about files of a vocabulary that cannot be had."""
    lines = str(error).strip().splitlines()
    return ModelError(
        "tokenizer_not_loaded",
        f"the tokenizer {name!r} cannot be loaded ({lines[0] if lines else type(error).__name__}). Its files "
        f"({PIECES} ...) must be in that folder, or, for a hub name, the hub must be reachable or hold them in its "
        f"cache.",
        tokenizer=name,
    )


def learn_tokenizer(texts: Iterable[str], vocab_size: int, context_length: int) -> tuple[Tokenizer, dict[str, Any]]:
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
    text_cfg = {
        # no hub has it: the name makes the model's digest depend on the files, which are beside the weights
        "hf_tokenizer_name": "learned-" + hashlib.sha256(pieces.to_str().encode()).hexdigest()[:16],
        "vocab_size": pieces.get_vocab_size(),
        "pool_type": "eos",
        "eos_id": end,
        "pad_id": pieces.token_to_id(_PAD),
    }
    return Tokenizer(pieces, {"pad_token": _PAD}, context_length), text_cfg


def _pieces(text: str) -> Pieces:
    try:
        return Pieces.from_str(text)
    except Exception as error:  # the library raises no other
        raise ValueError(f"{PIECES}: {error}") from error


@cache
def _clip_pieces(_: int) -> Pieces:
    """Return CLIP's vocabulary for texts of a length, made of the merges that open_clip brings along.

    Tokens equal open_clip's own but in texts with the mark U+0345, which that joins to letters, and where somebody
    writes the name of a special token: here that is words.
    """
    package = importlib.util.find_spec("open_clip")  # found, not imported
    assert package is not None
    assert package.origin is not None
    packed = (Path(package.origin).parent / "bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().split("\n")[1 : _CLIP_MERGES + 1]
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
    alphabet = _byte_letters()
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *(left + right for left, right in merges)]
    vocabulary = {token: number for number, token in enumerate([*tokens, _CLIP_START, _CLIP_END])}
    pieces = Pieces(BPE(vocabulary, merges, end_of_word_suffix="</w>", continuing_subword_prefix=""))
    words = Split(Regex(_CLIP_WORDS), "removed", invert=True)
    pieces.pre_tokenizer = Sequence([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    ends = [(token, vocabulary[token]) for token in (_CLIP_START, _CLIP_END)]
    pieces.post_processor = TemplateProcessing(single=f"{_CLIP_START} $A {_CLIP_END}", special_tokens=ends)
    return pieces


def _byte_letters() -> list[str]:
    """Return the letter that stands for each byte, in the order of CLIP's tokens: printable bytes first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))]


def _tidy(text: str) -> str:
    """Return text as open_clip reads all texts: mended, without HTML's escapes, one space between words."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def _canonical(text: str) -> str:
    """Return text as SigLIP reads it: no punctuation, small letters (big_vision's `canonicalize_text`)."""
    bare = html.unescape(html.unescape(ftfy.fix_text(text))).replace("_", " ")
    return " ".join(bare.translate(str.maketrans("", "", string.punctuation)).lower().split())


_CLEAN: dict[str, Callable[[str], str]] = {
    "whitespace": _tidy,
    "lower": lambda text: _tidy(text).lower(),
    "canonicalize": _canonical,
}
