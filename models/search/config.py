"""What a search model is made of, as plain data: everything `config.json` holds beside the weights."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class ImageConfig(BaseModel):
    """How a picture becomes the model's input: resized to `size` x `size` pixels, scaled to 0..1, normalised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["squash", "shortest", "longest"] = "squash"
    fill_color: int = 0  # what 'longest' pads with


class SearchModelConfig(BaseModel):
    """Frozen description of a model. `architecture` is an open_clip model config (embed_dim, vision_cfg, text_cfg)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: dict[str, Any]
    image: ImageConfig
    uses_country: bool = False
    uses_keywords: bool = False
    origin: str  # where the base weights come from: 'tiny', a hub tag or the name of a folder

    @property
    def text_cfg(self) -> dict[str, Any]:
        """The text tower's part of the architecture."""
        text_cfg: dict[str, Any] = self.architecture["text_cfg"]
        return text_cfg


def tiny_architecture(
    *,
    image_size: int = 48,
    patch_size: int = 16,
    vision_width: int = 128,
    vision_layers: int = 4,
    text_width: int = 128,
    text_layers: int = 2,
    embed_dim: int = 128,
    context_length: int = 16,
    logit_bias: float = -5.5,
) -> dict[str, Any]:
    """Return the open_clip config of a small SigLIP that needs no download: native ViT, byte-level BPE text.

    `logit_bias` should be about -log(batch size): then the expected loss of the first batch is near its
    minimum over constants (https://arxiv.org/abs/2303.15343, section 3.2). Attention heads are 32 wide.
    """
    return {
        "embed_dim": embed_dim,
        "init_logit_scale": 2.302585092994046,  # log 10, as in the paper
        "init_logit_bias": logit_bias,
        "vision_cfg": {
            "image_size": image_size,
            "patch_size": patch_size,
            "width": vision_width,
            "layers": vision_layers,
            "head_width": 32,
        },
        "text_cfg": {
            "context_length": context_length,
            "vocab_size": 49408,
            "width": text_width,
            "layers": text_layers,
            "heads": max(1, text_width // 32),
        },
    }
