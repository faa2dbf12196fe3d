"""Augmentation of decoded pictures: crops, mirror images and other colours, for a tower that is to look past them.

A photo's random numbers are those of its id (see `counter_random`), and what is done with them is done photo by
photo, so a photo becomes the same picture in whichever process, batch and position. Who is augmented when is not
decided here.

Shapes: U photos, R photos of a block, C = 3 channels, H W pixels, K numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import grid_sample

from models.search.counter_random import uniforms
from models.search.errors import ModelError
from models.text import normalise_query

Indices = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

KINDS = ("crop", "flip", "colour", "grey")
SMALLEST_AREA, WIDEST_ASPECT = 0.5, 4 / 3
COLOUR_STRENGTH = 0.4
GREY_CHANCE = 0.1
_NUMBERS = {"crop": 4, "flip": 1, "colour": 3, "grey": 1}
_GREY = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as in torchvision
_BLOCK = 64  # photos that are held as floats at a time

_WRITING = """
text letter lettering word writing written handwriting handwritten calligraphy typography alphabet font script
inscription caption quote slogan message title logo brand trademark watermark label number numeral digit symbol
equation formula mathematics code barcode keycap sign signage signpost signboard billboard poster banner placard neon
graffiti blackboard chalkboard whiteboard scoreboard noticeboard newspaper magazine book page document menu receipt
ticket form certificate passport stamp banknote money currency coin screenshot website infographic diagram chart graph
"""
_WITH_A_DIRECTION = """
arrow left right direction directional clockwise counterclockwise anticlockwise compass north south east west flag map
atlas globe clock watch watches dial timer stopwatch gauge speedometer thermometer ruler calendar keyboard keypad
typewriter calculator piano waxing waning
"""
ONE_WAY_ROUND = frozenset(_WRITING.split() + _WITH_A_DIRECTION.split())
"""English words, normalised and mostly in the singular, for what says something else in a mirror."""


def is_safe_to_flip(keywords: Iterable[str]) -> bool:
    """Return whether none of a photo's keywords has a word in it, or a word and an s, that is in `ONE_WAY_ROUND`.

    It is as good as the keywords: a photo without any counts as safe, and so do keywords in other languages.

    >>> is_safe_to_flip(["Cat", "grass"]), is_safe_to_flip(["Stop signs"]), is_safe_to_flip(["left-handed"])
    (True, False, False)
    """
    words = {word for keyword in keywords for word in re.findall(r"[^\W_]+", normalise_query(keyword))}
    return ONE_WAY_ROUND.isdisjoint(words | {word.removesuffix("s") for word in words})


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise ModelError, naming those there are, for a kind of augmentation that is not one of `KINDS`."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ModelError(
            "augmentation_unknown",
            f"unknown augmentation {', '.join(map(repr, unknown))}; there are {', '.join(KINDS)}",
            unknown=unknown,
        )


def augment(
    pixels_UCHW: torch.Tensor,
    photo_id_U: Indices,
    is_flippable_U: npt.NDArray[np.bool_],
    kinds: Sequence[str],
    *,
    seed: int,
    step: int,
    view: int = 0,
) -> torch.Tensor:
    """Return other pictures of the same photos, uint8 [U, 3, H, W] as the input, on its device.

    crop: a box of 1/2 to all of the area and of 3/4 to 4/3 times the picture's aspect, back at the picture's size.
    It is only ever enlarged, so bilinear sampling does not alias. flip: half of those that `is_flippable_U` allows.
    colour: brightness, contrast and saturation by factors of .6 to 1.4 each, which is SimCLR's jitter at half its
    strength (https://arxiv.org/abs/2002.05709, appendix A), but for every photo, in this order and without hues.
    grey: a tenth of the photos. Kinds are applied in the order of `KINDS`, in whichever they are given.

    The random numbers are those of (`seed`, `step`, `view`, photo id, kind): another kind more or less changes
    nothing for those before it. Equal on every CPU; elsewhere a level of 0..255 may be the next one.

    Raises ModelError for an unknown kind, ValueError for other pixels than uint8 of three channels.
    """
    check_kinds(kinds)
    if pixels_UCHW.dtype != torch.uint8 or pixels_UCHW.dim() != 4 or pixels_UCHW.shape[1] != 3:
        raise ValueError(f"pixels are {pixels_UCHW.dtype} {tuple(pixels_UCHW.shape)}, not uint8 [U, 3, H, W]")
    drawn = {
        kind: uniforms(seed, ((1 + place) << 32) + view, step, photo_id_U, _NUMBERS[kind])
        for place, kind in enumerate(KINDS)
        if kind in kinds
    }
    augmented_UCHW = torch.empty_like(pixels_UCHW)
    for start in range(0, len(pixels_UCHW), _BLOCK):
        block = slice(start, start + _BLOCK)
        numbers = {kind: number_UK[block] for kind, number_UK in drawn.items()}
        pixels_RCHW = _augment_block(pixels_UCHW[block].float(), numbers, is_flippable_U[block])
        augmented_UCHW[block] = pixels_RCHW.round_().to(torch.uint8)
    return augmented_UCHW


def _augment_block(
    pixels_RCHW: torch.Tensor, numbers: dict[str, Numbers], is_flippable_R: npt.NDArray[np.bool_]
) -> torch.Tensor:
    """Return float pixels 0..255, not rounded between the kinds."""
    if "crop" in numbers:
        pixels_RCHW = _cropped(pixels_RCHW, *_boxes(numbers["crop"]))
    if "flip" in numbers:
        is_flipped_R = (numbers["flip"][:, 0] < 0.5) & is_flippable_R
        pixels_RCHW = torch.where(_per_photo(is_flipped_R, pixels_RCHW), pixels_RCHW.flip(-1), pixels_RCHW)
    if "colour" in numbers:
        factor_RK = 1 - COLOUR_STRENGTH + 2 * COLOUR_STRENGTH * numbers["colour"]
        pixels_RCHW = _coloured(pixels_RCHW, *(_per_photo(factor_R, pixels_RCHW) for factor_R in factor_RK.T))
    if "grey" in numbers:
        is_grey = _per_photo(numbers["grey"][:, 0] < GREY_CHANCE, pixels_RCHW)
        pixels_RCHW = torch.where(is_grey, _grey(pixels_RCHW), pixels_RCHW)
    return pixels_RCHW


def _boxes(number_R4: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return left, top, width and height of a box for every photo, as shares of the picture, each [R].

    The area is drawn evenly, the aspect evenly by its logarithm. A side that does not fit is cut to fit: the area
    is then still above 1/2 and the aspect nearer to the picture's.
    """
    area_R = SMALLEST_AREA + (1 - SMALLEST_AREA) * number_R4[:, 0]
    aspect_R = WIDEST_ASPECT ** (2 * number_R4[:, 1] - 1)
    width_R, height_R = np.minimum(np.sqrt(area_R * aspect_R), 1), np.minimum(np.sqrt(area_R / aspect_R), 1)
    return (1 - width_R) * number_R4[:, 2], (1 - height_R) * number_R4[:, 3], width_R, height_R


def _cropped(
    pixels_RCHW: torch.Tensor, left_R: Numbers, top_R: Numbers, width_R: Numbers, height_R: Numbers
) -> torch.Tensor:
    """Return the boxes at the pictures' size.

    The places to sample are found one by one rather than by `affine_grid`, whose matrix product may differ in its
    last bit with the size of the batch.
    """
    height, width = pixels_RCHW.shape[-2:]
    x_RW = 2 * (left_R[:, None] + width_R[:, None] * (np.arange(width) + 0.5) / width) - 1
    y_RH = 2 * (top_R[:, None] + height_R[:, None] * (np.arange(height) + 0.5) / height) - 1
    x, y = (torch.from_numpy(place.astype(np.float32)).to(pixels_RCHW.device) for place in (x_RW, y_RH))
    shape = len(pixels_RCHW), height, width
    grid_RHW2 = torch.stack((x[:, None, :].expand(shape), y[:, :, None].expand(shape)), dim=-1)
    box_RCHW: torch.Tensor = grid_sample(
        pixels_RCHW, grid_RHW2, mode="bilinear", padding_mode="border", align_corners=False
    )
    return box_RCHW


def _coloured(
    pixels_RCHW: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor, saturation: torch.Tensor
) -> torch.Tensor:
    """Return the pixels with each factor, [R, 1, 1, 1], applied in turn."""
    pixels_RCHW = (pixels_RCHW * brightness).clamp_(0, 255)
    # of whole levels: their sum is exact in float64, whatever the order in which they are added
    level_R1HW = _grey(pixels_RCHW).round_()
    mean_R = level_R1HW.sum(dim=(1, 2, 3), dtype=torch.float64) / level_R1HW[0].numel()
    pixels_RCHW = _blended(pixels_RCHW, mean_R.float()[:, None, None, None], contrast)
    return _blended(pixels_RCHW, _grey(pixels_RCHW), saturation)


def _blended(pixels_RCHW: torch.Tensor, towards: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return (pixels_RCHW * factor + towards * (1 - factor)).clamp_(0, 255)


def _grey(pixels_RCHW: torch.Tensor) -> torch.Tensor:
    red, green, blue = pixels_RCHW.split(1, dim=1)
    grey_R1HW: torch.Tensor = red * _GREY[0] + green * _GREY[1] + blue * _GREY[2]
    return grey_R1HW


def _per_photo(value_R: npt.NDArray[np.float64] | npt.NDArray[np.bool_], pixels_RCHW: torch.Tensor) -> torch.Tensor:
    """Return a photo's value for all of its pixels, [R, 1, 1, 1], float32 or bool."""
    value = torch.from_numpy(value_R).to(pixels_RCHW.device)
    return (value if value.dtype == torch.bool else value.float())[:, None, None, None]
