"""Comparing recommenders on a plain log of users, items and times, such as MovieLens: no pictures, no lake."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.config.settings import Settings
from jobs.errors import BadInput, MissingInput
from jobs.ingest.text_files import find_separator
from jobs.ingest.times import read_texts, since_1970
from jobs.lake.staged_run import WorkerOutput
from jobs.recommending.benchmark import Findings, find
from jobs.recommending.inputs import World
from jobs.recommending.tables import filled
from jobs.runtime.terminal import printable
from models.recommend.interactions import NONE, Interactions, ItemFeatures
from models.recommend.protocols import TEMPORAL

METHODS = ("random", "popularity", "item_knn", "als", "ease", "sasrec", "two_tower", "graphsage")
"""Those that need to know nothing of an item but who took it; see `bare_items`."""
PASSES = {"sasrec_passes": 100, "two_tower_passes": 40, "graphsage_passes": 40}
"""At most: vectors of items that are learned from nothing need more than a projection of pictures."""
FEWEST = 10
_MOST_TOLD = 200
PAST_SEGMENTS = (("1+", 13), ("0", 9))
"""Of the visitors with and without a past, and how wide their column is."""
METRICS = (("hit_rate", 10), ("recall", 10), ("precision", 10), ("ndcg", 10), ("map", 10), ("recall", 100))


@dataclass(frozen=True)
class Columns:
    """What the columns are called, or their numbers from 1 in a file without a header.

    Without `rating` everything in the log was liked; else what has `liked_from`. A log may lack the column `timestamp`:
    then it has no times.
    """

    user: str = "userId"
    item: str = "movieId"
    at: str = "timestamp"
    rating: str | None = None
    liked_from: float = 4.0

    def of_file(self, name: str, cells: list[str]) -> Columns:
        """Return these, or those that a file of MovieLens is known to have where none are named."""
        known = KNOWN_FILES.get(name.removesuffix(".gz"))
        if known is None or self != Columns(liked_from=self.liked_from):
            return self
        is_numbered = known.user.isdecimal()
        fits = _is_data(cells) if is_numbered else known.rating in cells
        return replace(known, liked_from=self.liked_from) if fits else self


KNOWN_FILES = {
    "u.data": Columns("1", "2", "4", "3"),
    "ratings.dat": Columns("1", "2", "4", "3"),
    "ratings.csv": Columns(rating="rating"),
}
NO_TIMES = "the log has no times, so a fifth of a history is drawn at random, and an order of items means nothing"


@dataclass(frozen=True)
class _Cut:
    """When each row was, the instant from which on rows are part of the question, and why there is none."""

    at_N: np.ndarray
    start: float
    untimed: str = ""


def read_log(path: Path, given: Columns, test_share: float = 0.2) -> World:
    """Read a log; the test window is the last `test_share` of the interactions, in time.

    The file is text, also compressed, with commas, semicolons, tabs, bars or `::`, or Parquet. `u.data`, `ratings.dat`
    and `ratings.csv` are read as MovieLens writes them where `given` names no column. Ids are texts: 7 and 007 are two
    users. Times are ISO 8601, in UTC where they name no zone, or numbers since 1970; see `jobs.ingest.times`. A log
    without times, or with too few different ones, is `untimed`.
    Raises `MissingInput` without the file, `BadInput` for a column that is not there, values that are missing or
    cannot be read, ids over several lines, and a log that is too small.
    """
    if not path.is_file():
        raise MissingInput("no_such_file", f"no file {path}. Give --log a CSV, TSV or Parquet file.", path=path)
    frame, columns = _frame(path, given)
    rows = _typed(frame, columns, path)
    if len(rows) < FEWEST:
        raise BadInput(
            "too_few_rows",
            f"{path} has {len(rows)} interactions; there should be {FEWEST} at least",
            path=path,
            rows=len(rows),
            fewest=FEWEST,
        )
    ids = {name: rows[name] for name in ("user", "item")}
    _refuse_line_breaks(ids, path)
    return _world(rows, columns, path, test_share)


def _world(rows: pl.DataFrame, columns: Columns, path: Path, test_share: float) -> World:
    cut = _cut(rows, test_share)
    users, items = (rows[name].unique().sort() for name in ("user", "item"))
    numbers = {name: rows[name].rank("dense").cast(pl.Int64).to_numpy() - 1 for name in ("user", "item")}
    is_liked = rows["rating"] >= columns.liked_from if columns.rating else pl.repeat(True, len(rows), eager=True)
    log = Interactions.of(
        numbers["user"],
        numbers["item"],
        cut.at_N,
        np.where(is_liked.to_numpy(), 1, -1).astype(np.float32),
        np.full(len(users), NONE, np.int32),
        item_count=len(items),
        as_of=float(cut.at_N.max()) + 1.0,
    )
    if not ((log.at_N < cut.start) & (log.weight_N > 0)).any():
        what = "in the log" if cut.untimed else f"before the last {test_share:.0%} of the log"
        raise BadInput(
            "nothing_to_learn_from", f"{path}: nothing was liked {what}, so nothing can be learned", path=path
        )
    available_at = np.full(len(items), np.inf)
    np.minimum.at(available_at, log.item_N, log.at_N)  # nothing is known of an item before somebody takes it
    return World(
        items,
        lambda places: users[places],
        log,
        bare_items(len(items)),
        cut.start,
        available_at,
        log.country_V,
        untimed=cut.untimed,
    )


def _cut(rows: pl.DataFrame, test_share: float) -> _Cut:
    """Return where the window begins: at an instant that leaves about `test_share` of the rows after it.

    Rows of one instant stay together. If no instant leaves between half and twice the share, there is no window, and
    rows of one instant are in an order drawn at random: else the latest of each history would be the same items.
    """
    at_N = rows["at"].to_numpy() if "at" in rows.columns else np.zeros(len(rows))
    order = np.lexsort((np.random.default_rng(0).random(len(rows)), at_N))
    place_N = np.empty(len(rows))
    place_N[order] = np.arange(len(rows))
    if at_N.min() == at_N.max():
        return _Cut(place_N, np.inf, NO_TIMES)
    at_quantile = float(np.quantile(at_N, 1 - test_share))
    starts = [at_quantile, *np.unique(at_N[at_N > at_quantile])[:1].tolist()]
    share_of = {start: float(np.mean(at_N >= start)) for start in starts}
    start = min(starts, key=lambda start: abs(share_of[start] - test_share))
    if test_share / 2 <= share_of[start] <= 2 * test_share:
        return _Cut(at_N, start)
    share = np.mean(at_N == at_quantile)
    return _Cut(place_N, np.inf, f"{share:.0%} of the log have one time, so no instant parts its last {test_share:.0%}")


def bare_items(count: int) -> ItemFeatures:
    """Return items of which nothing is known but who took them: trained methods learn a vector of each."""
    return ItemFeatures(np.zeros((count, 0), np.float32))


def compare(world: World, params: EvaluateRecommendersParams, seed: int, settings: Settings) -> tuple[str, str]:
    """Let all methods learn and recommend; return a table by protocol, and all figures as JSON."""
    with tempfile.TemporaryDirectory(prefix="nightlens-") as folder:
        found = find(world, params, seed, settings, WorkerOutput(folder, "log", folder))
    names = ("metrics", "comparisons", "lists", "costs")
    tables = {name: filled(name, found.frames[name]).fill_nan(None).to_dicts() for name in names}
    protocols = {name: counts.as_json() for name, counts in found.protocols.items()}
    figures = json.dumps({"protocols": protocols, "notes": found.notes, **tables}, indent=1)
    log = world.log
    head = f"{len(log.item_N):,} interactions of {log.visitor_count:,} users with {log.item_count:,} items, "
    head += f"{np.count_nonzero(log.weight_N > 0):,} of them liked"
    head += f"\n{TEMPORAL} is left out: {world.untimed}" if world.untimed else ""
    return "\n\n".join([head, *(_table(found, protocol) for protocol in found.protocols)]), figures


def _frame(path: Path, given: Columns) -> tuple[pl.DataFrame, Columns]:
    """Return the file's columns as they are written, and which of them are meant; without a header by numbers."""
    try:
        if path.suffix == ".parquet":
            return _checked(pl.read_parquet(path), given, path, "")
        line = _lines(path, 1).item(0, 0) or ""
        separator = find_separator(line)
        separator = "::" if line.count("::") > line.count(separator) else separator
        cells = [cell.strip().strip('"') for cell in line.split(separator)]
        columns = given.of_file(path.name, cells)
        has_header = not (columns.user.isdecimal() and columns.item.isdecimal())
        if separator == "::":
            frame = _split(_lines(path), separator, has_header)
        else:
            frame = pl.read_csv(path, separator=separator, infer_schema=False, has_header=has_header)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).partition("\n\n")[0].split())[:_MOST_TOLD]  # polars quotes whole files
        raise BadInput("unreadable_file", f"{path} cannot be read: {reason}", path=path) from error
    if not has_header:
        frame.columns = [str(number) for number in range(1, frame.width + 1)]
    return _checked(frame, columns, path, line if has_header and _is_data(cells) else "")


def _lines(path: Path, count: int | None = None) -> pl.DataFrame:
    """Return lines as one column: the separator is one that hardly a text has."""
    return pl.read_csv(
        path,
        has_header=False,
        n_rows=count,
        separator="\x01",
        quote_char=None,
        truncate_ragged_lines=True,
        infer_schema=False,
    )


def _split(lines: pl.DataFrame, separator: str, has_header: bool) -> pl.DataFrame:
    """Return lines cut at a separator of several characters, which has no quotes."""
    width = lines.item(0, 0).count(separator) + 1
    longer = (lines.to_series().str.count_matches(separator, literal=True) >= width).arg_true()
    if len(longer):
        raise pl.exceptions.ComputeError(f"line {longer[0] + 1:,} has more columns than the first")
    parts = lines.to_series().str.split_exact(separator, width - 1).struct.unnest()
    if has_header:
        parts.columns = list(parts.row(0))
    return parts[1:] if has_header else parts


def _is_data(cells: list[str]) -> bool:
    """Tell whether the first line is a row: a column is hardly called by a number.

    >>> _is_data(["196", "242", "3", "881250949"]), _is_data(["userId", "movieId"])
    (True, False)
    """
    return any(re.fullmatch(r"\d+(\.\d+)?", cell) for cell in cells)


def _checked(frame: pl.DataFrame, columns: Columns, path: Path, first_row: str) -> tuple[pl.DataFrame, Columns]:
    """Return both if the file has the columns; raise `BadInput` if not. `first_row` is where a header should be."""
    there = frame.columns
    if columns.at == Columns.at and columns.at not in there:
        columns = replace(columns, at="")  # without times
    wanted = _wanted(columns)
    lacking = [name for name in wanted.values() if name not in there]
    if lacking and first_row:
        line = printable(first_row)[:_MOST_TOLD]
        raise BadInput(
            "no_header_line",
            f"{path} has no line of column names. Its first line is: {line} . Give the columns by their numbers, such "
            "as --user-column 1 --item-column 2 --at-column 4 --rating-column 3; leave out what there is not.",
            path=path,
        )
    if lacking:
        flags = ", ".join(f"--{name}-column" for name in wanted)
        raise BadInput(
            "missing_columns",
            f"{path} has no column {', '.join(lacking)}; it has {printable(', '.join(there))}. Say which: {flags}",
            path=path,
            columns=lacking,
        )
    return frame, columns


def _wanted(columns: Columns) -> dict[str, str]:
    return {name: getattr(columns, name) for name in ("user", "item", "at", "rating") if getattr(columns, name)}


def _typed(frame: pl.DataFrame, columns: Columns, path: Path) -> pl.DataFrame:
    """Return the columns user, item, at and rating, as far as there are any; `BadInput` for what cannot be read."""
    wanted = _wanted(columns)
    texts = frame.select(pl.col(name).alias(key) for key, name in wanted.items())
    kinds = {"user": pl.String, "item": pl.String, "rating": pl.Float64}
    rows = texts.with_columns(_cast(texts[key], kinds[key], path, wanted[key]) for key in kinds if key in wanted)
    if columns.at:
        rows = rows.with_columns(_times(texts["at"], path, columns.at))
    if columns.rating:
        rows = rows.with_columns(pl.col("rating").fill_nan(None))
    if unread := {wanted[name]: count for name, count in rows.null_count().row(0, named=True).items() if count}:
        examples = {name: _first_unread(texts, rows, key) for key, name in wanted.items() if name in unread}
        told = ", ".join(f"{count:,} of {name} (first {examples[name]})" for name, count in unread.items())
        raise BadInput(
            "missing_values",
            f"{path}: values are missing or cannot be read: {told}. Times are ISO 8601 or numbers since 1970, numbers "
            "have a decimal point. Correct these rows, or leave them out.",
            path=path,
            counts=unread,
        )
    return rows


def _times(values: pl.Series, path: Path, name: str) -> pl.Series:
    """Return times as float64 seconds since 1970, null where one cannot be read."""
    if values.dtype == pl.String:
        utc = read_texts(values).struct.unnest().select(pl.coalesce("utc", _in_utc("local"))).to_series()
    elif values.dtype.is_numeric():
        utc = pl.select(since_1970(pl.lit(values))).to_series()
    elif values.dtype in (pl.Datetime, pl.Date):
        utc = values.cast(pl.Datetime("us", getattr(values.dtype, "time_zone", None) or "UTC"))
    else:
        raise BadInput(
            "not_a_time",
            f"{path}: column {name} is {values.dtype}, needed are numbers since 1970 or ISO 8601",
            path=path,
            column=name,
        )
    return (utc.cast(pl.Int64) / 1e6).alias("at")


def _cast(values: pl.Series, kind: type[pl.DataType], path: Path, name: str) -> pl.Series:
    """Return ids as texts, or ratings as numbers, null where one cannot be read."""
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        raise BadInput(
            "unreadable_column",
            f"{path}: column {name} is {values.dtype}, needed are texts or numbers",
            path=path,
            column=name,
        )
    cast = values.cast(kind, strict=False)
    return cast.replace("", None) if kind == pl.String else cast  # as a quoted empty id is read


def _refuse_line_breaks(ids: dict[str, pl.Series], path: Path) -> None:
    """Raise `BadInput` for an id over several lines: an open quote took in the rows after it, which nobody counts."""
    for name, values in ids.items():
        broken = values.str.contains(r"[\r\n]").arg_true()
        if len(broken):
            row = int(broken[0])
            raise BadInput(
                "line_break_in_id",
                f"{path}: the {name} in row {row + 1:,} has a line break: {values[row][:40]!r}. A quote before it may "
                f"not be closed. Correct that row.",
                path=path,
                row=row + 1,
            )


def _in_utc(name: str) -> pl.Expr:
    return pl.col(name).dt.replace_time_zone("UTC")


def _first_unread(texts: pl.DataFrame, rows: pl.DataFrame, column: str) -> str:
    """Return the first value of a column that was not read, and its row."""
    row = rows[column].is_null().arg_true()[0]
    value = texts[column][row]
    return f"in row {row + 1:,}" + ("" if value is None else f": {value!r}")


def _table(found: Findings, protocol: str) -> str:
    counts = found.protocols[protocol]
    title = f"{protocol}: {counts.visitor_count:,} users, learned from {counts.log_count:,} interactions"
    if protocol == TEMPORAL:
        title += " before the last part of the log"
    notes = [f"  {place}: {reason}" for place, reason in found.notes.items() if place.partition("/")[0] == protocol]
    metrics = filled("metrics", found.frames["metrics"]).filter(protocol=protocol)
    lists = _by_arm(filled("lists", found.frames["lists"]).filter(protocol=protocol))
    costs = filled("costs", found.frames["costs"]).filter(protocol=protocol)
    costs = costs.group_by("arm").agg(pl.sum("fit_cpu_seconds", "list_cpu_seconds"))
    seconds = {arm: row["fit_cpu_seconds"] + row["list_cpu_seconds"] for arm, row in _by_arm(costs).items()}
    lines = []
    for arm in metrics["arm"].unique(maintain_order=True):
        rows = metrics.filter(arm=arm)
        values = {(row["metric"], row["k"]): row for row in rows.filter(segment_kind="all").to_dicts()}
        first, served = values[METRICS[0]], counts.visitor_count - int(lists[arm]["unserved_count"])
        rates = "".join(_rate(rows, *segment) for segment in PAST_SEGMENTS)
        figures = "".join(f"{values[metric]['value']:>14.3f}" for metric in METRICS[1:])
        own = f"{served:,} of {counts.visitor_count:,}"
        interval = f"{first['low']:.3f} to {first['high']:.3f}"
        lines.append(f"{arm:12}{first['value']:>12.3f}  {interval}{rates}{own:>18}{figures}{seconds[arm]:>10.1f}")
    names = "".join(f"{f'{metric}@{k}':>14}" for metric, k in METRICS[1:])
    header = f"{'method':12}{'hit_rate@10':>12}  {'95 %':14}{'with a past':>13}{'without':>9}{'served itself':>18}"
    return "\n".join([title, *notes, *([f"{header}{names}{'CPU s':>10}", *lines] if lines else [])])


def _rate(rows: pl.DataFrame, segment: str, width: int) -> str:
    """Return a method's hit rate@10 for visitors with or without a past, a bar where there are too few of them."""
    found = rows.filter(segment_kind="history", segment=segment, metric="hit_rate", k=10)["value"]
    return f"{found[0]:>{width}.3f}" if len(found) else f"{'-':>{width}}"


def _by_arm(rows: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Return the one row of every method."""
    return {row["arm"]: row for row in rows.to_dicts()}
