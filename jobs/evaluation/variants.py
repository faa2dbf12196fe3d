"""The variants of the ablation as people read them in a text: one Markdown table and what it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from jobs.datasets.reports import AblationFacts

_HEADER = (
    *("variant", "repeats", "@1", "@5", "@10", "95 % interval", "deviation", "@25"),
    *("difference", "95 % interval", "p", "detectable"),
)


def markdown(tables: Mapping[str, pl.DataFrame], title: str, facts: AblationFacts) -> str:
    """Return the ablation as people read it: hit rates, at 10 the difference to the full arm, and the steps to it."""
    table = tables["variants"]
    lines = [
        f"# What each choice is worth: {title}",
        "",
        f"{facts.query_count:,} test searches of {facts.visitor_count:,} visitors; every variant was trained for "
        f"{facts.epochs} passes. Intervals: 95 %, of other visitors, other queries and other seeds. The deviation is "
        f"over repetitions with other seeds. Differences are to `{facts.reference}` at 10; their p (two-sided) and "
        "intervals are those of one of all rows; the last column is the smallest difference that would have been found "
        f"in four of five such comparisons.{_about_reranked(facts)}",
        "",
        f"| {' | '.join(_HEADER)} |",
        "|---|--:|--:|--:|--:|---|--:|--:|--:|---|--:|--:|",
    ]
    at_10 = table.filter(pl.col("k") == 10)
    for row in at_10.iter_rows(named=True):
        value = dict(table.filter(pl.col("variant") == row["variant"]).select("k", "value").iter_rows())
        cells: Sequence[str] = [
            row["variant"].replace("_", " "),
            str(row["repeats"]),
            *(f"{value[k]:.3f}" for k in (1, 5, 10)),
            f"{row['low']:.3f} to {row['high']:.3f}",
            "" if row["deviation"] is None else f"{row['deviation']:.4f}",
            f"{value[25]:.3f}",
            *_difference(row, row["difference_low"], row["difference_high"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *_steps(tables["steps"].filter(pl.col("k") == 10))]) + "\n"


def _steps(at_10: pl.DataFrame) -> Iterator[str]:
    if at_10.is_empty():
        return
    yield from (
        "",
        "How the full arm is built up: differences of hit rate@10, p and intervals of one of all steps.",
        "",
    )
    yield from ("| from | to | difference | 95 % interval | p | detectable |", "|---|---|--:|---|--:|--:|")
    for row in at_10.iter_rows(named=True):
        names = [row[end].replace("_", " ") for end in ("base", "variant")]
        yield f"| {' | '.join([*names, *_difference(row, row['low'], row['high'])])} |"


def _about_reranked(facts: AblationFacts) -> str:
    reranked = facts.reranked
    if reranked is None:
        return ""
    if reranked.note:
        return f" `reranked` is left out: {reranked.note}"
    return (
        f" `reranked` is not trained here: it reorders what the night's own `{reranked.base_arm}` found, and its "
        f"difference is to the mean of the repetitions of `{facts.reference}`."
    )


def _difference(row: Mapping[str, Any], low: float, high: float) -> list[str]:
    if row["difference"] is None:
        return ["", "", "", ""]
    return [
        f"{row['difference']:+.3f}",
        f"{low:+.3f} to {high:+.3f}",
        f"{row['p_value']:.3f}",
        f"{row['detectable']:.3f}",
    ]
