"""QueryModel: the half that reads words gives the whole model's vectors, bit for bit, without what pictures need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.search.errors import ModelError
from models.search.keywords import KeywordVocabulary
from models.search.model import SearchModel, build_tiny_model
from models.search.query_model import QueryModel
from models.serving import embed_queries
from tests.errors import raises

SIZES = {"image_size": 16, "patch_size": 8, "vision_width": 32, "vision_layers": 1, "text_width": 64, "embed_dim": 24}
TEXTS = ["red cat", "GB: red cat", "blue dog", "JP: 猫"] * 3
ASKED = [
    ("cat", "GB"),
    ("cat", ""),
    ("a very long query that has no place for all its many many words", "de"),
    ("猫", "JP"),
]


@pytest.fixture(params=["learned tokens", "CLIP's tokens"])
def model(request: pytest.FixtureRequest) -> SearchModel:
    vocabulary = KeywordVocabulary(("cat",), 2)
    texts = TEXTS if request.param == "learned tokens" else None
    return build_tiny_model(texts=texts, uses_country=True, vocabulary=vocabulary, **SIZES)


def test_it_gives_the_whole_models_vectors_bit_for_bit(model: SearchModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    words, whole = QueryModel.load(tmp_path), SearchModel.load(tmp_path)
    assert (words.dim, words.uses_country, words.text_digest) == (24, True, whole.text_digest)
    assert not words.training
    for count in (1, len(ASKED)):
        assert (embed_queries(words, ASKED[:count]) == embed_queries(whole, ASKED[:count])).all()
        assert (embed_queries(words, ASKED[:count]) == embed_queries(model, ASKED[:count])).all()
    assert {name for name, _ in words.named_parameters()} < {name for name, _ in whole.named_parameters()}


def test_it_loads_nothing_that_pictures_need(tmp_path: Path) -> None:
    build_tiny_model(uses_country=True, **SIZES).save(tmp_path)  # with CLIP's tokens, which open_clip brings along
    code = (
        "import sys; from pathlib import Path; from models.search.query_model import QueryModel;"
        "from models.serving import embed_queries;"
        "embed_queries(QueryModel.load(Path(sys.argv[1])), [('cat', 'GB')]); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    heavy = {"open_clip", "torchvision", "transformers", "timm", "pandas", "scipy", "sympy", "torch._dynamo"}
    assert set(done.stdout.split()) & heavy == set()


def test_what_does_not_load_is_named(model: SearchModel, tmp_path: Path) -> None:
    with raises(ModelError, "no_search_model", folder=tmp_path, file="config.json"):
        QueryModel.load(tmp_path)
    model.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    tensors = load_file(weights)
    name = "network.text.ln_final.bias"
    save_file(tensors | {name: tensors[name] + 1}, weights)
    with raises(ModelError, "model_files_disagree", path=tmp_path / "identity.json"):
        QueryModel.load(tmp_path)
    save_file({other: tensor for other, tensor in tensors.items() if other != name}, weights)
    with raises(ModelError, "model_files_disagree", path=weights):
        QueryModel.load(tmp_path)
    weights.write_bytes(b"not tensors")
    with raises(ModelError, "model_files_disagree", path=weights):
        QueryModel.load(tmp_path)


def test_the_digest_knows_tower_and_country(model: SearchModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"uses_country": False}))
    with raises(ModelError, "model_files_disagree", path=tmp_path / "identity.json"):
        QueryModel.load(tmp_path)


def test_no_query_has_no_vector(model: SearchModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert torch.equal(QueryModel.load(tmp_path).encode_queries([]), torch.zeros(0, 24))
