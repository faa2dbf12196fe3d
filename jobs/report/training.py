"""Training curves: the loss and the validation hit rate of every trained arm, with the point that was kept."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from jobs.config.params.arms import ZERO_SHOT
from jobs.datasets.features import SPLITS
from jobs.datasets.models import BASE_MODEL, SEARCH_MODELS, ArmFacts, BaseModelFacts, SearchModelsFacts
from jobs.report import formats
from jobs.report.arms import Arm, in_order
from jobs.report.charts import LineChart, Series, line_chart, nice_ticks, percent_tick
from jobs.report.inputs import Night

LOSS = "loss"
HIT_RATE = "validation_hit_rate@10"


@dataclass(frozen=True)
class TrainedArm:
    """One arm's training in figures; what does not apply to the base is a dash."""

    arm: Arm
    best_hit_rate: str
    best_step: str
    steps: str
    speed: str
    duration: str
    stopped_because: str


@dataclass(frozen=True)
class Training:
    """The charts and the table below them. A chart is None where no curve was recorded.

    A pretrained base has no loss, and where nothing was kept aside there is no validation.
    """

    is_validated: bool

    rows: tuple[TrainedArm, ...]
    arms: tuple[Arm, ...]
    hit_rate: LineChart | None
    loss: LineChart | None
    base_loss: LineChart | None
    base_source: str
    reused_from: str | None
    warm_started_from: str | None
    conversion_count: str  # trained on
    window_count: str  # of the whole training window
    base_reused_from: str | None


def training(night: Night) -> Training:
    """Return the curves of the arms trained on conversions, and of the base model where it was trained here."""
    curves = night.table(SEARCH_MODELS, "curves")
    base_curves = night.table(BASE_MODEL, "curves")
    base, models = night.facts(BaseModelFacts), night.facts(SearchModelsFacts)
    arms = tuple(in_order(models.arms))
    return Training(
        is_validated=bool(night.manifest(SPLITS).row_counts["validation"]),
        rows=tuple(_trained_arm(one, models.arms[one.key]) for one in arms),
        arms=arms,
        hit_rate=_chart("validation", "Validation hit rate@10", curves, HIT_RATE, mark_best=True),
        loss=_chart("loss", "Training loss", curves, LOSS),
        base_loss=_chart("base-loss", "Training loss of the base model", base_curves, LOSS),
        base_source=base.source,
        reused_from=models.reused_from,
        warm_started_from=models.warm_started_from,
        conversion_count=formats.count(models.train_pair_count),
        window_count=formats.count(models.log_pair_count),
        base_reused_from=base.reused_from,
    )


def _trained_arm(one: Arm, facts: ArmFacts) -> TrainedArm:
    best, training = formats.percent(facts.best_validation_hit_rate), facts.training
    if training is None:
        return TrainedArm(one, best, *[formats.MISSING] * 5)
    return TrainedArm(
        arm=one,
        best_hit_rate=best,
        best_step=formats.count(training.best_step),
        steps=formats.count(training.steps),
        speed=formats.count(round(training.pairs_per_second)),
        duration=formats.duration(training.seconds),
        stopped_because=training.stopped_because,
    )


def _chart(
    key: str,
    title: str,
    curves: pl.DataFrame,
    name: str,
    *,
    mark_best: bool = False,
) -> LineChart | None:
    """Return the chart of one curve of every arm that has it, or None if none has."""
    format_value = formats.percent if name == HIT_RATE else formats.score
    found = curves.filter(pl.col("name") == name).sort("step")
    series = []
    for one in in_order(found["arm"].unique()):
        rows = found.filter(pl.col("arm") == one.key).select(pl.col("step").cast(pl.Float64), "value")
        points = tuple(rows.iter_rows())
        is_trained = mark_best and one.key != ZERO_SHOT
        series.append(Series(one.name, one.css, points, _best(points) if is_trained else None))
    if not series:
        return None
    last = max(step for line in series for step, _ in line.points)
    ends = (f"{s.name}: from {format_value(s.points[0][1])} to {format_value(s.points[-1][1])}" for s in series)
    return line_chart(
        key,
        title,
        "; ".join(ends) + ".",
        series,
        x_ticks=[(value, formats.count(round(value))) for value in nice_ticks(0, last) if value <= last],
        x_label="training step",
        format_tick=percent_tick if name == HIT_RATE else lambda value: f"{value:g}",
        format_value=format_value,
    )


def _best(points: tuple[tuple[float, float], ...]) -> int:
    """Return the place of the highest value, the first of equals, as early stopping keeps it."""
    return max(range(len(points)), key=lambda i: (points[i][1], -i))
