"""Stage `make_release`: the night's model, index, id map, keyword vocabulary and hidden photos under one manifest.

The release links to the files of the runs it is made of, and release.json says which those are. Copied are the
exemplars (`models.search.completion`) of the arm alone.
It is a candidate; live it becomes by an explicit act (`jobs.releasing.promotion`). Facts: model_name, version,
model_digest, arm.
"""

from __future__ import annotations

import json
from typing import Any

from jobs.config.params.release import MakeReleaseParams
from jobs.context import RunContext
from jobs.datasets.all import named
from jobs.datasets.clean import HIDDEN_TABLE
from jobs.datasets.embeddings import EXEMPLARS
from jobs.datasets.releases import RELEASE
from jobs.embedding.exemplars import exemplar_rows
from jobs.errors import BadInput, MissingInput
from jobs.lake.manifest import Manifest
from jobs.releasing.reader import INDEX, MODEL, RELEASE_FILE

_WINDOWS = ("train_start", "train_end", "validation_end", "test_end")


def run(ctx: RunContext, params: MakeReleaseParams) -> Manifest:
    """Check and bind; `BadInput` names what does not belong together, and nothing is committed."""
    names = ("validated", "splits", "search_models", "registration", "photo_embeddings", "photo_index")
    inputs = {name: ctx.read(named(name)) for name in names}
    staged = ctx.begin(RELEASE, params, inputs)
    if staged.manifest is not None:
        return staged.manifest
    arm = _check(inputs)
    staged.link_files(inputs["search_models"], arm, MODEL)
    staged.link_files(inputs["photo_index"], INDEX)
    staged.link_table(inputs["photo_index"], "ids")
    staged.link_table(inputs["validated"], HIDDEN_TABLE.name)
    staged.write_table(EXEMPLARS, exemplar_rows(ctx.lake, inputs["photo_embeddings"], arm))
    description = describe(ctx, inputs, arm)
    staged.write_file(RELEASE_FILE, json.dumps(description, indent=1, sort_keys=True).encode())
    model = description["model"]
    return staged.commit(
        {"model_name": model["name"], "version": model["version"], "model_digest": model["digest"], "arm": arm}
    )


def _check(inputs: dict[str, Manifest]) -> str:
    """Return the arm that all inputs are of; `BadInput` if model, registered version and index are not of one."""
    registration, index = inputs["registration"], inputs["photo_index"]
    arm: str = registration.facts["arm"]
    if index.params["arm"] != arm:
        raise BadInput(
            "arms_differ",
            f"registered is arm {arm!r}, indexed is {index.params['arm']!r}. Rerun build_index --arm {arm}.",
            registered=arm,
            indexed=index.params["arm"],
        )
    models = inputs["search_models"]
    if arm not in models.facts["arms"]:
        raise MissingInput(
            "arm_not_trained",
            f"{models.reference} has no arm {arm!r}; it has {sorted(models.facts['arms'])}",
            arm=arm,
            arms=sorted(models.facts["arms"]),
        )
    digests = {
        "search_models": models.facts["arms"][arm]["model_digest"],
        "registration": registration.facts["model_digest"],
        "photo_embeddings": inputs["photo_embeddings"].facts["arms"].get(arm, {}).get("model_digest"),
        "photo_index": index.facts["model_digest"],
    }
    if len(set(digests.values())) > 1:
        found = ", ".join(f"{inputs[name].reference} is of model {digest}" for name, digest in digests.items())
        raise BadInput(
            "models_differ",
            f"these do not belong together: {found}. Rerun register_model, embed_photos and build_index.",
            models=digests,
        )
    if index.facts["photo_count"] != index.row_counts["ids"]:
        raise BadInput(
            "index_counts_differ",
            f"{index.reference} holds {index.facts['photo_count']} photos, its id map {index.row_counts['ids']}. "
            f"Delete that run and rerun build_index.",
            run=index.reference,
        )
    return arm


def describe(ctx: RunContext, inputs: dict[str, Manifest], arm: str) -> dict[str, Any]:
    """Return release.json: what a reader needs to know, and which runs it came from."""
    registration, index, splits = (inputs[name].facts for name in ("registration", "photo_index", "splits"))
    model_files = inputs["search_models"].files
    return {
        "catalogue": ctx.catalogue,
        "run_date": ctx.run_date.isoformat(),
        "as_of": ctx.as_of.isoformat(),
        "model": {
            "name": registration["model_name"],
            "version": registration["version"],
            "arm": arm,
            "digest": registration["model_digest"],
            "mlflow_run_id": registration["mlflow_run_id"],
            "trained_until": inputs["search_models"].facts["trained_until"],
        },
        "index": {name: index[name] for name in ("model_digest", "kind", "shard_count", "photo_count", "bytes")},
        "vocabulary": _file(model_files, arm, "keywords.json"),
        "config": _file(model_files, arm, "config.json"),
        "splits": {name: splits[name] for name in _WINDOWS},
        "runs": {
            name: {"reference": manifest.reference, "digest": manifest.digest} for name, manifest in inputs.items()
        },
    }


def _file(files: Any, arm: str, name: str) -> dict[str, str] | None:
    """Return place and digest of a file of the model; None if this kind of model has none."""
    info = files.get(f"{arm}/{name}")
    return None if info is None else {"file": f"{MODEL}/{name}", "sha256": info.sha256}
