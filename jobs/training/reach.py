"""The check that nothing of the future is in reach of a training: what it was handed, not what the splits hold."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from jobs.datasets.models import Reach
from jobs.errors import GateFailed


def reach_of(photos: pl.DataFrame, conversions: pl.DataFrame, until: datetime) -> Reach:
    """Return what photos (`submitted_at`) and conversions (`converted_at`) put in reach of a training, checked."""
    return check_reach(
        "training",
        Reach(
            until=until,
            photo_count=len(photos),
            latest_photo_at=_latest(photos["submitted_at"]),
            conversion_count=len(conversions),
            latest_conversion_at=_latest(conversions["converted_at"]),
        ),
    )


def _latest(instants: pl.Series) -> datetime | None:
    latest = instants.max()
    assert latest is None or isinstance(latest, datetime)
    return latest


def check_reach(stage: str, reach: Reach) -> Reach:
    """Return `reach`; `GateFailed` if a photo or conversion in it is not before its `until`."""
    latest = {"photo": reach.latest_photo_at, "conversion": reach.latest_conversion_at}
    late = {name: at.isoformat() for name, at in latest.items() if at is not None and at >= reach.until}
    if late:
        found = " and ".join(f"the latest {name} of {at}" for name, at in late.items())
        raise GateFailed(
            "future_in_reach",
            f"{stage} would learn from the future: in its reach is {found}, but it may only know what lies before "
            f"{reach.until.isoformat()}. Run split_temporal and audit_leaks again; if this goes on, what hands photos "
            f"and conversions to the training is at fault.",
            stage=stage,
            until=reach.until.isoformat(),
            **late,
        )
    return reach
