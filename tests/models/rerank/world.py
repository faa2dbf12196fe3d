"""A small world of searches: photos with a subject and a quality, people who convert what is apt and good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.evaluation.ranking import Availability
from models.keyword_match import KeywordMatch, Tokens
from models.rerank.candidates import Candidates
from models.rerank.features import Photos, Searches
from models.rerank.history import DAY, DEVICES, Events, History
from models.rerank.likeness import country_tastes
from models.rerank.photo_keywords import PhotoKeywords
from models.rerank.search import Search
from models.rerank.tables import SearchTables
from models.rerank.vectors import listed

COUNTRIES = 3
DIM = 8


@dataclass(frozen=True)
class World:
    """P photos (the last `new_count` submitted within the window that begins at `cutoff`) and a log before it."""

    random: np.random.Generator
    photo: np.ndarray
    text: np.ndarray
    quality: np.ndarray
    available_at: np.ndarray
    cutoff: int
    events: Events

    @classmethod
    def of(cls, seed: int, photo_count: int = 150, text_count: int = 40, event_count: int = 3000, new_count: int = 20):
        random = np.random.default_rng(seed)
        cutoff = 100 * DAY
        available_at_P = random.integers(0, 60 * DAY, photo_count)
        available_at_P[photo_count - new_count :] = cutoff + random.integers(0, DAY, new_count)
        photo_PD, text_UD = (_unit(random.normal(size=(n, DIM))) for n in (photo_count, text_count))
        nothing = np.zeros(0, dtype=np.int64)
        empty = Events(nothing, nothing, nothing, nothing, nothing)
        world = cls(random, photo_PD, text_UD, random.normal(size=photo_count), available_at_P, cutoff, empty)
        text, country, at, photo = world.conversions(event_count, 60 * DAY, cutoff)
        device = np.random.default_rng(seed).integers(-1, len(DEVICES), event_count)
        return replace(world, events=Events(photo, text, country, device, at))

    def conversions(self, count: int, start: int, end: int) -> tuple[np.ndarray, ...]:
        """Return text, country, time and photo of conversions between two instants."""
        text_N = self.random.integers(0, len(self.text), count)
        at_N = np.sort(self.random.integers(start, end, count))
        liking_NP = 5 * self.text[text_N] @ self.photo.T + self.quality
        liking_NP += self.random.gumbel(size=liking_NP.shape)
        liking_NP[self.available_at > at_N[:, None]] = -np.inf
        return text_N, self.random.integers(0, COUNTRIES, count), at_N, liking_NP.argmax(axis=1)

    def asked(self, search_count: int, events: Events | None = None, **parts: Any) -> Asked:
        """Return a week of searches after the cutoff; vectors see subjects, with noise, and no quality."""
        text_Q, country_Q, at_Q, photo_Q = self.conversions(search_count, self.cutoff + DAY, self.cutoff + 8 * DAY)
        random = np.random.default_rng(2)
        device_Q, orientation_Q = (random.integers(-1, 3, search_count) for _ in range(2))
        seen_PD = self.photo + np.random.default_rng(1).normal(size=self.photo.shape) * 0.1
        liked_PT = np.argsort(-self.photo @ self.text.T, axis=1)[:, :5]
        documents = [[f"word{text}" for text in liked_T] for liked_T in liked_PT]
        availability = Availability(self.available_at)
        short_PK = seen_PD.astype(np.float16)
        place_K = np.repeat(np.arange(len(liked_PT)), liked_PT.shape[1])
        keywords = PhotoKeywords.of(place_K, liked_PT.ravel(), self.text, len(liked_PT))
        history = History.of(events or self.events, self.cutoff, self.available_at, COUNTRIES, 7.0)
        pairs = history.by_photo_country
        tables = SearchTables(
            photos=Photos(self.available_at, np.full(len(self.photo), 1.5), short_PK, keywords),
            history=history,
            keywords=KeywordMatch.of(documents, self.available_at < self.cutoff),
            queries=np.arange(1, len(self.text) + 1, dtype=np.uint64),
            countries=np.array([], np.str_),
            tastes=country_tastes(pairs.keys, pairs.sums[:, 0], short_PK, COUNTRIES),
        )
        query_UD = np.repeat(self.text, COUNTRIES, axis=0).astype(np.float32)
        words = np.repeat([f"word{query}" for query in range(len(self.text))], COUNTRIES).tolist()
        made = {
            "tables": tables,
            "tokens": Tokens.of(words),
            "vectors": None,
            "availability": availability,
            "pictures": availability.pictures,
            "reranker": None,
        }
        search = Search(**(made | parts))
        searches = Searches(
            text_Q * COUNTRIES + country_Q, text_Q, country_Q, device_Q, orientation_Q, at_Q, np.full(len(at_Q), -1)
        )
        asked = Asked(search, searches, photo_Q, query_UD, seen_PD.astype(np.float32))
        return asked.shown_by(search.availability)


@dataclass(frozen=True)
class Asked:
    """A search, searches and what was converted by them; a text is a query and a country. And the vectors."""

    search: Search
    searches: Searches
    target: np.ndarray
    query_UD: np.ndarray
    photo_PD: np.ndarray

    def shown_by(self, availability: Availability) -> Asked:
        """Return the same where other photos may be shown, or are one picture."""
        first, last = int(self.searches.asked_at.min()), int(self.searches.asked_at.max())
        vectors = listed(self.query_UD, self.photo_PD, availability, first, last, self.search.vector_count + 20)
        search = replace(self.search, vectors=vectors, availability=availability, pictures=availability.pictures)
        return replace(self, search=search)

    def blocks(self) -> Iterator[tuple[np.ndarray, Searches, Candidates, np.ndarray]]:
        """Give the numbers of searches, these, their candidates and the features."""
        for block, searches in self.search.blocks(self.searches):
            named = self.search.named(searches)
            candidates = self.search.candidates(searches, named)
            yield block, searches, candidates, self.search.features(searches, candidates, named)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def joined(events: Events, more: Events) -> Events:
    """Return the events of both."""
    pairs = ((getattr(events, name), getattr(more, name)) for name in Events.__dataclass_fields__)
    return Events(*(np.concatenate(pair) for pair in pairs))
