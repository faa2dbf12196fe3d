"""A window's searches with counts that are refreshed within it. Each knows what a site knew when it was asked.

Shape letters: B searches of a block, U distinct texts, E conversions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Ints
from models.rerank.features import Searches
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

    def refreshed(self, searches: Searches, every: int) -> Iterator[tuple[Ints, Searches, Search]]:
        """Give searches by the last refresh before them: their numbers, themselves as then, and the search as then.

        Refreshes are at multiples of `every` microseconds. A search knows the conversions strictly before its refresh.
        """
        refresh_Q = searches.asked_at // every * every
        tables, before = self.search.tables, np.iinfo(np.int64).min
        for instant in np.unique(refresh_Q):
            is_new_E = (self.at >= before) & (self.at < instant)
            if is_new_E.any():
                new = Conversions(*(getattr(self.fresh, field.name)[is_new_E] for field in fields(Conversions)))
                tables = tables.counting(tables.counts.plus(new, tables.photos.available_at))
            before = instant
            rows = np.flatnonzero(refresh_Q == instant)
            asked = searches.of(rows)
            asked = replace(
                asked,
                query=numbers_of(tables.queries, self.query[asked.text]),
                country=numbers_of(tables.countries, self.country[asked.text]),
            )
            yield rows, asked, replace(self.search, tables=tables)
