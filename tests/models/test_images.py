"""decode_image: every format and colour model a catalogue holds comes out as RGB, and damage as a reason."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models import images
from models.images import ImageError, check_image, decode_image

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(mode: str = "RGB", left: Any = RED, right: Any = BLUE, size: tuple[int, int] = (32, 16)) -> Image.Image:
    """A picture whose left half has one colour and whose right half another."""
    image = Image.new(mode, size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def assert_halves(image: Image.Image, left: Any = RED, right: Any = BLUE, tolerance: int = 6) -> None:
    assert image.mode == "RGB"
    pixels_HWC = np.asarray(image).astype(int)
    quarter = image.width // 4
    middle = image.height // 2
    assert np.abs(pixels_HWC[middle, quarter] - left).max() <= tolerance, pixels_HWC[middle, quarter]
    assert np.abs(pixels_HWC[middle, -quarter] - right).max() <= tolerance, pixels_HWC[middle, -quarter]


def png(width: int, height: int, bit_depth: int, color_type: int, body: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG made by hand, for headers that Pillow would not write."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF"])
def test_formats(kind: str) -> None:
    image = decode_image(encoded(halves(), kind))
    assert image.size == (32, 16)
    assert_halves(image, tolerance=12)


@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "CMYK"), ("TIFF", "CMYK"), ("JPEG", "YCbCr"), ("TIFF", "LAB")])
def test_other_colour_models(kind: str, mode: str) -> None:
    if mode == "LAB":
        image = decode_image(encoded(halves("LAB", (255, 128, 128), (0, 128, 128)), kind))
        assert_halves(image, WHITE, (0, 0, 0))
        return
    assert_halves(decode_image(encoded(halves().convert(mode), kind)))


def test_an_adobe_cmyk_jpeg_is_not_shown_inverted() -> None:
    data = encoded(halves("CMYK", (255, 0, 0, 0), (0, 0, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in data  # its values are stored inverted
    assert_halves(decode_image(data), (0, 255, 255), (255, 255, 0))


def test_sixteen_bits_keep_their_high_byte() -> None:
    grey_HW = np.full((16, 32), 0x4000, np.uint16)
    grey_HW[:, 16:] = 0xC0FF
    for kind in ("PNG", "TIFF"):
        assert_halves(decode_image(encoded(Image.fromarray(grey_HW), kind)), (64,) * 3, (192,) * 3, tolerance=0)


def test_sixteen_bit_colour() -> None:
    pixel = struct.pack(">HHH", 0x4012, 0x80FF, 0xFFFF)
    data = png(8, 4, 16, 2, (b"\0" + pixel * 8) * 4)
    assert decode_image(data).getpixel((3, 2)) == (0x40, 0x80, 0xFF)


def test_sixteen_bit_grey_with_a_transparent_value() -> None:
    row = b"\0" + struct.pack(">H", 0x1234) * 4 + struct.pack(">H", 0x2000) * 4
    data = png(8, 4, 16, 0, row * 4, (b"tRNS", struct.pack(">H", 0x1234)))
    assert_halves(decode_image(data), WHITE, (32,) * 3, tolerance=0)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_without_an_agreed_range_are_stretched(dtype: type) -> None:
    values_HW = np.full((16, 32), -1000, dtype)
    values_HW[:, 16:] = 90_000
    assert_halves(decode_image(encoded(Image.fromarray(values_HW), "TIFF")), (0, 0, 0), WHITE, tolerance=0)
    flat = decode_image(encoded(Image.fromarray(np.full((4, 4), 7, dtype)), "TIFF"))
    assert flat.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    clear, solid = ((0, 0, 0, 0), (*BLUE, 255)) if mode == "RGBA" else ((0, 0), (90, 255))
    image = decode_image(encoded(halves(mode, clear, solid), "PNG"))
    assert_halves(image, WHITE, BLUE if mode == "RGBA" else (90,) * 3, tolerance=0)


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    image = decode_image(encoded(halves("RGBA", (0, 0, 0, 128), (*BLUE, 255)), "PNG"))
    assert_halves(image, (127,) * 3, BLUE, tolerance=1)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_a_transparent_colour(kind: str) -> None:
    image = halves("P", 0, 1)
    image.putpalette([*RED, *BLUE])
    assert_halves(decode_image(encoded(image, kind)))
    assert_halves(decode_image(encoded(image, kind, transparency=0)), WHITE, BLUE)


def test_a_transparent_colour_of_an_rgb_png() -> None:
    assert_halves(decode_image(encoded(halves(), "PNG", transparency=RED)), WHITE, BLUE)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame(kind: str) -> None:
    others = [Image.new("RGB", (32, 16), color) for color in ((0, 255, 0), (9, 9, 9))]
    data = encoded(halves(), kind, save_all=True, append_images=others)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 3
    assert_halves(decode_image(data), tolerance=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, kind: str) -> None:
    upright_HWC = np.zeros((16, 32, 3), np.uint8)
    upright_HWC[:8, :16], upright_HWC[:8, 16:], upright_HWC[8:, :16] = RED, BLUE, WHITE
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    turn = images._UPRIGHT.get(inverse)
    stored = Image.fromarray(upright_HWC)
    stored = stored if turn is None else stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_image(encoded(stored, kind, exif=exif, **({} if kind == "TIFF" else {"quality": 95})))
    assert decoded.size == (32, 16)
    for x, y in ((4, 4), (26, 4), (4, 12), (26, 12)):
        found = np.array(decoded.getpixel((x, y)), int)
        assert np.abs(found - upright_HWC[y, x]).max() < 40, (x, y)


def test_damaged_exif_does_not_spoil_a_picture() -> None:
    assert_halves(decode_image(encoded(halves(), "JPEG", exif=b"Exif\0\0MM\0\x2b" + b"\xff" * 40)))


HALVES = (b"\0" + bytes(RED) * 4 + bytes(BLUE) * 4) * 4
"""The lines of a PNG of 8 x 4 pixels, not compressed."""


def inflating(byte_count: int) -> bytes:
    return zlib.compress(b"a" * byte_count)


@pytest.mark.parametrize(
    "chunk",
    [
        (b"iCCP", b"profile\0\0" + zlib.compress(np.random.default_rng(0).bytes(2_000_000))),
        (b"iCCP", b"profile\0\0" + inflating(50_000_000)),
        (b"iCCP", b"cut"),
        (b"tEXt", b"Comment\0" + b"a" * 3_000_000),
        (b"zTXt", b"Comment\0\0" + inflating(3_000_000)),
        (b"zTXt", b"Raw profile type exif\0\0" + inflating(3_000_000)),
        (b"zTXt", b"Comment\0\7"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + inflating(3_000_000)),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"a" * 3_000_000),
        (b"gAMA", b"\0"),
        (b"pHYs", b"\0"),
        (b"cHRM", b"\0"),
        (b"sRGB", b""),
        (b"acTL", b""),
        (b"eXIf", b"\xff" * 40),
    ],
    ids=lambda chunk: f"{chunk[0].decode()}-{len(chunk[1])}",
)
def test_a_chunk_that_says_nothing_of_pixels_does_not_spoil_a_png(chunk: tuple[bytes, bytes]) -> None:
    data = png(8, 4, 8, 2, HALVES, chunk)
    check_image(data)
    assert_halves(decode_image(data), tolerance=0)


def test_texts_of_a_png_that_add_up_to_more_than_pillow_takes_do_not_spoil_it() -> None:
    text = (b"iTXt", b"Comment\0\1\0\0\0" + inflating(1_000_000))
    assert_halves(decode_image(png(8, 4, 8, 2, HALVES, *[text] * 70)), tolerance=0)


def test_a_text_of_a_png_with_a_wrong_checksum_does_not_spoil_it() -> None:
    data = png(8, 4, 8, 2, HALVES, (b"tEXt", b"XML:com.adobe.xmp\0hello"))
    assert_halves(decode_image(data.replace(b"hello", b"jello")), tolerance=0)


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", b'XML:com.adobe.xmp\0<x tiff:Orientation="3"/>'),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b'<x tiff:Orientation="3"/>')),
        (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="3"/>'),
        (b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\3\0\0\0\0\0\0"),
    ],
    ids=["text", "compressed", "international", "exif"],
)
def test_the_orientation_of_a_png_is_read_beside_a_large_profile(chunk: tuple[bytes, bytes]) -> None:
    data = png(8, 4, 8, 2, HALVES, (b"iCCP", b"profile\0\0" + inflating(3_000_000)), chunk)
    assert_halves(decode_image(data), BLUE, RED, tolerance=0)


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (0xE0, b"JFIF"),
        (0xE1, b"Exif\0\0MM\0*\xff"),
        (0xE1, b""),
        (0xE2, b"ICC_PROFILE\0"),
        (0xE2, b"ICC_PROFILE\0\1\3cut"),
        (0xE2, b"MPF\0" + b"\xff" * 40),
        (0xED, b"Photoshop 3.0\x008BIM\3"),
        (0xEE, b"Adobe"),
        (0xFE, b"\xff\xd8\xff\xda"),
    ],
)
def test_a_broken_marker_that_says_nothing_of_pixels_does_not_spoil_a_jpeg(marker: int, body: bytes) -> None:
    whole = encoded(halves(), "JPEG", quality=95)
    data = whole[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + whole[2:]
    check_image(data)
    assert_halves(decode_image(data))


def test_a_jpeg_with_stray_bytes_and_hundreds_of_xmp_parts() -> None:
    whole = encoded(halves(), "JPEG", quality=95)
    xmp = b"\xff\xe1\xfd\xe8" + (b"http://ns.adobe.com/xap/1.0/\0" + b"x" * 65_000)[:64_998]
    assert_halves(decode_image(whole[:2] + b"\0\xff\xff" + xmp * 300 + whole[2:]))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_broken_colour_profile_of_three_megabytes_does_not_spoil_a_picture(kind: str) -> None:
    assert_halves(decode_image(encoded(halves(), kind, icc_profile=b"no profile" * 300_000)), tolerance=12)


def reason_of(data: bytes, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data, **options)
    return caught.value.reason


@pytest.mark.parametrize(
    "data",
    [b"<html><body>404</body></html>", b"\x00" * 100, b"GIF89", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"],
)
def test_what_is_no_picture(data: bytes) -> None:
    assert reason_of(data) == "not_an_image"


@pytest.mark.parametrize(
    "brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"hevc\0\0\0\0", b"msf1\0\0\0\0hevc"]
)
def test_heic_under_another_name_has_a_reason_of_its_own(brands: bytes) -> None:
    data = struct.pack(">I", len(brands) + 8) + b"ftyp" + brands + bytes(400)
    assert reason_of(data) == "heic"


def test_a_picture_that_no_decoder_reads_is_not_called_no_picture() -> None:
    twelve_bits = encoded(halves(), "JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")
    assert reason_of(twelve_bits) == "damaged_or_unsupported"
    assert reason_of(b"RIFF\0\0\0\0WEBPVP8 cut") in {"damaged_or_unsupported", "corrupt", "truncated"}


def test_empty() -> None:
    assert reason_of(b"") == "empty"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_picture_is_an_error_with_a_reason(kind: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)
    assert reason_of(data[: int(len(data) * share)]) in {
        "truncated",
        "corrupt",
        "not_an_image",
        "damaged_or_unsupported",
    }


def test_the_usual_truncation_is_named() -> None:
    data = encoded(Image.effect_noise((200, 200), 90).convert("RGB"), "JPEG")
    assert reason_of(data[: len(data) // 2]) == "truncated"


def outcome_of(look: Callable[..., object], data: bytes) -> str:
    try:
        look(data, max_pixels=1_000_000)
    except ImageError as error:
        return error.reason
    return "RGB"


def test_random_damage_never_raises_anything_else() -> None:
    rng = np.random.default_rng(1)
    originals = [
        encoded(Image.effect_noise((40, 40), 50).convert("RGB"), k) for k in ("JPEG", "PNG", "GIF", "WEBP", "TIFF")
    ]
    outcomes = set()
    for trial in range(400):
        data = bytearray(originals[trial % len(originals)])
        for position in rng.integers(0, len(data), 12):
            data[position] = rng.integers(0, 256)
        outcome = outcome_of(decode_image, bytes(data))
        outcomes.add(outcome)
        assert (outcome_of(check_image, bytes(data)) == "RGB") == (outcome == "RGB")
    reasons = {"zero_size", "too_many_pixels", "extreme_shape", "truncated", "corrupt"}
    assert outcomes <= {"RGB", "not_an_image", "damaged_or_unsupported"} | reasons
    assert {"RGB", "corrupt"} <= outcomes


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = png(60_000, 60_000, 1, 0, b"")
    assert reason_of(bomb) == "too_many_pixels"
    assert reason_of(encoded(halves(), "PNG"), max_pixels=511) == "too_many_pixels"
    assert decode_image(encoded(halves(), "PNG"), max_pixels=512).size == (32, 16)


def test_a_strip_of_pixels_is_refused() -> None:
    assert reason_of(encoded(Image.new("RGB", (1, 1001)), "PNG")) == "extreme_shape"
    assert decode_image(encoded(Image.new("RGB", (2, 2000)), "PNG")).size == (2, 2000)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_zero_size(size: tuple[int, int]) -> None:
    assert reason_of(png(*size, 8, 2, b"")) in {"zero_size", "damaged_or_unsupported"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_huge_picture_comes_back_reduced(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "HUGE_PIXELS", 20_000)
    image = decode_image(encoded(halves(size=(512, 256)), kind))
    assert 5_000 <= image.width * image.height <= 20_000
    assert image.width == pytest.approx(2 * image.height, abs=1)
    assert_halves(image)


def test_a_huge_jpeg_is_decoded_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft mode is what keeps memory low: the decoder itself must be asked for fewer pixels."""
    loaded: list[tuple[int, int]] = []
    original = images._to_rgb
    monkeypatch.setattr(images, "HUGE_PIXELS", 20_000)
    monkeypatch.setattr(images, "_to_rgb", lambda image: loaded.append(image.size) or original(image))
    decode_image(encoded(halves(size=(1024, 512)), "JPEG"))
    assert loaded == [(256, 128)]
