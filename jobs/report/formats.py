"""Numbers and dates as the report spells them. A missing number is a dash, never a zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date

MISSING = "–"
_MINUS = "\N{MINUS SIGN}"


def is_missing(value: float | None) -> bool:
    """Tell whether there is no number."""
    return value is None or math.isnan(value)


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return ("+" if value > 0 else _MINUS) + text


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of 1 in percent.

    >>> percent(0.7042), percent(None)
    ('70.4%', '–')
    """
    return MISSING if share is None or math.isnan(share) else f"{100 * share:.{digits}f}%"


def relative(difference: float, base: float) -> str:
    """Return a change relative to `base`: in percent, or as a multiple where it is several times the base.

    >>> relative(0.085, 0.619), relative(-0.02, 0.5), relative(0.502, 0.039), relative(0.1, 0.0)
    ('+13.7%', '−4.0%', '13.9 times as many', '–')
    """
    if base <= 0:
        return MISSING
    if difference > 2 * base:
        return f"{(base + difference) / base:.1f} times as many"
    return _signed(100 * difference / base, 1) + "%"


def points(difference: float | None, digits: int = 1) -> str:
    """Return a difference of two shares in percentage points with its sign.

    >>> points(0.085), points(-0.0314), points(0.0001), points(0.0001, 2)
    ('+8.5', '−3.1', '0.0', '+0.01')
    """
    return MISSING if difference is None or math.isnan(difference) else _signed(100 * difference, digits)


def score(value: float | None) -> str:
    """Return a metric between 0 and 1 with three digits.

    >>> score(0.70449)
    '0.704'
    """
    return MISSING if value is None or math.isnan(value) else f"{value:.3f}"


def signed_score(value: float | None) -> str:
    """Return a difference of metrics with its sign and three digits.

    >>> signed_score(-0.0123)
    '−0.012'
    """
    return MISSING if value is None or math.isnan(value) else _signed(value, 3)


def _interval(low: float | None, high: float | None, spell: Callable[[float], str], between: str, unit: str) -> str:
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return MISSING
    return f"{spell(low)}{between}{spell(high)}{unit}"


def percent_interval(low: float | None, high: float | None) -> str:
    """Return an interval of shares in percent.

    >>> percent_interval(0.69, 0.718), percent_interval(None, 0.7)
    ('69.0–71.8%', '–')
    """
    return _interval(low, high, lambda value: f"{100 * value:.1f}", "–", "%")


def score_interval(low: float | None, high: float | None) -> str:
    """Return an interval of metrics.

    >>> score_interval(0.1, 0.25)
    '0.100–0.250'
    """
    return _interval(low, high, score, "–", "")


def points_interval(low: float | None, high: float | None) -> str:
    """Return an interval of differences in percentage points.

    >>> points_interval(-0.01, 0.02)
    '−1.0 to +2.0'
    """
    return _interval(low, high, points, " to ", "")


def signed_score_interval(low: float | None, high: float | None) -> str:
    """Return an interval of differences of metrics.

    >>> signed_score_interval(-0.01, 0.02)
    '−0.010 to +0.020'
    """
    return _interval(low, high, signed_score, " to ", "")


def p_value(value: float | None) -> str:
    """Return a p-value with three digits.

    >>> p_value(0.0021), p_value(0.00001), p_value(None)
    ('0.002', '< 0.001', '–')
    """
    if value is None or math.isnan(value):
        return MISSING
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


def count(value: int | None) -> str:
    """Return a whole number with its thousands set apart.

    >>> count(120000)
    '120,000'
    """
    return MISSING if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units.

    >>> duration(0.84), duration(42.3), duration(750), duration(7261)
    ('0.8 s', '42 s', '12 min 30 s', '2 h 1 min')
    """
    if seconds is None:
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(byte_count: int | None) -> str:
    """Return a number of bytes in the unit that suits it.

    >>> size(512), size(1_536), size(5 * 1024**3)
    ('512 B', '1.5 KiB', '5.0 GiB')
    """
    if byte_count is None:
        return MISSING
    value, units = float(byte_count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def day(value: date) -> str:
    """Return a date in words.

    >>> day(date(2025, 12, 28))
    '28 December 2025'
    """
    return f"{value.day} {value:%B %Y}"


def short_day(ordinal: float) -> str:
    """Return a day of `date.toordinal` for an axis.

    >>> short_day(date(2025, 12, 28).toordinal())
    '28 Dec'
    """
    value = date.fromordinal(int(ordinal))
    return f"{value.day} {value:%b}"


def hours(number: float) -> str:
    """Return a number of hours as people say it.

    >>> hours(1), hours(6.0), hours(72)
    ('hour', '6 hours', '3 days')
    """
    if number == 1:
        return "hour"
    return f"{number / 24:g} days" if number > 24 and number % 24 == 0 else f"{number:g} hours"


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with so many digits after the point.

    >>> number(1234.5, 1), number(-0.0009, 4), number(None)
    ('1,234.5', '−0.0009', '–')
    """
    return MISSING if value is None or math.isnan(value) else f"{value:,.{digits}f}".replace("-", _MINUS)


def number_interval(low: float | None, high: float | None, digits: int = 0) -> str:
    """Return an interval of numbers.

    >>> number_interval(11.5, 13.25, 1)
    '11.5 to 13.2'
    """
    return _interval(low, high, lambda value: number(value, digits), " to ", "")


def milliseconds(value: float) -> str:
    """Return a time with three digits.

    >>> milliseconds(0.05), milliseconds(1200)
    ('0.05 ms', '1.2 s')
    """
    return f"{value:,.3g} ms" if value < 1000 else f"{value / 1000:,.3g} s"


def sentence(text: str) -> str:
    """Return a text with a capital first letter and a full stop.

    >>> sentence("it has seen answers")
    'It has seen answers.'
    """
    return text[:1].upper() + text[1:] + "."


def daily(value: float | None) -> str:
    """Return a number a day: of few a tenth as well.

    >>> daily(410.4), daily(9.94), daily(None)
    ('410', '9.9', '–')
    """
    return number(value, 1 if value is not None and value < 10 else 0)
