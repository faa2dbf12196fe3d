"""Taking out of a picture's bytes what says nothing about its pixels: colour profiles, texts, makers' notes.

Pillow refuses a whole picture where such a part is large or broken. What decides on pixels and orientation stays, also
where it is damaged: the decoder judges that.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_ORIENTATION_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # as Pillow looks for it
_MAX_TEXT_BYTES = 1_000_000  # below Pillow's limit; a text that inflates to more is left out
_MIN_LENGTHS = {0xE0: 14, 0xEE: 12}  # JFIF and Adobe tell the colour model; libjpeg ignores shorter ones, Pillow fails
_SEGMENTS_WITHOUT_PIXELS = {*range(0xE2, 0xEE), 0xEF, 0xFE}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a length


def pixel_bytes(data: bytes) -> bytes:
    """Return the bytes of a picture without what does not touch its pixels. Other formats than PNG and JPEG stay."""
    if data.startswith(_PNG):
        return _PNG + b"".join(_png_chunks(data))
    if data.startswith(_JPEG):
        return _JPEG + b"".join(_jpeg_segments(data))
    return data


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """Yield the chunks that a decoder needs. What does not look like a chunk is given as it is, with all after it."""
    at = len(_PNG)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data) or not name.isalpha():
            break
        is_critical = not name[0] & 0x20
        if is_critical or name == b"tRNS" or _tells_orientation(name, data[at + 8 : end - 4], data[end - 4 : end]):
            yield data[at:end]
        at = end
    yield data[at:]


def _tells_orientation(name: bytes, body: bytes, checksum: bytes) -> bool:
    """Say whether a PNG chunk may hold the orientation, and is whole and small enough to be read."""
    if zlib.crc32(name + body) != int.from_bytes(checksum):
        return False
    keyword, _, text = body.partition(b"\0")
    if name == b"eXIf" or keyword not in _ORIENTATION_TEXTS:
        return name == b"eXIf"
    if name == b"zTXt":
        return text[:1] == b"\0" and _inflates_to_little(text[1:])
    if name == b"iTXt" and text[:1] == b"\1":
        return text[1:2] == b"\0" and _inflates_to_little(text[2:].split(b"\0", 2)[-1])
    return name in (b"tEXt", b"iTXt") and len(text) <= _MAX_TEXT_BYTES


def _inflates_to_little(data: bytes) -> bool:
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(data, _MAX_TEXT_BYTES)
    except zlib.error:
        return False
    return not inflater.unconsumed_tail


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    """Yield the segments before the first scan that a decoder needs, then all the rest as it is."""
    at = len(_JPEG)
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0x00, 0xFF):  # stray or filling bytes, which decoders skip
            at += 1
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        end = at + 2 if marker in _ALONE else at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if end > len(data):
            break
        is_needed = marker not in _SEGMENTS_WITHOUT_PIXELS and end - at - 4 >= _MIN_LENGTHS.get(marker, -2)
        if is_needed:
            yield data[at:end]
        at = end
    yield data[at:]
