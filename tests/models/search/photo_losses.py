"""The losses of photos among photos, written out one candidate after the other, of one process or of many.

Rows may be of the same photo: ids tell. Shapes: U photos, D features.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

Two = tuple[int, int]


def two_views_by_definition(view_a_UD: torch.Tensor, view_b_UD: torch.Tensor, photo_id_U: torch.Tensor) -> torch.Tensor:
    """Return NT-Xent at temperature .1, without the views of a photo that comes again as negatives."""
    count, view_VD = len(view_a_UD), torch.cat((view_a_UD, view_b_UD))
    ids = photo_id_U.tolist() * 2
    logits_VV = 10 * view_VD @ view_VD.T
    losses = []
    for one in range(2 * count):
        other = (one + count) % (2 * count)
        candidates = [other] + [third for third in range(2 * count) if ids[third] != ids[one]]
        losses.append(logits_VV[one, candidates].logsumexp(0) - logits_VV[one, other])
    return torch.stack(losses).mean()


def co_converted_by_definition(
    photo_UD: torch.Tensor,
    photo_id_U: torch.Tensor,
    taken: Iterable[Two],
    partners: Iterable[Two],
    partner_ids: Iterable[Two],
) -> torch.Tensor:
    """Return the loss at temperature .1 of `partners`, by row; `taken` are (photo id, text)."""
    ids, partner_rows = photo_id_U.tolist(), list(partners)
    texts: dict[int, set[int]] = {}
    for photo, text in taken:
        texts.setdefault(photo, set()).add(text)
    together = {frozenset(two) for two in partner_ids}

    def is_negative(one: int, other: int) -> bool:
        shares_text = texts.get(one, set()) & texts.get(other, set())
        return one != other and not shares_text and frozenset((one, other)) not in together

    logits_UU = 10 * photo_UD @ photo_UD.T
    losses = []
    for pair in partner_rows:
        for one, other in (pair, pair[::-1]):
            candidates = [other] + [third for third in range(len(ids)) if is_negative(ids[one], ids[third])]
            losses.append(logits_UU[one, candidates].logsumexp(0) - logits_UU[one, other])
    return torch.stack(losses).mean()
