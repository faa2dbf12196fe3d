"""Params of a whole night, and its hours."""

from __future__ import annotations

from datetime import time
from typing import Any

from pydantic import Field

from jobs.config.params.arms import ARMS
from jobs.config.params.base import Params
from jobs.config.params.ingest import AuditLeaksParams, FetchImagesParams, Protocol, ValidateLogsParams
from jobs.config.params.training import Retrain, TrainedArms

NIGHT_BEGINS, NIGHT_ENDS = time(2), time(6)
"""UTC: when the scheduled night starts, and by when its report is to be there."""


LIMITS: dict[str, type[Params]] = {
    "validate_logs": ValidateLogsParams,
    "fetch_images": FetchImagesParams,
    "audit_leaks": AuditLeaksParams,
}
"""The stages whose limits a night passes on, with their params: the fields of `NightParams` that begin with max_."""


def _limit(name: str, *, ge: float | None = 0, le: float | None = 1, gt: float | None = None) -> Any:
    about = next(params.model_fields[name] for params in LIMITS.values() if name in params.model_fields)
    return Field(None, ge=ge, le=le, gt=gt, description=f"{about.description}; empty: {about.default}")


class WhichNightParams(Params):
    """Which night is meant, as a person says it, in a form or on the command line."""

    run_date: str | None = Field(
        None, description="last day used; empty: the day before the run, or the log's last complete day"
    )
    dataset: str | None = Field(
        None,
        description="folder in the Unsplash layout, or 'sample' for the generated one; empty: the sample, or in "
        "Airflow its variable nightlens_dataset",
    )
    catalogue: str | None = Field(
        None, description="name of the data set in lake and registry; empty: the folder's name"
    )
    preset: str = Field(
        "auto", description="sizes of model and training; 'auto': 'sample' for the sample, else 'small'"
    )


class NightParams(WhichNightParams):
    """The form of the nightly DAG: what a person fills in to run a night."""

    retrain: Retrain = Field(
        "incremental",
        description="'incremental' goes on from the champion, else from the latest earlier night; 'never' takes the "
        "latter as it is; 'always' trains in full, as the first night does",
    )
    protocol: Protocol | None = Field(
        None,
        description="'windows' cuts the log by days, '80/20' tests on its last fifth, among all photos; "
        "empty: what the preset says",
    )
    arms: TrainedArms = Field(
        (),
        description=f"trained arms, measured beside the zero-shot base; of {', '.join(ARMS)}; empty: what the preset "
        "says",
    )
    max_bad_share: float | None = _limit("max_bad_share")
    max_critical_share: float | None = _limit("max_critical_share")
    max_without_photo_share: float | None = _limit("max_without_photo_share")
    max_missing_share: float | None = _limit("max_missing_share")
    max_size_ratio: float | None = _limit("max_size_ratio", ge=None, le=None, gt=1)


def limit_schema(name: str) -> dict[str, Any]:
    """Return the bounds of a limit as JSON schema has them.

    >>> limit_schema("max_size_ratio")
    {'exclusiveMinimum': 1, 'type': 'number'}
    """
    found: dict[str, Any] = NightParams.model_json_schema()["properties"][name]["anyOf"][0]
    return found
