"""Live yesterday: how the release that was live answers the last day's searches, and whether it used to do better."""

from __future__ import annotations

from datetime import date
from typing import Any

from jobs.datasets.releases import LIVE_DAY, LiveDayFacts
from jobs.report.inputs import Night
from models.evaluation.live_days import has_dropped, usual_rate


def live_day(night: Night) -> dict[str, Any]:
    """Return the night's facts, what was usual on the days before, and whether the rate has dropped below that."""
    facts = night.facts(LiveDayFacts)
    before = [LiveDayFacts.of(manifest).measured for manifest in night.earlier_live]
    rates = [None if measured is None else measured.hit_rate_at_10 for measured in before]
    high = None if facts.measured is None else facts.measured.high
    return {"facts": facts, "usual": usual_rate(rates), "has_dropped": has_dropped(high, rates)}


def live_days(night: Night) -> dict[date, LiveDayFacts]:
    """Return the facts by run date, this night included."""
    manifests = [*night.earlier_live, night.manifest(LIVE_DAY)]
    return {facts.day: facts for facts in map(LiveDayFacts.of, manifests)}
