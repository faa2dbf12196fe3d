"""The gate: whether the night's candidate may go live, check by check, and what its champion stems from."""

from __future__ import annotations

from typing import Any

from jobs.datasets.models import ChampionFacts
from jobs.datasets.releases import GATE, GateFacts
from jobs.report.inputs import Night


def gate(night: Night) -> dict[str, Any]:
    """Return the gate's findings, those that stand in the way first."""
    found, rows = night.facts(GateFacts), night.table(GATE, "findings").to_dicts()
    return {
        "facts": found,
        "rows": sorted(rows, key=lambda row: row["outcome"] == "pass"),
        "against": [row["check"] for row in rows if row["outcome"] == found.outcome != "pass"],
        "outside_move": night.facts(ChampionFacts).outside_move,
    }
