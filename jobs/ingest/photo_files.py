"""What the picture files of a data set are called: by the photo's id, and by an extension that is read."""

from __future__ import annotations

import hashlib
import re

EXTENSIONS = ("jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp", "avif", "jp2")
MAX_STEM_BYTES = 200
# what a file name cannot hold on some system; a dot in front hides a file, one behind is lost, and % is the escape
_UNSAFE = re.compile(r"""[\x00-\x1f\x7f/\\:*?"<>|%]|^\.|[. ]$""")


def file_stem(photo_id: str) -> str:
    """Return the name before the extension of a photo's picture file: no two ids have the same one.

    It is the id itself where that can be a file name. What cannot stand in one is written as in an address; an id that
    becomes longer than 200 bytes of UTF-8 is digested. It never leads to another folder.

    >>> [file_stem(one) for one in ("Dwu85P9SOIk", "été 7.1", "a/b", "../../x", "50%", "..")]
    ['Dwu85P9SOIk', 'été 7.1', 'a%2Fb', '%2E.%2F..%2Fx', '50%25', '%2E%2E']
    >>> file_stem("/" * 100)
    'abe087674289a337a21437e36e2110a1'
    """
    stem = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", photo_id)
    encoded = stem.encode(errors="surrogatepass")
    return stem if len(encoded) <= MAX_STEM_BYTES else hashlib.blake2b(encoded, digest_size=16).hexdigest()
