"""Stage `build_index`: the FAISS shards of one arm's photo vectors, in bounded memory, and only those that changed.

Photos go into shards by the day they were submitted (`models.indexing.shards`). Where the arm's model is that of an
earlier index, its quantizer is used again, and shards with the same photos and vectors are taken over by link. The
quantizer is learned anew when the model, the kind or its codes change, or the number of lists should have more than
doubled or halved. What the index finds is measured by `verify_index`.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from jobs.config.params.index import BuildIndexParams
from jobs.context import Inputs, RunContext
from jobs.datasets.indexes import PhotoIndexFacts
from jobs.embedding.arm_vectors import count_photos, photo_arm
from jobs.errors import BadInput
from jobs.indexing.corpus import QUANTIZER, Corpus, open_corpus
from jobs.indexing.previous_index import Earlier
from jobs.indexing.shard_workers import FOLDER, ShardJob, write_quantizer
from jobs.lake.staged_run import StagedRun
from jobs.runtime.peak_memory import PeakMemory
from models.indexing.files import DESCRIPTION_FILE, FORMAT, FileEntry, describe
from models.indexing.filling import TooLittleMemory, held_within, photos_within, sample_within, train
from models.indexing.kinds import Choice, Recipe, asked_kind, choose_kind, recipe_for
from models.indexing.shards import plan_shards

log = logging.getLogger("nightlens.build_index")


def run(ctx: RunContext, params: BuildIndexParams, inputs: Inputs, staged: StagedRun) -> PhotoIndexFacts:
    """Plan the shards, fill those that changed, take over the others."""
    begun = time.perf_counter()
    model = photo_arm(inputs["photo_embeddings"], params.arm)
    model_digest, dim = model.model_digest, model.dim
    photo_count = count_photos(ctx.lake, inputs["photo_embeddings"], params.arm)
    sample_count = min(photo_count, sample_within(params.max_memory_mb, dim))
    choice = _choose(params, photo_count, sample_count, dim)
    shard_size = _shard_size(params, choice, dim)
    is_held = photo_count <= min(shard_size, held_within(params.max_memory_mb, dim))
    with PeakMemory() as memory, open_corpus(ctx, inputs, params.arm, is_held) as corpus:
        keys = plan_shards(corpus.photos_per_day(), shard_size)
        contents = corpus.contents(keys)
        recipe = recipe_for(choice.kind, dim, photo_count // len(keys), sample_count, code_bytes=params.code_bytes)
        base = _base(staged, corpus, recipe, Earlier.find(ctx, params.arm, model_digest), photo_count, ctx.seed)
        kept = {} if base.earlier is None else base.earlier.shards(keys, contents)
        job = ShardJob(staged.worker_output, base.recipe, keys, contents, base.quantizer_path)
        filled = corpus.fill(sorted(contents.keys() - kept.keys()), job)
        corpus.write_ids(staged, keys)
    if base.earlier is not None:
        base.earlier.link(staged, list(kept.values()))
    description = describe(
        model_digest,
        base.recipe,
        choice.reason,
        base.quantizer,
        [*kept.values(), *(one.shard for one in filled)],
        nprobe=params.nprobe,
        ef_search=params.ef_search,
    )
    staged.write_file(f"{FOLDER}/{DESCRIPTION_FILE}", description.to_json())
    peak_memory_mb = max([memory.peak_mb, *(one.peak_memory_mb for one in filled)])
    if peak_memory_mb > params.max_memory_mb:
        log.warning("a process took %.0f MiB, max_memory_mb is %d", peak_memory_mb, params.max_memory_mb)
    return PhotoIndexFacts(
        model_digest=model_digest,
        format=FORMAT,
        kind=description.kind,
        reason=description.reason,
        nlist=description.recipe.nlist,
        nprobe=description.nprobe,
        ef_search=description.ef_search,
        code_bytes=description.recipe.code_bytes,
        quantizer=base.note,
        shard_count=len(description.shards),
        shards_built=len(filled),
        shards_taken_over=len(kept),
        reused_from=None if base.earlier is None else base.earlier.manifest.reference,
        shard_size=shard_size,
        photo_count=description.photo_count,
        bytes=description.byte_count,
        max_memory_mb=params.max_memory_mb,
        peak_memory_mb=peak_memory_mb,
        build_seconds=round(time.perf_counter() - begun, 3),
    )


def _choose(params: BuildIndexParams, photo_count: int, sample_count: int, dim: int) -> Choice:
    if params.kind != "auto":
        choice = asked_kind(params.kind, dim, sample_count)
        if choice.kind != params.kind:
            log.warning("the index is %s: %s", choice.kind, choice.reason)
        return choice
    limit = None if params.max_index_mb is None else params.max_index_mb * 2**20
    return choose_kind(
        photo_count, dim, max_index_bytes=limit, min_recall=params.target_recall, code_bytes=params.code_bytes
    )


def _shard_size(params: BuildIndexParams, choice: Choice, dim: int) -> int:
    """Return the photos of a shard: as many as may be, and as memory holds."""
    try:
        return min(params.shard_size, photos_within(params.max_memory_mb, choice.kind, dim, params.code_bytes))
    except TooLittleMemory as error:
        raise BadInput(error.code, f"max_memory_mb of build_index: {error}", **error.named) from error


@dataclass(frozen=True)
class _Base:
    """What all shards are made from. `earlier` is set if that was taken over; `note` says where it comes from."""

    recipe: Recipe
    quantizer: FileEntry | None
    quantizer_path: str | None
    earlier: Earlier | None
    note: str


def _base(
    staged: StagedRun, corpus: Corpus, wanted: Recipe, earlier: Earlier | None, photo_count: int, seed: int
) -> _Base:
    """Take over what the earlier index was made from if it suits, or learn a quantizer from a sample."""
    misfit = "no earlier index is of this model" if earlier is None else earlier.misfit(wanted)
    if earlier is not None and not misfit:
        recipe = earlier.description.recipe
        note = f"taken over from {earlier.manifest.reference}" if recipe.is_trained else f"{recipe.kind} learns none"
        return _Base(recipe, earlier.description.quantizer, earlier.quantizer_path(staged.lake), earlier, note)
    if not wanted.is_trained:
        return _Base(wanted, None, None, None, f"{wanted.kind} learns none")
    sample_ND = corpus.sample(photo_count, min(photo_count, wanted.training_count))
    quantizer = write_quantizer(staged.worker_output, train(wanted, sample_ND, seed))
    note = f"learned from {len(sample_ND):,} photos: {misfit}"
    return _Base(wanted, quantizer, staged.worker_output.path(QUANTIZER), None, note)
