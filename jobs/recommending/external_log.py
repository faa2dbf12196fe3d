"""Comparing recommenders on a plain log of users, items and times, such as MovieLens: no pictures, no lake."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
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
from models.ragged import unit_rows
from models.recommend.interactions import NONE, Interactions, ItemFeatures
from models.recommend.protocols import TEMPORAL

METHODS = ("random", "popularity", "item_knn", "als", "sasrec", "two_tower", "graphsage")
"""Those that need to know nothing of an item but who took it; see `hashed_items`."""
HASHED_DIM = 128
FEWEST = 10
_MOST_TOLD = 200
METRICS = (("hit_rate", 10), ("recall", 10), ("precision", 10), ("ndcg", 10), ("map", 10), ("recall", 100))


@dataclass(frozen=True)
class Columns:
    """What the columns are called. Without `rating` everything in the log was liked; else what has `liked_from`."""

    user: str = "userId"
    item: str = "movieId"
    at: str = "timestamp"
    rating: str | None = None
    liked_from: float = 4.0


def read_log(path: Path, columns: Columns, test_share: float = 0.2) -> World:
    """Read a log; the test window is the last `test_share` of the interactions, in time.

    The file is CSV, also compressed, with commas, semicolons, tabs or bars, or Parquet. Ids are texts: 7 and 007 are
    two users. Times are ISO 8601, in UTC where they name no zone, or numbers since 1970; see `jobs.ingest.times`.
    Raises `MissingInput` without the file, `BadInput` for a column that is not there, values that are missing or
    cannot be read, ids over several lines, and a log that is too small.
    """
    if not path.is_file():
        raise MissingInput("no_such_file", f"no file {path}. Give --log a CSV, TSV or Parquet file.", path=path)
    wanted = {name: getattr(columns, name) for name in ("user", "item", "at", "rating") if getattr(columns, name)}
    frame = _frame(path)
    if lacking := [name for name in wanted.values() if name not in frame.columns]:
        there = printable(", ".join(frame.columns))
        flags = ", ".join(f"--{name}-column" for name in wanted)
        raise BadInput(
            "missing_columns",
            f"{path} has no column {', '.join(lacking)}; it has {there}. Say which: {flags}",
            path=path,
            columns=lacking,
        )
    texts = frame.select(pl.col(name).alias(key) for key, name in wanted.items())
    kinds = {"user": pl.String, "item": pl.String, "rating": pl.Float64}
    rows = texts.with_columns(
        _times(texts["at"], path, columns.at),
        *(_cast(texts[key], kinds[key], path, wanted[key]) for key in kinds if key in wanted),
    )
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
    numbers = {name: values.rank("dense").cast(pl.Int64).to_numpy() - 1 for name, values in ids.items()}
    items = ids["item"].unique().sort()
    is_liked = rows["rating"] >= columns.liked_from if columns.rating else pl.repeat(True, len(rows), eager=True)
    at = rows["at"].to_numpy()
    log = Interactions.of(
        numbers["user"],
        numbers["item"],
        at,
        np.where(is_liked.to_numpy(), 1, -1).astype(np.float32),
        np.full(ids["user"].n_unique(), NONE, np.int32),
        item_count=len(items),
        as_of=float(at.max()) + 1.0,
    )
    start = float(np.quantile(at, 1 - test_share))
    if not ((log.at_N < start) & (log.weight_N > 0)).any():
        raise BadInput(
            "nothing_to_learn_from",
            f"{path}: nothing was liked before the last {test_share:.0%} of the log, so nothing can be learned",
            path=path,
        )
    available_at = np.full(len(items), np.inf)
    np.minimum.at(available_at, log.item_N, log.at_N)  # nothing is known of an item before somebody takes it
    users = ids["user"].unique().sort()
    return World(items, lambda places: users[places], log, hashed_items(len(items)), start, available_at, log.country_V)


def hashed_items(count: int) -> ItemFeatures:
    """Return items told apart by random unit vectors, which trained methods project: hash embeddings.

    Nothing is known of an item that nobody took: its vector says nothing, and no method is to be asked for it.
    """
    return ItemFeatures(unit_rows(np.random.default_rng(0).normal(size=(count, HASHED_DIM))))


def compare(world: World, params: EvaluateRecommendersParams, seed: int, settings: Settings) -> tuple[str, str]:
    """Let all methods learn and recommend; return a table by protocol, and all figures as JSON."""
    with tempfile.TemporaryDirectory(prefix="nightlens-") as folder:
        found = find(world, params, seed, settings, WorkerOutput(folder, "log", folder))
    names = ("metrics", "comparisons", "lists", "costs")
    tables = {name: filled(name, found.frames[name]).fill_nan(None).to_dicts() for name in names}
    protocols = {name: counts.as_json() for name, counts in found.protocols.items()}
    figures = json.dumps({"protocols": protocols, "notes": found.notes, **tables}, indent=1)
    return "\n\n".join(_table(found, protocol) for protocol in found.protocols), figures


def _frame(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        # a separator that hardly a text has, so that the first line is one column
        first = pl.read_csv(
            path,
            has_header=False,
            n_rows=1,
            separator="\x01",
            quote_char=None,
            truncate_ragged_lines=True,
            infer_schema=False,
        )
        line = first.item(0, 0) or ""
        return pl.read_csv(path, separator=find_separator(line), infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).partition("\n\n")[0].split())[:_MOST_TOLD]  # polars quotes whole files
        raise BadInput("unreadable_file", f"{path} cannot be read: {reason}", path=path) from error


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
    rows = filled("metrics", found.frames["metrics"]).filter(protocol=protocol, segment_kind="all")
    costs = filled("costs", found.frames["costs"]).filter(protocol=protocol)
    lines = []
    for arm in rows["arm"].unique(maintain_order=True):
        values = {(row["metric"], row["k"]): row for row in rows.filter(arm=arm).to_dicts()}
        first = values[METRICS[0]]
        cpu = costs.filter(arm=arm).select(pl.sum_horizontal("fit_cpu_seconds", "list_cpu_seconds").sum()).item()
        figures = "  ".join(f"{values[metric]['value']:>13.3f}" for metric in METRICS)
        lines.append(f"{arm:18}{figures}  {first['low']:.3f} to {first['high']:.3f}  {cpu:8.1f}")
    names = "  ".join(f"{f'{metric}@{k}':>13}" for metric, k in METRICS)
    header = f"{'method':18}{names}  95 % of first    CPU s"
    return "\n".join([title, *notes, *([header, *lines] if lines else [])])
