"""Which files hold an arm's photo vectors, which photo each row is of, and what is wrong with vectors. None is held.

Shape letters: P photos, R rows of a file, B vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from jobs.embedding.arm_vectors import batches_of_file, files_of_arm
from jobs.errors import BadInput, MissingInput
from jobs.lake.catalogue import Lake
from jobs.lake.manifest import FileInfo, Manifest

_MAKER = {"photo_embeddings": "embed_photos", "query_embeddings": "embed_queries", "variant": "train_variant"}
_TOLERANCE = 0.01
"""How far from 1 the length of a vector may be."""


@dataclass(frozen=True)
class ArmFile:
    """An arm's rows of one file: the places of their photos, shape (R,), -1 for photos that the caller did not name."""

    info: FileInfo
    place_R: NDArray[np.int64]


@dataclass(frozen=True)
class LocatedArm:
    """All rows of an arm, and which photos have one, shape (P,)."""

    lake: Lake
    manifest: Manifest
    arm: str
    files: tuple[ArmFile, ...]
    has_vector_P: NDArray[np.bool_]

    @classmethod
    def of(cls, lake: Lake, manifest: Manifest, arm: str, photos: pl.DataFrame, max_missing_share: float) -> LocatedArm:
        """Find the photos (photo_id, place).

        Raises `MissingInput` for an arm without vectors, `BadInput` that names the arm and the counts if photos are
        repeated or more than `max_missing_share` have none.
        """
        found = cls(lake, manifest, arm, tuple(_files(lake, manifest, arm, photos)), np.zeros(len(photos), np.bool_))
        named = named_in_errors(manifest, arm)
        if not found.files:
            raise MissingInput(
                "arm_not_embedded",
                f"{manifest.reference} has no vectors of arm {arm!r}. Rerun {_MAKER[manifest.dataset]}.",
                **named,
            )
        place_N = np.concatenate([file.place_R for file in found.files])
        place_N = place_N[place_N >= 0]
        found.has_vector_P[place_N] = True
        if repeated := len(place_N) - int(found.has_vector_P.sum()):
            raise BadInput(
                "vectors_repeated",
                f"arm {arm!r}: {repeated} of {len(place_N)} rows in {manifest.reference} repeat a photo_id. Rerun "
                f"{_MAKER[manifest.dataset]}.",
                **named,
                repeated_count=repeated,
            )
        missing = int((~found.has_vector_P).sum())
        if missing > max_missing_share * len(photos):
            raise BadInput(
                "vectors_missing",
                f"arm {arm!r}: {missing} of {len(photos)} photos have no vector in {manifest.reference}, more than the "
                f"allowed share of {max_missing_share:g}. Find out why, then rerun {_MAKER[manifest.dataset]}.",
                **named,
                missing_count=missing,
            )
        return found


def _files(lake: Lake, manifest: Manifest, arm: str, photos: pl.DataFrame) -> list[ArmFile]:
    known, files = photos.select("photo_id", pl.col("place").cast(pl.Int64)), []
    for info in files_of_arm(lake, manifest, arm):
        rows = list(batches_of_file(lake, info, arm, ["photo_id"]))
        if rows:
            ids = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(rows)))
            places = ids.join(known, on="photo_id", how="left", maintain_order="left")["place"]
            files.append(ArmFile(info, places.fill_null(-1).to_numpy()))
    return files


@dataclass(frozen=True)
class Faults:
    """The lengths that vectors have, as lists of numbers, and how many are not as they must be."""

    lengths: frozenset[int] = frozenset()
    not_finite: int = 0
    not_unit: int = 0

    def plus(self, other: Faults) -> Faults:
        """Return the faults of both."""
        return Faults(self.lengths | other.lengths, self.not_finite + other.not_finite, self.not_unit + other.not_unit)

    @classmethod
    def of(cls, vector_BD: NDArray[np.float32]) -> Faults:
        """Return the faults of vectors of one length."""
        is_finite_B = np.isfinite(vector_BD).all(axis=1)
        length_B = np.linalg.norm(vector_BD[is_finite_B], axis=1)
        not_unit = int((np.abs(length_B - 1) > _TOLERANCE).sum())
        return cls(frozenset({vector_BD.shape[1]}), int((~is_finite_B).sum()), not_unit)

    def refuse(self, manifest: Manifest, arm: str) -> None:
        """Raise `BadInput` if vectors of a run differ in length, are not finite or not of length 1."""
        where, named = f"arm {arm!r} in {manifest.reference}", named_in_errors(manifest, arm)
        lengths = sorted(self.lengths)
        if len(lengths) > 1 or lengths == [0]:
            raise BadInput(
                "vectors_differ_in_length",
                f"{where}: vectors have different lengths or none: {lengths}",
                **named,
                lengths=lengths,
            )
        if self.not_finite:
            raise BadInput(
                "vectors_not_finite",
                f"{where}: {self.not_finite} vectors hold NaN or infinity. The model has diverged.",
                **named,
                bad_count=self.not_finite,
            )
        if self.not_unit:
            raise BadInput(
                "vectors_not_of_length_one",
                f"{where}: {self.not_unit} vectors are not of length 1, so they cannot be ranked",
                **named,
                bad_count=self.not_unit,
            )


def named_in_errors(manifest: Manifest, arm: str) -> dict[str, str]:
    """Return what errors about an arm's vectors name."""
    return {"dataset": manifest.dataset, "run": manifest.reference, "arm": arm}


def lengths_of(column: pa.ListArray) -> frozenset[int]:
    """Return the lengths that lists have."""
    return frozenset(np.unique(np.diff(column.offsets.to_numpy())).tolist())


def as_matrix(column: pa.ListArray) -> NDArray[np.float32]:
    """Return vectors of one length as a matrix, shape (B, D)."""
    values: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1)
