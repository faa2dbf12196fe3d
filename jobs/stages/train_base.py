"""Stage `train_base`: the checkpoint all arms start from, which is also the arm `zero_shot`.

A tiny SigLIP is trained on the photos and descriptions of the training window; any other source is imported as
it is. The base stays the same over the nights, so that photo embeddings can be used again: a night takes over
the base of another if that was made with the same parameters and saw nothing past this night's training window.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from pathlib import Path

from jobs.config.params.arms import ZERO_SHOT
from jobs.config.params.training import TrainBaseParams
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES
from jobs.datasets.features import SPLITS
from jobs.datasets.models import BASE_MODEL
from jobs.errors import BadInput
from jobs.lake.manifest import Manifest, fingerprint

log = logging.getLogger("nightlens")

TINY = "tiny"
PRETRAINED = "pretrained"  # in the fact trained_until: elsewhere and before any night


def run(ctx: RunContext, params: TrainBaseParams) -> Manifest:
    """Commit the base; its facts say where it comes from, when its training ended, and its digests."""
    splits, images = ctx.read(SPLITS), ctx.read(IMAGES)
    source = params.source if params.source == TINY else _source_digest(params.source)
    staged = ctx.begin(BASE_MODEL, params, {"splits": splits, "images": images}, {"source": source})
    if staged.manifest is not None:
        return staged.manifest
    kind = params.model_dump(mode="json", exclude={"checkpoint_seconds"})
    key = fingerprint({"params": kind, "seed": ctx.seed, "source": source})
    earlier = _find_earlier(ctx, key, datetime.fromisoformat(splits.facts["train_end"]))
    if earlier is not None:
        log.info("train_base: taking over the base of %s", earlier.reference)
        staged.link_files(earlier, ZERO_SHOT)
        staged.link_table(earlier, "curves")
        return staged.commit(earlier.facts | {"reused_from": earlier.reference})
    facts = {"base_key": key, "source": params.source, "reused_from": None}
    from jobs.training.base import import_base, train_tiny_base

    if params.source == TINY:
        facts |= train_tiny_base(ctx, params, staged, splits, images)
        facts["trained_until"] = splits.facts["train_end"]
    else:
        facts |= import_base(params.source, staged)
        facts["trained_until"] = PRETRAINED
    manifest = staged.commit(facts)
    staged.checkpoints.clear()
    return manifest


def _find_earlier(ctx: RunContext, key: str, train_end: datetime) -> Manifest | None:
    """Return the latest base of the same kind that knows nothing at or after `train_end`, if there is one."""
    same = [manifest for manifest in ctx.lake.history(BASE_MODEL) if manifest.facts["base_key"] == key]
    usable = [manifest for manifest in same if _trained_until(manifest) <= train_end]
    return max(usable, key=_trained_until, default=None)


def _trained_until(manifest: Manifest) -> datetime:
    until = manifest.facts["trained_until"]
    return datetime.min.replace(tzinfo=UTC) if until == PRETRAINED else datetime.fromisoformat(until)


def _source_digest(source: str) -> str:
    """Return a digest of the files of a source on disk; a hub tag stands for itself."""
    path = Path(source)
    if not path.exists():
        if path.is_absolute() or source.startswith("."):
            raise BadInput("model_source_unknown", f"the base's source {source} does not exist", source=source)
        return source
    digest = hashlib.sha256()
    folder = path if path.is_dir() else path.parent
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
