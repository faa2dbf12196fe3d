"""The mapping file: which files a site gives, and what their columns, units and words are called here. No data.

A column is named as the site names it; `a.b` is the field b of the nested column a. Unknown keys are refused.
"""

from __future__ import annotations

import codecs
import string
import tomllib
from pathlib import Path
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from jobs.errors import BadInput, MissingInput

Columns = str | tuple[str, ...]
INTERACTIONS = ("shown", "click", "like", "dislike", "download")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Time(_Part):
    """A column of times. `format` is that of texts (strftime); else ISO 8601, or numbers since 1970.

    `unit` is needed for numbers that mean times before 1990: those of later ones tell their unit themselves.
    """

    column: str
    unit: Literal["s", "ms", "us"] | None = None
    format: str | None = None
    timezone: str = "UTC"  # of texts that name none
    default: str | None = None  # taken where there is none, and counted as guessed

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, OSError, ValueError) as error:  # it may name a folder, or lead to another
            raise ValueError(f"unknown time zone {timezone!r}: name one such as Europe/Berlin") from error
        return timezone


class Number(_Part):
    """A column of numbers: what it is multiplied by to be in the unit wanted, and its decimal sign in texts."""

    column: str
    scale: float = Field(1.0, gt=0)
    decimal: Literal[".", ","] = "."


class Price(Number):
    """A price becomes a keyword, such as "10 to 50 EUR": `bands` are the bounds, in the currency."""

    currency: str = Field(pattern=r"\A[A-Z]{3}\z")
    bands: tuple[float, ...] = Field(min_length=1)

    @field_validator("bands")
    @classmethod
    def _ascend(cls, bands: tuple[float, ...]) -> tuple[float, ...]:
        if list(bands) != sorted(set(bands)):
            raise ValueError("bands must ascend")
        return bands


class Words(_Part):
    """A column of words: a list, or a text cut at `separator`. `names` says what some are called here."""

    column: str
    separator: str = ","
    names: dict[str, str] = {}


class Choice(_Part):
    """Rows are kept if the column has one of these values; a value that is not there counts as `default`."""

    column: str
    keep: tuple[str, ...] = Field(min_length=1)
    default: str | None = None


class Interaction(_Part):
    """A column of what became of a photo shown; `names` says which of `INTERACTIONS` a word of the site stands for.

    Nothing in the column means that the photo was shown and no more.
    """

    column: str
    names: dict[str, str] = {}

    @field_validator("names")
    @classmethod
    def _are_known(cls, names: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(names.values()) - set(INTERACTIONS)):
            raise ValueError(f"unknown interaction {', '.join(unknown)}; there are {', '.join(INTERACTIONS)}")
        return names


class DataFile(_Part):
    """Where rows are: one path or pattern beside the mapping file, of CSV, TSV, JSON, JSON lines or Parquet."""

    path: str
    separator: str | None = Field(None, pattern=r"\A[\x01-\x09\x20!#-~]\z")  # of CSV; default: by the file's name
    encoding: str = "utf-8"  # of CSV; any that Python knows

    @field_validator("path")
    @classmethod
    def _is_beside(cls, path: str) -> str:
        if not path or Path(path).is_absolute():
            raise ValueError("name a path from the folder of the mapping file")
        return path

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            b"text".decode(encoding, "replace")
            codecs.getincrementaldecoder(encoding)
        except (LookupError, UnicodeError) as error:
            raise ValueError(
                f"unknown encoding {encoding!r}: name one that Python knows, such as utf-8, cp1252, utf-16 or shift_jis"
            ) from error
        return encoding

    @property
    def is_utf8(self) -> bool:
        """Whether the file is UTF-8, which is read as it is."""
        return codecs.lookup(self.encoding).name == "utf-8"


class TemplatePart(NamedTuple):
    """A stretch of a template: text, then a column's value in a format of Python's, if there is one."""

    text: str
    column: str | None
    format: str


def parse_template(template: str) -> list[TemplatePart]:
    """Return the parts of a template of file names; `ValueError` if it is none.

    >>> [tuple(part) for part in parse_template("pictures/{sku:.3}/{sku}.jpg")]
    [('pictures/', 'sku', '.3'), ('/', 'sku', ''), ('.jpg', None, '')]
    """
    parts = []
    for text, column, form, conversion in string.Formatter().parse(template):
        if column == "" or conversion:
            raise ValueError(f"{template!r}: a brace holds a column and, if need be, a format, as in {{sku:.3}}")
        if form:
            format("text", form)
        parts.append(TemplatePart(text, column, form or ""))
    return parts


class Photos(DataFile):
    """What the site shows. Brand, price and category become keywords, and a category a topic besides."""

    photo_id: str
    image_url: str | None = None
    image_file: str | None = None  # beside the mapping file; {column} stands for a value, {column:.3} for its beginning
    missing_image: Literal["drop", "keep"] = "drop"
    submitted_at: Time | None = None
    submitted_at_default: str | None = None  # where there is no such column at all
    description: Columns = ()
    missing_description: Literal["words", "keep", "drop"] = "words"
    keywords: Words | None = None
    category: Words | None = None
    brand: str | None = None
    price: Price | None = None
    width: Number | None = None
    height: Number | None = None
    language: Choice | None = None
    photographer: str | None = None

    @field_validator("image_file")
    @classmethod
    def _is_template(cls, template: str | None) -> str | None:
        if template is not None:
            parse_template(template)
        return template

    @model_validator(mode="after")
    def _fit_together(self) -> Photos:
        if not (self.image_url or self.image_file):
            raise ValueError("say where pictures are: image_url or image_file")
        if not (self.submitted_at or self.submitted_at_default):
            raise ValueError("say since when photos are there: submitted_at, or one day for all: submitted_at_default")
        return self


class Conversions(DataFile):
    """Searches that ended with a photo taken."""

    photo_id: str
    converted_at: Time
    query: str
    user_id: str
    country: str | None = None
    country_default: str | None = Field(None, pattern=r"\A[A-Z]{2}\z")
    device_type: str | None = None
    position: Number | None = None
    first_position: Literal[0, 1] = 1  # what the site calls the first place
    type: Choice | None = None

    @model_validator(mode="after")
    def _fit_together(self) -> Conversions:
        if not (self.country or self.country_default):
            raise ValueError("say where searches come from: country, or one for all: country_default")
        return self


class Impressions(DataFile):
    """Photos that were shown, one in a list a row: a list is that of a search, or of a photo that was asked with."""

    photo_id: str
    shown_at: Time
    user_id: str
    position: Number
    first_position: Literal[0, 1] = 1  # what the site calls the first place
    query_id: str | None = None
    query_photo_id: str | None = None
    query: str | None = None  # the words
    interaction: Interaction | None = None
    country: str | None = None
    dwell: Number | None = None  # `scale` to seconds
    arm: str | None = None  # what made the list

    @model_validator(mode="after")
    def _fit_together(self) -> Impressions:
        if not (self.query_id or self.query_photo_id):
            raise ValueError("say which rows are of one list: query_id, or the photo asked with: query_photo_id")
        return self


class SourceMapping(_Part):
    """One site. With several, `prefix` begins ids that two of them would share, so that they never meet."""

    name: str = Field(pattern=r"\A[\w .-]{1,60}\z")
    prefix: str | None = Field(None, pattern=r"\A[A-Za-z0-9]{1,8}\z")
    photos: Photos
    conversions: Conversions | None = None
    impressions: Impressions | None = None


class Mapping(_Part):
    """All sites that go into one corpus, in order; `folder` is where the file lies."""

    source: tuple[SourceMapping, ...] = Field(min_length=1)
    folder: Path

    @model_validator(mode="after")
    def _are_told_apart(self) -> Mapping:
        for what in ("name", "prefix"):
            values = [str(getattr(source, what)) for source in self.source]
            if len(set(values)) < len(values):
                raise ValueError(f"several sources need a {what} each, and no two the same: {', '.join(values)}")
        if len(self.source) > 1 and not all(source.prefix for source in self.source):
            raise ValueError("several sources need a prefix each")
        if not any(source.conversions for source in self.source):
            raise ValueError("no source has conversions, and without any there is nothing to learn from")
        return self


def read_mapping(path: Path) -> Mapping:
    """Return a mapping file, checked; `BadInput` names every key that is wrong."""
    if not path.is_file():
        raise MissingInput(
            "no_such_file", f"no mapping file {path}: docs/CATALOGUES.md has one to begin with", path=path
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput("unreadable_file", f"{path} is no TOML: {error}", path=path) from error
    try:
        return Mapping.model_validate(values | {"folder": path.absolute().parent})
    except ValidationError as error:
        faults = [(".".join(map(str, fault["loc"])) or "the file", fault["msg"]) for fault in error.errors()]
        text = "; ".join(f"{key}: {message}" for key, message in faults)
        raise BadInput("bad_mapping", f"{path}: {text}", path=path, keys=[key for key, _ in faults]) from error
