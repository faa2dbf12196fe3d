"""Stage `split_temporal`: cut the conversion log into train, validation and test by time, and fix the corpus.

By the protocol `windows` they are cut by days before the night's `as_of`, see `models.windows`, and the corpus is the
photos submitted until then. By `80/20` the usable conversions before `as_of` are cut by number, in the order of time,
the last fifth being the test, and the corpus is all photos; conversions of the instant at which a cut falls are all
behind it.

What training reads (train, photos, photo_keywords) is cut into `shard_count` files by photo: the files of one number
hold the same photos, so that training processes can share them out.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from jobs.adapters.parquet_parts import ROWS_PER_FILE
from jobs.adapters.query_engine import Frame, QueryEngine, query_engine
from jobs.config.params.ingest import EIGHTY_TWENTY, SplitTemporalParams
from jobs.context import Inputs, RunContext
from jobs.datasets.features import SplitsFacts
from jobs.errors import MissingInput
from jobs.lake.staged_run import StagedRun
from models.windows import END_OF_TIME, Windows, instant

_TABLES = ("conversions", "photos", "keywords")
_CONVERSION_ORDER = ("visitor", "converted_at", "query", "country", "photo_id")


def run(ctx: RunContext, params: SplitTemporalParams, inputs: Inputs, staged: StagedRun) -> SplitsFacts:
    """Write the splits and the corpus; `MissingInput` if a window holds no conversion."""
    validated = inputs["validated"]
    row_count = sum(validated.row_counts[name] for name in _TABLES)
    with query_engine(ctx.settings, "split_temporal", row_count) as engine:
        views = {name: engine.table(ctx.lake, validated, name) for name in _TABLES}
        windows = _find_windows(engine, views, ctx.as_of, params)
        shards = max(params.shards, *(1 + rows // ROWS_PER_FILE for rows in validated.row_counts.values()))
        corpus_end = END_OF_TIME if params.protocol == EIGHTY_TWENTY else windows.test_end
        conversions = _count_conversions(engine, views, windows, params)
        with_visitors = views | {"visitors": engine.keep(engine.run("number_visitors", views))}
        for name, (start, end) in windows.spans.items():
            rows = engine.run("split_window", with_visitors, window_start=start, window_end=end)
            if name == "train":
                engine.write(rows, staged, name, shards, "photo_id", _CONVERSION_ORDER)
            else:
                engine.write(rows, staged, name, 1 + conversions[name] // ROWS_PER_FILE, "visitor", _CONVERSION_ORDER)
        corpus = engine.run("split_corpus", views, train_end=windows.train_end, corpus_end=corpus_end)
        engine.write(corpus, staged, "photos", shards, "photo_id", ("photo_id",))
        keywords = engine.run("split_keywords", views, corpus_end=corpus_end)
        engine.write(keywords, staged, "photo_keywords", shards, "photo_id", ("photo_id", "keyword"))
        ages = engine.collect(engine.run("split_photo_ages", views, **windows.boundaries, corpus_end=corpus_end))
    photos_by_age = dict.fromkeys(("before_train", *windows.spans), 0)
    photos_by_age |= dict(ages.select("period", "photo_count").iter_rows())
    return SplitsFacts(
        protocol=params.protocol,
        **windows.boundaries,
        shard_count=shards,
        conversions=conversions,
        photos_by_age=photos_by_age,
        max_ranked_searches=params.max_ranked_searches,
    )


def _find_windows(
    engine: QueryEngine, views: dict[str, Frame], as_of: datetime, params: SplitTemporalParams
) -> Windows:
    """Return the windows of the protocol; `MissingInput` if the log has nothing that could be cut by number."""
    if params.protocol != EIGHTY_TWENTY:
        return Windows.before(as_of, **params.model_dump(include={"test_days", "validation_days", "train_days"}))
    markers = {"as_of": as_of, "validation_share": params.validation_share}
    [found] = engine.collect(engine.run("split_quantiles", views, **markers)).to_dicts()
    if not found["conversion_count"]:
        raise MissingInput(
            "nothing_to_cut",
            f"no conversion before {as_of:%Y-%m-%d} is of a photo that had been submitted by then, so there is "
            f"nothing to cut by number (80/20). Choose a later run date (DATE=..., --run-date).",
        )
    return Windows.at(as_of, **{name: instant(found[name]) for name in ("train_start", "train_end", "validation_end")})


def _count_conversions(
    engine: QueryEngine, views: dict[str, Frame], windows: Windows, params: SplitTemporalParams
) -> dict[str, int]:
    """Return the number of the log's rows by where they go; `MissingInput` if a window that is wanted gets none."""
    summary = engine.collect(engine.run("split_log_summary", views, **windows.boundaries))
    periods = {row["period"]: row for row in summary.to_dicts()}
    totals = {name: row["conversion_count"] for name, row in periods.items()}
    counts = {name: periods[name]["known_count"] if name in periods else 0 for name in windows.spans}
    is_cut_by_number = params.protocol == EIGHTY_TWENTY
    may_be_empty = {"validation"} if is_cut_by_number and params.validation_share == 0 else set()
    empty = [name for name, count in counts.items() if count == 0 and name not in may_be_empty]
    if empty:
        advice = _ADVICE_BY_NUMBER if is_cut_by_number else _ADVICE_BY_DAYS
        raise MissingInput(
            "empty_window", _empty_windows_message(empty, windows, list(periods.values()), advice), windows=empty
        )
    return {
        "before_train": totals.get("before_train", 0),
        **counts,
        "after_as_of": totals.get("after_as_of", 0),
        "photo_not_yet_submitted": sum(totals.get(name, 0) - count for name, count in counts.items()),
    }


_ADVICE_BY_DAYS = "shorter windows (--test-days, --validation-days, --train-days)"
_ADVICE_BY_NUMBER = "another --validation-share: the log has too few instants for these"


def _empty_windows_message(empty: list[str], windows: Windows, periods: list[dict[str, Any]], advice: str) -> str:
    first, last = (
        f"{at:%Y-%m-%d %H:%M:%S.%f}".removesuffix(".000000")
        for at in (min(row["first_at"] for row in periods), max(row["last_at"] for row in periods))
    )
    wanted = "; ".join(f"{name} [{start:%Y-%m-%d}, {end:%Y-%m-%d})" for name, (start, end) in windows.spans.items())
    run_date = f"{windows.spans['test'][1] - timedelta(microseconds=1):%Y-%m-%d}"
    another = "" if last[:10] == run_date else f"another run date (DATE=..., --run-date), such as {last[:10]}, or "
    return (
        f"no usable conversion in the window of: {', '.join(empty)}. The log runs from {first} to {last} UTC "
        f"({sum(row['conversion_count'] for row in periods)} rows); the windows wanted are {wanted}. Choose "
        f"{another}{advice}."
    )
