"""From a site's rows to the columns of the layout: one polars expression per column, no file is opened here.

A row that cannot be used says why in `dropped` (null: it is used); what had to be guessed is listed in `guessed`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import polars as pl

from jobs.catalogues.mapping import (
    INTERACTIONS,
    Choice,
    Conversions,
    Impressions,
    Number,
    Photos,
    Price,
    SourceMapping,
    Time,
    Words,
    template_columns,
)
from jobs.errors import BadInput

ID_LENGTH = 11
_UNREADABLE = r"[\p{Cc}\x{202A}-\x{202E}\x{2066}-\x{2069}]+"
_TIME = "%Y-%m-%d %H:%M:%S%.6f"
_DEVICES = ("desktop", "mobile", "tablet")


class Columns:
    """The columns of one source's files, looked up by the names the mapping uses; `BadInput` names what is missing."""

    def __init__(self, schema: pl.Schema, where: str) -> None:
        self._schema, self._where = schema, where
        self.used: set[str] = set()

    def raw(self, name: str) -> tuple[pl.Expr, pl.DataType]:
        """Return a column, or the field of a nested one, and its type."""
        head, *fields = [name] if name in self._schema else name.split(".")
        kind: Any = self._schema.get(head)
        expression = pl.col(head)
        for field in fields:
            kind = {inner.name: inner.dtype for inner in kind.fields}.get(field) if kind == pl.Struct else None
            expression = expression.struct.field(field)
        if kind is None:
            raise BadInput(
                "missing_columns",
                f"{self._where} has no column {name!r}, which the mapping names. It has: "
                f"{', '.join(self._schema)[:500]}",
                columns=[name],
            )
        self.used.add(head)
        return expression, kind

    def text(self, name: str) -> pl.Expr:
        """Return a column as clean text: no control characters, no white space around, null where nothing is left."""
        expression, kind = self.raw(name)
        joined = expression.cast(pl.List(pl.String)).list.join(" ") if isinstance(kind, pl.List) else expression
        return clean(joined.cast(pl.String))

    def words(self, mapping: Words) -> pl.Expr:
        """Return a column of words as lists of clean, renamed words."""
        expression, kind = self.raw(mapping.column)
        listed = (
            expression.cast(pl.List(pl.String))
            if isinstance(kind, pl.List)
            else expression.cast(pl.String).str.split(mapping.separator)
        )
        word = clean(pl.element())
        return listed.list.eval(word.replace(mapping.names) if mapping.names else word).list.drop_nulls()

    def number(self, mapping: Number) -> pl.Expr:
        """Return a column of numbers in the unit wanted; null where it is none."""
        text = self.text(mapping.column).str.replace_all(r"[^\d.,+-]", "")
        if mapping.decimal == ",":
            text = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        else:
            text = text.str.replace_all(",", "", literal=True)
        return text.cast(pl.Float64, strict=False) * mapping.scale

    def time(self, mapping: Time) -> pl.Expr:
        """Return a column of times in UTC; null where it cannot be read."""
        expression, kind = self.raw(mapping.column)
        if isinstance(kind, (pl.Datetime, pl.Date)):
            moment = expression.cast(pl.Datetime("us", getattr(kind, "time_zone", None)))
            is_zoned = getattr(kind, "time_zone", None) is not None
            return moment.dt.convert_time_zone("UTC") if is_zoned else _in_utc(moment, mapping.timezone)
        if mapping.unit:
            number = expression.cast(pl.String).cast(pl.Float64, strict=False)
            micros = number * {"s": 1e6, "ms": 1e3, "us": 1.0}[mapping.unit]
            return micros.cast(pl.Int64, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        text = self.text(mapping.column)
        if mapping.format:
            has_zone = "%z" in mapping.format
            found = text.str.strptime(pl.Datetime("us"), mapping.format, strict=False)
            return found.dt.convert_time_zone("UTC") if has_zone else _in_utc(found, mapping.timezone)
        zoned = text.str.replace(r"^(\d{4}-\d\d-\d\d)$", "${1}T00:00:00").str.replace(" ", "T", literal=True)
        zoned = zoned.str.replace(r"Z$", "+00:00")
        with_zone = zoned.str.strptime(pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.f%:z", strict=False)
        without = zoned.str.strptime(pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.f", strict=False)
        return pl.coalesce(with_zone.dt.convert_time_zone("UTC"), _in_utc(without, mapping.timezone))

    def is_kept(self, mapping: Choice) -> pl.Expr:
        """Return whether a row has one of the values that are kept."""
        value = self.text(mapping.column)
        return (
            (value if mapping.default is None else value.fill_null(mapping.default))
            .is_in(mapping.keep)
            .fill_null(False)
        )


def _in_utc(moment: pl.Expr, timezone: str) -> pl.Expr:
    local = moment.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC")


def clean(text: pl.Expr) -> pl.Expr:
    """Return text on one line without characters that no table should hold; null where nothing is left."""
    one_line = text.str.replace_all(_UNREADABLE, " ").str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(one_line != "").then(one_line)


def own_id(prefix: str, source_id: str) -> str:
    """Return the id here of a photo there: the prefix and a digest, 11 characters in all.

    >>> own_id("ab", "SKU 1"), own_id("ab", "SKU 1") == own_id("ab", "SKU 2")
    ('ab59fOE8pvu', False)
    """
    digest = hashlib.blake2b(source_id.encode(), digest_size=12).digest()
    return prefix + base64.urlsafe_b64encode(digest).decode()[: ID_LENGTH - len(prefix)]


def own_ids(prefix: str) -> Callable[[pl.Series], pl.Series]:
    """Return what makes ids here of a column of ids there."""
    return lambda ids: pl.Series(
        [None if one is None else own_id(prefix, one) for one in ids.to_list()], dtype=pl.String
    )


def as_time(moment: pl.Expr) -> pl.Expr:
    """Return a time as the tables hold it."""
    return moment.dt.replace_time_zone(None).dt.strftime(_TIME)


def default_time(text: str, where: str) -> pl.Expr:
    """Return a time that the mapping gives; `BadInput` if it is none."""
    given = pl.DataFrame({"given": [text]})
    moment = given.select(Columns(given.schema, where).time(Time(column="given"))).item()
    if moment is None:
        raise BadInput(
            "not_a_time", f"{where}: {text!r} is no time such as 2025-12-28 or 2025-12-28T10:00:00Z", value=text
        )
    return pl.lit(moment)


def photo_columns(columns: Columns, source: SourceMapping) -> dict[str, pl.Expr]:
    """Return what is made of a row of photos; `is_...` say what is missing and what was guessed."""
    photos = source.photos
    where = f"source {source.name!r}"
    at = pl.lit(None, pl.Datetime("us", "UTC")) if photos.submitted_at is None else columns.time(photos.submitted_at)
    default = photos.submitted_at_default or (photos.submitted_at.default if photos.submitted_at else None)
    description = [columns.text(name) for name in _names(photos.description)]
    found = {
        "source_id": columns.text(photos.photo_id),
        "image_url": _text_or_none(columns, photos.image_url),
        "image_file": _image_file(columns, photos),  # beside the mapping file
        "is_time_guessed": at.is_null() & pl.lit(default is not None),
        "submitted_at": as_time(at if default is None else at.fill_null(default_time(default, where))),
        "description": clean(pl.concat_str(description, separator=". ", ignore_nulls=True)) if description else _NONE,
        "keywords": _words(columns, photos.keywords),
        "categories": _words(columns, photos.category),
        "brand": _text_or_none(columns, photos.brand),
        "price_band": _NONE if photos.price is None else price_band(columns.number(photos.price), photos.price),
        "width": _whole(columns, photos.width),
        "height": _whole(columns, photos.height),
        "photographer": _text_or_none(columns, photos.photographer),
        "is_kept": pl.lit(True) if photos.language is None else columns.is_kept(photos.language),
    }
    return found


def photo_reasons(photos: Photos) -> list[tuple[str, pl.Expr]]:
    """Return why rows of `photo_columns` are dropped, the first that holds counting."""
    return [
        ("no_id", pl.col("source_id").is_null()),
        ("other_language", ~pl.col("is_kept")),
        ("no_time", pl.col("submitted_at").is_null()),
        ("no_image", ~pl.col("has_image") & pl.lit(photos.missing_image == "drop")),
        ("no_description", pl.col("description").is_null() & pl.lit(photos.missing_description == "drop")),
        ("repeated_id", pl.col("is_repeated")),
    ]


def price_band(price: pl.Expr, mapping: Price) -> pl.Expr:
    """Return prices as words.

    >>> frame = pl.DataFrame({"p": [5.0, 10.0, 99.9, None]})
    >>> price = Price(column="p", currency="EUR", bands=(10, 50))
    >>> frame.select(price_band(pl.col("p"), price)).to_series().to_list()
    ['under 10 EUR', '10 to 50 EUR', 'from 50 EUR', None]
    """
    bounds, unit = [f"{bound:g}" for bound in mapping.bands], mapping.currency
    names = [f"under {bounds[0]} {unit}"]
    names += [f"{low} to {high} {unit}" for low, high in pairwise(bounds)]
    names += [f"from {bounds[-1]} {unit}"]
    return price.cut(list(mapping.bands), labels=names, left_closed=True).cast(pl.String)


def conversion_columns(columns: Columns, conversions: Conversions, source: SourceMapping) -> dict[str, pl.Expr]:
    """Return what is made of a row of conversions."""
    country = _text_or_none(columns, conversions.country).str.to_uppercase()
    country = pl.when(country.str.contains(r"^[A-Z]{2}$")).then(country)
    device = _text_or_none(columns, conversions.device_type).str.to_lowercase()
    position = _whole(columns, conversions.position) + (1 - conversions.first_position)
    default = conversions.country_default
    return {
        "converted_at": as_time(columns.time(conversions.converted_at)),
        "query": columns.text(conversions.query),
        "source_id": columns.text(conversions.photo_id),
        "user_id": _of_source(source, columns.text(conversions.user_id)),
        "is_country_guessed": country.is_null() & pl.lit(default is not None),
        "country": country if default is None else country.fill_null(default),
        "is_device_dropped": device.is_not_null() & ~device.is_in(_DEVICES).fill_null(True),
        "device_type": pl.when(device.is_in(_DEVICES)).then(device),
        "position": pl.when(position >= 1).then(position),
        "is_kept": pl.lit(True) if conversions.type is None else columns.is_kept(conversions.type),
    }


def impression_columns(columns: Columns, shown: Impressions, source: SourceMapping) -> dict[str, pl.Expr]:
    """Return what is made of a row of impressions."""
    country = _text_or_none(columns, shown.country).str.to_uppercase()
    interaction = _NONE if shown.interaction is None else columns.text(shown.interaction.column)
    names = {} if shown.interaction is None else shown.interaction.names
    dwell = pl.lit(None, pl.Float64) if shown.dwell is None else columns.number(shown.dwell)
    return {
        "shown_at": as_time(columns.time(shown.shown_at)),
        "user_id": _of_source(source, columns.text(shown.user_id)),
        "query_id": _of_source(source, _text_or_none(columns, shown.query_id)),
        "source_query_id": _text_or_none(columns, shown.query_photo_id),
        "source_id": columns.text(shown.photo_id),
        "position": _whole(columns, shown.position) + (1 - shown.first_position),
        "interaction": interaction.replace(names) if names else interaction,
        "country": pl.when(country.str.contains(r"^[A-Z]{2}$")).then(country),
        "is_country_dropped": country.is_not_null() & ~country.str.contains(r"^[A-Z]{2}$").fill_null(False),
        "dwell_seconds": pl.when(dwell >= 0).then(dwell),
        "arm": _text_or_none(columns, shown.arm),
        "query": _text_or_none(columns, shown.query),
    }


IMPRESSION_REASONS: list[tuple[str, pl.Expr]] = [
    ("no_time", pl.col("shown_at").is_null()),
    ("no_user", pl.col("user_id").is_null()),
    ("no_query", pl.col("query_id").is_null() & pl.col("source_query_id").is_null()),
    ("no_position", (pl.col("position") >= 1).fill_null(False).not_()),
    ("unknown_interaction", pl.col("interaction").is_in(INTERACTIONS).not_()),
    ("unknown_photo", pl.col("photo_id").is_null()),
    ("unknown_query_photo", pl.col("source_query_id").is_not_null() & pl.col("query_photo_id").is_null()),
    ("before_photo", pl.col("shown_at") < pl.col("submitted_at")),
]
"""Why rows of `impression_columns` are dropped, the first that holds counting."""


CONVERSION_REASONS: list[tuple[str, pl.Expr]] = [
    ("other_type", ~pl.col("is_kept")),
    ("no_time", pl.col("converted_at").is_null()),
    ("no_query", pl.col("query").is_null()),
    ("no_user", pl.col("user_id").is_null()),
    ("no_country", pl.col("country").is_null()),
    ("unknown_photo", ~pl.col("is_known")),
    ("before_photo", pl.col("converted_at") < pl.col("submitted_at")),
]
"""Why rows of `conversion_columns` are dropped, the first that holds counting."""

_NONE = pl.lit(None, pl.String)


def _of_source(source: SourceMapping, name: pl.Expr) -> pl.Expr:
    """Return names that those of another source never equal; null where there is none."""
    return pl.format("{}:{}", pl.lit(source.prefix), name)


def _names(columns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else columns


def _text_or_none(columns: Columns, name: str | None) -> pl.Expr:
    return _NONE if name is None else columns.text(name)


def _words(columns: Columns, mapping: Words | None) -> pl.Expr:
    return pl.lit(None, pl.List(pl.String)) if mapping is None else columns.words(mapping)


def _whole(columns: Columns, mapping: Number | None) -> pl.Expr:
    return pl.lit(None, pl.Int64) if mapping is None else columns.number(mapping).round().cast(pl.Int64, strict=False)


def _image_file(columns: Columns, photos: Photos) -> pl.Expr:
    if photos.image_file is None:
        return _NONE
    names = template_columns(photos.image_file)
    pattern = photos.image_file
    for name in names:
        pattern = pattern.replace(f"{{{name}}}", "{}")
    return pl.format(pattern, *(columns.text(name) for name in names)) if names else pl.lit(pattern)
