"""The head of the report: one sentence on the challenger, how sure it is, what to do, and the night's key figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jobs.config.params.arms import CHAMPION_ARM
from jobs.datasets.evaluation import EvaluationFacts, VerdictFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.indexes import IndexCheckFacts
from jobs.datasets.models import ChampionFacts, RegistrationFacts
from jobs.report import formats
from jobs.report.arms import Arm, arm
from jobs.report.charts import DotChart, DotRow, Mark, dot_chart
from jobs.report.inputs import Night
from jobs.report.quality import Quality
from jobs.report.ranking import Estimate, Metrics, Outcome, outcome

BADGES = {"better": "Challenger better", "worse": "Challenger worse", "undecided": "No clear difference"}
FEW_QUERIES = 200
NOTABLE_BAD_SHARE = 0.01


@dataclass(frozen=True)
class Verdict:
    """Challenger against the champion, or against zero-shot where that cannot be. `command` promotes, where due."""

    outcome: Outcome
    badge: str
    challenger: Arm
    compared: Arm
    headline: str
    evidence: str
    query_count: str
    advice: str
    command: str | None
    chart: DotChart
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Tile:
    """One key figure."""

    label: str
    value: str
    detail: str


def verdict(night: Night, metrics: Metrics, quality: Quality, notes: tuple[str, ...]) -> Verdict:
    """Return the verdict from the evaluation's facts; `notes` come first of what is worth knowing."""
    facts = night.facts(EvaluationFacts).verdict
    challenger, compared = arm(facts.challenger), arm(facts.compared_with)
    found = outcome(facts.low, facts.high)
    situation = _situation(night, compared)
    advice, wants_command = _ADVICE[situation][found]
    return Verdict(
        outcome=found,
        badge=BADGES[found],
        challenger=challenger,
        compared=compared,
        headline=_headline(found, facts, situation, metrics.whole(compared.key)),
        evidence=_evidence(facts, metrics.whole(challenger.key), metrics.whole(compared.key), compared),
        query_count=formats.count(metrics.whole(challenger.key).query_count),
        advice=advice,
        command=_promote_command(night) if wants_command else None,
        chart=_chart(facts, compared),
        notes=(*notes, *_notes(night, metrics, quality, challenger, situation)),
    )


def _situation(night: Night, compared: Arm) -> Literal["compared", "none", "left_out"]:
    """Return whether the champion was compared, or there is none, or there is one that could not be compared."""
    if compared.key == CHAMPION_ARM:
        return "compared"
    return "none" if night.facts(ChampionFacts).live is None else "left_out"


_LEAD = {"compared": "", "none": "No champion yet. ", "left_out": "The champion could not be compared tonight. "}
_JUDGEMENT = {"better": "better than", "worse": "worse than", "undecided": "neither clearly better nor worse than"}
_NO_CHAMPION = "No model is live as champion yet, and none becomes it by itself. "
_LEFT_OUT = "This says nothing about the champion: it stays until a comparison with it is possible again."
_ADVICE = {
    "compared": {
        "better": ("Promote the challenger if nothing else on this page speaks against it:", True),
        "worse": ("Keep the champion. Nothing changes until somebody promotes another model.", False),
        "undecided": ("Keep the champion: nothing shows that a change would help.", False),
    },
    "none": {
        "better": (_NO_CHAMPION + "To make this one the champion:", True),
        "worse": (
            _NO_CHAMPION + "This one should not: find out first why training did harm. A model is promoted by:",
            True,
        ),
        "undecided": (
            _NO_CHAMPION + "This one gains nothing visible over no training at all. A model is promoted by:",
            True,
        ),
    },
    "left_out": {"better": (_LEFT_OUT, False), "worse": (_LEFT_OUT, False), "undecided": (_LEFT_OUT, False)},
}
"""What to do, and whether the command that promotes belongs to it, by situation and outcome."""


def _headline(found: str, facts: VerdictFacts, situation: str, base: Estimate) -> str:
    """Return the one sentence: better or not, by how much, how sure."""
    other = "the champion" if situation == "compared" else "the base model without training on conversions"
    difference = formats.points(facts.difference)
    direction = "fewer" if facts.difference < 0 else "more"
    change = f"{difference[1:]} {direction} of every 100 searches" if difference != "0.0" else "as many searches"
    relative = formats.relative(facts.difference, base.value)
    side = "worse" if found == "worse" else "better"
    probability = facts.probability_better if side == "better" else 1 - facts.probability_better
    return (
        f"{_LEAD[situation]}The challenger is {_JUDGEMENT[found]} {other}: it answers {change} "
        f"({relative}; probability that it is {side}: {formats.probability_in_words(probability)})."
    )


def _evidence(facts: VerdictFacts, challenger: Estimate, compared: Estimate, other: Arm) -> str:
    """Return the figures behind the sentence, and what they mean."""
    name = "the champion" if other.key == CHAMPION_ARM else f"the {other.name.lower()}"
    return (
        "A search is answered when the photo its visitor went on to download is among the first ten results "
        f"(hit rate@10): {challenger.percent} of searches with the challenger, {compared.percent} with {name}. The "
        f"difference is {formats.points(facts.difference)} percentage points, its 95% interval "
        f"{formats.points_interval(facts.low, facts.high)}, measured on "
        f"{formats.count(challenger.query_count)} searches."
    )


def _promote_command(night: Night) -> str:
    version = night.facts(RegistrationFacts).version
    return f"nightlens promote --catalogue {night.ctx.catalogue} --version {version} --reason WHY"


def _chart(facts: VerdictFacts, compared: Arm) -> DotChart:
    """Return the difference on a line through zero; the axis shows something of both sides."""
    interval = formats.points_interval(facts.low, facts.high)
    label, difference = f"Challenger − {compared.name}", formats.points(facts.difference)
    text = f"{difference} ({interval})"
    mark = Mark(facts.difference, facts.low, facts.high, "verdict-mark", "circle", f"{text} points")
    reach = max(abs(facts.low), abs(facts.high), 0.01)
    return dot_chart(
        "verdict",
        "Difference of hit rate@10 in percentage points",
        f"{label}: {text}, with its 95% interval. Right of zero the challenger is better.",
        [DotRow(label, difference, f"({interval})", (mark,))],
        formats.points,
        include=(-reach / 4, reach / 4),
        line_at=0.0,
    )


def _notes(night: Night, metrics: Metrics, quality: Quality, challenger: Arm, situation: str) -> list[str]:
    """Return what a reader of the verdict must not miss."""
    notes, evaluation = [], night.facts(EvaluationFacts)
    if situation == "left_out":
        note = evaluation.champion_note
        notes.append(note[:1].upper() + note[1:] + ".")
    counting = metrics.strongest_counting
    mine, theirs = metrics.whole(challenger.key), metrics.whole(counting.key)
    if theirs.value >= mine.value:
        notes.append(
            f"Plain counting still wins on average: “{counting.name}” reaches {theirs.percent}, "
            f"{formats.points(theirs.value - mine.value).lstrip('+')} points above the challenger. Counting cannot "
            "answer unseen queries or rank new photos; the slices show where each is ahead."
        )
    there = evaluation.test_window_query_count
    if mine.query_count < there:
        notes.append(
            f"Tested were {formats.count(mine.query_count)} of the {formats.count(there)} searches of the test window: "
            "all those of a sample of visitors."
        )
    if mine.query_count < FEW_QUERIES:
        notes.append(f"Only {mine.query_count} searches were tested: the intervals are wide and the slices are thin.")
    notes += [
        f"{formats.percent(table.bad_share)} of the rows of {table.table} were quarantined."
        for table in quality.tables
        if table.bad_share > NOTABLE_BAD_SHARE
    ]
    if quality.unusable_image_count:
        number = quality.unusable_image_count
        photos = "1 photo of the corpus has" if number == 1 else f"{formats.count(number)} photos of the corpus have"
        notes.append(f"{photos} no usable image, so no model can find {'it' if number == 1 else 'them'}.")
    return notes


def tiles(night: Night, metrics: Metrics, quality: Quality, challenger: Arm, compared: Arm) -> list[Tile]:
    """Return the key figures of the night."""
    mine, other = metrics.whole(challenger.key), metrics.whole(compared.key)
    recall = night.facts(IndexCheckFacts).recall_at_10
    corpus = formats.count(night.facts(EvaluationFacts).corpus_photo_count)
    seconds = sum(manifest.duration_seconds for manifest in night.inputs.values())
    fresh = sum(manifest.night == night.run_id for manifest in night.inputs.values())
    stage_count = len(night.inputs)
    return [
        Tile("Hit rate@10", mine.percent, f"challenger, {mine.percent_interval}; {compared.name}: {other.percent}"),
        Tile("Searches tested", formats.count(mine.query_count), _window(night)),
        Tile("Photos", corpus, "all of the data set" if night.facts(SplitsFacts).takes_all_photos else _IN_CORPUS),
        Tile(
            "Bad rows",
            formats.count(quality.quarantined_count),
            f"{formats.percent(quality.bad_share, 2)} of {formats.count(quality.read_count)} rows read",
        ),
        Tile("Index recall@10", formats.percent(recall), "of the ten best photos are found by the index"),
        Tile(
            "Night's work",
            formats.duration(seconds),
            "all stages ran tonight" if fresh == stage_count else f"{fresh} of {stage_count} stages ran tonight",
        ),
    ]


_IN_CORPUS = "in the corpus at the end of the test window"


def _window(night: Night) -> str:
    """Return the first and the last day of the test window."""
    first = night.facts(SplitsFacts).validation_end
    return f"{first.day} {first:%b} to {formats.day(night.ctx.run_date)}"
