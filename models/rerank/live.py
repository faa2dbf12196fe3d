"""A released search: from words to photos, by the tables and the index of one night. The evaluation's own code.

Shape letters: B searches, U distinct texts, P photos, D dimensions, N results of all searches, F features.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.ann import ShardedIndex, Visibility
from models.arrays import open_arrays, save_arrays
from models.evaluation.ranking import NOT_FOUND, Availability, Ints
from models.indexing.ids import hashed_ids
from models.keyword_match import Tokens, token_ids
from models.rerank.candidates import SOURCES, VECTOR
from models.rerank.features import FEATURES
from models.rerank.learning import Reranker
from models.rerank.pasts import UNKNOWN, Pasts
from models.rerank.search import Search
from models.rerank.tables import SearchTables
from models.rerank.vectors import IndexVectors, Vectors
from models.text import normalise_country, normalise_query

DESCRIPTION_FILE = "search.json"
FORMAT = 3
"""Of the files: those of another format are refused."""
_ALWAYS, _NEVER = (int(bound) for bound in (np.iinfo(np.int64).min, np.iinfo(np.int64).max))


@dataclass(frozen=True)
class Taken:
    """A photo that a visitor took before, and the words it was taken for, kept in their normal form; "" if unknown."""

    photo_id: str
    words: str = ""

    def __post_init__(self) -> None:
        """Spell the words as searches do."""
        object.__setattr__(self, "words", normalise_query(self.words))


@dataclass(frozen=True)
class Asked:
    """One search by words, which are kept in their normal form, as is the country; what is not known is "" or None.

    `taken` is what the visitor took before, oldest first.
    """

    words: str
    country: str = ""
    device: str | None = None
    orientation: str | None = None
    taken: tuple[Taken, ...] = ()

    def __post_init__(self) -> None:
        """Spell words and country as tables, index and rules about hidden photos do."""
        object.__setattr__(self, "words", normalise_query(self.words))
        object.__setattr__(self, "country", normalise_country(self.country))


@dataclass(frozen=True)
class Reason:
    """Why a photo stands where it does: the sources that named it, and what each feature is and added to its score."""

    sources: tuple[str, ...]
    features: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class FoundPhoto:
    """One result. Only the order of scores within a search means anything."""

    photo_id: str
    score: float
    reason: Reason | None = None


@dataclass(frozen=True)
class Catalogue:
    """The photos of a released search, in the order that decides ties, and what is known of them."""

    names: NDArray[np.bytes_]  # (P,) UTF-8
    ids: Ints  # (P,) of the index, ascending
    pictures: Ints  # (P,) see `Availability.pictures`
    tables: SearchTables

    @classmethod
    def of(cls, photo_ids: Sequence[str], pictures: Ints, tables: SearchTables) -> Catalogue:
        """Return the catalogue of photos that stand in `tie_order`."""
        return cls(np.array([name.encode() for name in photo_ids]), hashed_ids(photo_ids), pictures, tables)

    def places(self, photo_ids: Sequence[str]) -> Ints:
        """Return the place of each photo, shape (N,), -1 for those that are not here."""
        wanted_N = hashed_ids(photo_ids)
        place_N = np.searchsorted(self.ids, wanted_N).clip(max=len(self.ids) - 1)
        return np.where(self.ids[place_N] == wanted_N, place_N, -1)

    def ranks(self, found: Sequence[Sequence[FoundPhoto]], photo_ids: Sequence[str]) -> NDArray[np.int32]:
        """Return where each search's list shows its photo, shape (B,), 1 for the best; `NOT_FOUND` if it does not.

        A photo is found where any photo of its picture stands; one that is not here is not found.
        """
        rank_B, place_B = np.full(len(found), NOT_FOUND, dtype=np.int32), self.places(photo_ids)
        for row, (shown, place) in enumerate(zip(found, place_B, strict=True)):
            picture_K = self.pictures[self.places([photo.photo_id for photo in shown])]
            is_it_K = (picture_K == self.pictures[place]) & (place >= 0)
            if is_it_K.any():
                rank_B[row] = 1 + is_it_K.argmax()
        return rank_B

    def save(self, folder: Path, vector_count: int) -> None:
        """Write all of it into a folder; `vector_count` is how many candidates the vector index names."""
        save_arrays(self, folder)
        (folder / DESCRIPTION_FILE).write_text(json.dumps({"format": FORMAT, "vector_count": vector_count}))


@dataclass(frozen=True)
class LiveSearch:
    """The search of one release. Threads may share it.

    Hidden photos are left out as `visibility` says; the index is one of the catalogue's photos.
    """

    catalogue: Catalogue
    index: ShardedIndex
    visibility: Visibility
    reranker: Reranker | None
    vector_count: int

    @classmethod
    def open(cls, folder: Path, index: ShardedIndex, visibility: Visibility, reranker: Reranker | None) -> LiveSearch:
        """Map what `Catalogue.save` wrote; `ValueError` if it is of another format, or the index of other photos."""
        description = json.loads((folder / DESCRIPTION_FILE).read_text())
        if description["format"] != FORMAT:
            raise ValueError(f"{folder} holds a search of format {description['format']}, read is {FORMAT}")
        catalogue = open_arrays(Catalogue, folder)
        if len(catalogue.ids) != index.description.photo_count:
            raise ValueError(
                f"{folder} knows {len(catalogue.ids)} photos, its index has {index.description.photo_count}"
            )
        return cls(catalogue, index, visibility, reranker, description["vector_count"])

    def search(
        self, asked: Sequence[Asked], query_BD: Vectors, k: int, at: int | Ints, with_reasons: bool = False
    ) -> list[list[FoundPhoto]]:
        """Return the best k photos of each search, best first; fewer if fewer are candidates.

        `query_BD` are the searches' vectors by the index's model, unit float32; `at` is when all or each of
        them are made, microseconds since 1970.
        """
        search, numbers = self._search(asked, query_BD), np.arange(len(asked))
        found: list[list[FoundPhoto]] = [[] for _ in asked]
        searches = self.catalogue.tables.searches(
            numbers,
            [one.words for one in asked],
            [one.country for one in asked],
            np.broadcast_to(at, len(asked)),
            [one.device for one in asked],
            [one.orientation for one in asked],
            numbers,
        )
        for block, of_block in search.blocks(searches):
            named = search.named(of_block)
            candidates = search.candidates(of_block, named)
            matrix = search.features(of_block, candidates, named)
            results = search.order(candidates, matrix)
            kept = np.arange(len(results.row)) - np.searchsorted(results.row, results.row) < k
            for row, place, score, number in zip(
                results.row[kept], results.place[kept], results.score[kept], results.number[kept], strict=True
            ):
                reason = self._reason(matrix[number], candidates.sources[number]) if with_reasons else None
                photo_id = bytes(self.catalogue.names[place]).decode()
                found[block[row]].append(FoundPhoto(photo_id, float(score), reason))
        return found

    def _search(self, asked: Sequence[Asked], query_BD: Vectors) -> Search:
        countries = [one.country for one in asked]
        group_of = {country: group for group, country in enumerate(self.visibility.hidden_in, start=1)}
        group = np.array([group_of.get(country, 0) for country in countries], dtype=np.int64)
        vectors = IndexVectors(self.index, self.catalogue.ids, self.visibility, query_BD, countries)
        return Search(
            tables=self.catalogue.tables,
            tokens=Tokens.of([one.words for one in asked]),
            vectors=vectors,
            availability=replace(self._availability, group=group),
            pictures=self.catalogue.pictures,
            reranker=self.reranker,
            sources=(VECTOR,) if self.reranker is None else SOURCES,
            vector_count=self.vector_count,
            pasts=self._pasts(asked),
        )

    def _pasts(self, asked: Sequence[Asked]) -> Pasts:
        """Return what the visitors took of this release's photos; each search has a visitor of its own."""
        all_taken = [(number, taken) for number, one in enumerate(asked) for taken in one.taken]
        visitor = np.array([number for number, _ in all_taken], dtype=np.int64)
        place = self.catalogue.places([taken.photo_id for _, taken in all_taken])
        query = token_ids(taken.words for _, taken in all_taken)
        query[[not taken.words for _, taken in all_taken]] = UNKNOWN
        kept, at = place >= 0, np.arange(len(place))
        return Pasts.of(visitor[kept], place[kept], query[kept], at[kept], len(place), len(self.catalogue.ids))

    @cached_property
    def _availability(self) -> Availability:
        """All photos but hidden ones, by group of country: 0 of those without a rule of their own."""
        hidden = [self.visibility.hidden, *(self.visibility.hidden_for(one) for one in self.visibility.hidden_in)]
        places = np.flatnonzero(np.isin(self.catalogue.ids, np.concatenate(hidden)))
        is_hidden_GH = np.stack([np.isin(self.catalogue.ids[places], ids) for ids in hidden])
        return Availability(
            since=np.full(len(self.catalogue.ids), _ALWAYS),
            hidden=places,
            hidden_at=np.where(is_hidden_GH, _ALWAYS, _NEVER),
        )

    def _reason(self, feature_F: NDArray[np.float32], sources: np.uint8) -> Reason:
        named = tuple(source for bit, source in enumerate(SOURCES) if sources >> bit & 1)
        if self.reranker is None:
            return Reason(named, {})
        added_F = self.reranker.contributions(feature_F[None])[0]
        pairs = zip(FEATURES, feature_F.tolist(), added_F.tolist(), strict=True)
        return Reason(named, {name: (value, added) for name, value, added in pairs})
