"""From a site's rows to the columns of the layout: one polars expression per column, no file is opened here.

Beside the columns stand the reasons for which a row is dropped, each with the value that explains it.
"""

from __future__ import annotations

from datetime import UTC
from functools import partial
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
    parse_template,
)
from jobs.catalogues.tally import Reason
from jobs.errors import BadInput
from jobs.ingest.times import read_iso, read_texts, since_1970

LONGEST_ID = 128
_NOT_PRINTABLE = r"[\p{C}\p{Zl}\p{Zp}]"
_UNREADABLE = r"[\p{Cc}\x{202A}-\x{202E}\x{2066}-\x{2069}]+"
_TIME = "%Y-%m-%d %H:%M:%S.%f"
_UTC = pl.Datetime("us", "UTC")
_TIMES = pl.Struct({"at": pl.String, "fault": pl.String, "given": pl.String, "is_guessed": pl.Boolean})
_NONE = pl.lit(None, pl.String)


class Columns:
    """The columns of one source's files, looked up by the names the mapping uses; `BadInput` names what is missing."""

    def __init__(self, schema: pl.Schema, where: str) -> None:
        self.schema, self._where = schema, where
        self.used: set[str] = set()

    def raw(self, name: str) -> tuple[pl.Expr, pl.DataType]:
        """Return a column, or the field of a nested one, and its type."""
        head, *fields = [name] if name in self.schema else name.split(".")
        kind: Any = self.schema.get(head)
        expression = pl.col(head)
        for field in fields:
            kind = {inner.name: inner.dtype for inner in kind.fields}.get(field) if kind == pl.Struct else None
            expression = expression.struct.field(field)
        if kind is None:
            raise BadInput(
                "missing_columns",
                f"{self._where} has no column {name!r}, which the mapping names. It has: "
                f"{', '.join(self.schema)[:500]}",
                columns=[name],
            )
        self.used.add(head)
        return expression, kind

    def text(self, name: str) -> pl.Expr:
        """Return a column as clean text: no control characters, no white space around, null where nothing is left."""
        expression, kind = self.raw(name)
        joined = expression.cast(pl.List(pl.String)).list.join(" ") if isinstance(kind, pl.List) else expression
        return clean(joined.cast(pl.String))

    def identity(self, name: str) -> pl.Expr:
        """Return a column of ids as they are, without white space around; null where nothing is left."""
        expression, _ = self.raw(name)
        text = expression.cast(pl.String).str.strip_chars()
        return pl.when(text != "").then(text)

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
    value, local = pl.col("given"), pl.col("local").dt
    frame = pl.DataFrame({"given": values}).hstack(_moments(values, mapping))
    once = local.replace_time_zone(mapping.timezone, ambiguous="null", non_existent="null")
    at = pl.coalesce("utc", once.dt.convert_time_zone("UTC"))
    is_guessed = value.is_null() & pl.lit(default is not None)
    taken = pl.coalesce(as_time(at), pl.when(is_guessed).then(pl.lit(default, pl.String)))
    fault = pl.when(at.is_null() & ~is_guessed).then(_time_fault(mapping))
    return frame.select(
        pl.struct(at=taken, fault=fault, given=value.cast(pl.String), is_guessed=is_guessed).alias(values.name)
    ).to_series()


def _moments(values: pl.Series, mapping: Time) -> pl.DataFrame:
    """Return what values name as two columns: `utc` if it is known, else `local`, a time without a zone; or neither."""
    value, kind = pl.col("given"), values.dtype
    frame = pl.DataFrame({"given": values})
    none = pl.DataFrame(schema={"utc": _UTC, "local": pl.Datetime("us")})
    if isinstance(kind, (pl.Datetime, pl.Date)):
        zone = getattr(kind, "time_zone", None)
        moment = value.cast(pl.Datetime("us", zone))
        found = frame.select(utc=moment.dt.convert_time_zone("UTC")) if zone else frame.select(local=moment)
    elif mapping.unit:
        micros = value.cast(pl.String).cast(pl.Float64, strict=False) * {"s": 1e6, "ms": 1e3, "us": 1.0}[mapping.unit]
        found = frame.select(utc=micros.cast(pl.Int64, strict=False).cast(pl.Datetime("us")).cast(_UTC))
    elif mapping.format:
        moment = value.cast(pl.String).str.strptime(pl.Datetime("us"), mapping.format, strict=False)
        found = frame.select(moment.alias("utc" if "%z" in mapping.format else "local"))
    elif kind == pl.String:
        found = read_texts(values).struct.unnest()
    else:
        found = frame.select(utc=since_1970(value))
    return pl.concat([none, found], how="diagonal_relaxed")


def _time_fault(mapping: Time) -> pl.Expr:
    """Return why there is no time where there is none."""
    ever = pl.col("local").dt.replace_time_zone(mapping.timezone, ambiguous="earliest", non_existent="null")
    return (
        pl.when(pl.col("given").is_null())
        .then(pl.lit("no_time"))
        .when(pl.col("local").is_null())
        .then(pl.lit("unreadable_time"))
        .when(ever.is_null())
        .then(pl.lit("local_time_never"))
        .otherwise(pl.lit("local_time_twice"))
    )


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


def is_bad_id(name: str) -> pl.Expr:
    """Return whether an id is none that a data set can hold: empty, of more than 128 characters, or not printable."""
    text = pl.col(name)
    return text.is_null() | (text.str.len_chars() > LONGEST_ID) | text.str.contains(_NOT_PRINTABLE)


def prefixed(name: pl.Expr, prefix: str | None) -> pl.Expr:
    """Return names that those of another source never equal; null where there is none."""
    return name if prefix is None else pl.format("{}:{}", pl.lit(prefix), name)


def time_reasons() -> list[Reason]:
    """Return the reasons for which a row is dropped for its time."""
    return [Reason(fault, pl.col("fault") == fault, pl.col("given")) for fault in TIME_FAULTS]


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
        "source_id": columns.identity(photos.photo_id),
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
        "kept_by": _NONE if photos.language is None else columns.text(photos.language.column),
        "is_kept": pl.lit(True) if photos.language is None else columns.is_kept(photos.language),
    }
    return found


def photo_reasons(photos: Photos) -> list[Reason]:
    """Return why rows of `photo_columns` are dropped, the first that holds counting."""
    is_needed = pl.lit(photos.missing_image == "drop") & pl.col("image_file").is_null() & ~pl.col("has_url")
    wanted = pl.coalesce("image_wanted", "image_url")
    return [
        Reason("bad_id", is_bad_id("source_id") | is_bad_id("photo_id"), pl.col("source_id")),
        Reason("other_language", ~pl.col("is_kept"), pl.col("kept_by")),
        *time_reasons(),
        Reason("unknown_image_format", is_needed & pl.col("is_other_format"), wanted),
        Reason("no_image", is_needed, wanted),
        Reason("no_description", pl.col("description").is_null() & pl.lit(photos.missing_description == "drop")),
    ]


REPEATED = [Reason("repeated_id", pl.col("is_repeated"), pl.col("source_id"))]
"""Why a row of photos is dropped that could be used by itself."""


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


def conversion_columns(columns: Columns, conversions: Conversions) -> dict[str, pl.Expr]:
    """Return what is made of a row of conversions."""
    given_country = _text_or_none(columns, conversions.country)
    country = _country(given_country)
    kind = pl.lit("download") if conversions.type is None else columns.text(conversions.type.column)
    kind_default = None if conversions.type is None else conversions.type.default
    position = _whole(columns, conversions.position) + (1 - conversions.first_position)
    default = conversions.country_default
    return {
        "time": columns.time(conversions.converted_at),
        "query": columns.text(conversions.query),
        "source_id": columns.identity(conversions.photo_id),
        "user_id": columns.text(conversions.user_id),
        "given_country": given_country,
        "is_country_guessed": country.is_null() & pl.lit(default is not None),
        "country": country if default is None else country.fill_null(default),
        "conversion_type": kind if kind_default is None else kind.fill_null(kind_default),
        "device_type": _text_or_none(columns, conversions.device_type),
        "position": pl.when(position >= 1).then(position),
        "is_kept": pl.lit(True) if conversions.type is None else columns.is_kept(conversions.type),
    }


def impression_columns(columns: Columns, shown: Impressions) -> dict[str, pl.Expr]:
    """Return what is made of a row of impressions."""
    country = _text_or_none(columns, shown.country)
    interaction = _NONE if shown.interaction is None else columns.text(shown.interaction.column)
    names = {} if shown.interaction is None else shown.interaction.names
    dwell = pl.lit(None, pl.Float64) if shown.dwell is None else columns.number(shown.dwell)
    return {
        "time": columns.time(shown.shown_at),
        "user_id": columns.text(shown.user_id),
        "query_id": _text_or_none(columns, shown.query_id),
        "source_query_id": _NONE if shown.query_photo_id is None else columns.identity(shown.query_photo_id),
        "source_id": columns.identity(shown.photo_id),
        "given_position": columns.text(shown.position.column),
        "position": _whole(columns, shown.position) + (1 - shown.first_position),
        "interaction": interaction.replace(names) if names else interaction,
        "country": _country(country),
        "is_country_dropped": country.is_not_null() & _country(country).is_null(),
        "dwell_seconds": pl.when(dwell >= 0).then(dwell),
        "arm": _text_or_none(columns, shown.arm),
        "query": _text_or_none(columns, shown.query),
    }


IMPRESSION_REASONS = [
    *time_reasons(),
    Reason("no_user", pl.col("user_id").is_null()),
    Reason("no_query", pl.col("query_id").is_null() & pl.col("source_query_id").is_null()),
    Reason("no_position", (pl.col("position") >= 1).fill_null(False).not_(), pl.col("given_position")),
    Reason("unknown_interaction", pl.col("interaction").is_in(INTERACTIONS).not_(), pl.col("interaction")),
    Reason("bad_id", is_bad_id("source_id"), pl.col("source_id")),
    Reason("unknown_photo", pl.col("photo_id").is_null(), pl.col("source_id")),
    Reason(
        "unknown_query_photo",
        pl.col("source_query_id").is_not_null() & pl.col("query_photo_id").is_null(),
        pl.col("source_query_id"),
    ),
    Reason("before_photo", pl.col("at") < pl.col("submitted_at"), pl.col("at")),
]
"""Why rows of `impression_columns` are dropped, the first that holds counting."""


CONVERSION_REASONS = [
    Reason("other_type", ~pl.col("is_kept"), pl.col("conversion_type")),
    *time_reasons(),
    Reason("no_query", pl.col("query").is_null()),
    Reason("no_user", pl.col("user_id").is_null()),
    Reason("no_country", pl.col("country").is_null(), pl.col("given_country")),
    Reason("bad_id", is_bad_id("source_id"), pl.col("source_id")),
    Reason("unknown_photo", pl.col("photo_id").is_null(), pl.col("source_id")),
    Reason("before_photo", pl.col("at") < pl.col("submitted_at"), pl.col("at")),
]
"""Why rows of `conversion_columns` are dropped, the first that holds counting."""


def _names(columns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else columns


def _country(text: pl.Expr) -> pl.Expr:
    """Return a code of two letters in capitals; null for other text."""
    return pl.when(text.str.contains("^[A-Za-z]{2}$")).then(text.str.to_uppercase())


def _text_or_none(columns: Columns, name: str | None) -> pl.Expr:
    return _NONE if name is None else columns.text(name)


def _words(columns: Columns, mapping: Words | None) -> pl.Expr:
    return pl.lit(None, pl.List(pl.String)) if mapping is None else columns.words(mapping)


def _whole(columns: Columns, mapping: Number | None) -> pl.Expr:
    return pl.lit(None, pl.Int64) if mapping is None else columns.number(mapping).round().cast(pl.Int64, strict=False)


def _image_file(columns: Columns, photos: Photos) -> pl.Expr:
    if photos.image_file is None:
        return _NONE
    parts: list[pl.Expr] = []
    for text, column, form in parse_template(photos.image_file):
        parts.append(pl.lit(text))
        if column is not None:
            value = columns.text(column)
            parts.append(value.map_elements(partial(_formatted, form), pl.String) if form else value)
    return pl.concat_str(parts)


def _formatted(form: str, value: str) -> str:
    return format(value, form)
