"""From a picture file to a model's input; that a picture decodes to the same however it is stored: `test_images`."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from models.images import decode_image
from models.search.config import ImageConfig
from models.search.images import Preprocess, normalise_pixels

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def drawing(grey: bool = False) -> Image.Image:
    """Even fields of few colours, so that a palette holds them all."""
    colours = [(240, 240, 240), (200, 60, 60), (60, 60, 200), (30, 120, 30)]
    image = Image.new("RGB", (48, 32))
    for number, colour in enumerate(colours):
        shade = (colour[0],) * 3 if grey else colour
        image.paste(shade, (24 * (number % 2), 16 * (number // 2), 24 * (number % 2) + 24, 16 * (number // 2) + 16))
    return image


def stored(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def with_alpha(image: Image.Image) -> Image.Image:
    """The same with its white corner made clear, whatever colour lies under it."""
    rgba = image.convert("RGBA")
    rgba.paste((255, 0, 255, 0), (0, 0, 24, 16))
    return rgba


def test_grey_is_three_equal_channels_and_clear_is_white() -> None:
    preprocess = Preprocess(ImageConfig(size=16))
    grey = preprocess(decode_image(stored(drawing(grey=True).convert("L"))))
    assert torch.equal(grey, preprocess(drawing(grey=True)))
    bilevel = preprocess(decode_image(stored(Image.new("1", (9, 9), 1))))
    assert bilevel.unique().tolist() == [255]
    clear = preprocess(decode_image(stored(with_alpha(drawing()))))
    white = drawing()
    white.paste((255, 255, 255), (0, 0, 24, 16))
    assert torch.equal(clear, preprocess(white))
    palette = with_alpha(drawing()).quantize(8, dither=Image.Dither.NONE)  # whose colours have an alpha each
    assert palette.mode == "P"
    assert (preprocess(decode_image(stored(palette))).int() - clear.int()).abs().max() <= 3


def test_values_are_scaled_to_one_and_normalised_by_the_model_s_own_figures() -> None:
    """255 is 1, and (1 - 0.5) / 0.5 is 1; by OpenAI's figures red 255 is (1 - 0.48145) / 0.26863 = 1.9303."""
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    siglip = normalise_pixels(pixels, ImageConfig(size=1))
    assert siglip.flatten().tolist() == pytest.approx([-1.0, -0.6, 1.0])
    red = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    clip = normalise_pixels(red, ImageConfig(size=1, mean=OPENAI_MEAN, std=OPENAI_STD))
    assert clip.flatten().tolist() == pytest.approx([1.9303, 2.0749, 2.1459], abs=1e-4)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [(50, 31), (9, 40), (16, 16)])
def test_each_way_to_resize_equals_open_clip_s(interpolation: str, resize_mode: str, size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), np.uint8))
    figures = {"mean": OPENAI_MEAN, "std": OPENAI_STD, "interpolation": interpolation, "resize_mode": resize_mode}
    config = ImageConfig.model_validate({"size": 16, **figures})
    theirs = image_transform_v2(PreprocessCfg(16, **figures), is_train=False)(image)
    ours = Preprocess(config)(image)
    assert ours.dtype == torch.uint8
    torch.testing.assert_close(normalise_pixels(ours[None], config)[0], theirs)
