"""Where base models come from: a hub tag of open_clip, a folder or file on disk. Safetensors only, never a pickle.

All sources end in the same three things (architecture, preprocessing, a safetensors file), so that a folder on
disk goes through the code that a download goes through.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from pydantic import ValidationError
from safetensors import SafetensorError
from transformers import AutoTokenizer

from models.search.config import ImageConfig, SearchModelConfig
from models.search.errors import ModelError
from models.search.model import SearchModel, build_network
from models.search.query_model import CONFIG
from models.search.tokenizer import Tokenizer, clip_tokenizer, make_tokenizer, needs_files, tokenizer_not_loaded

OPEN_CLIP_CONFIG = "open_clip_config.json"
_OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")


def import_model(source: str) -> SearchModel:
    """Return the model `source` names, ready for inference on the CPU.

    `source` is an open_clip tag "MODEL/PRETRAINED" (downloaded, or taken from the hub's cache), a folder written
    by `SearchModel.save`, a folder in open_clip's own layout (open_clip_config.json, safetensors weights,
    tokenizer files), or a safetensors file with open_clip_config.json beside it. Raises `ModelError`.
    """
    path = Path(source)
    if not path.exists():
        return _from_hub(source)
    if path.is_dir() and (path / CONFIG).is_file() and not (path / OPEN_CLIP_CONFIG).is_file():
        return SearchModel.load(path)
    folder = path if path.is_dir() else path.parent
    weights = _weights_in(path) if path.is_dir() else path
    _refuse_pickle(weights)
    if not (folder / OPEN_CLIP_CONFIG).is_file():
        raise ModelError(
            "model_config_missing",
            f"{folder} has no {OPEN_CLIP_CONFIG}, which says how the model of {weights.name} is built",
            folder=folder,
        )
    found = json.loads((folder / OPEN_CLIP_CONFIG).read_text())
    if "model_cfg" not in found:
        raise ModelError(
            "model_file_unreadable",
            f"{folder / OPEN_CLIP_CONFIG} has no 'model_cfg'",
            path=folder / OPEN_CLIP_CONFIG,
        )
    return _build(source, found["model_cfg"], found.get("preprocess_cfg") or {}, weights, folder)


def _from_hub(source: str) -> SearchModel:
    name, _, tag = source.partition("/")
    if name not in open_clip.list_models():
        raise ModelError(
            "model_source_unknown",
            f"{source!r} is neither a path that exists nor a tag MODEL/PRETRAINED of open_clip such as "
            f"ViT-B-16-SigLIP/webli ('{name}' is not among its {len(open_clip.list_models())} models)",
            source=source,
        )
    pretrained = open_clip.get_pretrained_cfg(name, tag)
    if not pretrained:
        raise ModelError(
            "pretrained_tag_unknown",
            f"open_clip has no weights {tag!r} for {name}; it has {open_clip.list_pretrained_tags_by_model(name)}",
            tag=tag,
            architecture=name,
        )
    try:
        weights = Path(open_clip.download_pretrained(pretrained))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            "model_download_failed",
            f"the weights of {source} cannot be downloaded ({error}). Check the connection (HTTPS_PROXY, HF_HOME, "
            f"HF_ENDPOINT are honoured), or copy the model's folder here and name the folder instead.",
            source=source,
        ) from error
    _refuse_pickle(weights)
    architecture: dict[str, Any] = open_clip.get_model_config(name)
    return _build(source, architecture, pretrained, weights, None)


def _build(
    source: str,
    architecture: dict[str, Any],
    preprocess_cfg: dict[str, Any],
    weights: Path,
    tokenizer_folder: Path | None,
) -> SearchModel:
    network = build_network(architecture)
    try:
        open_clip.load_checkpoint(network, str(weights))
    except (OSError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(
            "model_files_disagree", f"{weights} does not hold the weights of this architecture: {error}", path=weights
        ) from error
    preprocess = merge_preprocess_dict(PreprocessCfg(), preprocess_cfg)
    preprocess = {key: value for key, value in preprocess.items() if key not in ("mode", "size")}
    try:
        config = SearchModelConfig(
            architecture=architecture,
            image=ImageConfig(size=architecture["vision_cfg"]["image_size"], **preprocess),
            origin=source if tokenizer_folder is None else Path(source).name,
        )
    except ValidationError as error:
        raise ModelError(
            "preprocessing_unsupported", f"{source}: its preprocessing is not supported ({error})", source=source
        ) from error
    return SearchModel(config, network, _import_tokenizer(config.text_cfg, tokenizer_folder)).eval()


def _import_tokenizer(text_cfg: dict[str, Any], folder: Path | None) -> Tokenizer:
    """Return a tower's tokenizer; one of its own is in the folder of the model, or without one asked from the hub."""
    if not needs_files(text_cfg):
        return clip_tokenizer(text_cfg)
    name = str(folder or text_cfg["hf_tokenizer_name"])
    try:
        found = AutoTokenizer.from_pretrained(name)
        special = {side: getattr(found, side) for side in ("padding_side", "truncation_side")}
        special |= {token: getattr(found, token) for token in ("pad_token", "sep_token") if getattr(found, token)}
        return make_tokenizer(text_cfg, found.backend_tokenizer, special)
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise tokenizer_not_loaded(name, error) from error


def _weights_in(folder: Path) -> Path:
    for name in _OPEN_CLIP_WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    others = sorted(file.name for file in folder.iterdir() if file.suffix in {".safetensors", ".bin", ".pt", ".pth"})
    if len(others) == 1:
        return folder / others[0]
    raise ModelError(
        "model_weights_missing",
        f"{folder} has no weights: expected one of {', '.join(_OPEN_CLIP_WEIGHTS)}, found {others}",
        folder=folder,
    )


def _refuse_pickle(weights: Path) -> None:
    if weights.suffix != ".safetensors":
        raise ModelError(
            "weights_are_pickled",
            f"{weights} is not a safetensors file. Pickled weights can run code when they are opened and are refused: "
            f"convert them once (torch.load with weights_only=True, then safetensors.torch.save_file).",
            path=weights,
        )
