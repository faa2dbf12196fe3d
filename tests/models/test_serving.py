"""The table in front of a model: every row by itself as the model embeds it, and what is no row is refused."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from models.ann import Visibility
from models.rerank.live import Asked, FoundPhoto, LiveSearch
from models.search.keywords import KeywordVocabulary
from models.search.model import SearchModel, build_tiny_model
from models.serving import Embedder, ReleasedSearch


def picture(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 50), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def model() -> SearchModel:
    vocabulary = KeywordVocabulary(("cat", "sea"), 2)
    sizes = {"image_size": 32, "vision_width": 32, "vision_layers": 1, "text_width": 32, "text_layers": 1}
    model = build_tiny_model(uses_country=True, vocabulary=vocabulary, embed_dim=16, **sizes)
    assert model.keyword_encoder is not None
    model.keyword_encoder.bag.weight.data.fill_(0.3)
    return model


def test_rows_of_both_kinds_are_embedded_in_their_places(model: SearchModel) -> None:
    images = [picture((200, 30, 30)), picture((10, 10, 250))]
    table = pd.DataFrame(
        {
            "query": ["cat", None, "sea", None],
            "country": ["GB", None, None, None],
            "image": [None, images[0], None, images[1]],
            "keywords": [None, [{"keyword": "cat", "confidence": 0.5}], None, None],
        }
    )
    found = Embedder(model).predict(table)
    assert found.dtype == np.float32
    with torch.inference_mode():
        queries = model.encode_queries(["GB: cat", "sea"]).numpy()
        pixels = [model.preprocess(Image.open(io.BytesIO(data)).convert("RGB")) for data in images]
        photos = model.compose_photos(model.encode_images(torch.stack(pixels)), [[("cat", 0.5)], []]).numpy()
    np.testing.assert_allclose(found, [queries[0], photos[0], queries[1], photos[1]], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_absent_columns_are_empty_ones(model: SearchModel) -> None:
    found = Embedder(model).predict(pd.DataFrame({"query": ["cat", "sea"]}))
    with torch.inference_mode():
        np.testing.assert_allclose(found, model.encode_queries(["cat", "sea"]).numpy(), atol=1e-6)
    assert Embedder(model).predict(pd.DataFrame({"query": []})).shape == (0, 16)


def test_a_query_is_read_in_its_normal_form_whoever_sends_it(model: SearchModel) -> None:
    sent = pd.DataFrame({"query": ["C\u200bat", "cat"], "country": ["gb", "GB"]})
    found = Embedder(model).predict(sent)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_more_rows_than_a_batch_come_back_in_order(model: SearchModel, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = pd.DataFrame({"query": [f"word {number}" for number in range(7)]})
    whole = Embedder(model).predict(queries)
    monkeypatch.setattr("models.serving._BATCH", 3)
    np.testing.assert_allclose(Embedder(model).predict(queries), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"query": ["cat", None]}, "row 1"),
        ({"query": ["cat", "\u200b"]}, "row 1"),
        ({"query": ["cat"], "image": [picture((0, 0, 0))]}, "row 0"),
        ({"image": [picture((0, 0, 0)), b"no picture"]}, r"row 1: .*not_an_image"),
        ({"image": [picture((0, 0, 0)), "photo.jpg"]}, "row 1: image is to be bytes, not str"),
        ({"query": ["cat", ["dog"]]}, "row 1: query is to be str, not list"),
        ({"Query": ["cat"]}, "neither a column 'query' nor 'image'"),
    ],
)
def test_what_is_no_row_is_named(model: SearchModel, table: dict[str, list[object]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embedder(model).predict(pd.DataFrame(table))


# -- the whole search --------------------------------------------------------------------------------------


@dataclass
class Stub:
    """A release's search that says what it was asked: photos named after words, device and orientation."""

    visibility: Visibility = field(default_factory=Visibility)

    def __post_init__(self) -> None:
        self.index = SimpleNamespace(search=self.similar)
        self.catalogue = SimpleNamespace(tables=SimpleNamespace(history=SimpleNamespace(cutoff=7)))

    def search(self, asked: list[Asked], vector_BD: np.ndarray, k: int, at: int) -> list[list[FoundPhoto]]:
        assert (len(vector_BD), at) == (len(asked), 7)
        return [[FoundPhoto(f"{a.words} {a.country} {a.device} {a.orientation}", n) for n in range(k)] for a in asked]

    def similar(self, vector_BD: np.ndarray, k: int, visibility: Visibility, countries: list[str]) -> Any:
        assert len(vector_BD) == len(countries)
        return [[(f"like a picture in {country!r}", 1.0)] * k for country in countries]


def test_rows_of_words_and_pictures_find_photos_in_their_places(model: SearchModel) -> None:
    table = pd.DataFrame(
        {
            "query": ["Cat", None, "sea"],
            "country": ["gb", "de", None],
            "device": ["mobile", None, None],
            "orientation": [None, None, "portrait"],
            "image": [None, picture((1, 2, 3)), None],
        },
        index=[5, 6, 9],
    )
    search = ReleasedSearch(Embedder(model), cast(LiveSearch, Stub()))
    found = search.predict(table, {"k": 2})
    assert found.index.tolist() == [5, 6, 9]
    assert found["photos"].tolist() == [
        ["cat GB mobile None"] * 2,
        ["like a picture in 'DE'"] * 2,
        ["sea  None portrait"] * 2,
    ]
    assert found["scores"].tolist() == [[0, 1], [1.0, 1.0], [0, 1]]
    assert [len(one) for one in search.predict(table)["photos"]] == [10, 10, 10]
    np.testing.assert_array_equal(search.predict(table, {"output": "vectors"}), Embedder(model).predict(table))
    assert search.predict(pd.DataFrame({"query": []})).shape == (0, 2)


@pytest.mark.parametrize(
    ("column", "known", "other"),
    [("country", "gb", "Germany"), ("device", "tablet", "fridge"), ("orientation", "portrait", "diagonal")],
)
def test_what_a_search_cannot_be_of_is_named(model: SearchModel, column: str, known: str, other: str) -> None:
    search = ReleasedSearch(Embedder(model), cast(LiveSearch, Stub()))
    with pytest.raises(ValueError, match=f"row 1: {column} is .*{other}"):
        search.predict(pd.DataFrame({"query": ["cat", "cat"], column: [known, other]}))


@pytest.mark.parametrize("params", [{"k": 0}, {"k": -1}, {"k": None}, {"k": 1.5}, {"output": "words"}])
def test_params_that_mean_nothing_are_refused(model: SearchModel, params: dict[str, Any]) -> None:
    search = ReleasedSearch(Embedder(model), cast(LiveSearch, Stub()))
    with pytest.raises(ValueError, match="k is a number from 1 on"):
        search.predict(pd.DataFrame({"query": ["cat"]}), params)
