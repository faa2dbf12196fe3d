"""The facts of the splits, derived a second time: from the run date, the parameters and the validated tables."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from jobs.adapters.parquet_parts import ROWS_PER_FILE
from jobs.adapters.query_engine import Frame, QueryEngine
from jobs.auditing.violations import Violation
from jobs.config.params.ingest import EIGHTY_TWENTY, SplitTemporalParams
from jobs.datasets.features import SplitsFacts
from jobs.errors import BadInput
from jobs.lake.manifest import Manifest
from models.windows import END_OF_TIME, SPLIT_NAMES, Windows, instant

_WINDOWS = frozenset({"protocol", "train_start", "train_end", "validation_end", "test_end"})


def derive_windows(
    engine: QueryEngine, views: dict[str, Frame], as_of: datetime, params: SplitTemporalParams
) -> Windows:
    """Return the windows that night, log and parameters call for, whatever the splits declare."""
    if params.protocol == EIGHTY_TWENTY:
        markers = {"as_of": as_of, "validation_share": params.validation_share}
        [found] = engine.collect(engine.run("audit_quantiles", views, **markers)).to_dicts()
        if found["validation_end"] is None:
            raise BadInput(
                "nothing_to_cut",
                "the splits are cut by number, but the log has no row that could be cut. Run split_temporal.",
            )
        train_start, train_end, validation_end = (
            instant(found[name]) for name in ("train_start", "train_end", "validation_end")
        )
    else:
        validation_end = as_of - timedelta(days=params.test_days)
        train_end = validation_end - timedelta(days=params.validation_days)
        train_start = train_end - timedelta(days=params.train_days)
    return Windows(train_start, train_end, validation_end, as_of)


def corpus_end(params: SplitTemporalParams, windows: Windows) -> datetime:
    """Return when the corpus ends: of all photos never, by the other protocol with the test window."""
    return END_OF_TIME if params.protocol == EIGHTY_TWENTY else windows.test_end


def derive_facts(
    engine: QueryEngine,
    views: dict[str, Frame],
    validated: Manifest,
    params: SplitTemporalParams,
    windows: Windows,
) -> SplitsFacts:
    """Return the facts that the splits should have."""
    markers = windows.boundaries | {"corpus_end": corpus_end(params, windows)}
    counts: dict[str, dict[str, int]] = {
        "conversions": dict.fromkeys(("before_train", *SPLIT_NAMES, "after_as_of", "photo_not_yet_submitted"), 0),
        "photos_by_age": dict.fromkeys(("before_train", *SPLIT_NAMES), 0),
    }
    for row in engine.collect(engine.run("audit_counts", views, **markers)).to_dicts():
        counts[row["fact"]][row["period"]] = row["row_count"]
    return SplitsFacts(
        protocol=params.protocol,
        train_start=windows.train_start,
        train_end=windows.train_end,
        validation_end=windows.validation_end,
        test_end=windows.test_end,
        shard_count=max(params.shards, 1 + max(validated.row_counts.values()) // ROWS_PER_FILE),
        conversions=counts["conversions"],
        photos_by_age=counts["photos_by_age"],
        max_ranked_searches=params.max_ranked_searches,
    )


def false_facts(declared: SplitsFacts, derived: SplitsFacts) -> list[Violation]:
    """Name every fact that is declared otherwise than derived; parts of facts one by one."""
    was, should_be = _flat(declared.as_json()), _flat(derived.as_json())
    return [
        Violation(
            "windows" if name in _WINDOWS else "facts",
            f"{name} is declared as {was.get(name)}, should be {should_be.get(name)}",
        )
        for name in sorted(was | should_be)
        if was.get(name) != should_be.get(name)
    ]


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts with their parts.

    >>> _flat({"shard_count": 8, "conversions": {"train": 3}})
    {'shard_count': 8, 'conversions.train': 3}
    """
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        flat |= {f"{name}.{part}": count for part, count in value.items()} if isinstance(value, dict) else {name: value}
    return flat
