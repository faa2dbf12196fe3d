"""From a site's rows to the columns of the layout: one polars expression per column, no file is opened here.

A row that cannot be used says why in `dropped` (null: it is used); what had to be guessed is listed in `guessed`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC
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
from jobs.ingest.times import read_iso, read_texts, since_1970

ID_LENGTH = 11
_UNREADABLE = r"[\p{Cc}\x{202A}-\x{202E}\x{2066}-\x{2069}]+"
_TIME = "%Y-%m-%d %H:%M:%S.%f"
_UTC = pl.Datetime("us", "UTC")
_TIMES = pl.Struct({"at": pl.String, "fault": pl.String, "given": pl.String, "is_guessed": pl.Boolean})
_NONE = pl.lit(None, pl.String)
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
        """Return a column of numbers in the unit wanted; null where the text is not one number, with words around."""
        found = self.text(mapping.column).str.to_uppercase().str.extract(_number_pattern(mapping.decimal))
        text = found.str.replace_all(rf"[^\dE{mapping.decimal}+-]", "")
        return text.str.replace(mapping.decimal, ".", literal=True).cast(pl.Float64, strict=False) * mapping.scale

    def time(self, mapping: Time, default: str | None = None) -> pl.Expr:
        """Return a column of times as structs of text: `at` in UTC, or the `fault` for which there is none.

        `given` is what stands there, and `is_guessed` tells where nothing does and `default` is taken.
        """
        expression, kind = self.raw(mapping.column)
        texts = clean(expression) if kind == pl.String else expression
        return texts.map_batches(lambda values: _read_times(values, mapping, default), _TIMES)

    def is_kept(self, mapping: Choice) -> pl.Expr:
        """Return whether a row has one of the values that are kept."""
        value = self.text(mapping.column)
        return (
            (value if mapping.default is None else value.fill_null(mapping.default))
            .is_in(mapping.keep)
            .fill_null(False)
        )


def _read_times(values: pl.Series, mapping: Time, default: str | None) -> pl.Series:
    """Return what `Columns.time` does, of values as they are in the file."""
    frame = pl.DataFrame({"given": values}).with_columns(utc=pl.lit(None, _UTC), local=pl.lit(None, pl.Datetime("us")))
    value, kind = pl.col("given"), values.dtype
    if isinstance(kind, (pl.Datetime, pl.Date)):
        zone = getattr(kind, "time_zone", None)
        frame = frame.with_columns(value.cast(pl.Datetime("us", zone)).alias("utc" if zone else "local"))
        frame = frame.with_columns(pl.col("utc").dt.convert_time_zone("UTC")) if zone else frame
    elif mapping.unit:
        micros = value.cast(pl.String).cast(pl.Float64, strict=False) * {"s": 1e6, "ms": 1e3, "us": 1.0}[mapping.unit]
        frame = frame.with_columns(utc=micros.cast(pl.Int64, strict=False).cast(pl.Datetime("us")).cast(_UTC))
    elif mapping.format:
        found = value.cast(pl.String).str.strptime(pl.Datetime("us"), mapping.format, strict=False)
        has_zone = "%z" in mapping.format
        frame = frame.with_columns(found.alias("utc" if has_zone else "local"))
    elif kind == pl.String:
        frame = frame.with_columns(read_texts(values).struct.unnest())
    else:
        frame = frame.with_columns(utc=since_1970(value))
    here = pl.col("local").dt
    once = here.replace_time_zone(mapping.timezone, ambiguous="null", non_existent="null")
    ever = here.replace_time_zone(mapping.timezone, ambiguous="earliest", non_existent="null")
    at = pl.coalesce("utc", once.dt.convert_time_zone("UTC"))
    fault = (
        pl.when(at.is_not_null() | (value.is_null() & pl.lit(default is not None)))
        .then(_NONE)
        .when(value.is_null())
        .then(pl.lit("no_time"))
        .when(pl.col("local").is_null())
        .then(pl.lit("unreadable_time"))
        .when(ever.is_null())
        .then(pl.lit("local_time_never"))
        .otherwise(pl.lit("local_time_twice"))
    )
    taken = as_time(at) if default is None else pl.coalesce(as_time(at), pl.when(value.is_null()).then(pl.lit(default)))
    guessed = value.is_null() & pl.lit(default is not None)
    return frame.select(
        pl.struct(at=taken, fault=fault, given=value.cast(pl.String), is_guessed=guessed).alias(values.name)
    ).to_series()


TIME_FAULTS = ("no_time", "unreadable_time", "local_time_never", "local_time_twice")
"""Why a row has no time. A local time is there never or twice in an hour in which the clocks change."""


def _number_pattern(decimal: str) -> str:
    r"""Return what finds one number in a text of capitals: thousands in threes, an exponent, words before and after.

    >>> texts = pl.Series(["12.50 EUR", "RS. 1,299", "1E3", "-5", "3/10", "5 10", "1,5", "12 345", "1.2.3"])
    >>> texts.str.extract(_number_pattern(".")).to_list()
    ['12.50', '1,299', '1E3', '-5', None, None, None, '12 345', None]
    """
    thousands = "," if decimal == "." else "."
    whole = rf"(?:\d{{1,3}}(?:[{thousands}' ]\d{{3}})+|\d+)"
    number = rf"[+-]?(?:{whole}(?:[{decimal}]\d*)?(?:E[+-]?\d+)?|[{decimal}]\d+)"
    return rf"^(?:\D*[^\d.,+-])?({number})\D*$"


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


def time_reasons() -> list[tuple[str, pl.Expr]]:
    """Return the reasons for which a row is dropped for its time."""
    return [(fault, pl.col("fault") == fault) for fault in TIME_FAULTS]


def as_time(moment: pl.Expr) -> pl.Expr:
    """Return a time as the tables hold it."""
    return moment.dt.replace_time_zone(None).dt.strftime("%Y-%m-%d %H:%M:%S%.6f")


def default_time(text: str, where: str) -> str:
    """Return a time that the mapping gives, as the tables hold it; `BadInput` if it is none."""
    moment = read_iso(text)
    if moment is None:
        raise BadInput(
            "not_a_time", f"{where}: {text!r} is no time such as 2025-12-28 or 2025-12-28T10:00:00Z", value=text
        )
    return moment.astimezone(UTC).strftime(_TIME) if moment.tzinfo else moment.strftime(_TIME)


def photo_columns(columns: Columns, source: SourceMapping) -> dict[str, pl.Expr]:
    """Return what is made of a row of photos; `is_...` say what is missing and what was guessed."""
    photos = source.photos
    where = f"source {source.name!r}"
    given = photos.submitted_at_default or (photos.submitted_at.default if photos.submitted_at else None)
    default = None if given is None else default_time(given, where)
    no_column = pl.struct(at=pl.lit(default), fault=_NONE, given=_NONE, is_guessed=pl.lit(True))
    description = [columns.text(name) for name in _names(photos.description)]
    found = {
        "source_id": columns.text(photos.photo_id),
        "image_url": _text_or_none(columns, photos.image_url),
        "image_file": _image_file(columns, photos),  # beside the mapping file
        "time": no_column if photos.submitted_at is None else columns.time(photos.submitted_at, default),
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
        *time_reasons(),
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
        "time": columns.time(conversions.converted_at),
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
        "time": columns.time(shown.shown_at),
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
    *time_reasons(),
    ("no_user", pl.col("user_id").is_null()),
    ("no_query", pl.col("query_id").is_null() & pl.col("source_query_id").is_null()),
    ("no_position", (pl.col("position") >= 1).fill_null(False).not_()),
    ("unknown_interaction", pl.col("interaction").is_in(INTERACTIONS).not_()),
    ("unknown_photo", pl.col("photo_id").is_null()),
    ("unknown_query_photo", pl.col("source_query_id").is_not_null() & pl.col("query_photo_id").is_null()),
    ("before_photo", pl.col("at") < pl.col("submitted_at")),
]
"""Why rows of `impression_columns` are dropped, the first that holds counting."""


CONVERSION_REASONS: list[tuple[str, pl.Expr]] = [
    ("other_type", ~pl.col("is_kept")),
    *time_reasons(),
    ("no_query", pl.col("query").is_null()),
    ("no_user", pl.col("user_id").is_null()),
    ("no_country", pl.col("country").is_null()),
    ("unknown_photo", ~pl.col("is_known")),
    ("before_photo", pl.col("at") < pl.col("submitted_at")),
]
"""Why rows of `conversion_columns` are dropped, the first that holds counting."""


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
