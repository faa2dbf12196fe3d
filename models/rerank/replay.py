"""A window's searches with counts that are refreshed within it. Each knows what a site knew when it was asked.

Shape letters: Q searches, U distinct texts, E conversions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import NOT_FOUND, Ints
from models.rerank.features import Searches
from models.rerank.growing import GrowingCounts
from models.rerank.search import Search
from models.rerank.tables import Conversions, numbers_of

HOUR = 3_600_000_000
"""In microseconds, as all instants are."""


@dataclass(frozen=True)
class Replay:
    """A search as of a window's beginning, and the conversions since, made at `at`."""

    search: Search
    fresh: Conversions
    at: Ints
    query: NDArray[np.uint64]  # (U,) `token_ids` of the texts
    country: NDArray[np.str_]  # (U,)

    def ranks(self, searches: Searches, target_Q: Ints, every: int) -> NDArray[np.int32]:
        """Return the rank of each search's target, shape (Q,), as it was then; see `refreshed`."""
        rank_Q = np.full(len(target_Q), NOT_FOUND, dtype=np.int32)
        for rows, asked, search in self.refreshed(searches, every):
            rank_Q[rows], _ = search.ranks(asked, target_Q[rows])
        return rank_Q

    def refreshed(self, searches: Searches, every: int) -> Iterator[tuple[Ints, Searches, Search]]:
        """Give searches by the last refresh before them: their numbers, themselves as then, and the search as then.

        Refreshes are at multiples of `every` microseconds. A search knows the conversions strictly before its refresh.
        Only until the next one is given does a search stay as it is.
        """
        order = np.argsort(self.at, kind="stable")
        fresh = Conversions(*(getattr(self.fresh, field.name)[order] for field in fields(Conversions)))
        growing = GrowingCounts(self.search.tables, fresh, self.query[np.unique(searches.text)])
        query_U, country_U = numbers_of(growing.queries, self.query), growing.country_numbers(self.country)
        refresh_Q, at = searches.asked_at // every * every, self.at[order]
        for instant in np.unique(refresh_Q):
            tables = growing.reach(int(np.searchsorted(at, instant)))
            rows = np.flatnonzero(refresh_Q == instant)
            asked = searches.of(rows)
            asked = replace(asked, query=query_U[asked.text], country=country_U[asked.text])
            yield rows, asked, replace(self.search, tables=tables)
