"""Bytes of a picture to pixels, once for every stage: all formats and colour models to 8-bit RGB, or an error.

What a model does with the pixels afterwards (resizing, normalising) belongs to the model.
"""

from __future__ import annotations

import contextlib
import io
import math
import threading
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from models.image_metadata import pixel_bytes

# Named, because Pillow also opens formats that start other programs (EPS) or read further files.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000")
DECODER_VERSION = 2  # part of the key of everything computed from pixels: raise it when other pixels come out
HUGE_PIXELS = 16_000_000
MAX_ASPECT_RATIO = 1000  # resizing the shorter side of a longer strip to a model's input would fill the memory
_HUGE_LOCK = threading.Lock()  # threads that decode side by side hold one huge picture at a time
_ORIENTATION_TAG = 0x0112
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A picture that cannot be used.

    `reason` is a short code: empty, not_an_image, heic, damaged_or_unsupported, zero_size, too_many_pixels,
    extreme_shape, truncated, corrupt, out_of_memory. Tables of pictures keep it in a column of
    that name. An error that reaches the user has a code of its own, and may name the reason.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


def decode_image(data: bytes, max_pixels: int = 100_000_000) -> Image.Image:
    """Decode a picture to RGB, 8 bits, upright by its EXIF orientation, transparency laid on white.

    Of animations and multi-page files the first frame. 16-bit values keep their high byte; 32-bit and float
    grey values, which have no agreed range, are stretched from the smallest to the largest. A picture of
    more than `HUGE_PIXELS` comes back reduced by a whole factor, JPEGs while they are decoded, so that its
    memory is bounded. Safe to call from several threads. Raises `ImageError`, and nothing else, for bytes
    that are no picture, are damaged, longer than `MAX_ASPECT_RATIO` times their width or the other way round, or
    declare more than `max_pixels`; the last two are refused by their header.
    """
    with _opened(data, max_pixels) as image:
        return _decode(image)


def check_image(data: bytes, max_pixels: int = 100_000_000) -> None:
    """Raise `ImageError` where `decode_image` would. Costs less for JPEGs, whose pixels are computed at an eighth."""
    with _opened(data, max_pixels) as image, _huge_one_by_one(*image.size):
        image.draft(None, (1, 1))
        image.load()


@contextlib.contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """Give a picture whose header is acceptable. Whatever a decoder raises in the block becomes an `ImageError`."""
    if not data:
        raise ImageError("empty")
    try:
        with Image.open(io.BytesIO(pixel_bytes(data)), formats=FORMATS) as image:
            _check_size(*image.size, max_pixels)
            yield image
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except UnidentifiedImageError as error:
        raise ImageError(_unidentified(data), f"{len(data)} bytes") from error
    except MemoryError as error:
        raise ImageError("out_of_memory") from error
    except Exception as error:  # decoders fail on damaged bytes with almost any type
        reason = "truncated" if "truncated" in str(error).lower() else "corrupt"
        raise ImageError(reason, f"{type(error).__name__}: {error}") from error


def _unidentified(data: bytes) -> str:
    r"""Return the reason for bytes that no decoder takes.

    >>> _unidentified(b"<html>"), _unidentified(b"\xff\xd8\xff\xe0")
    ('not_an_image', 'damaged_or_unsupported')
    >>> _unidentified(b"\0\0\0\x14ftypmif1\0\0\0\0heic")
    'heic'
    """
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4]), 256)]
        return "heic" if _HEIC_BRANDS & {brands[at : at + 4] for at in range(0, len(brands), 4)} else "not_an_image"
    is_picture = data.startswith(_SIGNATURES) or data[8:12] == b"WEBP"
    return "damaged_or_unsupported" if is_picture else "not_an_image"


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ImageError("zero_size", f"{width} x {height}")
    if width * height > max_pixels:
        raise ImageError("too_many_pixels", f"{width} x {height}, limit {max_pixels}")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ImageError("extreme_shape", f"{width} x {height}")


def _huge_one_by_one(width: int, height: int) -> contextlib.AbstractContextManager[object]:
    return _HUGE_LOCK if width * height > HUGE_PIXELS else contextlib.nullcontext()


def _decode(image: Image.Image) -> Image.Image:
    width, height = image.size
    with _huge_one_by_one(width, height):
        factor = _reduction(width, height)
        if factor > 1:
            image.draft(None, (width // factor, height // factor))
        image.load()
        rgb = _to_rgb(image)
        factor = _reduction(*rgb.size)
        if factor > 1:
            rgb = rgb.reduce(factor)
    turn = _UPRIGHT.get(_orientation(image))
    return rgb if turn is None else rgb.transpose(turn)


def _reduction(width: int, height: int) -> int:
    """Return the smallest whole factor that brings a picture to at most `HUGE_PIXELS`.

    >>> _reduction(4000, 4000), _reduction(4001, 4000), _reduction(12_000, 9_000)
    (1, 2, 3)
    """
    return max(1, math.ceil(math.sqrt(width * height / HUGE_PIXELS)))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _deep_grey_to_rgb(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def _deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    """Bring 16-bit, 32-bit and float grey to 8 bits; Pillow itself would clip them at 255."""
    values_HW = np.asarray(image)
    if image.mode.startswith("I;16"):
        grey_HW = (values_HW >> 8).astype(np.uint8)
    else:
        finite_HW = np.nan_to_num(values_HW.astype(np.float32))
        low, high = float(finite_HW.min()), float(finite_HW.max())
        grey_HW = ((finite_HW - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey_HW = np.where(values_HW == transparent, np.uint8(255), grey_HW)
    return Image.fromarray(grey_HW).convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # viewers show a picture with damaged EXIF as it lies, and so does this
        return 1
    return value if isinstance(value, int) else 1
