"""Augmentation: a photo becomes the same picture in any company, each kind is what it says, writing is not flipped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as peer

from models.search.augmentation import (
    COLOUR_STRENGTH,
    GREY_CHANCE,
    KINDS,
    ONE_WAY_ROUND,
    _cropped,
    augment,
    check_kinds,
    is_safe_to_flip,
)
from models.search.counter_random import uniforms
from models.search.errors import ModelError
from models.text import normalise_query
from tests.errors import raises

PHOTOS, HEIGHT, WIDTH = 150, 20, 24  # more than two blocks
IDS = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, PHOTOS)
ALL = np.ones(PHOTOS, np.bool_)


def photos(count: int = PHOTOS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)


def ramps(count: int = PHOTOS) -> torch.Tensor:
    """Return photos whose red is 10 times the column and whose green is 10 times the row."""
    pixels = torch.zeros(count, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    pixels[:, 0] = 10 * torch.arange(WIDTH)
    pixels[:, 1] = 10 * torch.arange(HEIGHT)[:, None]
    return pixels


@pytest.mark.parametrize("kinds", [(kind,) for kind in KINDS] + [KINDS])
def test_a_photo_becomes_the_same_picture_in_any_company(kinds: tuple[str, ...]) -> None:
    pixels, order = photos(), np.random.default_rng(2).permutation(PHOTOS)
    is_flippable = np.arange(PHOTOS) % 3 > 0
    state = torch.get_rng_state()
    together = augment(pixels, IDS, is_flippable, kinds, seed=5, step=6, view=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert together.dtype == torch.uint8
    assert together.shape == pixels.shape
    assert not torch.equal(together, pixels)
    turned = augment(pixels[order], IDS[order], is_flippable[order], kinds[::-1], seed=5, step=6, view=1)
    assert torch.equal(turned, together[order])
    for count in (1, 2, 7):
        few = augment(pixels[:count], IDS[:count], is_flippable[:count], kinds, seed=5, step=6, view=1)
        assert torch.equal(few, together[:count])


@pytest.mark.parametrize("kind", KINDS)
def test_seed_step_view_and_id_each_change_the_picture(kind: str) -> None:
    def pictures(seed: int = 1, step: int = 1, view: int = 0, shift: int = 0) -> torch.Tensor:
        return augment(photos(), IDS + shift, ALL, (kind,), seed=seed, step=step, view=view)

    for other in (pictures(seed=2), pictures(step=2), pictures(view=1), pictures(shift=1)):
        share = (other != pictures()).flatten(1).any(dim=1).double().mean()
        assert share > (0.05 if kind == "grey" else 0.35)


def test_a_kind_more_leaves_the_others_as_they_were() -> None:
    flipped = augment(photos(), IDS, ALL, ("flip",), seed=1, step=1)
    both = augment(photos(), IDS, ALL, ("flip", "grey"), seed=1, step=1)
    is_grey = (both[:, 0] == both[:, 1]).all(dim=-1).all(dim=-1)
    assert torch.equal(both[~is_grey], flipped[~is_grey])
    assert is_grey.double().mean().item() == pytest.approx(GREY_CHANCE, abs=0.08)


def test_no_kinds_and_no_photos_are_fine() -> None:
    assert torch.equal(augment(photos(), IDS, ALL, (), seed=1, step=1), photos())
    assert augment(photos(0), IDS[:0], ALL[:0], KINDS, seed=1, step=1).shape == (0, 3, HEIGHT, WIDTH)


def test_a_flip_mirrors_half_of_the_photos_it_may() -> None:
    is_flippable = np.arange(PHOTOS) % 2 == 0
    found = augment(photos(), IDS, is_flippable, ("flip",), seed=1, step=1)
    is_mirrored = (found == photos().flip(-1)).flatten(1).all(dim=1)
    assert torch.equal(found[~is_mirrored], photos()[~is_mirrored])
    assert not is_mirrored[~torch.from_numpy(is_flippable)].any()
    assert is_mirrored[torch.from_numpy(is_flippable)].double().mean().item() == pytest.approx(0.5, abs=0.2)


def test_crops_are_boxes_of_the_promised_area_and_aspect() -> None:
    """On a ramp, bilinear sampling gives back the place it sampled at."""
    found = augment(ramps(), IDS, ALL, ("crop",), seed=1, step=1).double() / 10
    column_UW, row_UH = found[:, 0, HEIGHT // 2], found[:, 1, :, WIDTH // 2]
    inner = slice(4, -4)  # the ramp ends half a pixel before the picture's edge
    width_U = (column_UW[:, inner].diff(dim=1)).mean(dim=1)
    height_U = (row_UH[:, inner].diff(dim=1)).mean(dim=1)
    straight_UW = column_UW[:, 4:5] + width_U[:, None] * torch.arange(WIDTH - 8)
    assert (column_UW[:, inner] - straight_UW).abs().max() < 0.2
    area_U, aspect_U = width_U * height_U, width_U / height_U
    assert 0.48 < area_U.min() < 0.6
    assert 0.9 < area_U.max() < 1.02
    assert 0.73 < aspect_U.min() < 0.85
    assert 1.2 < aspect_U.max() < 1.36
    left_U = column_UW[:, 4] + 0.5 - 4.5 * width_U
    room_U = WIDTH * (1 - width_U)
    assert (left_U > -0.3).all()
    assert (left_U < room_U + 0.3).all()
    place_U = (left_U / room_U)[room_U > 2]
    assert place_U.min() < 0.15
    assert place_U.max() > 0.85
    assert torch.equal(found[:, 0, 3], found[:, 0, 16])  # columns depend on columns only


def test_a_crop_is_what_interpolation_makes_of_the_same_box() -> None:
    """A box of whole pixels, from the numbers that give it, away from its edges (there the crop sees beyond)."""
    pixels = photos(1).float()
    share = [np.array([value]) for value in (3 / WIDTH, 2 / HEIGHT, 18 / WIDTH, 15 / HEIGHT)]
    expected = torch.nn.functional.interpolate(pixels[..., 2:17, 3:21], (HEIGHT, WIDTH), mode="bilinear")
    found = _cropped(pixels, *share)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-2, rtol=0)
    whole = [np.array([value]) for value in (0.0, 0.0, 1.0, 1.0)]
    torch.testing.assert_close(_cropped(pixels, *whole), pixels, atol=1e-2, rtol=0)


def test_colours_are_those_of_torchvision() -> None:
    seed, step = 4, 9
    found = augment(photos(20), IDS[:20], ALL[:20], ("colour",), seed=seed, step=step)
    factor_UK = 1 + COLOUR_STRENGTH * (2 * uniforms(seed, (1 + KINDS.index("colour")) << 32, step, IDS[:20], 3) - 1)
    for before, after, (brightness, contrast, saturation) in zip(photos(20), found, factor_UK, strict=True):
        expected = peer.adjust_brightness(before / 255, brightness)
        expected = peer.adjust_saturation(peer.adjust_contrast(expected, contrast), saturation) * 255
        assert (after - expected).abs().max() < 1.2


def test_grey_is_that_of_torchvision() -> None:
    found = augment(photos(), IDS, ALL, ("grey",), seed=1, step=1)
    is_grey = (found[:, 0] == found[:, 1]).flatten(1).all(dim=1)
    assert 0 < is_grey.sum() < PHOTOS / 4
    expected = peer.rgb_to_grayscale(photos()[is_grey].float(), num_output_channels=3)
    assert (found[is_grey] - expected).abs().max() < 1
    assert torch.equal(found[~is_grey], photos()[~is_grey])


def test_what_cannot_be_augmented_is_refused() -> None:
    with raises(ModelError, "augmentation_unknown", unknown=["blur"]):
        check_kinds(["crop", "blur"])
    with raises(ModelError, "augmentation_unknown", unknown=["blur"]):
        augment(photos(), IDS, ALL, ("blur",), seed=1, step=1)
    for pixels in (photos().float(), photos()[0], photos()[:, :1]):
        with pytest.raises(ValueError, match="uint8"):
            augment(pixels, IDS, ALL, ("flip",), seed=1, step=1)


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ([], True),
        (["cat", "grass", "brightness"], True),
        (["cat", "ARROW"], False),
        (["stop sign"], False),
        (["sign-post", "Flags"], False),
        (["ｔｅｘｔ"], False),
        (["hands", "leftover"], True),
        (["left_handed"], False),
        (["wristwatch", "pocket watches"], False),
    ],
)
def test_which_photos_may_be_flipped(keywords: list[str], expected: bool) -> None:
    assert is_safe_to_flip(keywords) == expected


def test_the_words_are_in_the_form_they_are_compared_in() -> None:
    assert {normalise_query(word) for word in ONE_WAY_ROUND} == ONE_WAY_ROUND
