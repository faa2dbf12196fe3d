"""A decoded picture to the model's input, in two steps: resized to uint8 on the CPU, normalised on the device.

Together they equal open_clip's evaluation transform; apart, pixels can be kept and moved as bytes.
"""

from __future__ import annotations

import torch
from open_clip.transform import CenterCropOrPad, ResizeKeepRatio
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import pil_to_tensor

from models.search.config import ImageConfig


class Preprocess:
    """PIL image (RGB) to uint8 [3, size, size]. Picklable; safe to call from several threads."""

    def __init__(self, config: ImageConfig) -> None:
        self.config = config
        size, mode = config.size, InterpolationMode(config.interpolation)
        if config.resize_mode == "squash":
            steps = [transforms.Resize((size, size), interpolation=mode)]
        elif config.resize_mode == "shortest":
            steps = [transforms.Resize(size, interpolation=mode), transforms.CenterCrop(size)]
        else:
            steps = [ResizeKeepRatio(size, longest=1, interpolation=mode), CenterCropOrPad(size, config.fill_color)]
        self._resize = transforms.Compose(steps)

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Return the resized picture, uint8 [3, size, size]."""
        pixels: torch.Tensor = pil_to_tensor(self._resize(image))
        return pixels


def normalise_pixels(pixels_BCHW: torch.Tensor, config: ImageConfig) -> torch.Tensor:
    """Return float32 pixels with the model's mean and deviation, from uint8 0..255; floats pass as they are."""
    if pixels_BCHW.dtype != torch.uint8:
        return pixels_BCHW
    mean = torch.tensor(config.mean, device=pixels_BCHW.device).view(1, 3, 1, 1)
    std = torch.tensor(config.std, device=pixels_BCHW.device).view(1, 3, 1, 1)
    return (pixels_BCHW.float() / 255 - mean) / std
