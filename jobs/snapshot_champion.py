"""Stage `snapshot_champion`: the model that is live tonight, copied into the lake so that the night is repeatable.

Which version that is belongs to what the run is made from: a moved alias makes a new run. The first nights have
no champion; that is a run too, and says so. Facts, also in champion.json: version (None without a champion), and
with one model_name, model_digest, arm, trained_until (ISO 8601) and run_date.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from jobs import datasets, tracking
from jobs.context import RunContext
from jobs.errors import BadInput
from jobs.lake import Manifest
from jobs.params import SnapshotChampionParams

FOLDER = "champion"
_WEIGHTS = "model.safetensors"


def run(ctx: RunContext, params: SnapshotChampionParams) -> Manifest:
    """Ask the registry for its champion and copy it; `NightlensError` if MLflow cannot be reached."""
    version = tracking.resolve_alias(ctx.settings, ctx.catalogue, tracking.CHAMPION)
    source = "none" if version is None else f"{version.uri} {version.tags.get('model_digest')}"
    staged = ctx.begin(datasets.CHAMPION, params, {}, {"champion": source})
    if staged.manifest is not None:
        return staged.manifest
    facts: dict[str, Any] = {"version": None}
    if version is not None:
        facts = _facts(version)
        with staged.local_folder(FOLDER) as folder:
            tracking.download_model(ctx.settings, version, folder)
            _check_weights(version, folder)
    staged.write_file("champion.json", json.dumps(facts, indent=1).encode())
    return staged.commit(facts)


def _facts(version: tracking.Version) -> dict[str, Any]:
    wanted = ("model_digest", "arm", "trained_until", "run_date")
    if missing := [name for name in (*wanted, "weights_sha256") if name not in version.tags]:
        raise BadInput(
            f"champion {version.uri} lacks the tags {', '.join(missing)}, which register_model sets. Promote a "
            f"version that was registered by it: nightlens promote --help"
        )
    names = {name: version.tags[name] for name in wanted}
    return {"version": version.number, "model_name": version.name, **names}


def _check_weights(version: tracking.Version, folder: Path) -> None:
    """Raise `BadInput` unless the weights that came are those that were registered."""
    weights = folder / _WEIGHTS
    if not weights.is_file():
        found = sorted(path.name for path in folder.iterdir())
        raise BadInput(f"champion {version.uri} has no {_WEIGHTS}, only {found}: promote another version")
    with weights.open("rb") as file:
        found_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if found_sha256 != version.tags["weights_sha256"]:
        raise BadInput(
            f"{_WEIGHTS} of champion {version.uri} is not the file that was registered (SHA-256 {found_sha256[:12]}, "
            f"registered {version.tags['weights_sha256'][:12]}). Restore MLflow's artifacts or promote another version."
        )
