"""The columns that rules are asked of, and that go on if a row is good, from the texts of a row: one function a table.

By columns, in Polars. A number or flag that cannot be read is null; columns such as `are_numbers_readable` tell that
from no value. What needs other rows, such as bursts, is in sql/judge_*.sql.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

Expressions = dict[str, pl.Expr]

_TRUE, _FALSE = ("t", "true", "y", "yes", "1"), ("f", "false", "n", "no", "0")
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_NO_NUMBER = r"^(?i:nan|[+-]?inf(?:inity)?)$"  # read as a number, which is then out of every range
_PLACE = r"^0*[1-9][0-9]*(?:\.0*)?$"  # 3.0 is 3: so tables with gaps are often written
_SMALL = r"^[A-Za-z]{2}$"


def typed(table: str, rows: pl.DataFrame, weights: Mapping[str, float]) -> pl.DataFrame:
    """Return a table's rows (`jobs.ingest.rows`) with their typed columns.

    `weights` are what the types of conversions weigh in training; a type that is not named weighs 1.
    """
    made = _TABLES[table]()
    if table == "conversions":
        types = pl.col("conversion_type")
        made["weight"] = types.replace_strict(dict(weights), default=1.0, return_dtype=pl.Float64)
    where = ("line", "line_count", "faults", "is_utf8", "has_nul", "is_duplicate_of_previous", "has_stray_visitor_id")
    return rows.select(**made, **{name: pl.col(name) for name in (*where, "record", "record_sha256")}, **_repairs(made))


def _photos() -> Expressions:
    names = [pl.col(f"photographer_{name}_name") for name in ("first", "last")]
    full_name = pl.concat_str(names, separator=" ", ignore_nulls=True)
    counts = {"width": pl.Int32, "height": pl.Int32}
    numbers: Expressions = {name: _integer(f"photo_{name}", kind) for name, kind in counts.items()}
    numbers |= {name: _integer(name, pl.Int64) for name in ("stats_views", "stats_downloads")}
    featured = _flag("photo_featured")
    return {
        **_as_is("photo_id"),
        "image_url": pl.col("photo_image_url"),
        "submitted_at": pl.col("photo_submitted_at_read"),
        "is_featured": featured,
        **numbers,
        "description": pl.col("photo_description"),
        **_as_is("ai_description", "blur_hash"),
        "photographer": pl.coalesce("photographer_username", pl.when(full_name != "").then(full_name)),
        "country": pl.col("photo_location_country"),
        "submitted_at_text": pl.col("photo_submitted_at"),
        "is_time_readable": _is_read("photo_submitted_at", pl.col("photo_submitted_at_read")),
        "are_flags_readable": _are_read({"photo_featured": featured}),
        "are_numbers_readable": _are_read(
            {f"photo_{name}" if name in counts else name: number for name, number in numbers.items()}
        ),
    }


def _keywords() -> Expressions:
    first, second = (_number(f"ai_service_{number}_confidence") for number in (1, 2))
    is_suggested = _flag("suggested_by_user")
    no_number = pl.when(first.is_nan() | second.is_nan()).then(float("nan"))
    strongest = no_number.otherwise(pl.max_horizontal(first, second))
    hundred = strongest * 0 + 100  # a column: by a number Polars divides less exactly, it multiplies by its inverse
    return {
        **_as_is("photo_id"),
        "keyword": pl.col("normal_keyword"),
        "keyword_raw": pl.col("keyword"),
        # 1.0 where a user suggested it; 0.5 where neither service gave a number (the third gives none)
        "confidence": pl.when(is_suggested).then(1.0).otherwise((strongest / hundred).fill_null(0.5)),
        "is_suggested_by_user": is_suggested.fill_null(value=False),
        "weakest_confidence": pl.min_horizontal(first, second),
        "strongest_confidence": strongest,
        "are_flags_readable": _are_read({"suggested_by_user": is_suggested}),
        "are_numbers_readable": _are_read({"ai_service_1_confidence": first, "ai_service_2_confidence": second}),
    }


def _conversions() -> Expressions:
    return {
        "converted_at": pl.col("converted_at_read"),
        **_as_is("conversion_type", "query"),
        "query_raw": pl.col("keyword"),
        **_as_is("photo_id", "visitor_id"),
        "country": _in_capitals("conversion_country"),
        **_as_is("device_type"),
        "orientation_filter": pl.col("search_orientation_filter"),
        "ordering": pl.col("search_ordering"),
        "position": _place("position"),
        "converted_at_text": pl.col("converted_at"),
        "position_text": pl.col("position"),
        "is_time_readable": _is_read("converted_at", pl.col("converted_at_read")),
        "is_position_readable": _is_read("position", _place("position")),
        "repairs": _small_country("conversion_country"),
    }


def _collections() -> Expressions:
    return {
        **_as_is("photo_id", "collection_id", "collection_title", "collection_type"),
        "collected_at": pl.col("photo_collected_at_read"),
        "collected_at_text": pl.col("photo_collected_at"),
        "is_time_readable": _is_read("photo_collected_at", pl.col("photo_collected_at_read")),
    }


def _colors() -> Expressions:
    channels = {name: _integer(name, pl.Int32) for name in ("red", "green", "blue")}
    shares = {name: _number(name) for name in ("coverage", "score")}
    return {
        **_as_is("photo_id", "hex", "keyword"),
        **channels,
        **shares,
        "are_numbers_readable": _are_read(channels | shares),
        "darkest_channel": pl.min_horizontal(channels.values()),
        "brightest_channel": pl.max_horizontal(channels.values()),
    }


def _hidden() -> Expressions:
    # a country that cannot be read hides the photo everywhere: shown by mistake is worse than hidden by mistake
    country = pl.when(pl.col("country").str.contains(_SMALL)).then(pl.col("country").str.to_uppercase())
    return {**_as_is("photo_id", "reason"), "country": country, "is_country_readable": _are_read({"country": country})}


def _impressions() -> Expressions:
    return {
        "shown_at": pl.col("shown_at_read"),
        **_as_is("visitor_id", "query_id", "query"),
        "query_raw": pl.col("keyword"),
        **_as_is("query_photo_id", "photo_id"),
        "position": _place("position"),
        "interaction": pl.col("interaction").fill_null("shown"),
        "country": _in_capitals("country"),
        **_as_is("arm"),
        "dwell_seconds": _number("dwell_seconds"),
        "shown_at_text": pl.col("shown_at"),
        "position_text": pl.col("position"),
        "is_time_readable": _is_read("shown_at", pl.col("shown_at_read")),
        "is_position_readable": _is_read("position", _place("position")),
        "is_dwell_readable": _is_read("dwell_seconds", _number("dwell_seconds")),
        # the row says which list it is of, by the id of a search or by the photo that was asked with
        "is_asked": pl.col("query_id").is_not_null() | pl.col("query_photo_id").is_not_null(),
        "repairs": _small_country("country"),
    }


_TABLES = {
    "photos": _photos,
    "keywords": _keywords,
    "conversions": _conversions,
    "collections": _collections,
    "colors": _colors,
    "hidden": _hidden,
    "impressions": _impressions,
}


def _as_is(*names: str) -> Expressions:
    return {name: pl.col(name) for name in names}


def _repairs(made: Expressions) -> Expressions:
    return {} if "repairs" in made else {"repairs": pl.col("repairs")}


def _integer(name: str, kind: type[pl.DataType]) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    return pl.when(text.str.contains(r"^[+-]?[0-9]+$")).then(text.str.strip_prefix("+").cast(kind, strict=False))


def _number(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    number = text.str.strip_prefix("+").cast(pl.Float64, strict=False)
    return pl.when(text.str.contains(_NO_NUMBER)).then(float("nan")).when(text.str.contains(_NUMBER)).then(number)


def _flag(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars().str.to_lowercase()
    return pl.when(text.is_in(_TRUE)).then(pl.lit(value=True)).when(text.is_in(_FALSE)).then(pl.lit(value=False))


def _place(name: str) -> pl.Expr:
    text = pl.col(name)
    whole = text.str.replace(r"\..*$", "").cast(pl.Int32, strict=False)
    return pl.when(text.str.contains(_PLACE)).then(whole)


def _is_small(name: str) -> pl.Expr:
    text = pl.col(name)
    return (text.str.contains(_SMALL) & (text != text.str.to_uppercase())).fill_null(value=False)


def _in_capitals(name: str) -> pl.Expr:
    return pl.when(_is_small(name)).then(pl.col(name).str.to_uppercase()).otherwise(pl.col(name))


def _small_country(name: str) -> pl.Expr:
    """Return the repairs with that of a country in small letters, which goes on in capitals."""
    repair = pl.concat_list(pl.struct(repair=pl.lit("lowercase_country"), column=pl.lit(name)))
    return pl.when(_is_small(name)).then(pl.col("repairs").list.concat(repair)).otherwise(pl.col("repairs"))


def _is_read(name: str, read: pl.Expr) -> pl.Expr:
    """Whether a text could be read; null where there is none."""
    return pl.when(pl.col(name).is_not_null()).then(read.is_not_null())


def _are_read(read: Expressions) -> pl.Expr:
    """Whether all that is there could be read."""
    return pl.all_horizontal(pl.col(name).is_null() | one.is_not_null() for name, one in read.items())
