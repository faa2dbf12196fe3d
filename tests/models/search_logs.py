"""Made-up logs of searches: visitors who come back, and queries of which a few are most of the log (Zipf)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Log:
    """Visitor and query of each search, shapes (Q,)."""

    visitor_Q: np.ndarray
    query_Q: np.ndarray


def zipf_log(random: np.random.Generator, search_count: int, query_count: int, per_visitor: float = 2.6) -> Log:
    """Draw searches: a visitor's are a geometric number, the r-th query is asked 1 / r as often as the first."""
    share_U = 1 / np.arange(1, query_count + 1)
    query_Q = random.choice(query_count, search_count, p=share_U / share_U.sum())
    visitor_Q = np.repeat(np.arange(search_count), random.geometric(1 / per_visitor, search_count))[:search_count]
    return Log(visitor_Q, query_Q)


def differences(
    random: np.random.Generator,
    log: Log,
    *,
    mean: float = 0.0,
    query_spread: float = 0.0,
    visitor_spread: float = 0.0,
    discordant: float = 0.2,
) -> np.ndarray:
    """Draw the difference of two arms' hits by search, -1, 0 or 1, shape (Q,).

    They disagree in `discordant` of the searches; the difference is `mean` on average, more for some queries and
    visitors than for others, by these standard deviations.
    """
    expected_Q = (
        mean
        + random.normal(0, query_spread, 1 + log.query_Q.max())[log.query_Q]
        + random.normal(0, visitor_spread, 1 + log.visitor_Q.max())[log.visitor_Q]
    )
    discordant_Q = np.maximum(discordant, np.abs(expected_Q))
    drawn_Q, better_Q = random.random(len(log.query_Q)), (discordant_Q + expected_Q) / 2
    return np.where(drawn_Q < better_Q, 1.0, np.where(drawn_Q < discordant_Q, -1.0, 0.0))
