"""Stage `snapshot_champion`: the search that was live when the night ran, copied so that the night is repeatable.

It is the champion's model and the reranker of the release that was published with it.

Which that is says the promotion ledger, as of this night: a past night that is recomputed meets the champion it met.
The latest night also looks whether the alias was moved in MLflow itself, and notes it in the ledger. The first nights
have no champion; that is a run too, and says so.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from jobs.adapters import mlflow_registry
from jobs.config.params.training import SnapshotChampionParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import ChampionFacts, LiveModel, LiveReranker, OutsideMove, PublishedRelease
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.releasing.ledger import Entry, Ledger, State, as_of
from jobs.releasing.published_pointer import find_release, last_night, reconcile
from jobs.releasing.reader import RELEASE_FILE
from jobs.reranking.saved import RERANKER_FILES, read_reranker, reranker_digest

FOLDER = "champion"
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Found:
    """The champion's version, its published release, and the move that made it so if that was outside of Nightlens.

    `release` is the name of a release that was collected since, None where none was published with the version.
    """

    version: mlflow_registry.Version | None
    release: Manifest | str | None
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
    release = _release_of(ctx.lake, state)
    sources = {"champion": source} | ({} if moved is None else {"moved": moved.digest})
    if release is not None:
        sources["release"] = release if isinstance(release, str) else release.digest
    return Chosen(sources=sources, found=Found(version, release, moved))


def run(
    ctx: RunContext, params: SnapshotChampionParams, inputs: Inputs, staged: StagedRun, found: Found
) -> ChampionFacts:
    """Copy the champion."""
    live = None
    if found.version is not None:
        live = _live_model(ctx.lake, found.version)
        with staged.local_folder(FOLDER) as folder:
            mlflow_registry.download_model(ctx.settings, found.version, folder)
            _check_weights(found.version, folder)
        if isinstance(found.release, str):
            live = live.model_copy(update={"reranker_note": f"its release {found.release} is no longer in the lake"})
        elif found.release is not None:
            live = live.model_copy(update=_copy_reranker(ctx.lake, found.release, staged))
    facts = ChampionFacts(live=live, outside_move=found.moved)
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


def _release_of(lake: Lake, state: State) -> Manifest | str | None:
    """Return the published release of the champion, its name if it is gone, None if the alias was moved away."""
    if state.release is None or state.release.version != state.champion:
        return None
    return find_release(lake, state.release) or str(state.release)


def _copy_reranker(lake: Lake, release: Manifest, staged: StagedRun) -> dict[str, Any]:
    """Copy the release's reranker if it has one; return what is to be said of it, as in `LiveModel`."""
    if not (digest := reranker_digest(release)):
        return {}
    told = json.loads(lake.read_file(release, RELEASE_FILE))["reranker"]
    if "half_life_days" not in told:
        return {"reranker_note": "its release does not say how its conversions were counted"}
    try:
        read_reranker(lake, release)
    except BadInput as error:
        return {"reranker_note": str(error)}
    for name in (name for name in release.files if name.startswith(RERANKER_FILES)):
        staged.write_file(name, lake.read_file(release, name))
    kept = {name: told[name] for name in ("trained_until", "half_life_days", "candidate_count")}
    return {"reranker": LiveReranker.model_validate(kept | {"files_digest": digest})}


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
