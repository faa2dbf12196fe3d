"""Running open_clip's text tower without the positions that nothing depends on.

A causal tower is read at its text's end token, and no position looks at a later one: what stands behind the end is
padding that costs as much as words do. Queries are short, so most of a batch is padding.

Shapes: B texts, L tokens of a text at most, D features.
"""

from __future__ import annotations

import torch
from open_clip.transformer import TextTransformer


def text_features(tower: torch.nn.Module, tokens_BL: torch.Tensor) -> torch.Tensor:
    """Return `tower(tokens_BL)`, raw features [B, D], up to rounding.

    A causal tower read at the end token computes short texts and long ones separately, each only as far as its
    longest reaches; any other computes everything.
    """
    if not len(tokens_BL) or not _reads_end_of_causal(tower):
        features_BD: torch.Tensor = tower(tokens_BL)
        return features_BD
    assert isinstance(tower, TextTransformer)
    length_B = _end_positions(tower, tokens_BL) + 1
    order_B = length_B.argsort(stable=True)
    cut = _best_cut(length_B[order_B].tolist())
    parts = [rows for rows in (order_B[:cut], order_B[cut:]) if len(rows)]
    found_BD = torch.cat([_truncated(tower, tokens_BL[rows, : int(length_B[rows[-1]])]) for rows in parts])
    return found_BD[order_B.argsort()]


def _reads_end_of_causal(tower: torch.nn.Module) -> bool:
    return (
        isinstance(tower, TextTransformer)
        and tower.attn_mask is not None
        and tower.cls_emb is None
        and tower.pool_type in ("argmax", "eos")
        and not tower.output_tokens
    )


def _end_positions(tower: TextTransformer, tokens_BL: torch.Tensor) -> torch.Tensor:
    """Return where the tower reads each text, int64 [B]: as open_clip finds it, the first place if there is no end."""
    is_end_BL = tokens_BL if tower.pool_type == "argmax" else (tokens_BL == tower.eos_id).int()
    return is_end_BL.argmax(dim=-1)


def _best_cut(lengths: list[int]) -> int:
    """Return how many of the ascending lengths go into the first of two parts, so that least is computed.

    >>> _best_cut([2, 2, 3, 9])
    3
    >>> _best_cut([4, 4])
    2
    """
    count, longest = len(lengths), lengths[-1]
    return min(range(count, 0, -1), key=lambda cut: cut * lengths[cut - 1] + (count - cut) * longest)


def _truncated(tower: TextTransformer, tokens_BL: torch.Tensor) -> torch.Tensor:
    """Return what the tower does to texts of L tokens, fewer than it has places for."""
    length = tokens_BL.shape[1]
    dtype = tower.transformer.get_cast_dtype()
    x_BLW = tower.token_embedding(tokens_BL).to(dtype) + tower.positional_embedding[:length].to(dtype)
    x_BLW = tower.ln_final(tower.transformer(x_BLW, attn_mask=tower.attn_mask[:length, :length]))
    rows = torch.arange(len(tokens_BL), device=tokens_BL.device)
    pooled_BW = x_BLW[rows, _end_positions(tower, tokens_BL)]
    projection = tower.text_projection
    if isinstance(projection, torch.nn.Linear):
        pooled_BW = projection(pooled_BW)
    elif projection is not None:
        pooled_BW = pooled_BW @ projection
    features_BD: torch.Tensor = pooled_BW
    return features_BD
