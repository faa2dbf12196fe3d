"""SearchModel: what is encoded, what the digests stand for, and that files bring the same model back."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from models.search.errors import ModelError
from models.search.identity import ModelIdentity
from models.search.keywords import KeywordVocabulary
from models.search.model import SearchModel, build_network, build_tiny_model, extend_model, renew_vocabulary
from tests.errors import raises

SIZES = {
    "image_size": 16,
    "patch_size": 8,
    "vision_width": 32,
    "vision_layers": 1,
    "text_width": 32,
    "text_layers": 1,
    "embed_dim": 8,
}
VOCABULARY = KeywordVocabulary(("cat", "sofa"), hash_rows=2)
KEYWORDS = [[("cat", 0.9), ("other", 0.3)], []]


@pytest.fixture(scope="module")
def base() -> SearchModel:
    return build_tiny_model(seed=3, **SIZES)


@pytest.fixture
def full(base: SearchModel) -> SearchModel:
    return extend_model(base, uses_country=True, vocabulary=VOCABULARY)


def pixels(count: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)


@torch.inference_mode()
def photo_vectors(model: SearchModel) -> torch.Tensor:
    return model.compose_photos(model.encode_images(pixels()), KEYWORDS)


def test_photos_and_queries_are_unit_vectors_of_one_length(base: SearchModel) -> None:
    queries = base.encode_queries(["cat", "dog", "猫"])
    assert queries.shape == (3, base.dim)
    assert queries.dtype == photo_vectors(base).dtype == torch.float32
    torch.testing.assert_close(queries.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(photo_vectors(base).norm(dim=-1), torch.ones(2))
    assert base.encode_queries([]).shape == (0, base.dim)


def test_image_features_are_not_normalised(base: SearchModel) -> None:
    assert not torch.allclose(base.encode_images(pixels()).norm(dim=-1), torch.ones(2), atol=0.1)


def test_a_fresh_keyword_encoder_changes_nothing(base: SearchModel, full: SearchModel) -> None:
    assert torch.equal(photo_vectors(base), photo_vectors(full))


def test_a_trained_keyword_encoder_moves_only_photos_with_keywords(base: SearchModel, full: SearchModel) -> None:
    torch.nn.init.ones_(full.keyword_encoder.bag.weight)  # type: ignore[union-attr]
    before, after = photo_vectors(base), photo_vectors(full)
    assert not torch.allclose(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_keywords_must_be_given_for_every_photo(full: SearchModel) -> None:
    with pytest.raises(ValueError, match="keywords of 1"):
        full.compose_photos(torch.zeros(2, 8), [[]])


def test_the_country_is_a_prefix_only_where_it_is_used_and_known(base: SearchModel, full: SearchModel) -> None:
    assert full.query_text("cat", "GB") == "GB: cat"
    assert full.query_text("cat", "") == "cat"
    assert base.query_text("cat", "GB") == "cat"
    with torch.inference_mode():
        first, second = full.encode_queries(["GB: cat", "US: cat"])
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("texts", [("cat", "dog"), ("猫", "犬"), ("кот", "пёс"), ("고양이", "개"), ("🐈", "🐕")])
def test_the_offline_tokenizer_tells_every_script_apart(base: SearchModel, texts: tuple[str, str]) -> None:
    tokens = base.tokenize(texts)
    assert tokens.shape == (2, 16)
    assert not torch.equal(tokens[0], tokens[1])


# -- files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_full", [False, True])
def test_a_saved_model_loads_as_the_same_model_without_a_pickle(
    base: SearchModel, full: SearchModel, is_full: bool, tmp_path: Path
) -> None:
    model = full if is_full else base
    if model.keyword_encoder is not None:
        torch.nn.init.normal_(model.keyword_encoder.bag.weight)
    model.save(tmp_path / "model")
    assert {file.suffix for file in (tmp_path / "model").rglob("*") if file.is_file()} == {".json", ".safetensors"}
    again = SearchModel.load(tmp_path / "model")
    assert (again.digest, again.config) == (model.digest, model.config)
    assert ModelIdentity.read(tmp_path / "model") == again.identity == model.identity
    assert model.identity.query_text("cat", "GB") == model.query_text("cat", "GB")
    assert not again.training
    assert torch.equal(photo_vectors(again), photo_vectors(model))
    with torch.inference_mode():
        assert torch.equal(again.encode_queries(["GB: cat"]), model.encode_queries(["GB: cat"]))


def test_weights_of_another_model_are_refused(base: SearchModel, tmp_path: Path) -> None:
    base.save(tmp_path)
    other = build_tiny_model(seed=1, **SIZES)
    tensors = {name: tensor.contiguous() for name, tensor in other.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    with raises(ModelError, "model_files_disagree", path=tmp_path / "identity.json"):
        SearchModel.load(tmp_path)
    (tmp_path / "identity.json").write_text("{}")
    with raises(ModelError, "model_file_unreadable", path=tmp_path / "identity.json"):
        ModelIdentity.read(tmp_path)


def test_what_does_not_load_is_named(base: SearchModel, tmp_path: Path) -> None:
    with raises(ModelError, "no_search_model", folder=tmp_path, file="config.json"):
        SearchModel.load(tmp_path)
    base.save(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"width": 32', '"width": 64'))
    with raises(ModelError, "model_files_disagree", path=tmp_path / "model.safetensors"):
        SearchModel.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with raises(ModelError, "model_file_unreadable", path=tmp_path / "config.json"):
        SearchModel.load(tmp_path)
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with raises(ModelError, "model_files_disagree", path=tmp_path / "model.safetensors"):
        SearchModel.load(tmp_path)


def test_architectures_that_need_a_download_to_load_are_refused(base: SearchModel) -> None:
    architecture = deepcopy(base.config.architecture)
    architecture["text_cfg"]["hf_model_name"] = "roberta-base"
    with raises(ModelError, "architecture_unsupported"):
        build_network(architecture)


# -- digests -------------------------------------------------------------------------------------------


def bump(name: str) -> Callable[[SearchModel], None]:
    def change(model: SearchModel) -> None:
        with torch.no_grad():
            model.get_parameter(name).view(-1)[0] += 1

    return change


@pytest.mark.parametrize(
    ("parameter", "changed"),
    [
        ("network.visual.conv1.weight", {"digest", "image_digest"}),
        ("network.text.token_embedding.weight", {"digest", "text_digest"}),
        ("keyword_encoder.bag.weight", {"digest"}),
        ("network.logit_bias", {"digest"}),
    ],
)
def test_a_digest_changes_with_the_weights_it_stands_for(full: SearchModel, parameter: str, changed: set[str]) -> None:
    before = {name: getattr(full, name) for name in ("digest", "image_digest", "text_digest")}
    bump(parameter)(full)
    assert {name for name in before if getattr(full, name) != before[name]} == changed


def test_a_digest_notices_a_training_step(full: SearchModel) -> None:
    before = full.digest
    optimizer = torch.optim.AdamW(full.parameters(), fused=True)
    full.train()
    full.encode_images(pixels()).sum().backward()
    optimizer.step()
    assert full.digest != before


def test_arms_of_one_base_share_its_photo_features(base: SearchModel, full: SearchModel) -> None:
    assert full.image_digest == base.image_digest
    assert full.text_digest != base.text_digest  # the same query reads differently
    assert full.digest != base.digest
    assert len(full.digest) == 16


def test_equal_seeds_give_equal_models_and_leave_the_global_generator_alone(base: SearchModel) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    assert build_tiny_model(seed=3, **SIZES).digest == base.digest
    assert torch.equal(torch.rand(1), expected)
    assert build_tiny_model(seed=4, **SIZES).digest != base.digest


# -- pixels --------------------------------------------------------------------------------------------


def test_preprocessing_can_be_sent_to_another_process(base: SearchModel) -> None:
    image = Image.new("RGB", (20, 10), "red")
    assert torch.equal(pickle.loads(pickle.dumps(base.preprocess))(image), base.preprocess(image))


def test_a_renewed_vocabulary_changes_no_vector(full: SearchModel) -> None:
    assert full.keyword_encoder is not None
    torch.nn.init.normal_(full.keyword_encoder.bag.weight)
    renewed = renew_vocabulary(full, KeywordVocabulary(("cat", "other", "zebra"), hash_rows=2))
    names = [[("cat", 0.9), ("other", 0.3)], [("zebra", 1.0), ("unheard of", 0.5)]]
    features_BD = torch.randn(2, full.dim)
    assert torch.equal(renewed.compose_photos(features_BD, names), full.compose_photos(features_BD, names))
    with raises(ModelError, "keyword_rows_differ", found=3, expected=2):
        renew_vocabulary(full, KeywordVocabulary(("cat",), hash_rows=3))
    with raises(ModelError, "model_reads_no_keywords"):
        renew_vocabulary(build_tiny_model(**SIZES), VOCABULARY)
