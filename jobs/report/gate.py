"""The gate: whether the night's candidate may go live, check by check, and what its champion stems from."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.datasets.models import ChampionFacts
from jobs.datasets.releases import GATE, GateFacts
from jobs.report.inputs import Night
from jobs.report.run_facts import Fact

_TITLES = {
    "pass": "The candidate may go live, if somebody decides so",
    "fail": "The candidate should not go live",
    "inconclusive": "Not enough is known of the candidate",
}
_STYLES = {"pass": "better", "fail": "worse", "inconclusive": "undecided"}


@dataclass(frozen=True)
class GateRow:
    """One check; `css` is the class of its outcome."""

    check: str
    outcome: str
    css: str
    figure: str
    limit: str
    reason: str


@dataclass(frozen=True)
class Gate:
    """The section. `notes` are for the head of the page too: what a reader must not miss."""

    outcome: str
    title: str
    rows: tuple[GateRow, ...]
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]


def gate(night: Night) -> Gate:
    """Return the gate's findings, those that stand in the way first."""
    rows = [
        GateRow(check, outcome, _STYLES[outcome], figure, limit, reason[:1].upper() + reason[1:] + ".")
        for check, outcome, figure, limit, reason in night.table(GATE, "findings").iter_rows()
    ]
    found = night.facts(GateFacts)
    p50, p99 = found.latency_p50_milliseconds, found.latency_p99_milliseconds
    return Gate(
        outcome=found.outcome,
        title=_TITLES[found.outcome],
        rows=tuple(sorted(rows, key=lambda row: row.outcome == "pass")),
        facts=(
            Fact("Release", str(found.release), is_code=True),
            Fact("Model version", str(found.release.version)),
            Fact("A search in the index", f"{p50:.2f} ms in the middle, {p99:.2f} ms at the 99th percentile"),
        ),
        notes=(*_gate_notes(found.outcome, rows), *_outside_notes(night)),
    )


def _gate_notes(outcome: str, rows: list[GateRow]) -> list[str]:
    if outcome == "pass":
        return []
    against = ", ".join(row.check for row in rows if row.outcome == outcome)
    return [f"The gate is {'not passed' if outcome == 'fail' else 'inconclusive'}: {against}."]


def _outside_notes(night: Night) -> list[str]:
    """Say that the champion is what somebody made it in MLflow itself, as long as that is so."""
    moved = night.facts(ChampionFacts).outside_move
    if moved is None:
        return []
    published = moved.published
    live = "Nothing is published." if published is None else f"Published is still version {published.version}."
    return [
        f"The champion was moved outside of Nightlens: {moved.reason} (entry {moved.entry} of the promotion "
        f"ledger). {live} To bring both together: nightlens promote --catalogue {night.ctx.catalogue} --version N "
        "--reason WHY."
    ]
