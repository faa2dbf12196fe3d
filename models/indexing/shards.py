"""Which photo lies in which shard: by the day it was submitted, so that a night touches few shards.

A shard is a run of days, or, of a day with too many photos, a part of it. The days from 1970 to 2149 are halved until
no half has more photos than a shard may hold: where the cuts lie depends on how many photos there are of each day, not
on the nights before, and a photo more or less moves no cut but that of a shard which overflows. New photos are of
the last days, so yesterday's other shards hold today what they held yesterday.

Shapes: N photos. A day is a number of days since 1970-01-01.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from models.indexing.ids import Ints

_DAYS = 2**16
_FILL = 0.9  # parts of a day are cut by hash, so some are fuller than others
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, order=True)
class ShardKey:
    """`day_count` days from `first_day` on; of a crowded day the photos whose id is `part` modulo `part_count`."""

    first_day: int
    day_count: int
    part: int = 0
    part_count: int = 1

    @property
    def name(self) -> str:
        """What the shard's files are called.

        >>> ShardKey(16384, 8192).name, ShardKey(20000, 1, 2, 4).name
        ('shard-2014-11-10-8192d', 'shard-2024-10-04-1d-2of4')
        """
        first = _EPOCH + timedelta(days=self.first_day)
        part = "" if self.part_count == 1 else f"-{self.part}of{self.part_count}"
        return f"shard-{first.isoformat()}-{self.day_count}d{part}"


def plan_shards(count_by_day: Mapping[int, int], shard_size: int) -> tuple[ShardKey, ...]:
    """Return the shards of photos of these days, in order; none is empty and none has more than `shard_size` photos.

    The parts of a day that is too full for one shard may exceed it by chance, if `shard_size` is small. Days before
    1970 and after 2149 count as the first and the last of these.

    >>> [key.name for key in plan_shards({16436: 60, 20000: 70}, 100)]
    ['shard-2014-11-10-2048d', 'shard-2020-06-19-2048d']
    """
    count_by_day = {day: count for day, count in count_by_day.items() if count}
    day_D = np.array(sorted(count_by_day), dtype=np.int64)
    counts = np.zeros(_DAYS + 1, dtype=np.int64)
    np.add.at(counts, clamped(day_D) + 1, [count_by_day[int(day)] for day in day_D])
    return tuple(_halve(counts.cumsum(), 0, _DAYS, shard_size))


def _halve(before_day: Ints, first: int, days: int, shard_size: int) -> Iterator[ShardKey]:
    """Yield the shards of `days` days from `first` on; `before_day` are the photos before each day."""
    count = int(before_day[first + days] - before_day[first])
    if not count:
        return
    if count <= shard_size:
        yield ShardKey(first, days)
    elif days == 1:
        part_count = 2 ** math.ceil(math.log2(count / (_FILL * shard_size)))
        yield from (ShardKey(first, 1, part, part_count) for part in range(part_count))
    else:
        half = days // 2
        yield from _halve(before_day, first, half, shard_size)
        yield from _halve(before_day, first + half, half, shard_size)


def assign(keys: Sequence[ShardKey], day_N: Ints, ids_N: Ints) -> Ints:
    """Return the number of each photo's shard among the planned `keys`, N."""
    firsts = [number for number, key in enumerate(keys) if key.part == 0]
    first_day = np.array([keys[number].first_day for number in firsts], dtype=np.int64)
    part_count = np.array([keys[number].part_count for number in firsts], dtype=np.int64)
    run_N = np.searchsorted(first_day, clamped(day_N), side="right") - 1
    if len(run_N) and run_N.min() < 0:
        raise ValueError("a photo is of a day before all shards: they were planned for other photos")
    number_N: Ints = np.array(firsts, dtype=np.int64)[run_N] + ids_N % part_count[run_N]
    return number_N


def clamped(day_N: npt.ArrayLike) -> Ints:
    """Return the days with those before 1970 and after 2149 moved to the first and the last of these."""
    return np.clip(np.asarray(day_N, dtype=np.int64), 0, _DAYS - 1)
