"""Training curves: the loss and the validation hit rates of every trained arm, with the point that was kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from jobs.config.params.arms import ZERO_SHOT
from jobs.datasets.features import SPLITS
from jobs.datasets.models import BASE_MODEL, SEARCH_MODELS, BaseModelFacts, SearchModelsFacts
from jobs.report import formats
from jobs.report.charts import LineChart, Series, line_chart, percent_tick, step_ticks, steps_of
from jobs.report.inputs import Night
from jobs.report.names import in_order

LOSS = "loss"
HIT_RATE, UNSEEN_HIT_RATE = "validation_hit_rate@10", "unseen_photos_hit_rate@10"
HELD_OUT_HIT_RATE = "held_out_hit_rate@10"


def training(night: Night) -> dict[str, Any]:
    """Return the curves of the arms trained on conversions, and of the base model where it was trained here.

    A pretrained base has no loss, and where nothing was kept aside there is no validation.
    """
    curves, models = night.table(SEARCH_MODELS, "curves"), night.facts(SearchModelsFacts)
    base_curves = night.table(BASE_MODEL, "curves")
    kept_base = {ZERO_SHOT: _kept(base_curves, HELD_OUT_HIT_RATE)}
    kept = {arm: _kept(curves.filter(arm=arm)) for arm in models.arms if arm != ZERO_SHOT}
    return {
        "is_validated": bool(night.manifest(SPLITS).row_counts["validation"]),
        "base": night.facts(BaseModelFacts),
        "models": models,
        "arms": in_order(models.arms),
        "charts": [
            _chart("validation", "Validation hit rate@10", curves, HIT_RATE, kept),
            _chart("unseen", "The same, photos nobody had taken", curves, UNSEEN_HIT_RATE, kept),
            _chart("loss", "Training loss", curves, LOSS),
            _chart(
                "base-held-out", "Base model, hit rate@10 on held-out photos", base_curves, HELD_OUT_HIT_RATE, kept_base
            ),
            _chart("base-loss", "Training loss of the base model", base_curves, LOSS),
        ],
    }


def _chart(
    key: str, title: str, curves: pl.DataFrame, name: str, kept: Mapping[str, int | None] | None = None
) -> LineChart | None:
    """Return the chart of one curve of every arm that has it, or None if none has; what was kept is marked."""
    is_hit_rate = name != LOSS
    format_value = formats.percent if is_hit_rate else formats.score
    found, series = curves.filter(name=name), []
    for one in in_order(found["arm"].unique()):
        points = steps_of(found.filter(arm=one.key))
        series.append(Series(one.name, one.css, points, (kept or {}).get(one.key)))
    if not series:
        return None
    ends = (f"{s.name}: from {format_value(s.points[0][1])} to {format_value(s.points[-1][1])}" for s in series)
    return line_chart(
        key,
        title,
        "; ".join(ends) + ".",
        series,
        x_ticks=step_ticks(max(step for line in series for step, _ in line.points)),
        x_label="training step",
        format_tick=percent_tick if is_hit_rate else "{:g}".format,
        format_value=format_value,
    )


def _kept(curves: pl.DataFrame, name: str = HIT_RATE) -> int | None:
    """Return which validation of an arm was kept: the first of the highest; None without any."""
    points = steps_of(curves.filter(name=name))
    return max(range(len(points)), key=lambda i: (points[i][1], -i), default=None)
