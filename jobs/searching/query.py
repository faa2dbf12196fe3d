"""What is asked: words, perhaps from a country, or a picture."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import BadInput, MissingInput
from jobs.searching.terminal import printable
from models.images import FORMATS, ImageError, decode_image
from models.text import normalise_query

_SLUG_LENGTH = 40


@dataclass(frozen=True)
class Query:
    """A search as it is shown. `title` is the words in their normal form, or the name of the picture's file.

    `image` is the bytes of that file, None if the search is by words; `country` is "" if it is not known.
    """

    title: str
    country: str = ""
    image: bytes | None = None

    @property
    def slug(self) -> str:
        """What a file about this search is called: what is ASCII of it, and a digest that tells searches apart.

        >>> Query("café noir", "FR").slug, Query("../猫").slug
        ('cafe-noir-fr-f05b40a6', 'efd03b7b')
        """
        digest = hashlib.sha256(f"{self.title}\0{self.country}\0".encode() + (self.image or b"")).hexdigest()[:8]
        ascii_only = unicodedata.normalize("NFKD", self.title).encode("ascii", "ignore").decode().lower()
        words = re.sub(r"[^a-z0-9]+", "-", ascii_only)[:_SLUG_LENGTH].strip("-")
        kind = "" if self.image is None else "image"
        return "-".join(part for part in (kind, words, self.country.lower(), digest) if part)


def make_query(text: str | None, country: str = "", image: Path | None = None) -> Query:
    """Return what is to be searched; `BadInput` or `MissingInput` says what is wrong with it."""
    if (text is None) == (image is None):
        raise BadInput('give either words or a picture: nightlens search "cat", or nightlens search --image FILE')
    if image is not None:
        if country:
            raise BadInput("a picture is searched for as it is, from no country: leave out --country")
        return Query(_shown(image.name), image=_read_picture(image))
    assert text is not None
    words = normalise_query(text)
    if words != _shown(words):
        raise BadInput(f"the query {text!r} is not valid text: type it in UTF-8")
    if not printable(words):
        raise BadInput(f'the query {text!r} is empty: say what is looked for, as in nightlens search "cat"')
    if country and not re.fullmatch("[A-Za-z]{2}", country):
        raise BadInput(f"{country!r} is no country: give its two letters (ISO 3166), as in --country GB")
    return Query(words, country.upper())


def _shown(text: str) -> str:
    """Return a text without the halves of characters that stand for bytes that are not UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _read_picture(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingInput(f"the image {path} cannot be read: {error.strerror}. Name a picture's file.") from error
    try:
        decode_image(data)
    except ImageError as error:
        raise BadInput(f"the image {path} cannot be used: {error}. Give a picture: {', '.join(FORMATS)}.") from error
    return data
