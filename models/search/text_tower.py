"""The text tower: a transformer with open_clip's weights and values, which does without open_clip, and without padding.

Importing open_clip takes longer than a search, for it loads picture libraries and transformers as well. Who has only
words needs none of them. The layers, their names and the order of what is computed are open_clip's, so that pretrained
weights fit and every vector is the same, bit for bit, wherever padding is not left out.

A causal tower is read at its text's end token, and no position looks at a later one: what stands behind the end is
padding that costs as much as words do. Queries are short, so most of a batch is padding.

Shapes: B texts, L tokens of a text at most, W width, D features.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from models.search.errors import ModelError

_USUAL: dict[str, Any] = {
    "context_length": 77,
    "vocab_size": 49408,
    "width": 512,
    "heads": 8,
    "layers": 12,
    "mlp_ratio": 4.0,
    "no_causal_mask": False,
    "eos_id": 2,
    "pool_type": "argmax",
    "proj_type": "linear",
    "proj_bias": False,
    "norm_kwargs": None,
    "act_kwargs": None,
}
"""The options of a tower, and what open_clip takes where a config does not say."""
_OF_THE_TOKENIZER = {"hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs", "pad_id"}


class TextTower(nn.Module):
    """The text tower of an open_clip architecture (embed_dim, text_cfg, perhaps quick_gelu).

    Its weights are those of `of_weights`: without, they mean nothing.
    """

    attn_mask: torch.Tensor | None

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        """Build it; `ModelError` for options that no model of open_clip but captioning ones (CoCa) has."""
        super().__init__()
        given = architecture["text_cfg"]
        others = {name for name, value in given.items() if value and name not in _USUAL.keys() | _OF_THE_TOKENIZER}
        if others:
            raise ModelError(
                "architecture_unsupported",
                f"text towers with {', '.join(sorted(others))} are not supported: take another model",
                options=sorted(others),
            )
        options = _USUAL | given
        width, places, dim = options["width"], options["context_length"], architecture["embed_dim"]
        self.pool_type, self.eos_id = options["pool_type"], options["eos_id"]
        # drawing random numbers for tables of `meta` would load PyTorch's compiler
        self.token_embedding = nn.Embedding.from_pretrained(torch.empty(options["vocab_size"], width), freeze=False)
        self.positional_embedding = nn.Parameter(torch.empty(places, width))
        self.transformer = _Blocks(options, bool(architecture.get("quick_gelu")))
        self.ln_final = _LayerNorm(width, **(options["norm_kwargs"] or {}))
        mask_LL = torch.full((places, places), -torch.inf, device="cpu").triu_(1)  # not even where weights are `meta`
        self.register_buffer("attn_mask", None if options["no_causal_mask"] else mask_LL, persistent=False)
        self.text_projection: nn.Linear | nn.Parameter | None = None
        if options["proj_type"] != "none":
            is_biased = options["proj_bias"]
            self.text_projection = nn.Linear(width, dim) if is_biased else nn.Parameter(torch.empty(width, dim))

    @classmethod
    def of_weights(cls, architecture: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> TextTower:
        """Return the tower with these very tensors; `RuntimeError` names those that do not fit."""
        with torch.device("meta"):
            tower = cls(architecture)
        tower.load_state_dict(weights, assign=True)
        return tower

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep no activations inside of blocks for the way back, but compute them again; called as open_clip's is."""
        self.transformer.grad_checkpointing = enable

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """Return raw features [B, D].

        A causal tower read at the end token computes short texts and long ones separately, each only as far as its
        longest reaches; any other computes everything.
        """
        if not len(tokens_BL) or self.attn_mask is None or self.pool_type not in ("argmax", "eos"):
            return self._features(tokens_BL)
        length_B = self._end_positions(tokens_BL) + 1
        order_B = length_B.argsort(stable=True)
        cut = _best_cut(length_B[order_B].tolist())
        parts = [rows for rows in (order_B[:cut], order_B[cut:]) if len(rows)]
        found_BD = torch.cat([self._features(tokens_BL[rows, : int(length_B[rows[-1]])]) for rows in parts])
        return found_BD[order_B.argsort()]

    def _end_positions(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """Return where the tower reads each text, int64 [B]; the first place if a text has no end."""
        is_end_BL = tokens_BL if self.pool_type == "argmax" else (tokens_BL == self.eos_id).int()
        return is_end_BL.argmax(dim=-1)

    def _features(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """Compute all positions of texts with at most as many tokens as there are places."""
        length = tokens_BL.shape[1]
        mask_LL = None if self.attn_mask is None else self.attn_mask[:length, :length]
        x_BLW = self.token_embedding(tokens_BL) + self.positional_embedding[:length]
        x_BLW = self.ln_final(self.transformer(x_BLW, attn_mask=mask_LL))
        pooled_BW: torch.Tensor = self._pool(x_BLW, tokens_BL)
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection(pooled_BW)  # type: ignore[no-any-return]
        return pooled_BW if self.text_projection is None else pooled_BW @ self.text_projection

    def _pool(self, x_BLW: torch.Tensor, tokens_BL: torch.Tensor) -> torch.Tensor:
        if self.pool_type == "first":
            return x_BLW[:, 0]
        if self.pool_type == "last":
            return x_BLW[:, -1]
        return x_BLW[torch.arange(len(x_BLW), device=x_BLW.device), self._end_positions(tokens_BL)]


class _Blocks(nn.Module):
    """The blocks one after another."""

    def __init__(self, options: Mapping[str, Any], is_quick: bool) -> None:
        super().__init__()
        self.grad_checkpointing = False
        self.resblocks = nn.ModuleList([_Block(options, is_quick) for _ in range(options["layers"])])

    def forward(self, x_BLW: torch.Tensor, attn_mask: torch.Tensor | None) -> torch.Tensor:
        for block in self.resblocks:
            if self.grad_checkpointing:
                x_BLW = checkpoint(block, x_BLW, attn_mask, use_reentrant=False)
            else:
                x_BLW = block(x_BLW, attn_mask)
        return x_BLW


class _Block(nn.Module):
    """Attention, then a network of two layers, each added to what it was given (Xiong et al. 2020: pre-norm)."""

    def __init__(self, options: Mapping[str, Any], is_quick: bool) -> None:
        super().__init__()
        width, hidden = options["width"], int(options["width"] * options["mlp_ratio"])
        norm_kwargs = options["norm_kwargs"] or {}
        gelu = _QuickGELU() if is_quick else nn.GELU(**(options["act_kwargs"] or {}))
        self.ln_1 = _LayerNorm(width, **norm_kwargs)
        self.attn = nn.MultiheadAttention(width, options["heads"], batch_first=True)
        self.ln_2 = _LayerNorm(width, **norm_kwargs)
        layers = {"c_fc": nn.Linear(width, hidden), "gelu": gelu, "c_proj": nn.Linear(hidden, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x_BLW: torch.Tensor, attn_mask: torch.Tensor | None) -> torch.Tensor:
        normal_BLW = self.ln_1(x_BLW)
        mask = None if attn_mask is None else attn_mask.to(normal_BLW.dtype)
        x_BLW = x_BLW + self.attn(normal_BLW, normal_BLW, normal_BLW, need_weights=False, attn_mask=mask)[0]
        added: torch.Tensor = x_BLW + self.mlp(self.ln_2(x_BLW))
        return added


class _LayerNorm(nn.LayerNorm):
    """Gives back the type it was given, also where PyTorch computes norms in another."""

    def forward(self, x_BLW: torch.Tensor) -> torch.Tensor:
        normal = functional.layer_norm(x_BLW, self.normalized_shape, self.weight, self.bias, self.eps)
        return normal.to(x_BLW.dtype)


class _QuickGELU(nn.Module):
    """OpenAI's approximation of GELU (Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415)."""

    def forward(self, x_BLW: torch.Tensor) -> torch.Tensor:
        return x_BLW * torch.sigmoid(1.702 * x_BLW)


def _best_cut(lengths: list[int]) -> int:
    """Return how many of the ascending lengths go into the first of two parts, so that least is computed.

    >>> _best_cut([2, 2, 3, 9])
    3
    >>> _best_cut([4, 4])
    2
    """
    count, longest = len(lengths), lengths[-1]
    return min(range(count, 0, -1), key=lambda cut: cut * lengths[cut - 1] + (count - cut) * longest)
