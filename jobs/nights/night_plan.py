"""What a night is about: which data set, under which name, with which preset, up to which day."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.config.params.base import Params
from jobs.config.params.presets import PRESETS
from jobs.config.places import place
from jobs.config.settings import Settings
from jobs.errors import BadInput, MissingInput
from jobs.nights.catalogue_name import catalogue_name

if TYPE_CHECKING:
    from jobs.lake.catalogue import Lake

SAMPLE = "sample"


class NightPlan(Params):
    """A night with nothing left open."""

    dataset: str
    catalogue: str
    preset: str
    run_date: date


def plan_night(
    settings: Settings,
    *,
    dataset: str = "",
    catalogue: str = "",
    preset: str = "auto",
    run_date: str = "",
    scheduled_for: datetime | None = None,
) -> NightPlan:
    """Fill in what was left empty.

    The data set defaults to the generated sample, made here if absent; the run date to the last complete day
    of the log, but not later than the day before `scheduled_for`. Raises `MissingInput` if the folder is not
    there and `BadInput` for a date or preset that is none, or for a preset that learns from words for photos
    where there are none.
    """
    from jobs.ingest import last_complete_day
    from jobs.lake.catalogue import Lake

    is_sample = dataset in ("", SAMPLE)
    folder = dataset_folder(settings.state_dir, dataset)
    chosen = ("sample" if is_sample else "small") if preset == "auto" else preset
    if chosen not in PRESETS:
        raise BadInput("no_such_preset", f"unknown preset {chosen!r}; there are {', '.join(PRESETS)}", preset=chosen)
    lake = Lake(settings.lake_uri, catalogue or catalogue_name(folder))  # refuses a name that cannot be
    if not is_sample:
        _refuse_wordless(lake, folder, chosen)
    if run_date:
        day = parse_day(run_date)
    else:
        day = last_complete_day(folder)
        if scheduled_for is not None:
            day = min(day, (scheduled_for - timedelta(days=1)).date())
    return NightPlan(dataset=folder, catalogue=lake.catalogue, preset=chosen, run_date=day)


def _refuse_wordless(lake: Lake, folder: str, preset: str) -> None:
    """Raise `BadInput` if the night would train a base on words for photos and there are none.

    A catalogue that has a base goes on from it.
    """
    from jobs.datasets.models import BASE_MODEL
    from jobs.ingest.words import has_words

    pretrained = [name for name, stages in PRESETS.items() if "source" in stages.get("train_base", {})]
    if preset in pretrained or has_words(folder) or lake.history(BASE_MODEL):
        return
    raise BadInput(
        "no_words_for_photos",
        f"no photo in {folder} has a description or a keyword, and preset {preset!r} trains its first model on these. "
        f"Fill photo_description or ai_description of photos, or keywords, or take a preset that begins with a "
        f'pretrained model: make nightly DATASET="{folder}" PRESET={pretrained[0]} (others are '
        f"{', '.join(pretrained[1:])}).",
        folder=folder,
        preset=preset,
    )


def check_report(settings: Settings, plan: NightPlan) -> Path:
    """Return where the report of a night is published; `MissingInput` if it is not."""
    from jobs.datasets.reports import REPORT
    from jobs.lake.catalogue import Lake

    page = settings.report_dir / plan.catalogue / f"{plan.run_date}.html"
    try:
        Lake(settings.lake_uri, plan.catalogue).current(REPORT, {"run_date": plan.run_date.isoformat()})
    except MissingInput as error:
        raise MissingInput(
            "night_not_published",
            f"the report of the night of {plan.run_date}, catalogue {plan.catalogue!r}, is not published: that night "
            f"runs late, has failed, or never began",
            run_date=plan.run_date.isoformat(),
            catalogue=plan.catalogue,
        ) from error
    if not page.is_file():
        raise MissingInput(
            "no_report_page",
            f"the report of the night of {plan.run_date} is in the lake, but {page} is not there",
            run_date=plan.run_date.isoformat(),
            path=page,
        )
    return page


def parse_day(text: str) -> date:
    """Return an ISO date; `BadInput` says the form."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise BadInput("not_a_date", f"{text!r} is no date: write YYYY-MM-DD", value=text) from error
    if not 1900 <= day.year < 2200:  # windows reach back and ahead from it
        raise BadInput("not_a_date", f"{text} is no night's date: the year is from 1900 to 2199", value=text)
    return day


def ensure_sample(state_dir: Path) -> Path:
    """Return the folder of the sample catalogue, generated on first use; whole or not at all."""
    folder = state_dir / SAMPLE
    if not folder.exists():
        from jobs.sample import make_sample

        make_sample(folder)
    return folder


def dataset_folder(state_dir: Path, dataset: str) -> str:
    """Return where a data set is: the generated sample where none is named; `MissingInput` if it is not there."""
    return str(ensure_sample(state_dir)) if dataset in ("", SAMPLE) else _existing(dataset)


def dataset_place(dataset: str) -> str:
    """Return where a data set is, as `places.place` does; `BadInput` if nothing here opens it."""
    try:
        return place(dataset)
    except ValueError as error:
        raise BadInput("bad_dataset_address", f"data set {dataset}: {error}", dataset=dataset) from error


def _existing(dataset: str) -> str:
    if "://" in (folder := dataset_place(dataset)):
        return folder
    if not Path(folder).is_dir():
        raise MissingInput(
            "no_such_folder",
            f"no folder {folder}. Name a folder in the Unsplash layout: photos.tsv000, keywords.tsv000, "
            f"conversions.tsv000 and, for images, photos/<photo_id>.jpg",
            folder=folder,
        )
    return folder


def describe(plan: NightPlan) -> str:
    """Return the plan as one JSON line, the form in which tasks hand it on."""
    return json.dumps(plan.model_dump(mode="json"))
