"""The ablation of the night, where there was one: what each choice of the search model is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from jobs.config.params.arms import FINETUNED, FULL, RERANKED, ZERO_SHOT
from jobs.datasets.evaluation import EVALUATION
from jobs.datasets.reports import AblationFacts, RerankedFacts
from jobs.errors import BadInput
from jobs.lake.manifest import Manifest
from jobs.report import formats
from jobs.report.arms import ARMS
from jobs.report.charts import DotChart, DotRow, Mark, Shape, dot_chart, percent_tick
from jobs.report.inputs import Night
from jobs.report.ranking import ALPHA, CUTOFFS, PRIMARY_K, Cell, outcome


@dataclass(frozen=True)
class Variant:
    """A variant as people read it. `css` gives it its colour: an arm has the one that it has in every chart."""

    key: str
    name: str
    meaning: str
    css: str = "variant"
    shape: Shape = "circle"


_ALL = (
    *(
        Variant(key, ARMS[key].name, ARMS[key].explanation, ARMS[key].css)
        for key in (ZERO_SHOT, FINETUNED, "finetuned_country", "finetuned_keywords")
    ),
    Variant(
        FULL,
        ARMS[FULL].name,
        "Fine-tuned and told the country of the search (“GB: cat”) and the photo's keywords.",
        ARMS[FULL].css,
    ),
    Variant(
        "without_masks", "Without masks", "Photos that the log knows as right for a text may stand as wrong beside it."
    ),
    Variant(
        "without_correction",
        "Without popularity correction",
        "A photo stands as wrong as often as it was taken, so popular photos are held back.",
    ),
    Variant(
        "masked_by_query",
        "Masks by query",
        "A photo taken for a query is never wrong for it, in whatever country it was taken.",
    ),
    Variant(
        "each_repetition",
        "Each repetition",
        "What was taken n times comes n times into training, not once with a weight of 1 + ln(n).",
    ),
    Variant(
        "without_average",
        "Without averaged weights",
        "The weights of the last steps are kept, not their moving average.",
    ),
    Variant("softmax", "Softmax loss", "CLIP's loss (InfoNCE) instead of SigLIP's pairwise sigmoid."),
    Variant("batch_64", "Batches of 64", "64 pairs in a training step: few photos to tell the right one from."),
    Variant(
        "batch_1024", "Batches of 1,024", "1,024 pairs in a training step: many photos to tell the right one from."
    ),
    Variant("augmented", "Augmented pictures", "Pictures are cropped, mirrored and recoloured at random in training."),
    Variant("two_views", "Two views", "Learns besides that two random views of one photo belong together (SimCLR)."),
    Variant("image_pairs", "Photo pairs", "Learns besides that two photos taken for the same query belong together."),
    Variant("hard_negatives", "Hard negatives", "Wrong photos that score nearly as high as the right one are added."),
    Variant(RERANKED, ARMS[RERANKED].name, ARMS[RERANKED].explanation, ARMS[RERANKED].css),
)
VARIANTS = {one.key: one for one in _ALL}


@dataclass(frozen=True)
class VariantRow:
    """One variant's line; `hit_rates` are in the order of `CUTOFFS`, the one at 10 with its interval."""

    variant: Variant
    is_full: bool
    repeats: str
    hit_rates: tuple[Cell, ...]
    deviation: str
    difference: Cell
    outcome: str  # better | worse | undecided, against the full arm
    p_value: str
    detectable: str


@dataclass(frozen=True)
class Step:
    """What one more thing to read, or reordering, is worth: `variant` beside `base`."""

    base: Variant
    variant: Variant
    difference: Cell
    outcome: str  # better | worse | undecided
    p_value: str
    detectable: str


@dataclass(frozen=True)
class Ablation:
    """The section."""

    full: Variant
    query_count: str
    visitor_count: str
    epochs: str
    cutoffs: tuple[int, ...]
    chart: DotChart
    rows: tuple[VariantRow, ...]
    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    reference: str


def ablation(night: Night) -> Ablation | None:
    """Return the comparison of variants on the night's searches; None if there is none."""
    manifest = night.ablation
    if manifest is None:
        return None
    facts = AblationFacts.of(manifest)
    found: dict[str, dict[int, dict[str, Any]]] = {}
    table = night.ctx.lake.read_table(manifest, "variants").filter(pl.col("metric") == "hit_rate")
    for row in table.iter_rows(named=True):
        found.setdefault(row["variant"], {})[row["k"]] = row
    rows = {variant(key): by_k for key, by_k in found.items()}
    return Ablation(
        full=variant(facts.reference),
        query_count=formats.count(facts.query_count),
        visitor_count=formats.count(facts.visitor_count),
        epochs=formats.count(facts.epochs),
        cutoffs=CUTOFFS,
        chart=_chart({one: by_k[PRIMARY_K] for one, by_k in rows.items()}),
        rows=tuple(_row(one, by_k) for one, by_k in rows.items()),
        steps=tuple(_steps(night.ctx.lake.read_table(manifest, "steps"))),
        notes=_notes(night, manifest, facts.reranked),
        reference=manifest.reference,
    )


def variant(key: str) -> Variant:
    """Return the variant of that key; `BadInput` if the report does not know how to call it."""
    if key not in VARIANTS:
        raise BadInput(
            "no_name_in_report", f"the report has no name for variant {key!r}. Describe it in {__name__}.", key=key
        )
    return VARIANTS[key]


def _chart(at_10: dict[Variant, dict[str, Any]]) -> DotChart:
    rows = []
    for one, row in at_10.items():
        value, interval = formats.percent(row["value"]), formats.percent_interval(row["low"], row["high"])
        note = f"{one.name}: {value}, 95% interval {interval}"
        mark = Mark(row["value"], row["low"], row["high"], one.css, one.shape, note)
        rows.append(DotRow(one.name, value, f"({interval})", (mark,), is_strong=one.key == FULL))
    return dot_chart(
        "ablation",
        "Hit rate@10 of every variant",
        "Dots with 95% intervals, and a line at the full arm. "
        + ". ".join(f"{row.label}: {row.value} {row.detail}" for row in rows)
        + ".",
        rows,
        percent_tick,
        include=(0.0,),
        line_at=at_10[VARIANTS[FULL]]["value"],
    )


def _row(one: Variant, by_k: dict[int, dict[str, Any]]) -> VariantRow:
    row = by_k[PRIMARY_K]
    interval = formats.percent_interval(row["low"], row["high"])
    return VariantRow(
        variant=one,
        is_full=one.key == FULL,
        repeats=formats.count(row["repeats"]),
        hit_rates=tuple(Cell(formats.percent(by_k[k]["value"]), interval if k == PRIMARY_K else "") for k in CUTOFFS),
        deviation=formats.points(row["deviation"], 2).lstrip("+"),
        difference=Cell(
            formats.points(row["difference"]),
            "" if one.key == FULL else formats.points_interval(row["difference_low"], row["difference_high"]),
        ),
        outcome=_clear_outcome(row["difference_low"], row["difference_high"], row["p_value_holm"]),
        p_value=formats.p_value(row["p_value_holm"]),
        detectable=formats.points(row["detectable"]).lstrip("+"),
    )


def _steps(table: pl.DataFrame) -> Iterator[Step]:
    at_10 = table.filter((pl.col("metric") == "hit_rate") & (pl.col("k") == PRIMARY_K))
    for row in at_10.iter_rows(named=True):
        low, high, p_value = row["low"], row["high"], row["p_value_holm"]
        yield Step(
            base=variant(row["base"]),
            variant=variant(row["variant"]),
            difference=Cell(formats.points(row["difference"]), formats.points_interval(low, high)),
            outcome=_clear_outcome(low, high, p_value),
            p_value=formats.p_value(p_value),
            detectable=formats.points(row["detectable"]).lstrip("+"),
        )


def _clear_outcome(low: float | None, high: float | None, p_value: float | None) -> str:
    side = outcome(low, high)
    return side if side != "undecided" and p_value is not None and p_value < ALPHA else "undecided"


def _notes(night: Night, manifest: Manifest, reranked: RerankedFacts | None) -> tuple[str, ...]:
    """Return what a reader must know of the reranked arm."""
    if reranked is None:
        return ()
    name = VARIANTS[RERANKED].name
    if reranked.note:
        return (f"{name} is left out: {reranked.note}",)
    base = variant(reranked.base_arm).name
    notes = [
        f"{name} is not trained here: it reorders what the night's own arm “{base}” found. Its difference is to the "
        "mean of the full arm's repetitions all the same."
    ]
    if manifest.input_runs[f"{RERANKED} 0"] != night.manifest(EVALUATION).reference:
        notes.append(f"{name} is here as an earlier run of this night evaluated it.")
    return tuple(notes)
