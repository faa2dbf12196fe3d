"""`nightlens rollback`: the release before this one live again, alias and pointer together, noted in the ledger."""

from __future__ import annotations

from datetime import datetime

from jobs.adapters import mlflow_registry
from jobs.config.settings import Settings
from jobs.errors import BadInput, LostWork, NightlensError
from jobs.lake.catalogue import Lake
from jobs.releasing.ledger import Draft, Ledger, State
from jobs.releasing.promotion import check_reason
from jobs.releasing.published_pointer import claimed, last_night, reconcile, settle


def rollback(settings: Settings, catalogue: str, *, by: str, reason: str, at: datetime) -> str:
    """Go back to the release that was live before and return what changed.

    A further call goes back further; what was rolled back is not gone forward to again but by a promotion. Raises
    `BadInput` without a reason or if there is nothing to go back to, `MissingInput` if that was collected, `LostWork`
    if it was decided but could not be done: then another call would go back twice.
    """
    check_reason(reason)
    lake = Lake(settings.lake_uri, catalogue)
    before = reconcile(settings, lake, at)
    if before.release is None or not before.earlier:
        raise BadInput(
            "nothing_to_go_back_to",
            f"nothing was live before: {catalogue} has no earlier release to go back to",
            catalogue=catalogue,
        )
    target = before.earlier[0]

    def draft(state: State) -> Draft:
        if state != before:
            raise BadInput(
                "changed_meanwhile",
                f"what is live in {catalogue} was changed by somebody else just now: look, and try again",
                catalogue=catalogue,
            )
        return Draft(
            kind="rolled_back",
            at=at,
            by=by,
            reason=reason,
            version=target.version,
            release=target,
            after_night=last_night(lake),
            state=state.rolled_back(),
        )

    with claimed(lake, target):
        mlflow_registry.find_version(settings, catalogue, target.version)  # an alias cannot point to what was deleted
        entry = Ledger(lake).append(draft)
        assert entry is not None, "a rollback is always written"
        try:
            settle(settings, lake)
        except (NightlensError, OSError) as error:
            raise LostWork(
                "unfinished_rollback",
                f"the rollback to the release {target} is entry {entry.number} of the promotion ledger, but alias and "
                f"pointer do not follow it yet ({error}). Do not roll back again, which would go further back. Finish "
                f"it, once that is mended: nightlens promote --catalogue {catalogue} --version {target.version} "
                f"--reason WHY",
                release=str(target),
                entry=entry.number,
            ) from error
    return (
        f"Rolled back: published is the release {target}, the champion version {target.version}; it was the release "
        f"{before.release}, version {before.champion} (entry {entry.number} of the promotion ledger)."
    )
