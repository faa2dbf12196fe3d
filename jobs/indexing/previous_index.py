"""What an index takes over from the one before: the quantizer if it still suits, and the shards that did not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.datasets.indexes import PHOTO_INDEX, PhotoIndexFacts
from jobs.indexing.shard_workers import FOLDER
from models.indexing.files import DESCRIPTION_FILE, FORMAT, QUANTIZER_FILE, IndexDescription, Shard
from models.indexing.kinds import Recipe
from models.indexing.shards import ShardKey

if TYPE_CHECKING:
    from jobs.context import RunContext
    from jobs.lake.files import LakeFiles
    from jobs.lake.manifest import Manifest
    from jobs.lake.staged_run import StagedRun

_MOST_LISTS_APART = 2.0
"""A quantizer is learned anew once there should be so many times as many lists, or as few."""


@dataclass(frozen=True)
class Earlier:
    """An index that was committed before, of the same arm and model."""

    manifest: Manifest
    description: IndexDescription

    @classmethod
    def find(cls, ctx: RunContext, arm: str, model_digest: str) -> Earlier | None:
        """Return the latest index of the model up to this night; None if there is none, or only of another format."""
        runs = (run for run in ctx.lake.history(PHOTO_INDEX) if run.partition["run_date"] <= ctx.run_date.isoformat())
        found = ((run, PhotoIndexFacts.of(run)) for run in runs if run.params["arm"] == arm)
        known = [run for run, facts in found if (facts.model_digest, facts.format) == (model_digest, FORMAT)]
        if not known:
            return None
        text = ctx.lake.read_file(known[-1], f"{FOLDER}/{DESCRIPTION_FILE}")
        return cls(known[-1], IndexDescription.from_json(text))

    def misfit(self, wanted: Recipe) -> str:
        """Return why its quantizer and shards do not suit an index of the `wanted` recipe; nothing if they do."""
        mine = self.description.recipe
        fixed = [(r.kind, r.dim, r.code_bytes, r.code_bits, r.links, r.hash_bits) for r in (mine, wanted)]
        if fixed[0] != fixed[1]:
            return f"{self.manifest.reference} is of kind {mine.kind}, or its codes are of other lengths"
        if mine.nlist is not None and wanted.nlist is not None:
            apart = max(mine.nlist, wanted.nlist) / min(mine.nlist, wanted.nlist)
            if apart > _MOST_LISTS_APART:
                return f"{self.manifest.reference} has {mine.nlist} lists, by now there should be {wanted.nlist}"
        return ""

    def quantizer_path(self, lake: LakeFiles) -> str | None:
        """Return where in the lake its quantizer is; None if its kind has none."""
        if self.description.quantizer is None:
            return None
        return lake.file_path(self.manifest, f"{FOLDER}/{QUANTIZER_FILE}")

    def shards(self, keys: tuple[ShardKey, ...], contents: dict[int, str]) -> dict[int, Shard]:
        """Return its shards that hold what tonight's are to hold, by tonight's numbers."""
        known = {(shard.name, shard.content): shard for shard in self.description.shards}
        wanted = ((number, (key.name, contents[number])) for number, key in enumerate(keys) if number in contents)
        return {number: known[content] for number, content in wanted if content in known}

    def link(self, staged: StagedRun, shards: list[Shard]) -> None:
        """Take over the quantizer, if there is one, and these shards, without copying a byte."""
        names = [file.file for shard in shards for file in shard.files]
        if self.description.quantizer is not None:
            names.append(QUANTIZER_FILE)
        for name in names:
            staged.link_file(self.manifest, f"{FOLDER}/{name}")
