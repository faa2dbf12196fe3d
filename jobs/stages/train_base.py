"""Stage `train_base`: the checkpoint all arms start from, which is also the arm `zero_shot`.

A tiny SigLIP is trained on the photos and descriptions of the training window, until photos held out are found no
better by their descriptions; any other source is imported as it is. The base stays the same over the nights, so that
photo embeddings can be used again: a night takes over the base of another if that was made with the same parameters
and saw nothing past this night's training window.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from pathlib import Path

from jobs.config.params.arms import ZERO_SHOT
from jobs.config.params.training import TrainBaseParams
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import BASE_MODEL, BaseModelFacts
from jobs.errors import BadInput
from jobs.lake.manifest import Manifest, fingerprint
from jobs.lake.staged_run import StagedRun

log = logging.getLogger("nightlens")

TINY = "tiny"


def choose(ctx: RunContext, params: TrainBaseParams, inputs: Inputs) -> Chosen:
    """Read the source for its digest."""
    source = params.source if params.source == TINY else _source_digest(params.source)
    return Chosen(sources={"source": source}, found=source)


def run(ctx: RunContext, params: TrainBaseParams, inputs: Inputs, staged: StagedRun, source: str) -> BaseModelFacts:
    """Write the base, or link that of another night."""
    kind = params.model_dump(mode="json", exclude={"checkpoint_seconds"})
    key = fingerprint({"params": kind, "seed": ctx.seed, "source": source})
    train_end = SplitsFacts.of(inputs["splits"]).train_end
    earlier = _find_earlier(ctx, key, train_end)
    if earlier is not None:
        log.info("train_base: taking over the base of %s", earlier.reference)
        staged.link_files(earlier, ZERO_SHOT)
        staged.link_table(earlier, "curves")
        return BaseModelFacts.of(earlier).model_copy(update={"reused_from": earlier.reference})
    from jobs.training.base import import_base, train_tiny_base

    is_tiny = params.source == TINY
    made = (
        train_tiny_base(ctx, params, staged, inputs["splits"], inputs["images"])
        if is_tiny
        else import_base(params.source, staged)
    )
    trained_until = train_end if is_tiny else None
    return BaseModelFacts(base_key=key, source=params.source, trained_until=trained_until, reused_from=None, **made)


def _find_earlier(ctx: RunContext, key: str, train_end: datetime) -> Manifest | None:
    """Return the latest base of the same kind that knows nothing at or after `train_end`, if there is one."""
    same = [manifest for manifest in ctx.lake.history(BASE_MODEL) if BaseModelFacts.of(manifest).base_key == key]
    usable = [manifest for manifest in same if _trained_until(manifest) <= train_end]
    return max(usable, key=_trained_until, default=None)


def _trained_until(manifest: Manifest) -> datetime:
    return BaseModelFacts.of(manifest).trained_until or datetime.min.replace(tzinfo=UTC)


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
