"""The check that nothing of the future is in reach of a training: what it was handed, not what the splits hold."""

from __future__ import annotations

from jobs.datasets.models import Reach
from jobs.errors import GateFailed


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
