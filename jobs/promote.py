"""`nightlens promote`: move the alias `champion`. Nothing else in Nightlens moves it."""

from __future__ import annotations

from jobs import tracking
from jobs.errors import BadInput
from jobs.settings import Settings


def promote(settings: Settings, catalogue: str, version: str | int) -> str:
    """Make a registered version the champion and return what changed.

    Raises `BadInput` for a version that is not registered (and lists those that are) or that never passed the
    check of `register_model`.
    """
    known = {entry.number: entry for entry in tracking.versions(settings, catalogue)}
    name = tracking.model_name(catalogue)
    if not known:
        raise BadInput(f"no model {name!r} is registered in MLflow at {tracking.public_uri(settings)}: run a night")
    chosen = known.get(int(version)) if str(version).isdecimal() else None
    if chosen is None:
        listed = "".join(f"\n  {_describe(entry)}" for entry in known.values())
        raise BadInput(f"{name} has no version {version!r}. Registered are:{listed}")
    if chosen.tags.get("load_check") != "passed":
        raise BadInput(f"{name} version {chosen.number} never passed the check of register_model: take another")
    before = tracking.resolve_alias(settings, catalogue, tracking.CHAMPION)
    if before == chosen:
        return f"The champion of {name} is version {chosen.number} already; nothing changed."
    tracking.set_alias(settings, chosen, tracking.CHAMPION)
    was = "there was none" if before is None else f"it was {_describe(before)}"
    return f"The champion of {name} is now {_describe(chosen)}; {was}. The next night compares with it."


def _describe(entry: tracking.Version) -> str:
    tags = entry.tags
    hit_rate = f", hit rate@10 {tags['hit_rate_at_10']}" if "hit_rate_at_10" in tags else ""
    return f"version {entry.number} ({tags.get('run_date', 'no date')}, {tags.get('arm', 'no arm')}{hit_rate})"
