"""The files of a registered version: those of a release, laid out as `models.serving` opens them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.datasets.clean import HIDDEN_TABLE
from jobs.embedding.exemplars import as_exemplars, exemplar_rows
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import FileInfo, Manifest
from models import serving
from models.arrays import save_arrays

LARGE = (serving.INDEX, serving.SEARCH)
"""The folders that grow with the corpus."""


def large_bytes(release: Manifest) -> int:
    """Return how many bytes of a release are the index and the tables of the search."""
    return sum(info.byte_count for _, info in _large_files(release))


@contextmanager
def version_folder(lake: Lake, release: Manifest, dim: int, is_copied: bool) -> Iterator[Path]:
    """Give a folder of a release's search; unless `is_copied`, what is large is named there, with digests."""
    folders = [name for name in (serving.MODEL, serving.RERANKER) if _has(release, name)]
    with TemporaryDirectory(prefix="nightlens-") as temporary, ExitStack() as stack:
        folder = Path(temporary) / "search"
        folder.mkdir()
        for name in (*folders, *(LARGE if is_copied else ())):
            (folder / name).symlink_to(stack.enter_context(lake.local_folder(release, name)).absolute())
        if not is_copied:
            places = {
                name: {"uri": lake.uri(f"{lake.root}/{info.path}"), "sha256": info.sha256}
                for name, info in _large_files(release)
            }
            (folder / serving.ELSEWHERE_FILE).write_text(json.dumps(places, indent=1))
        hidden = lake.read_table(release, HIDDEN_TABLE.name, ["photo_id", "country"])
        by_country = hidden.fill_null("").group_by("country", maintain_order=True).agg("photo_id")
        (folder / serving.HIDDEN_FILE).write_text(json.dumps(dict(by_country.iter_rows())))
        (folder / serving.EXEMPLARS).mkdir()
        save_arrays(as_exemplars(exemplar_rows(lake, release), dim), folder / serving.EXEMPLARS)
        yield folder


def _large_files(release: Manifest) -> Iterator[tuple[str, FileInfo]]:
    return ((name, info) for name, info in release.files.items() if name.split("/", 1)[0] in LARGE)


def _has(release: Manifest, folder: str) -> bool:
    return any(name.startswith(f"{folder}/") for name in release.files)
