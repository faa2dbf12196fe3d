"""`nightlens clean_up`: remove what no night, release or decision needs any more, from lake, MLflow and reports.

What is kept is found first, by one pure function, and everything that it was made from or links to is kept with it.
Releases are for `jobs.releasing.release_retention`, which knows how to remove one while others publish; those that
it leaves are kept here. Safe to run again, also after it was cut short.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from jobs.config.params.release import CleanUpParams, RetentionParams
from jobs.config.settings import Settings
from jobs.datasets.models import REGISTRATION, RegistrationFacts
from jobs.datasets.releases import GATE, RELEASE
from jobs.housekeeping.orphaned_files import Removal, remove_from_stores, remove_pages
from jobs.lake.catalogue import Lake
from jobs.lake.inventory import attempt_of, attempts, last_written, remove_attempt, remove_run, run_sizes
from jobs.lake.manifest import Manifest
from jobs.releasing.ledger import Entry, Ledger
from jobs.releasing.release_retention import collect, linked_runs

LEAST_STALE = timedelta(days=2)
"""No attempt younger than this is stale: longer than any stage may take."""


def clean_up(
    settings: Settings, catalogue: str, params: CleanUpParams, now: datetime, *, dry_run: bool = False
) -> list[Removal]:
    """Remove what is not to be kept and return it, or with `dry_run` only return it.

    Kept of the lake are the current runs of the latest `keep_nights` nights, runs made within `keep_days` before `now`,
    releases and the gates that judged them, and whatever these need. Kept of MLflow are runs and versions of nights
    that the lake still knows, and versions with an alias or in the promotion ledger. Kept of the stores are vectors by
    models of runs that stay, of the published pages those of nights that the lake still knows and the newest.
    """
    lake = Lake(settings.lake_uri, catalogue)
    before = {manifest.reference: manifest for manifest in lake.manifests()}
    sizes = run_sizes(lake)
    retention = RetentionParams(keep_count=params.keep_nights, keep_days=params.keep_days)
    collected = collect(lake, retention, now, dry_run=dry_run)
    left = [manifest for reference, manifest in before.items() if reference not in collected]
    keep = kept(left, lake.pointed(), params, now)
    gone = [manifest for manifest in left if manifest.reference not in keep]
    for manifest in gone if not dry_run else ():
        remove_run(lake, manifest)
    references = [*collected, *(manifest.reference for manifest in gone)]
    removed = [Removal(reference, sizes.get(reference, 0)) for reference in references]
    stays = [manifest for manifest in left if manifest.reference in keep]
    since = now - stale_after(params)
    removed += _remove_attempts(lake, stays, set(references), since, dry_run)
    removed += remove_from_stores(lake, references, since, dry_run=dry_run)
    nights = {manifest.partition["run_date"] for manifest in stays}
    removed += remove_pages(settings.report_dir / catalogue, nights, since, dry_run=dry_run)
    return removed + _remove_from_mlflow(settings, lake, stays, dry_run)


def stale_after(params: CleanUpParams) -> timedelta:
    """Return how long nothing must have been written to an attempt, a store or a page before it is removed."""
    return max(timedelta(days=params.keep_days), LEAST_STALE)


# -- what is kept ------------------------------------------------------------------------------------------


def kept(manifests: Collection[Manifest], pointed: Collection[str], params: CleanUpParams, now: datetime) -> set[str]:
    """Return the references of the runs to keep. `pointed` are those that are current, of any night."""
    since = now - timedelta(days=params.keep_days)
    nights = set(sorted({manifest.partition["run_date"] for manifest in manifests})[-params.keep_nights :])
    releases = {manifest.reference for manifest in manifests if manifest.dataset == RELEASE.name}
    roots = {
        manifest.reference
        for manifest in manifests
        if (manifest.reference in pointed and manifest.partition["run_date"] in nights)
        or manifest.started_at >= since
        or manifest.reference in releases
        or (manifest.dataset == GATE.name and manifest.input_runs.get("release") in releases)
    }
    return reachable({manifest.reference: needs(manifest) for manifest in manifests}, roots)


def needs(manifest: Manifest) -> set[str]:
    """Return the references of the runs that a run was made from or links to."""
    return {*manifest.input_runs.values(), *linked_runs(manifest)}


def reachable(graph: Mapping[str, Collection[str]], roots: Iterable[str]) -> set[str]:
    """Return the roots and all that is reached from them, as far as the graph knows it.

    >>> sorted(reachable({"a": ["b"], "b": ["c", "gone"], "c": ["a"], "d": ["c"]}, ["a"]))
    ['a', 'b', 'c']
    """
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if one in graph and one not in found:
            found.add(one)
            waiting += graph[one]
    return found


def kept_versions(entries: Iterable[Entry], registrations: Iterable[Manifest], aliased: Collection[int]) -> set[int]:
    """Return the versions of the registered model that must stay: with an alias, in the ledger, or of a kept night."""
    versions = {*aliased, *(RegistrationFacts.of(manifest).version for manifest in registrations)}
    for entry in entries:
        releases = (entry.release, entry.state.release, *entry.state.earlier)
        versions |= {release.version for release in releases if release is not None}
        versions |= {version for version in (entry.version, entry.state.champion) if version is not None}
    return versions


# -- removing ----------------------------------------------------------------------------------------------


def _remove_attempts(
    lake: Lake, stays: list[Manifest], removed: Collection[str], since: datetime, dry_run: bool
) -> list[Removal]:
    """Remove folders of attempts that no run has its files in and that nobody has written to for long."""
    used = {attempt_of(path) for manifest in stays for path in manifest.paths}
    found = []
    for attempt, paths in sorted(attempts(lake).items()):
        if attempt in used or attempt.rsplit("/", 1)[0] in removed or last_written(lake, paths) >= since:
            continue
        found.append(Removal(f"{attempt} (unfinished)", sum(paths.values())))
        if not dry_run:
            remove_attempt(lake, attempt)
    return found


def _remove_from_mlflow(settings: Settings, lake: Lake, stays: list[Manifest], dry_run: bool) -> list[Removal]:
    from jobs.adapters import mlflow_registry, mlflow_runs

    known = mlflow_registry.versions(settings, lake.catalogue)
    registrations = [manifest for manifest in stays if manifest.dataset == REGISTRATION.name]
    aliased = mlflow_registry.aliased_versions(settings, lake.catalogue)
    versions = kept_versions(Ledger(lake).entries(), registrations, aliased)
    runs = {version.run_id for version in known if version.number in versions}
    runs |= {RegistrationFacts.of(manifest).mlflow_run_id for manifest in registrations}
    nights = {manifest.partition["run_date"] for manifest in stays}
    found = []
    for run_id, run_date in mlflow_runs.logged_nights(settings, lake.catalogue):
        if run_id in runs or run_date in nights:
            continue
        numbers = [version.number for version in known if version.run_id == run_id]
        byte_count = mlflow_runs.remove_run(settings, lake.catalogue, run_id, numbers, dry_run=dry_run)
        spelled = "".join(f", version {number}" for number in numbers)
        found.append(Removal(f"MLflow run {run_id} of the night of {run_date}{spelled}", byte_count))
    return found
