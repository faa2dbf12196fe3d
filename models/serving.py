"""A release's search, and its model, behind functions that take tables: what a model registry loads and serves.

The registry names this module as the loader of a model version and carries the `models` package along with
the files of the search, so a version is loaded without this project installed. B rows, D embedding dimension.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import numpy.typing as npt
import torch

from models.ann import ShardedIndex, Visibility
from models.arrays import open_arrays
from models.images import ImageError, decode_image
from models.rerank.features import ORIENTATIONS
from models.rerank.history import DEVICES
from models.rerank.learning import Reranker
from models.rerank.live import Asked, LiveSearch
from models.search.completion import Exemplars
from models.text import normalise_country, normalise_query

if TYPE_CHECKING:
    from pandas import DataFrame

    from models.search.model import SearchModel
    from models.search.query_model import QueryModel

QUERY, COUNTRY, DEVICE, ORIENTATION = "query", "country", "device", "orientation"
IMAGE, KEYWORDS = "image", "keywords"
MODEL, INDEX, SEARCH, RERANKER, EXEMPLARS = "model", "index", "search", "reranker", "exemplars"
"""The folders of a version."""
HIDDEN_FILE, ELSEWHERE_FILE = "hidden.json", "elsewhere.json"
"""The rules about hidden photos, `{country or "": [photo_id, ...]}`; and the files that the version refers to, by name:
`{"uri": ..., "sha256": ...}`."""
DEFAULT_COUNT = 10
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
        if not {QUERY, IMAGE} & set(frame.columns):
            raise ValueError(f"the table has neither a column {QUERY!r} nor {IMAGE!r}, only {list(frame.columns)}")
        queries, countries, images, keywords = (_cells(frame, name) for name in (QUERY, COUNTRY, IMAGE, KEYWORDS))
        _check_kinds(QUERY, queries, str)
        _check_kinds(IMAGE, images, bytes)
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


class ReleasedSearch:
    """The whole search of a release: model, index, tables, reranker and rules about hidden photos."""

    def __init__(self, embedder: Embedder, live: LiveSearch) -> None:
        self._embedder, self._live = embedder, live

    @classmethod
    def open(cls, folder: Path) -> ReleasedSearch:
        """Open a version's folder; `ValueError` if a file that it refers to is not the one that was released."""
        from models.search.model import SearchModel  # loads open_clip, which those with words can do without

        model = SearchModel.load(folder / MODEL)
        hidden = json.loads((folder / HIDDEN_FILE).read_text())
        texts = [path.read_text() for path in sorted((folder / RERANKER).glob("*.txt"))]
        with TemporaryDirectory(prefix="nightlens-") as temporary:  # files that are mapped outlive it
            if (folder / ELSEWHERE_FILE).exists():
                _fetch(json.loads((folder / ELSEWHERE_FILE).read_text()), Path(temporary))
                folder_of_large = Path(temporary)
            else:
                folder_of_large = folder
            index = ShardedIndex.open(folder_of_large / INDEX, model.digest)
            visibility = Visibility.of(hidden.pop("", ()), hidden)
            live = LiveSearch.open(folder_of_large / SEARCH, index, visibility, Reranker(texts) if texts else None)
        return cls(Embedder(model, open_arrays(Exemplars, folder / EXEMPLARS)), live)

    def predict(self, frame: DataFrame, params: Mapping[str, Any] | None = None) -> Any:
        """Return per row of `frame` the best photos and their scores, best first: columns `photos` and `scores`.

        There are fewer than `k` where fewer are candidates.

        A row is as in `Embedder.predict`; a query may have a `device` (mobile, tablet, desktop) and an `orientation`
        (landscape, portrait, squarish) too. A picture finds the photos that are closest to it. `params` may hold `k`,
        how many photos, and `output`: "vectors" gives the rows' unit vectors instead, float32 [B, D]. Raises
        `ValueError` as `Embedder.predict` does, and for other params.
        """
        asked = {"k": DEFAULT_COUNT, "output": "photos"} | dict(params or {})
        k, output = asked["k"], asked["output"]
        if not isinstance(k, int) or k < 1 or output not in ("photos", "vectors"):
            raise ValueError(f"params {asked}: k is a number from 1 on, output is 'photos' or 'vectors'")
        _check_values(DEVICE, _cells(frame, DEVICE), DEVICES)
        _check_values(ORIENTATION, _cells(frame, ORIENTATION), ORIENTATIONS)
        _check_countries(_cells(frame, COUNTRY))
        vector_BD = self._embedder.predict(frame)
        if output == "vectors":
            return vector_BD
        from pandas import DataFrame

        found = self._find(frame, vector_BD, k)
        columns = {"photos": [[name for name, _ in one] for one in found]}
        return DataFrame(columns | {"scores": [[score for _, score in one] for one in found]}, index=frame.index)

    def _find(self, frame: DataFrame, vector_BD: npt.NDArray[np.float32], k: int) -> list[list[tuple[str, float]]]:
        names = (QUERY, COUNTRY, DEVICE, ORIENTATION, IMAGE)
        rows = list(zip(*(_cells(frame, name) for name in names), strict=True))
        by_words = [row for row, (*_, image) in enumerate(rows) if image is None]
        by_picture = [row for row, (*_, image) in enumerate(rows) if image is not None]
        found: list[list[tuple[str, float]]] = [[] for _ in rows]
        if by_words:
            asked = [Asked(words, country or "", *more) for words, country, *more, _ in (rows[row] for row in by_words)]
            at = self._live.catalogue.tables.history.cutoff
            for row, photos in zip(by_words, self._live.search(asked, vector_BD[by_words], k, at), strict=True):
                found[row] = [(photo.photo_id, photo.score) for photo in photos]
        if by_picture:
            countries = [normalise_country(rows[row][1] or "") for row in by_picture]
            similar = self._live.index.search(vector_BD[by_picture], k, self._live.visibility, countries)
            for row, pairs in zip(by_picture, similar, strict=True):
                found[row] = pairs
        return found


@torch.inference_mode()
def embed_queries(model: QueryModel, asked: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """Return the unit vectors, float32 [B, D], of words in their normal form and countries ("" if not known)."""
    return model.encode_queries([model.query_text(words, country) for words, country in asked]).numpy()


def _load_pyfunc(folder: str) -> ReleasedSearch:
    """Return the search saved in `folder`; the name is the one the registry looks for."""
    return ReleasedSearch.open(Path(folder))


def _fetch(files: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    """Put files into a folder, local ones as links; `ValueError` if one is gone or is not what was released."""
    for name, told in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        fs, path = fsspec.url_to_fs(told["uri"])
        try:
            if "file" in fs.protocol:
                target.symlink_to(path)
            else:
                fs.get_file(path, str(target))
            with target.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise ValueError(f"{told['uri']} is gone: take a version whose release is still in the lake") from error
        if found != told["sha256"]:
            raise ValueError(f"{told['uri']} is not the file that was released: its SHA-256 differs")


def _cells(frame: DataFrame, name: str) -> list[Any]:
    """Return a column as a list, None for each empty cell or if there is no such column."""
    if name not in frame.columns:
        return [None] * len(frame)
    column = frame[name]
    return column.astype(object).where(column.notna(), None).tolist()


def _check_kinds(name: str, cells: Sequence[Any], kind: type) -> None:
    """Raise `ValueError` that names the first cell of another kind."""
    for row, cell in enumerate(cells):
        if cell is not None and not isinstance(cell, kind):
            raise ValueError(f"row {row}: {name} is to be {kind.__name__}, not {type(cell).__name__}")


def _check_values(name: str, cells: Sequence[Any], known: Sequence[str]) -> None:
    """Raise `ValueError` that names the first cell whose value is none of the known ones."""
    for row, cell in enumerate(cells):
        if cell is not None and cell not in known:
            raise ValueError(f"row {row}: {name} is one of {', '.join(known)}, not {cell!r}")


def _check_countries(cells: Sequence[Any]) -> None:
    """Raise `ValueError` that names the first cell that is no country's two letters; "" is an unknown one."""
    for row, cell in enumerate(cells):
        if cell is not None and not (isinstance(cell, str) and re.fullmatch("([A-Za-z]{2})?", cell)):
            raise ValueError(f"row {row}: country is two letters (ISO 3166), such as GB, not {cell!r}")


def _batches(rows: list[int]) -> list[list[int]]:
    return [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
