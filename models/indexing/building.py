"""Building an index of vectors that are all in memory: the plain way, which the sharded build equals file by file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from models.indexing.files import DESCRIPTION_FILE, IndexDescription, describe
from models.indexing.filling import Floats, ShardFiller, check_vectors, train, write_quantizer
from models.indexing.ids import Ints, stable_ids
from models.indexing.kinds import Kind, recipe_for
from models.indexing.shards import assign, plan_shards


def build_index(
    folder: Path,
    photo_ND: Floats,
    photo_ids: Sequence[str],
    kind: Kind,
    *,
    model_digest: str,
    shard_size: int,
    day_N: Ints | None = None,
    nprobe: int | None = None,
    ef_search: int | None = None,
    code_bytes: int | None = None,
    seed: int = 0,
) -> IndexDescription:
    """Write the shards and `index.json` into `folder` and return the description.

    `day_N` are the days since 1970-01-01 that photos were submitted on, all the first if not given. Shards hold their
    photos in the order of their ids, so the files do not depend on the order in which photos are given. For a graph
    that is so with one thread only; this process has one from now on.
    """
    check_vectors(photo_ND)
    faiss.omp_set_num_threads(1)
    ids_N = stable_ids(photo_ids)
    day_N = np.zeros(len(ids_N), dtype=np.int64) if day_N is None else day_N
    days, counts = np.unique(day_N, return_counts=True)
    keys = plan_shards(dict(zip(days.tolist(), counts.tolist(), strict=True)), shard_size)
    recipe = recipe_for(kind, photo_ND.shape[1], len(ids_N) // len(keys), len(ids_N), code_bytes=code_bytes)
    order = np.argsort(ids_N)
    trained = train(recipe, photo_ND[order[: recipe.training_count]], seed) if recipe.is_trained else None
    shard_N = assign(keys, day_N, ids_N)[order]
    shards = []
    for number, key in enumerate(keys):
        rows = order[shard_N == number]
        if len(rows):
            filler = ShardFiller(recipe, trained)
            filler.add(photo_ND[rows], ids_N[rows], [photo_ids[row] for row in rows])
            shards.append(filler.write(folder, key.name, ""))
    description = describe(
        model_digest,
        recipe,
        "asked for",
        None if trained is None else write_quantizer(folder, trained),
        shards,
        nprobe=nprobe,
        ef_search=ef_search,
    )
    (folder / DESCRIPTION_FILE).write_bytes(description.to_json())
    return description
