"""QueryModel: the half of a search model that reads words. It loads in a fraction of the time that the whole takes.

What only pictures need is not here, and nothing here imports it: open_clip, torchvision, transformers.

Shapes: B texts, D embedding dimension, L tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn import functional

from models.search.config import SearchModelConfig
from models.search.errors import ModelError
from models.search.identity import IDENTITY, ModelIdentity, query_text
from models.search.text_tower import TextTower
from models.search.tokenizer import FOLDER as TOKENIZER_FOLDER
from models.search.tokenizer import Tokenizer, read_tokenizer

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_TEXT = "network.text."


class QueryModel(nn.Module):
    """Words and a country to a unit vector of length `dim`. `network.text` is the text tower, as in a whole model."""

    network: Any

    def __init__(self, config: SearchModelConfig, network: nn.Module, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self._digests: dict[str, tuple[tuple[int, ...], str]] = {}

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.config.architecture["embed_dim"])

    @property
    def uses_country(self) -> bool:
        """Whether a query carries its country."""
        return self.config.uses_country

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> Self:
        """Switch training mode as usual; digests known so far are forgotten."""
        self._digests.clear()
        super().train(mode)
        return self

    def query_text(self, query: str, country: str) -> str:
        """Return what the text tower reads: "GB: cat" if the model uses the country and it is known, else "cat"."""
        return query_text(query, country if self.uses_country else "")

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Return token ids, int64 [B, L], on the CPU."""
        return self.tokenizer(texts)

    def encode_tokens(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """Return text vectors, unit float32 [B, D]."""
        return functional.normalize(self.network.text(tokens_BL).float(), dim=-1)

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        """Return query vectors, unit float32 [B, D]; make the texts with `query_text`."""
        if not texts:
            return torch.zeros(0, self.dim, device=self.device)
        return self.encode_tokens(self.tokenize(texts).to(self.device))

    @property
    def text_digest(self) -> str:
        """16 hex digits that change with anything that `query_text` and `encode_queries` depend on."""
        architecture = self.config.architecture
        parts = [architecture["embed_dim"], architecture["text_cfg"], architecture.get("quick_gelu", False)]
        return self._digest("text", [parts, self.uses_country], self.network.text.state_dict())

    def _digest(self, name: str, description: Any, tensors: dict[str, torch.Tensor]) -> str:
        # PyTorch counts the in-place changes of a tensor, all but those of fused optimisers: see `train`.
        state = tuple(
            value
            for tensor in tensors.values()
            for value in (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)
        )
        known = self._digests.get(name)
        if known is not None and known[0] == state:
            return known[1]
        digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
        for key, tensor in sorted(tensors.items()):
            digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        self._digests[name] = (state, digest.hexdigest()[:16])
        return self._digests[name][1]

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> Self:
        """Read that half of what `SearchModel.save` wrote, ready for inference.

        The weights are checked against the digest that was written beside them; `ModelError` says which file is missing
        or does not fit.
        """
        folder = Path(folder)
        config = read_config(folder)
        try:
            with safe_open(folder / WEIGHTS, "pt") as file:
                # copies: where numbers lie in memory may decide on the last bit of what is computed from them
                names = [name for name in file.keys() if name.startswith(_TEXT)]  # noqa: SIM118 - it is no dict
                weights = {name.removeprefix(_TEXT): file.get_tensor(name).clone() for name in names}
            tower = TextTower.of_weights(config.architecture, weights)
        except (SafetensorError, RuntimeError) as error:
            raise weights_do_not_fit(folder, error) from error
        tokenizer = read_tokenizer(config.text_cfg, folder / TOKENIZER_FOLDER)
        model = cls(config, nn.ModuleDict({"text": tower}), tokenizer)
        if model.text_digest != ModelIdentity.read(folder).text_digest:
            raise identity_differs(folder)
        return model.to(device).eval()


def read_config(folder: Path) -> SearchModelConfig:
    """Return what the model in a folder is made of; `ModelError` if a file of it is missing or this one unreadable."""
    for name in (CONFIG, WEIGHTS, IDENTITY):
        if not (folder / name).is_file():
            raise ModelError(
                "no_search_model", f"{folder} is no search model: it has no {name}", folder=folder, file=name
            )
    try:
        return SearchModelConfig.model_validate_json((folder / CONFIG).read_text())
    except (ValidationError, UnicodeDecodeError) as error:
        text = f"{folder / CONFIG} is not the config of a search model: {error}"
        raise ModelError("model_file_unreadable", text, path=folder / CONFIG) from error


def weights_do_not_fit(folder: Path, error: Exception) -> ModelError:
    """Return the error about weights of another form than the config's, or that are none."""
    text = f"{folder / WEIGHTS} does not fit {CONFIG} beside it: {error}"
    return ModelError("model_files_disagree", text, path=folder / WEIGHTS)


def identity_differs(folder: Path) -> ModelError:
    """Return the error about weights that are another model's than the identity beside them."""
    return ModelError(
        "model_files_disagree",
        f"{folder}: {IDENTITY} is of another model than {WEIGHTS} and {CONFIG} beside it",
        path=folder / IDENTITY,
    )
