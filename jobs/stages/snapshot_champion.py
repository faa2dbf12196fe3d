"""Stage `snapshot_champion`: the model that was live when the night ran, copied so that the night is repeatable.

Which that is says the promotion ledger, as of this night: a past night that is recomputed meets the champion it met.
The latest night also looks whether the alias was moved in MLflow itself, and notes it in the ledger. The first nights
have no champion; that is a run too, and says so. Facts, also in champion.json: version (None without a champion),
with one model_name, model_digest, arm, trained_until (ISO 8601) and run_date, and outside_move (entry, reason,
published) if the champion is what somebody made it outside of Nightlens.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from jobs.adapters import mlflow_registry
from jobs.config.params.training import SnapshotChampionParams
from jobs.context import RunContext
from jobs.datasets.models import CHAMPION
from jobs.errors import BadInput
from jobs.lake.manifest import Manifest
from jobs.releasing.ledger import Entry, Ledger, State, as_of
from jobs.releasing.published_pointer import last_night, reconcile

FOLDER = "champion"
_WEIGHTS = "model.safetensors"


def run(ctx: RunContext, params: SnapshotChampionParams) -> Manifest:
    """Find the champion of this night and copy it; `NightlensError` if MLflow cannot be reached."""
    latest = last_night(ctx.lake)
    if latest is None or ctx.run_date >= latest:
        reconcile(ctx.settings, ctx.lake, ctx.started_at)
    entries = Ledger(ctx.lake).entries()
    state = as_of(entries, ctx.run_date)
    version = None
    if state.champion is not None:
        version = mlflow_registry.find_version(ctx.settings, ctx.catalogue, state.champion)
    moved = _outside_move(entries, state)
    source = "none" if version is None else f"{version.uri} {version.tags.get('model_digest')}"
    staged = ctx.begin(CHAMPION, params, {}, {"champion": source, **({"moved": str(moved)} if moved else {})})
    if staged.manifest is not None:
        return staged.manifest
    facts: dict[str, Any] = {"version": None} | moved
    if version is not None:
        facts = _facts(version) | moved
        with staged.local_folder(FOLDER) as folder:
            mlflow_registry.download_model(ctx.settings, version, folder)
            _check_weights(version, folder)
    staged.write_file("champion.json", json.dumps(facts, indent=1).encode())
    return staged.commit(facts)


def _outside_move(entries: list[Entry], state: State) -> dict[str, Any]:
    """Return the fact outside_move if the champion stems from one, else nothing."""
    since = next((entry for entry in entries if entry.number == state.since), None)
    if since is None or since.kind != "moved_outside":
        return {}
    published = None if state.release is None else {"release": str(state.release), "version": state.release.version}
    return {"outside_move": {"entry": since.number, "reason": since.reason, "published": published}}


def _facts(version: mlflow_registry.Version) -> dict[str, Any]:
    wanted = ("model_digest", "arm", "trained_until", "run_date")
    if missing := [name for name in (*wanted, "weights_sha256") if name not in version.tags]:
        raise BadInput(
            "version_without_tags",
            f"champion {version.uri} lacks the tags {', '.join(missing)}, which register_model sets. Promote a "
            f"version that was registered by it: nightlens promote --help",
            version=version.uri,
            tags=missing,
        )
    names = {name: version.tags[name] for name in wanted}
    return {"version": version.number, "model_name": version.name, **names}


def _check_weights(version: mlflow_registry.Version, folder: Path) -> None:
    """Raise `BadInput` unless the weights that came are those that were registered."""
    weights = folder / _WEIGHTS
    if not weights.is_file():
        found = sorted(path.name for path in folder.iterdir())
        raise BadInput(
            "version_without_weights",
            f"champion {version.uri} has no {_WEIGHTS}, only {found}: promote another version",
            version=version.uri,
        )
    with weights.open("rb") as file:
        found_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if found_sha256 != version.tags["weights_sha256"]:
        raise BadInput(
            "model_changed",
            f"{_WEIGHTS} of champion {version.uri} is not the file that was registered (SHA-256 {found_sha256[:12]}, "
            f"registered {version.tags['weights_sha256'][:12]}). Restore MLflow's artifacts or promote another "
            f"version.",
            version=version.uri,
        )
