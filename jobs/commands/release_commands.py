"""Commands that change what is live, each with who and why for the promotion ledger, and what belongs to it."""

from __future__ import annotations

import json
from typing import Annotated

from typer import Option

from jobs.commands.options import (
    By,
    Catalogue,
    Environment,
    Reason,
    RunDate,
    command,
    decision,
    given_values,
    now,
    parse_run_date,
)
from jobs.config.params.release import RetentionParams
from jobs.errors import Rejected
from jobs.lake.catalogue import open_catalogue
from jobs.nights.catalogue_name import catalogue_name
from jobs.nights.night_plan import dataset_folder

Version = Annotated[str, Option(help="model version of the candidate")]


@command("Review")
def open_review(environment: Environment, catalogue: Catalogue, run_date: RunDate = "", by: By = "") -> None:
    """Note that a candidate awaits review; print what the reviewer is shown."""
    from jobs.releasing import promotion

    night = parse_run_date(run_date)
    shown = promotion.open_review(environment.settings, catalogue, run_date=night, **decision(by))
    print(json.dumps(shown), flush=True)


@command("Review")
def promote(
    environment: Environment,
    catalogue: Catalogue,
    version: Version,
    by: By = "",
    reason: Reason = "",
) -> None:
    """Make a model version the champion and publish its release."""
    from jobs.releasing import promotion

    print(promotion.promote(environment.settings, catalogue, version, reason=reason, **decision(by)))


@command("Review")
def reject(
    environment: Environment,
    catalogue: Catalogue,
    version: Version,
    by: By = "",
    reason: Reason = "",
) -> None:
    """Note that a candidate was rejected; ends with status 2."""
    from jobs.releasing import promotion

    said = promotion.reject(environment.settings, catalogue, version, reason=reason, **decision(by))
    raise Rejected("rejected", said, version=version)


@command("Review")
def rollback(environment: Environment, catalogue: Catalogue, by: By = "", reason: Reason = "") -> None:
    """Publish the release before this one, and make its model the champion."""
    from jobs.releasing import rollback

    print(rollback.rollback(environment.settings, catalogue, reason=reason, **decision(by)))


@command("Look up")
def ledger(environment: Environment, catalogue: Catalogue) -> None:
    """Print the promotion ledger, after checking that it is whole."""
    from jobs.releasing.ledger import Ledger

    for entry in Ledger(open_catalogue(environment.settings.lake_uri, catalogue)).entries():
        print(entry.model_dump_json(exclude={"state"}))


@command("Run")
def refresh_counts(
    environment: Environment,
    dataset: Annotated[str, Option(help="folder in the Unsplash layout, whose log has gone on")],
    catalogue: Annotated[str, Option(help="name of the data set in the lake; default: the folder's name")] = "",
) -> None:
    """Let the published search count the conversions since its night."""
    from jobs.releasing.refresh_counts import refresh

    folder = dataset_folder(environment.settings.state_dir, dataset)
    lake = open_catalogue(environment.settings.lake_uri, catalogue or catalogue_name(folder))
    print(refresh(environment.settings, lake, folder))


@command("Tidy", RetentionParams)
def collect_releases(environment: Environment, catalogue: Catalogue, **given: str) -> None:
    """Remove releases that are not to be kept, and their indexes."""
    from jobs.releasing.release_retention import collect

    params = RetentionParams.checked("collect_releases", given_values(RetentionParams, given))
    removed = collect(open_catalogue(environment.settings.lake_uri, catalogue), params, now())
    print("\n".join([*(f"removed {reference}" for reference in removed), f"{len(removed)} runs removed"]))
