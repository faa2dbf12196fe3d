"""Where a log ends, found from its own days: neither the clock nor the run date has a say. No Spark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta

import numpy as np

from jobs.errors import BadInput
from jobs.ingest.layout import LAYOUT
from jobs.ingest.parquet_files import groups, read_texts
from jobs.ingest.source import UNIT_BYTES, PartFile, find_parts
from jobs.ingest.text_files import open_text, skip
from jobs.ingest.times import utc_time

MIN_DAY_SHARE = 0.1
MAX_GAP_DAYS = 30
_DAY_LENGTH = len("2025-12-28")
_LOGS = ("conversions", "impressions")


def last_complete_day(folder: str, conversions_folder: str | None = None) -> date:
    """Return the last day of a data set's conversion log that has a plausible number of conversions.

    Reads the dates of the conversions files and nothing else. Raises `BadInput` if no date can be read.
    """
    where = conversions_folder or folder
    parts = find_parts(where, LAYOUT["conversions"])
    counts = count_days(parts, "converted_at")
    if not counts:
        raise BadInput(
            "no_readable_date",
            f"no conversion in {where} has a time that can be read: write converted_at like 2025-12-28 23:59:11.554",
            folder=where,
        )
    return last_plausible_day(counts)


def last_plausible_day(counts: Mapping[date, int]) -> date:
    """Return the last day that belongs to the log whose rows per day are `counts` (not empty).

    A day is plausible with at least a tenth of the rows of a typical day. Typical is the day of the middle row when
    rows are ordered by how full their day is: stray rows on many odd days then do not count as days of the log. Of
    plausible days more than 30 days apart, those with the most rows in all are the log.

    >>> last_plausible_day({date(2025, 1, 1): 90, date(2025, 1, 2): 40, date(2025, 1, 3): 2, date(2034, 1, 1): 20})
    datetime.date(2025, 1, 2)
    """
    half, seen, typical = sum(counts.values()) / 2, 0, 0
    for typical in sorted(counts.values()):
        seen += typical
        if seen >= half:
            break
    runs: list[list[date]] = []
    for day in sorted(day for day, count in counts.items() if count >= MIN_DAY_SHARE * typical):
        if runs and (day - runs[-1][-1]).days <= MAX_GAP_DAYS + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return max(runs, key=lambda run: sum(counts[day] for day in run))[-1]


def log_end(days: Iterable[date]) -> date:
    """Return the first day that cannot belong to a data set whose logs have these last plausible days.

    One day more than the last plausible one is let pass: a log may be cut in the first hours of a day.
    """
    return max(days) + timedelta(days=2)


def count_days(parts: list[PartFile], *names: str) -> Counter[date]:
    """Return rows per day of a time column; what is no time is not counted.

    The column stands in a part under the first of the `names` that its header has.
    """
    days: Counter[date] = Counter()
    for part in parts:
        name = next((name for name in names if name in part.header), None)
        if name is None:
            continue
        for cell, count in (_cells_of_parquet if part.is_parquet else _cells_of_text)(part, name).items():
            moment = utc_time(cell.decode(errors="replace"))
            days.update({} if moment is None else {moment.date(): count})
    return days


def _cells_of_parquet(part: PartFile, name: str) -> Counter[bytes]:
    cells: Counter[bytes] = Counter()
    for group in groups(part.uri, UNIT_BYTES):
        texts = read_texts(part.uri, group.first, group.count, [name])[name].drop_nulls()
        cells.update(_day(text.encode()) for text in texts.to_list())
    return cells


def _cells_of_text(part: PartFile, name: str) -> Counter[bytes]:
    cells: Counter[bytes] = Counter()
    index, delimiter = part.header.index(name), part.form.delimiter
    with open_text(part.uri) as file:
        skip(file, part.header_bytes)
        while block := file.read(UNIT_BYTES) + file.readline():
            if index == 0 and (found := _leading_days(block)) is not None:
                cells.update(found)
            else:
                cells.update(_cell(line, delimiter, index) for line in block.splitlines())
    return cells


def _leading_days(block: bytes) -> dict[bytes, int] | None:
    """Count the first ten bytes of lines if all of them may be days, such as 2025-12-28; None if some are not."""
    buffer = np.frombuffer(block, np.uint8)
    starts = np.concatenate(([0], np.flatnonzero(buffer[:-1] == ord("\n")) + 1))
    starts += buffer[starts] == ord('"')
    starts = starts[starts + _DAY_LENGTH <= len(buffer)]
    heads = np.lib.stride_tricks.sliding_window_view(buffer, _DAY_LENGTH)[starts]
    if not (heads[:, [4, 7]] == ord("-")).all():
        return None
    days, counts = np.unique(np.ascontiguousarray(heads).view(f"S{_DAY_LENGTH}"), return_counts=True)
    return dict(zip(days.tolist(), counts.tolist(), strict=True))


def _cell(line: bytes, delimiter: bytes, index: int) -> bytes:
    """Return the day of a cell such as 2025-12-28 23:59:11, the whole cell of another form."""
    fields = line.split(delimiter, index + 1)
    return _day(fields[index].strip(b'"\r\n') if len(fields) > index else b"")


def _day(cell: bytes) -> bytes:
    return cell[:_DAY_LENGTH] if cell[4:5] == b"-" else cell


def data_end(table: str, last_days: dict[str, date]) -> date:
    """Return the first day at which a row of `table` is from the future.

    Conversions and impressions end with their own log. Photos and memberships may come from a later dump than the
    log, not from an earlier one: they end with whatever ends last.
    """
    if table in _LOGS and table in last_days:
        return log_end([last_days[table]])
    return log_end(last_days.values() or [date.max.replace(year=9998)])
