"""A search model behind one function that takes a table: what a model registry loads and serves.

The registry names this module as the loader of a model version and carries the `models` package along with
the weights, so a version is loaded without this project installed. B rows, D embedding dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from models.images import ImageError, decode_image
from models.search.completion import Exemplars
from models.search.model import SearchModel
from models.text import normalise_query

if TYPE_CHECKING:
    from pandas import DataFrame

QUERY, COUNTRY, IMAGE, KEYWORDS = "query", "country", "image", "keywords"
_BATCH = 256


class Embedder:
    """Embeds queries and photos, one per row.

    With `exemplars` a picture whose keywords are not given is completed by what keywords add to photos like it.
    """

    def __init__(self, model: SearchModel, exemplars: Exemplars | None = None) -> None:
        self.model, self.exemplars = model, exemplars

    def predict(self, frame: DataFrame) -> npt.NDArray[np.float32]:
        """Return unit vectors, float32 [B, D], one per row of `frame`; score a query and a photo by dot product.

        A row is either a query (`query`, text, and perhaps `country`, ISO 3166 code) or a photo (`image`, the
        bytes of a picture file, and perhaps `keywords`, a list of {"keyword": text, "confidence": 0..1}). Absent
        columns, empty cells and blank queries are the same. Raises `ValueError` naming the row that is neither, both,
        or not a picture.
        """
        queries, countries, images, keywords = (_cells(frame, name) for name in (QUERY, COUNTRY, IMAGE, KEYWORDS))
        queries = [normalise_query(query or "") or None for query in queries]
        for row, (query, image) in enumerate(zip(queries, images, strict=True)):
            if (query is None) == (image is None):
                raise ValueError(f"row {row}: give either a query or an image")
        vectors_BD = np.empty((len(frame), self.model.dim), dtype=np.float32)
        query_rows = [row for row, query in enumerate(queries) if query is not None]
        image_rows = [row for row, image in enumerate(images) if image is not None]
        for rows in _batches(query_rows):
            asked = [(queries[row] or "", countries[row] or "") for row in rows]
            vectors_BD[rows] = embed_queries(self.model, asked)
        with torch.inference_mode():
            for rows in _batches(image_rows):
                pixels_BCHW = torch.stack([self._pixels(row, images[row]) for row in rows])
                named = [[(entry["keyword"], entry["confidence"]) for entry in keywords[row] or ()] for row in rows]
                feature_BD = self.model.encode_images(pixels_BCHW)
                vectors_BD[rows] = self.model.compose_photos(feature_BD, named).numpy()
                if self.exemplars is not None:
                    is_bare_B = np.array([keywords[row] is None for row in rows])
                    bare_rows = np.array(rows)[is_bare_B]
                    vectors_BD[bare_rows] = self.exemplars.complete(feature_BD.numpy()[is_bare_B])
        return vectors_BD

    def _pixels(self, row: int, data: bytes) -> torch.Tensor:
        try:
            return self.model.preprocess(decode_image(data))
        except ImageError as error:
            raise ValueError(f"row {row}: the image cannot be used: {error}") from error


@torch.inference_mode()
def embed_queries(model: SearchModel, asked: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """Return the unit vectors, float32 [B, D], of words in their normal form and countries ("" if not known)."""
    return model.encode_queries([model.query_text(words, country) for words, country in asked]).numpy()


def _load_pyfunc(folder: str) -> Embedder:
    """Return the embedder of the model saved in `folder`; the name is the one the registry looks for."""
    return Embedder(SearchModel.load(Path(folder)))


def _cells(frame: DataFrame, name: str) -> list[Any]:
    """Return a column as a list, None for each empty cell or if there is no such column."""
    if name not in frame.columns:
        return [None] * len(frame)
    column = frame[name]
    return column.astype(object).where(column.notna(), None).tolist()


def _batches(rows: list[int]) -> list[list[int]]:
    return [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
