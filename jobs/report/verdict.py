"""The head of the report: one sentence on the challenger, how sure it is, and what to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from jobs.config.params.arms import CHAMPION_ARM
from jobs.datasets.evaluation import EvaluationFacts, VerdictFacts
from jobs.datasets.models import ChampionFacts, RegistrationFacts
from jobs.report import formats
from jobs.report.charts import DotChart, DotRow, Mark, dot_chart
from jobs.report.inputs import Night
from jobs.report.names import ADVICE, HEADLINE, JUDGEMENTS, Arm, arm
from jobs.report.ranking import Metrics
from jobs.report.tables import POINTS, Difference, difference


def verdict(night: Night, metrics: Metrics) -> dict[str, Any]:
    """Return the challenger against the champion, or against zero-shot where that cannot be.

    The situation is `compared`, `none` without a champion, or `left_out` with one that could not be compared. A
    `command` promotes, where due.
    """
    facts = night.facts(EvaluationFacts).verdict
    compared = arm(facts.compared_with)
    less = difference(facts.model_dump(), POINTS)
    live = night.facts(ChampionFacts).live
    situation = "compared" if compared.key == CHAMPION_ARM else "none" if live is None else "left_out"
    advice = ADVICE[situation][less.side]
    version = night.facts(RegistrationFacts).version
    command = f"nightlens promote --catalogue {night.ctx.catalogue} --version {version} --reason WHY"
    counting = metrics.strongest_counting
    over_counting = facts.counting[counting.key]
    return {
        "outcome": less.side,
        "situation": situation,
        "difference": less.cell,
        "challenger": arm(facts.challenger),
        "mine": metrics.whole(facts.challenger),
        "compared": compared,
        "other": metrics.whole(compared.key),
        "counting": counting,
        "counted": metrics.whole(counting.key),
        "over_counting": difference(asdict(over_counting) | {"difference": over_counting.value}, POINTS).cell,
        "headline": _headline(facts, less, situation, metrics.whole(compared.key)["value"]),
        "advice": advice,
        "command": command if advice.endswith(":") else None,
        "chart": _chart(facts, less, compared),
    }


def _headline(facts: VerdictFacts, less: Difference, situation: str, base: float) -> str:
    """Return the one sentence: better or not, by how much, how sure."""
    other = "the champion" if situation == "compared" else "the base model without training on conversions"
    difference = less.cell.value
    direction = "fewer" if facts.difference < 0 else "more"
    change = f"{difference[1:]} {direction} of every 100 searches" if difference != "0.0" else "as many searches"
    return (
        f"{HEADLINE[situation]}The challenger is {JUDGEMENTS[less.side]['words']} {other}: it answers {change} "
        f"({formats.relative(facts.difference, base)})."
    )


def _chart(facts: VerdictFacts, less: Difference, compared: Arm) -> DotChart:
    """Return the difference on a line through zero; the axis shows something of both sides."""
    label, interval = f"Challenger − {compared.name}", f"({less.cell.interval})"
    text = f"{less.cell.value} {interval}"
    mark = Mark(facts.difference, facts.low, facts.high, "verdict-mark", "circle", f"{text} points")
    reach = max(abs(facts.low), abs(facts.high), 0.01)
    return dot_chart(
        "verdict",
        "Difference of hit rate@10 in percentage points",
        f"{label}: {text}, with its 95% interval. Right of zero the challenger is better.",
        [DotRow(label, less.cell.value, interval, (mark,))],
        formats.points,
        include=(-reach / 4, reach / 4),
        line_at=0.0,
    )
