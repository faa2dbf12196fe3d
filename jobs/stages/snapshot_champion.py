"""Stage `snapshot_champion`: the model that was live when the night ran, copied so that the night is repeatable.

Which that is says the promotion ledger, as of this night: a past night that is recomputed meets the champion it met.
The latest night also looks whether the alias was moved in MLflow itself, and notes it in the ledger. The first nights
have no champion; that is a run too, and says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from jobs.adapters import mlflow_registry
from jobs.config.params.training import SnapshotChampionParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import ChampionFacts, LiveModel, OutsideMove, PublishedRelease
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.staged_run import StagedRun
from jobs.releasing.ledger import Entry, Ledger, State, as_of
from jobs.releasing.published_pointer import last_night, reconcile

FOLDER = "champion"
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Found:
    """The champion's version, and the move that made it so if that was outside of Nightlens."""

    version: mlflow_registry.Version | None
    moved: OutsideMove | None


def choose(ctx: RunContext, params: SnapshotChampionParams, inputs: Inputs) -> Chosen:
    """Find the champion of this night; `NightlensError` if MLflow cannot be reached."""
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
    sources = {"champion": source} | ({} if moved is None else {"moved": moved.digest})
    return Chosen(sources=sources, found=Found(version, moved))


def run(
    ctx: RunContext, params: SnapshotChampionParams, inputs: Inputs, staged: StagedRun, found: Found
) -> ChampionFacts:
    """Copy the champion."""
    facts = ChampionFacts(
        live=None if found.version is None else _live_model(ctx.lake, found.version), outside_move=found.moved
    )
    if found.version is not None:
        with staged.local_folder(FOLDER) as folder:
            mlflow_registry.download_model(ctx.settings, found.version, folder)
            _check_weights(found.version, folder)
    staged.write_file("champion.json", facts.model_dump_json(indent=1).encode())
    return facts


def _outside_move(entries: list[Entry], state: State) -> OutsideMove | None:
    """Return the move that the champion stems from, if it does from one."""
    since = next((entry for entry in entries if entry.number == state.since), None)
    if since is None or since.kind != "moved_outside":
        return None
    release = state.release
    published = None if release is None else PublishedRelease(release=str(release), version=release.version)
    return OutsideMove(entry=since.number, reason=since.reason, published=published)


def _live_model(lake: Lake, version: mlflow_registry.Version) -> LiveModel:
    wanted = ("model_digest", "arm", "trained_until", "run_date")
    if missing := [name for name in (*wanted, "weights_sha256") if name not in version.tags]:
        raise BadInput(
            "version_without_tags",
            f"champion {version.uri} lacks the tags {', '.join(missing)}, which register_model sets. Promote a "
            f"version that was registered by it: nightlens promote --help",
            version=version.uri,
            tags=missing,
        )
    return LiveModel(
        version=version.number,
        model_name=version.name,
        model_digest=version.tags["model_digest"],
        arm=version.tags["arm"],
        trained_until=datetime.fromisoformat(version.tags["trained_until"]),
        selected_until=_selected_until(lake, version),
        run_date=date.fromisoformat(version.tags["run_date"]),
    )


def _selected_until(lake: Lake, version: mlflow_registry.Version) -> datetime | None:
    """Return until when the log had a part in choosing the weights.

    Of a version that was registered before that was kept, it is the end of its night's validation window; None if the
    lake no longer has that night.
    """
    if told := version.tags.get("selected_until"):
        return datetime.fromisoformat(told)
    if "lake_run" not in version.tags:
        return None
    try:
        models = lake.by_reference(version.tags["lake_run"])
        return SplitsFacts.of(lake.by_reference(models.input_runs["splits"])).validation_end
    except MissingInput:
        return None


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
