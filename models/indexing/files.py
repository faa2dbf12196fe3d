"""The folder of an index: what its files are called, what `index.json` says of them, and whether they are whole.

A folder holds `index.json`, of every shard `<name>.faiss` (the vectors or codes under the photos' ids),
`<name>.ids.npy` (the ids, ascending) and `<name>.photos.npy` (the names of these photos, UTF-8), and, of kinds that
learn one, `quantizer.faiss` (an empty trained index, from which further shards are made). No file names another one
or its own place: the folder can be moved and copied, and a shard's files may be links. Files are never changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.errors import CodedError
from models.indexing.kinds import EF_SEARCH, Kind, Recipe, probe_count_for

DESCRIPTION_FILE = "index.json"
QUANTIZER_FILE = "quantizer.faiss"
FORMAT = 2
"""Of the files: shards of another format are not taken over."""


class UnusableIndex(CodedError):
    """The folder is not the index that was built, or it is another model's. The text says which file and why."""


@dataclass(frozen=True)
class FileEntry:
    """One file of an index."""

    file: str
    byte_count: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        """Read a file's length and digest."""
        return cls(path.name, path.stat().st_size, sha256_of(path))

    def check(self, folder: Path, is_trusted: bool = False) -> None:
        """Raise `UnusableIndex` unless the file in `folder` is this one; if trusted, only its length is looked at."""
        path = folder / self.file
        if not path.exists():
            raise UnusableIndex(
                "index_file_missing", f"{path} is missing: copy the index again, or build it anew", path=path
            )
        byte_count = path.stat().st_size
        if byte_count != self.byte_count:
            how, named = f"{byte_count} bytes instead of {self.byte_count}", {"byte_count": byte_count}
        elif not is_trusted and sha256_of(path) != self.sha256:
            how, named = "its SHA-256 differs", {}
        else:
            return
        raise UnusableIndex(
            "index_file_changed",
            f"{path} is not the file that was built ({how}): copy or build it anew",
            path=path,
            **named,
        )


@dataclass(frozen=True)
class Shard:
    """One shard: its three files, and a digest of the ids and vectors that went in."""

    name: str
    photo_count: int
    content: str
    faiss: FileEntry
    ids: FileEntry
    photos: FileEntry

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """All of them."""
        return self.faiss, self.ids, self.photos

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Shard:
        """Return the shard that `dataclasses.asdict` has taken apart."""
        return cls(**(fields | {name: FileEntry(**fields[name]) for name in ("faiss", "ids", "photos")}))


@dataclass(frozen=True)
class IndexDescription:
    """The content of `index.json`. `nprobe` and `ef_search` are how thoroughly a search looks, None where all is seen.

    `reason` says why the index is of this kind.
    """

    format: int
    model_digest: str
    recipe: Recipe
    reason: str
    nprobe: int | None
    ef_search: int | None
    photo_count: int
    quantizer: FileEntry | None
    shards: tuple[Shard, ...]

    @property
    def kind(self) -> Kind:
        """The kind of every shard."""
        return self.recipe.kind

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        return self.recipe.dim

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file but `index.json` itself."""
        quantizer = () if self.quantizer is None else (self.quantizer,)
        return (*quantizer, *(file for shard in self.shards for file in shard.files))

    @property
    def byte_count(self) -> int:
        """Bytes of what a search reads: the shards' vectors, codes, graphs and ids, names not counted."""
        return sum(shard.faiss.byte_count for shard in self.shards)

    @classmethod
    def read(cls, folder: Path) -> IndexDescription:
        """Read `index.json`; `UnusableIndex` if it is missing or of another form."""
        path = folder / DESCRIPTION_FILE
        try:
            return cls.from_json(path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnusableIndex(
                "index_description_unreadable", f"{path} cannot be read: {error!r}", path=path
            ) from error

    @classmethod
    def from_json(cls, text: bytes) -> IndexDescription:
        """Return the description that `to_json` has written; `ValueError`, `KeyError` or `TypeError` for another."""
        fields: dict[str, Any] = json.loads(text)
        if fields["format"] != FORMAT:
            raise ValueError(f"format {fields['format']}, readable is {FORMAT}: build the index anew")
        quantizer = fields["quantizer"]
        return cls(
            **(
                fields
                | {
                    "recipe": Recipe(**fields["recipe"]),
                    "quantizer": None if quantizer is None else FileEntry(**quantizer),
                    "shards": tuple(Shard.from_dict(shard) for shard in fields["shards"]),
                }
            )
        )

    def to_json(self) -> bytes:
        """Return the content of `index.json`."""
        return (json.dumps(asdict(self), indent=1) + "\n").encode()


def describe(
    model_digest: str,
    recipe: Recipe,
    reason: str,
    quantizer: FileEntry | None,
    shards: Sequence[Shard],
    *,
    nprobe: int | None = None,
    ef_search: int | None = None,
) -> IndexDescription:
    """Return the description of an index of these shards; how thoroughly it searches is as usual where not given."""
    usual = EF_SEARCH if recipe.kind == "hnsw" else None
    return IndexDescription(
        format=FORMAT,
        model_digest=model_digest,
        recipe=recipe,
        reason=reason,
        nprobe=None if recipe.nlist is None else min(recipe.nlist, nprobe or probe_count_for(recipe.nlist)),
        ef_search=None if usual is None else ef_search or usual,
        photo_count=sum(shard.photo_count for shard in shards),
        quantizer=quantizer,
        shards=tuple(sorted(shards, key=lambda shard: shard.name)),
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
