"""The variants of the ablation as people read them in a text: one Markdown table and what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

_HEADER = (
    *("variant", "repeats", "@1", "@5", "@10", "95 % interval", "deviation", "@25"),
    *("difference", "95 % interval", "p", "detectable"),
)


def markdown(table: pl.DataFrame, title: str, facts: Mapping[str, Any]) -> str:
    """Return the ablation as people read it: hit rates, and at 10 the difference to the full arm."""
    lines = [
        f"# What each choice is worth: {title}",
        "",
        f"{facts['query_count']:,} test searches of {facts['visitor_count']:,} visitors. Intervals: 95 %, paired "
        "bootstrap over visitors. The deviation is over repetitions with other seeds. Differences are to "
        f"`{facts['reference']}` at 10; p is two-sided and adjusted by Holm's method; the last column is the smallest "
        f"difference that would have been found in four of five such comparisons.{_about_reranked(facts)}",
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
            *_difference(row),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _about_reranked(facts: Mapping[str, Any]) -> str:
    reranked = facts["reranked"]
    if not reranked:
        return ""
    if reranked["note"]:
        return f" `reranked` is left out: {reranked['note']}"
    return (
        f" `reranked` is not trained here: it reorders what the night's own `{reranked['base_arm']}` found, and its "
        f"difference is to the mean of the repetitions of `{facts['reference']}`."
    )


def _difference(row: Mapping[str, Any]) -> list[str]:
    if row["difference"] is None:
        return ["", "", "", ""]
    interval = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
    return [f"{row['difference']:+.3f}", interval, f"{row['p_value_holm']:.3f}", f"{row['detectable']:.3f}"]
