"""`nightlens backtest`: what refitting is worth. Consecutive days ask the release of the night before, made three ways.

Every night of the series tests on its own day alone, so that its towers and its reranker are those that the night
before would have made if it had held nothing back. Those that it did make, with days held back, are the same of an
earlier night of the series. The series has a catalogue of its own, so that it replaces no run of a real night.

Every night trains in full: if one went on from the other, later towers would have more passes as well as later days.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from jobs.config.params.arms import FULL
from jobs.config.params.ingest import WINDOWS, SplitTemporalParams
from jobs.config.settings import Settings
from jobs.datasets.backtest import BACKTEST
from jobs.lake.catalogue import Lake
from jobs.nights.night_plan import NightPlan
from jobs.nights.series import Step, run_steps, until_base
from jobs.stages.registry import stage_params

ONE_DAY = {"protocol": WINDOWS, "test_days": "1"}
_CATALOGUE = "-backtest"


def backtest(settings: Settings, plan: NightPlan, nights: int, epochs: int | None = None) -> str:
    """Run the series for `nights` days up to the plan's run date; return the comparison as text.

    Towers are trained for `epochs` passes, without a number as the preset says.
    """
    series = plan.model_copy(update={"catalogue": own_catalogue(plan.catalogue)})
    for day, steps in schedule(series, nights, epochs):
        run_steps(series, day, steps)
    lake = Lake(settings.lake_uri, series.catalogue)
    manifest = lake.current(BACKTEST, {"run_date": series.run_date.isoformat()})
    return lake.read_file(manifest, "backtest.md").decode()


def own_catalogue(catalogue: str) -> str:
    """Return the catalogue of a backtest, whose name is as long as a name may be at most.

    >>> own_catalogue("sample")
    'sample-backtest'
    """
    return catalogue[: 63 - len(_CATALOGUE)] + _CATALOGUE


def schedule(plan: NightPlan, nights: int, epochs: int | None) -> Iterator[tuple[date, list[Step]]]:
    """Give the nights of the series in order, each with its steps: all train, the last `nights` also ask."""
    held_back = _held_back_days(plan)
    asked = [plan.run_date - timedelta(days=back) for back in reversed(range(nights))]
    training = {"arms": FULL, "retrain": "always"} | ({} if epochs is None else {"epochs": str(epochs)})
    for day in sorted({*asked, *(day - timedelta(days=held_back) for day in asked)}):
        asks: list[Step] = [("rank_next_day", {"held_back_days": str(held_back)})] if day in asked else []
        yield day, [*until_base(ONE_DAY), ("train_search", training), *asks]
    yield plan.run_date, [("compare_backtest", {"nights": str(nights)})]


def _held_back_days(plan: NightPlan) -> int:
    """Return how many days a real night of the plan's preset tests on."""
    params = stage_params("split_temporal", plan.preset)
    assert isinstance(params, SplitTemporalParams)
    return params.test_days
