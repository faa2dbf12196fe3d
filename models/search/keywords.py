"""Keyword ids: the vocabulary of a training window and the encoder that adds a photo's keywords to its image.

Shapes: N photos, K keywords of all of them together, D embedding dimension.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.ragged import ragged_rows
from models.search.counter_random import uniforms
from models.text import normalise_query

DROPOUT, KEYWORD_FREE = 2, 8  # streams of random numbers
PhotoKeywords = Sequence[tuple[str, float]]
"""The keywords of one photo with their confidences in 0..1."""


@dataclass(frozen=True)
class KeywordVocabulary:
    """Keywords with a row of their own, and `hash_rows` further rows that all others share."""

    keywords: tuple[str, ...]
    hash_rows: int

    @classmethod
    def of_counts(cls, counts: Mapping[str, int], min_count: int, hash_rows: int) -> KeywordVocabulary:
        """Return the keywords that are counted at least `min_count` times; count the training window only."""
        return cls(tuple(sorted(word for word, count in counts.items() if count >= min_count)), hash_rows)

    @staticmethod
    def count(photos: Iterable[PhotoKeywords]) -> Counter[str]:
        """Return how many photos carry each keyword. Counts of parts of a catalogue add up."""
        return Counter(keyword for photo in photos for keyword in {normalise_query(name) for name, _ in photo})

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {keyword: row for row, keyword in enumerate(self.keywords)}

    @property
    def row_count(self) -> int:
        """Rows of the embedding table."""
        return len(self.keywords) + self.hash_rows

    def row(self, keyword: str) -> int:
        """Return the row of a keyword; rare and unknown ones are hashed, the same way on every machine."""
        normal = normalise_query(keyword)
        known = self._rows.get(normal)
        return len(self.keywords) + zlib.crc32(normal.encode()) % self.hash_rows if known is None else known

    def to_json(self) -> str:
        """Return the vocabulary as text; `from_json` reads it back."""
        return json.dumps({"hash_rows": self.hash_rows, "keywords": self.keywords}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> KeywordVocabulary:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(tuple(values["keywords"]), int(values["hash_rows"]))


@dataclass(frozen=True)
class RaggedKeywords:
    """Keyword rows of many photos in one array: photo i has `rows[starts[i]:starts[i + 1]]`, and so weights."""

    rows: npt.NDArray[np.int64]  # [K]
    weights: npt.NDArray[np.float32]  # [K]
    starts: npt.NDArray[np.int64]  # [N + 1]

    @classmethod
    def encode(cls, vocabulary: KeywordVocabulary, photos: Sequence[PhotoKeywords]) -> RaggedKeywords:
        """Look up the rows of every photo's keywords."""
        starts = np.zeros(len(photos) + 1, np.int64)
        np.cumsum([len(photo) for photo in photos], out=starts[1:])
        return cls(
            np.array([vocabulary.row(name) for photo in photos for name, _ in photo], np.int64),
            np.array([confidence for photo in photos for _, confidence in photo], np.float32),
            starts,
        )

    def take(self, photos: npt.NDArray[np.int64]) -> RaggedKeywords:
        """Return the keywords of some photos, in the order asked for."""
        position_K, starts = ragged_rows(self.starts[photos], self.starts[photos + 1])
        return RaggedKeywords(self.rows[position_K], self.weights[position_K], starts)

    def dropped(
        self, share: float, key: tuple[int, int], photo_id_N: npt.NDArray[np.int64], keyword_free_share: float = 0.0
    ) -> RaggedKeywords:
        """Return the same keywords with a random `share` of them given weight 0, for some photos all.

        A share of the photos, `keyword_free_share`, has none then.

        Which ones depends on `key`, the seed and the step, and on the photo's id and the keyword only.
        """
        seed, step = key
        counts_N = np.diff(self.starts)
        photo_id_K = np.repeat(photo_id_N, counts_N)
        kept_K = uniforms(seed, DROPOUT, step, photo_id_K ^ (self.rows << 32), 1)[:, 0] >= share
        if keyword_free_share:
            kept_K &= np.repeat(uniforms(seed, KEYWORD_FREE, step, photo_id_N, 1)[:, 0] >= keyword_free_share, counts_N)
        return RaggedKeywords(self.rows, self.weights * kept_K.astype(np.float32), self.starts)


class KeywordEncoder(nn.Module):
    """An EmbeddingBag over keyword rows: the sum of a photo's keyword vectors times their confidence.

    All zeros at first, so that a model with a fresh encoder ranks exactly as the model without.
    """

    def __init__(self, row_count: int, dim: int) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(row_count, dim, mode="sum", include_last_offset=True)
        nn.init.zeros_(self.bag.weight)

    def forward(self, keywords: RaggedKeywords) -> torch.Tensor:
        """Return one vector per photo, float [N, D]; zeros for a photo without keywords."""
        device = self.bag.weight.device
        summed: torch.Tensor = self.bag(
            torch.from_numpy(keywords.rows).to(device),
            torch.from_numpy(keywords.starts).to(device),
            per_sample_weights=torch.from_numpy(keywords.weights).to(device, self.bag.weight.dtype),
        )
        return summed
