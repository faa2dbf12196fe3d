"""The table in front of a model: every row by itself as the model embeds it, and what is no row is refused."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from models.search.keywords import KeywordVocabulary
from models.search.model import SearchModel, build_tiny_model
from models.serving import Embedder


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
    ],
)
def test_what_is_no_row_is_named(model: SearchModel, table: dict[str, list[object]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embedder(model).predict(pd.DataFrame(table))
