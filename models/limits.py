"""Whether a figure keeps within a limit: the one comparison by which anything is let through."""

from __future__ import annotations

import math


def is_within(value: float | None, *, least: float = -math.inf, most: float = math.inf) -> bool:
    """Tell whether a figure is there, is a number, and lies within its limits; None and NaN keep within none.

    >>> is_within(0.95, least=0.95), is_within(0.95, most=0.9), is_within(math.nan), is_within(None)
    (True, False, False, False)
    """
    return value is not None and least <= value <= most
