"""Commands that run nights, or say which night is meant."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Annotated

import typer

from jobs.commands.options import Environment, command, given_values
from jobs.config.params.ablation import CompareBacktestParams, CompareVariantsParams, TrainVariantParams
from jobs.config.params.arms import COMPARED
from jobs.config.params.night import NightParams, WhichNightParams
from jobs.config.params.training import TrainSearchParams
from jobs.config.settings import Settings
from jobs.lake.catalogue import catalogues
from jobs.nights import night_plan
from jobs.nights.night_plan import NightPlan

ScheduledFor = Annotated[
    datetime | None, typer.Option(parser=datetime.fromisoformat, help="time the run was scheduled for")
]


@command("Run", NightParams)
def nightly(environment: Environment, **given: str) -> None:
    """Run a whole night through Airflow and sum it up."""
    from jobs.adapters.local_services import airflow_environment, prepare_airflow
    from jobs.nights.dag_runner import run_night

    params, settings = NightParams.checked("nightly", given_values(NightParams, given)), environment.settings
    with ThreadPoolExecutor(1) as preparer:  # the first night makes the sample and Airflow's database side by side
        prepared = preparer.submit(prepare_airflow, settings, airflow_environment(settings))
        plan = _plan(settings, {name: given[name] for name in WhichNightParams.model_fields})
        prepared.result()
    print(run_night(settings, plan, params))


@command("Run", WhichNightParams)
def ablation(
    environment: Environment,
    variants: Annotated[str, typer.Option(help=f"comma-separated, of {', '.join(COMPARED)}; default: all")] = "",
    repeats: Annotated[str, typer.Option(help="trainings of each variant, other seeds, 2 or more; default: 5")] = "",
    epochs: Annotated[str, typer.Option(help="passes each variant is trained for; default: the preset's")] = "",
    **given: str,
) -> None:
    """Compare variants of the search model on a night that has run."""
    from jobs.nights.dag_runner import run_ablation

    asked = given_values(CompareVariantsParams, {"variants": variants, "repeats": repeats})
    params = CompareVariantsParams.checked("compare_variants", asked)  # refused here rather than after the trainings
    training = TrainVariantParams.checked("train_variant", given_values(TrainVariantParams, {"epochs": epochs}))
    passes = training.epochs if epochs else None
    settings = environment.settings
    print(run_ablation(settings, _plan(settings, given), params.variants, params.repeats, passes))


@command("Run", WhichNightParams)
def retraining(
    environment: Environment,
    nights: Annotated[int, typer.Option(help="nights that are compared; one more runs before")] = 10,
    **given: str,
) -> None:
    """Compare incremental with full training over consecutive nights."""
    from jobs.nights.retraining_nights import compare_nights

    print(compare_nights(environment.settings, _plan(environment.settings, given), nights))


@command("Run", WhichNightParams)
def backtest(
    environment: Environment,
    nights: Annotated[int, typer.Option(help="days that ask; as many nights more run before")] = 7,
    epochs: Annotated[str, typer.Option(help="passes each tower is trained for; default: the preset's")] = "",
    **given: str,
) -> None:
    """Say what refitting on the days held back is worth: the next day's searches, night after night."""
    from jobs.nights.backtest_nights import backtest

    params = CompareBacktestParams.checked("compare_backtest", {"nights": nights})
    training = TrainSearchParams.checked("train_search", given_values(TrainSearchParams, {"epochs": epochs}))
    passes = training.epochs if epochs else None
    print(backtest(environment.settings, _plan(environment.settings, given), params.nights, passes))


@command("Look up", WhichNightParams)
def plan_night(environment: Environment, scheduled_for: ScheduledFor = None, **given: str) -> None:
    """Print what a night would be about, as JSON."""
    print(night_plan.describe(_plan(environment.settings, given, scheduled_for)), flush=True)


@command("Look up", WhichNightParams)
def check_report(environment: Environment, scheduled_for: ScheduledFor = None, **given: str) -> None:
    """Print where the report of a night is; status 2 if it is not published."""
    print(night_plan.check_report(environment.settings, _plan(environment.settings, given, scheduled_for)))


def _plan(settings: Settings, given: Mapping[str, str], scheduled_for: datetime | None = None) -> NightPlan:
    catalogues(settings.lake_uri)  # a lake that cannot be read ends a night here, before any work
    asked = {name: value for name, value in given.items() if value}
    return night_plan.plan_night(settings, scheduled_for=scheduled_for, **asked)
