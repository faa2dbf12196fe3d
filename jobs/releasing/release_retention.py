"""Which releases are kept, and removing the others, and after them the indexes that nothing links to any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.config.params.release import RetentionParams
from jobs.datasets.indexes import PHOTO_INDEX
from jobs.datasets.releases import RELEASE
from jobs.datasets.schema import Dataset
from jobs.lake.catalogue import Lake
from jobs.lake.inventory import remove_run
from jobs.lake.manifest import Manifest, reference_of
from jobs.releasing.ledger import Entry, Ledger
from jobs.releasing.published_pointer import claims, doomed, is_of, key_of


def collect(lake: Lake, params: RetentionParams, now: datetime, *, dry_run: bool = False) -> list[str]:
    """Remove the releases and indexes that are not to be kept, or with `dry_run` none; return their references.

    Kept are releases that are published, that a rollback would publish, that await a review or are being published
    just now, those of the latest `keep_count` nights, what was made within `keep_days` before `now`, and whatever
    another run links to. A removal that was cut off is taken up again.
    """
    manifests = list(lake.manifests())
    nights = {manifest.partition["run_date"] for manifest in manifests if manifest.dataset == RELEASE.name}
    rule = _Rule(frozenset(sorted(nights)[-params.keep_count :]), now - timedelta(days=params.keep_days))
    ledger = Ledger(lake)
    removed = []
    for release in rule.old(manifests, RELEASE):
        if dry_run:
            removed += [] if _is_needed(lake, ledger, release) else [release]
            continue
        doomed(lake).put(key_of(release), b"")  # announced first: see jobs.releasing.published_pointer
        if not _is_needed(lake, ledger, release):
            remove_run(lake, release)
            removed.append(release)
        doomed(lake).remove(key_of(release))
    left = [manifest for manifest in manifests if manifest not in removed]
    while indexes := rule.old(left, PHOTO_INDEX):  # one may have linked to another
        for index in indexes if not dry_run else ():
            remove_run(lake, index)
        removed += indexes
        left = [manifest for manifest in left if manifest not in indexes]
    return [manifest.reference for manifest in removed]


@dataclass(frozen=True)
class _Rule:
    """What keeps a run without anybody asking: its night, its age, a run that links to it."""

    kept_nights: frozenset[str]
    since: datetime

    def old(self, manifests: list[Manifest], dataset: Dataset) -> list[Manifest]:
        """Return the runs of a dataset that nothing keeps."""
        linked = {folder for manifest in manifests for folder in linked_runs(manifest)}
        return [
            manifest
            for manifest in manifests
            if manifest.dataset == dataset.name
            and manifest.partition["run_date"] not in self.kept_nights
            and manifest.started_at < self.since
            and manifest.reference not in linked
        ]


def linked_runs(manifest: Manifest) -> Iterator[str]:
    """Yield the references of the runs that a run links to."""
    for path in manifest.paths:
        reference = reference_of(path)
        if reference != manifest.reference:
            yield reference


def _is_needed(lake: Lake, ledger: Ledger, release: Manifest) -> bool:
    """Tell whether a release is live, the one before it, awaits review, or is being published."""
    if any(claim.rsplit(".", 1)[0] == key_of(release) for claim in claims(lake).names()):
        return True
    entries = ledger.entries()
    if not entries:
        return False
    state = entries[-1].state
    is_live = any(is_of(name, release) for name in (state.release, *state.earlier[:1]))
    return is_live or _awaits_review(entries, release)


def _awaits_review(entries: list[Entry], release: Manifest) -> bool:
    about = [entry for entry in entries if is_of(entry.release, release) and entry.kind != "moved_outside"]
    return bool(about) and about[-1].kind == "review_opened"
