"""The reranker among the files of a run: a night's own, or a release's."""

from __future__ import annotations

from jobs.errors import BadInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import Manifest, fingerprint
from models.rerank.features import FEATURES
from models.rerank.learning import Reranker

RERANKER_FILES = "reranker/"


def read_reranker(lake: Lake, manifest: Manifest) -> Reranker:
    """Return a night's reranker; `BadInput` if it knows other features than searches have."""
    reranker = Reranker([lake.read_file(manifest, name).decode() for name in _files(manifest)])
    if reranker.names != FEATURES:
        raise BadInput(
            "reranker_of_other_features",
            f"{manifest.reference} was trained on features {list(reranker.names)}, searches have {list(FEATURES)}. "
            f"Rerun train_reranker.",
            run=manifest.reference,
            features=list(reranker.names),
        )
    return reranker


def reranker_digest(manifest: Manifest) -> str:
    """Return what tells the reranker of a release or a night from another; empty if it has none."""
    files = _files(manifest)
    return fingerprint({name: manifest.files[name].sha256 for name in files}) if files else ""


def _files(manifest: Manifest) -> list[str]:
    return sorted(name for name in manifest.files if name.startswith(RERANKER_FILES))
