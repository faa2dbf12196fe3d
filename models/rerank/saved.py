"""A search as arrays in files, so that tasks answer with it: what `models.arrays` writes and maps."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Availability, Ints
from models.keyword_match import Tokens
from models.rerank.learning import Reranker
from models.rerank.pasts import Pasts
from models.rerank.replay import Replay
from models.rerank.search import Search
from models.rerank.tables import Conversions, SearchTables
from models.rerank.vectors import ListedVectors


@dataclass(frozen=True)
class SavedSearch:
    """A `Search` by all sources and `ListedVectors`; `reranker` holds the texts of its models as JSON, or nothing."""

    tables: SearchTables
    tokens: Tokens
    vectors: ListedVectors
    availability: Availability
    pictures: Ints
    reranker: NDArray[np.uint8]
    vector_count: int
    block_bytes: int
    pasts: Pasts

    @classmethod
    def of(cls, search: Search, block_bytes: int) -> SavedSearch:
        """Take a search apart; `block_bytes` is what its blocks take from now on."""
        assert isinstance(search.vectors, ListedVectors)
        texts = b"" if search.reranker is None else json.dumps(search.reranker.texts).encode()
        return cls(
            tables=search.tables,
            tokens=search.tokens,
            vectors=search.vectors,
            availability=search.availability,
            pictures=search.pictures,
            reranker=np.frombuffer(texts, dtype=np.uint8),
            vector_count=search.vector_count,
            block_bytes=block_bytes,
            pasts=search.pasts,
        )

    def search(self) -> Search:
        """Return the search."""
        return Search(
            tables=self.tables,
            tokens=self.tokens,
            vectors=self.vectors,
            availability=self.availability,
            pictures=self.pictures,
            reranker=Reranker(json.loads(self.reranker.tobytes())) if len(self.reranker) else None,
            vector_count=self.vector_count,
            block_bytes=self.block_bytes,
            pasts=self.pasts,
        )


@dataclass(frozen=True)
class SavedReplay:
    """A `Replay`."""

    search: SavedSearch
    fresh: Conversions
    at: Ints
    query: NDArray[np.uint64]
    country: NDArray[np.str_]

    @classmethod
    def of(cls, replay: Replay, block_bytes: int) -> SavedReplay:
        """Take a replay apart."""
        return cls(SavedSearch.of(replay.search, block_bytes), replay.fresh, replay.at, replay.query, replay.country)

    def replay(self) -> Replay:
        """Return the replay."""
        return Replay(self.search.search(), self.fresh, self.at, self.query, self.country)
