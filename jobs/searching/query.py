"""What is asked: words, a picture, or a photo of the corpus, perhaps from a country, and words perhaps by a visitor."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import BadInput, MissingInput
from jobs.runtime.terminal import printable
from models.images import FORMATS, ImageError, decode_image
from models.text import normalise_country, normalise_query

_SLUG_LENGTH = 40


@dataclass(frozen=True)
class Query:
    """A search as it is shown. `title` is the words in their normal form, the picture's file name, or the photo's id.

    `image` is the bytes of that file and `photo_id` that id, None where the search is by something else; `country` is
    "" if it is not known. A picture means the same everywhere, but not everything is shown everywhere. Who searches may
    be known: `visitor_id` is the pseudonym, or `taken` are photos that were taken before, oldest first.
    """

    title: str
    country: str = ""
    image: bytes | None = None
    photo_id: str | None = None
    visitor_id: str | None = None
    taken: tuple[str, ...] = ()

    @property
    def has_past(self) -> bool:
        """Whether the search is one of somebody who took photos before."""
        return self.visitor_id is not None or bool(self.taken)

    @property
    def is_words(self) -> bool:
        """Whether the search is by words."""
        return self.image is None and self.photo_id is None

    @property
    def slug(self) -> str:
        """What a file about this search is called: what is ASCII of it, and a digest that tells searches apart.

        >>> Query("café noir", "FR").slug, Query("../猫").slug
        ('cafe-noir-fr-f05b40a6', 'efd03b7b')
        """
        asked = f"{self.title}\0{self.country}\0".encode() + (self.image or b"")
        if self.has_past:
            asked += "\0".join(("", self.visitor_id or "", *self.taken)).encode()
        digest = hashlib.sha256(asked).hexdigest()[:8]
        ascii_only = unicodedata.normalize("NFKD", self.title).encode("ascii", "ignore").decode().lower()
        words = re.sub(r"[^a-z0-9]+", "-", ascii_only)[:_SLUG_LENGTH].strip("-")
        kind = "" if self.is_words else "image" if self.photo_id is None else "photo"
        return "-".join(part for part in (kind, words, self.country.lower(), digest) if part)


def make_query(
    text: str | None,
    country: str = "",
    image: Path | None = None,
    photo_id: str | None = None,
    visitor_id: str | None = None,
    taken: tuple[str, ...] = (),
) -> Query:
    """Return what is to be searched; `BadInput` or `MissingInput` says what is wrong with it."""
    if (visitor_id is not None or taken) and (text is None or (visitor_id is not None and taken)):
        raise BadInput(
            "past_not_usable",
            "a search by words may say who searches, by a visitor's id or by photos taken before: nightlens search "
            '"cat" --visitor ID, or nightlens search "cat" --taken PHOTO_ID. Leave the other out.',
        )
    if sum(given is not None for given in (text, image, photo_id)) != 1:
        raise BadInput(
            "one_query_needed",
            'give either words or a picture: nightlens search "cat", or nightlens search --image FILE, or of the '
            "corpus nightlens search --photo ID",
        )
    if country and not re.fullmatch("[A-Za-z]{2}", country):
        raise BadInput(
            "unknown_country",
            f"{country!r} is no country: give its two letters (ISO 3166), as in --country GB",
            country=country,
        )
    if image is not None:
        return Query(image.name, normalise_country(country), image=_read_picture(image))
    if photo_id is not None:
        return Query(photo_id, normalise_country(country), photo_id=photo_id)
    assert text is not None
    words = normalise_query(text)
    if not printable(words):
        raise BadInput(
            "empty_query",
            f'the query {text!r} is empty: say what is looked for, as in nightlens search "cat"',
            query=text,
        )
    return Query(words, normalise_country(country), visitor_id=visitor_id, taken=taken)


def _read_picture(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingInput(
            "unreadable_file", f"the image {path} cannot be read: {error.strerror}. Name a picture's file.", path=path
        ) from error
    try:
        decode_image(data)
    except ImageError as error:
        raise BadInput(
            "not_a_picture",
            f"the image {path} cannot be used: {error}. Give a picture: {', '.join(FORMATS)}.",
            path=path,
        ) from error
    return data
