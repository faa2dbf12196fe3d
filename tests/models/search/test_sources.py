"""Base models from disk and from the hub: the same code, no pickles, and messages that say what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from models.search.config import tiny_architecture
from models.search.errors import ModelError
from models.search.model import SearchModel, build_network, build_tiny_model
from models.search.sources import import_model
from tests.errors import raises

ARCHITECTURE = tiny_architecture(
    image_size=16, patch_size=8, vision_width=32, vision_layers=1, text_width=32, text_layers=1, embed_dim=8
)
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear", "resize_mode": "squash"}
PIXELS = torch.arange(3 * 16 * 16, dtype=torch.uint8).view(1, 3, 16, 16)


def write_folder(folder: Path, architecture: dict[str, Any] = ARCHITECTURE) -> torch.nn.Module:
    """Write a model as open_clip does and return its network."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = build_network(architecture).eval()
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": architecture, "preprocess_cfg": {"size": 16, "mode": "RGB", **PREPROCESS}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return network


@pytest.mark.parametrize("name", ["", "open_clip_model.safetensors"])
def test_a_folder_or_file_of_open_clip_gives_its_model(tmp_path: Path, name: str) -> None:
    network = write_folder(tmp_path)
    model = import_model(str(tmp_path / name))
    expected = network.encode_image((PIXELS.float() / 255 - 0.5) / 0.25)
    torch.testing.assert_close(model.encode_images(PIXELS), expected)
    tokens = model.tokenize(["a cat"])
    torch.testing.assert_close(model.encode_queries(["a cat"]), network.encode_text(tokens, normalize=True))
    assert model.config.image.interpolation == "bilinear"
    assert (model.uses_country, model.uses_keywords, model.training) == (False, False, False)


def test_a_saved_search_model_is_a_source(tmp_path: Path) -> None:
    model = build_tiny_model(image_size=16, patch_size=8, vision_layers=1, text_layers=1)
    model.save(tmp_path)
    assert import_model(str(tmp_path)).digest == model.digest


def test_weights_of_the_older_form_without_a_bias_are_converted(tmp_path: Path) -> None:
    write_folder(tmp_path)
    plain = {key: value for key, value in ARCHITECTURE.items() if key != "init_logit_bias"}
    clip = CLIP(**plain).eval()
    save_file(clip.state_dict(), tmp_path / "open_clip_model.safetensors")
    model = import_model(str(tmp_path))
    tokens = model.tokenize(["a cat"])
    torch.testing.assert_close(model.encode_queries(["a cat"]), clip.encode_text(tokens, normalize=True))
    assert model.network.logit_bias.item() == 0


def write_tokenizer(folder: Path) -> None:
    words = {"</s>": 0, "<unk>": 1, "cat": 2, "dog": 3}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    own = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", pad_token="</s>", eos_token="</s>")
    own.save_pretrained(folder)


def test_a_tokenizer_of_its_own_travels_with_the_model(tmp_path: Path) -> None:
    text_cfg = {
        **ARCHITECTURE["text_cfg"],
        "hf_tokenizer_name": "timm/some-siglip",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "vocab_size": 8,
        "context_length": 4,
        "pool_type": "last",
        "no_causal_mask": True,
    }
    write_folder(tmp_path / "source", {**ARCHITECTURE, "text_cfg": text_cfg})
    write_tokenizer(tmp_path / "source")
    model = import_model(str(tmp_path / "source"))
    assert model.tokenize(["Cat, dog!", "bird"]).tolist() == [[2, 3, 0, 0], [1, 0, 0, 0]]
    model.save(tmp_path / "saved")
    again = SearchModel.load(tmp_path / "saved")
    assert torch.equal(again.encode_queries(["dog"]), model.encode_queries(["dog"]))
    for file in (tmp_path / "saved" / "tokenizer").iterdir():
        file.unlink()
    with raises(ModelError, "tokenizer_not_loaded", tokenizer=str(tmp_path / "saved" / "tokenizer")):
        SearchModel.load(tmp_path / "saved")


def break_weights(folder: Path) -> None:
    save_file({"logit_scale": torch.zeros(())}, folder / "open_clip_model.safetensors")


def break_config(folder: Path) -> None:
    (folder / "open_clip_config.json").write_text("{}")


def only_a_pickle(folder: Path) -> None:
    (folder / "open_clip_model.safetensors").rename(folder / "open_clip_pytorch_model.bin")


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda folder: (folder / "open_clip_config.json").unlink(), "model_config_missing"),
        (lambda folder: (folder / "open_clip_model.safetensors").unlink(), "model_weights_missing"),
        (break_config, "model_file_unreadable"),
        (break_weights, "model_files_disagree"),
        (only_a_pickle, "weights_are_pickled"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path, break_it: Callable[[Path], None], code: str) -> None:
    write_folder(tmp_path)
    break_it(tmp_path)
    with raises(ModelError, code):
        import_model(str(tmp_path))


@pytest.mark.parametrize(
    ("source", "code", "named"),
    [
        ("no-such-model/webli", "model_source_unknown", {"source": "no-such-model/webli"}),
        (
            "ViT-B-16-SigLIP/no-such-tag",
            "pretrained_tag_unknown",
            {"tag": "no-such-tag", "architecture": "ViT-B-16-SigLIP"},
        ),
    ],
)
def test_an_unknown_name_is_refused_before_any_download(source: str, code: str, named: dict[str, str]) -> None:
    with raises(ModelError, code, **named):
        import_model(source)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that holds a small model under the name of a real one."""
    write_folder(tmp_path)
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: ARCHITECTURE)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda cfg: str(tmp_path / "open_clip_model.safetensors"))
    return tmp_path


def test_a_hub_tag_goes_the_same_way_as_a_folder(hub: Path) -> None:
    model = import_model("ViT-B-16-SigLIP/webli")
    assert torch.equal(model.network.visual.conv1.weight, import_model(str(hub)).network.visual.conv1.weight)
    assert model.config.image.mean == (0.5, 0.5, 0.5)
    assert model.config.image.interpolation == "bicubic"  # the tag's, not the folder's
    assert model.config.origin == "ViT-B-16-SigLIP/webli"


def test_an_unreachable_hub_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(cfg: dict[str, Any]) -> str:
        raise FileNotFoundError("Failed to download file (open_clip_model.safetensors)")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    with raises(ModelError, "model_download_failed", source="ViT-B-16-SigLIP/webli"):
        import_model("ViT-B-16-SigLIP/webli")


def test_a_pickle_from_the_hub_is_refused(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "download_pretrained", lambda cfg: str(hub / "weights.pt"))
    with raises(ModelError, "weights_are_pickled", path=hub / "weights.pt"):
        import_model("ViT-B-16-SigLIP/webli")
