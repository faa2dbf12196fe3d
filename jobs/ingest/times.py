"""Times as sites write them, in UTC: ISO 8601 in every form, and numbers since 1970. No file is opened here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import polars as pl

_NUMBER = re.compile(r"\s*\d+(?:\.\d*)?(?:[eE]\+?\d+)?\s*", re.ASCII)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_SPACED_ZONE = re.compile(r"\s+(?=[+-]\d\d:?(?:\d\d)?\Z)")
_NAMED_UTC = re.compile(r"\s*(?:UTC|GMT)\Z")
_EARLIEST, _LATEST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1990, 2100))
_IN_ONE_SECOND = (1, 10**3, 10**6, 10**9)
_ISO = pl.Struct({"utc": pl.Datetime("us", "UTC"), "local": pl.Datetime("us")})


def since_1970(numbers: pl.Expr) -> pl.Expr:
    """Return numbers of seconds, milli-, micro- or nanoseconds since 1970 as times in UTC.

    A number is of the unit by which it lies between 1990 and 2100: no two units share a number there. Null for others.

    >>> pl.select(since_1970(pl.lit(pl.Series([1.738404e9, 1.738404e12, 12.5])))).to_series().dt.year().to_list()
    [2025, 2025, None]
    """
    number = numbers.cast(pl.Float64, strict=False).fill_nan(None)
    seconds = pl.coalesce(
        pl.when((number / unit).is_between(_EARLIEST, _LATEST, closed="left")).then(number / unit)
        for unit in _IN_ONE_SECOND
    )
    return (seconds * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def read_iso(text: str) -> datetime | None:
    """Return the time that a text names by ISO 8601, with a zone if the text has one; None if it names no time.

    "UTC", "GMT" and a space before the zone are read too, as databases write them.

    >>> [str(read_iso(text)) for text in ("2025-02-01T10:00+0100", "2025-02-01 10:00:00 UTC", "20250201T10", "1 Feb")]
    ['2025-02-01 10:00:00+01:00', '2025-02-01 10:00:00+00:00', '2025-02-01 10:00:00', 'None']
    """
    try:
        moment = datetime.fromisoformat(_SPACED_ZONE.sub("", _NAMED_UTC.sub("+00:00", text.strip())))
    except ValueError:
        return None
    return moment if 1 < moment.year < 9999 else None  # in UTC it may be of no year that there is


def read_time(text: str) -> datetime | None:
    """Return the time that a text names, by ISO 8601 or as a number since 1970; in UTC unless it names no zone.

    >>> [str(read_time(text)) for text in ("1738404000123", "2025-02-01T10:00+01", "2025-02-01 10:00", "12.5")]
    ['2025-02-01 10:00:00.123000+00:00', '2025-02-01 09:00:00+00:00', '2025-02-01 10:00:00', 'None']
    """
    if _NUMBER.fullmatch(text):
        number = float(text)
        seconds = next((number / unit for unit in _IN_ONE_SECOND if _EARLIEST <= number / unit < _LATEST), None)
        if seconds is not None:
            return _1970 + timedelta(microseconds=round(seconds * 1e6))
    moment = read_iso(text)
    return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else moment


def utc_time(text: str) -> datetime | None:
    """Return the time that a text names as `read_time` does, and in UTC if the text names no zone."""
    moment = read_time(text)
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


_COMMON_FORM = r"^[12]\d{3}-\d\d-\d\d[ T]\d\d:\d\d:[0-5]\d(?:\.\d{1,6})?$"  # Polars would read a second 60


def read_times(texts: pl.Series) -> pl.Series:
    """Return the times that texts name as `utc_time` does, by columns where they are of the commonest form."""
    common = texts.set(~texts.str.contains(_COMMON_FORM), None).str.replace("T", " ", literal=True)
    times = common.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False).dt.replace_time_zone("UTC")
    others = texts.filter(times.is_null() & texts.is_not_null()).unique()
    if others.is_empty():
        return times
    read = pl.Series([utc_time(text) for text in others.to_list()], dtype=times.dtype)
    return times.fill_null(texts.replace_strict(others, read, default=None, return_dtype=times.dtype))


def read_texts(texts: pl.Series) -> pl.Series:
    """Return what texts name as a struct: `utc` if that is known, else `local`, a time without a zone; or neither."""
    known = {text: read_time(text) for text in texts.unique().drop_nulls().to_list()}
    rows: list[dict[str, datetime | None]] = []
    for text in texts.to_list():
        moment = known.get(text)
        has_zone = moment is not None and moment.tzinfo is not None
        rows.append({"utc": moment if has_zone else None, "local": None if has_zone else moment})
    return pl.Series(texts.name, rows, dtype=_ISO)
