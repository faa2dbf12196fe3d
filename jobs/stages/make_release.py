"""Stage `make_release`: the night's search and its best recommender under one manifest.

The release links to the files of the runs it is made of, and release.json says which those are. Its own are the tables
of the search (photos, words, and all conversions until the night's end: later ones than those of the evaluation), the
exemplars (`models.search.completion`) of the arm, and what to show visitors next (`jobs.recommending.released`).
It is a candidate: `register_model` makes it a version of the registered model, and live it becomes by an explicit act
(`jobs.releasing.promotion`).
"""

from __future__ import annotations

import json
from typing import Any

from jobs.config.params.release import MakeReleaseParams
from jobs.context import RunContext
from jobs.datasets.clean import HIDDEN_TABLE
from jobs.datasets.embeddings import EXEMPLARS, PhotoEmbeddingsFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.indexes import PhotoIndexFacts
from jobs.datasets.models import RerankerFacts, SearchModelsFacts
from jobs.datasets.releases import ReleaseFacts
from jobs.embedding.exemplars import exemplar_rows
from jobs.errors import BadInput, MissingInput
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.recommending.released import write_recommender
from jobs.releasing.reader import INDEX, MODEL, RELEASE_FILE, SEARCH, read_visibility
from jobs.reranking.saved import RERANKER_FILES
from jobs.reranking.tables import read_catalogue
from models.recommend.live import ShownPhotos
from models.rerank.features import VISITOR


def run(ctx: RunContext, params: MakeReleaseParams, inputs: dict[str, Manifest], staged: StagedRun) -> ReleaseFacts:
    """Check and bind; `BadInput` names what does not belong together."""
    arm = RerankerFacts.of(inputs["reranker"]).base_arm
    digest = _check(inputs, arm)
    staged.link_files(inputs["search_models"], arm, MODEL)
    staged.link_files(inputs["photo_index"], INDEX)
    staged.link_table(inputs["photo_index"], "ids")
    staged.link_table(inputs["validated"], HIDDEN_TABLE.name)
    with staged.local_folder(SEARCH) as folder:
        params_of = inputs["reranker"].params
        catalogue = read_catalogue(ctx.lake, inputs, arm, params_of["half_life_days"])
        _check_photos(inputs["photo_index"], len(catalogue.ids))
        catalogue.save(folder, params_of["candidate_count"])
    shown = ShownPhotos(catalogue.names, catalogue.ids, catalogue.pictures)
    visibility = read_visibility(ctx.lake, inputs["validated"])
    recommender, described = write_recommender(ctx, inputs, staged, shown, visibility, params.recommend_to)
    if not RerankerFacts.of(inputs["reranker"]).note:
        staged.link_files(inputs["reranker"], RERANKER_FILES.rstrip("/"))
    staged.write_table(EXEMPLARS, exemplar_rows(ctx.lake, inputs["photo_embeddings"], arm))
    description = _describe(ctx, inputs, arm, digest) | {"recommender": described}
    staged.write_file(RELEASE_FILE, json.dumps(description, indent=1, sort_keys=True).encode())
    return ReleaseFacts(model_digest=digest, arm=arm, recommender=recommender)


def _check(inputs: dict[str, Manifest], arm: str) -> str:
    """Return the digest of the arm's model; `BadInput` if model, vectors and index are not of one arm and model."""
    index, models = inputs["photo_index"], inputs["search_models"]
    if index.params["arm"] != arm:
        raise BadInput(
            "arms_differ",
            f"the reranker orders what arm {arm!r} finds, indexed is {index.params['arm']!r}. Rerun build_index --arm "
            f"{arm}.",
            reranked=arm,
            indexed=index.params["arm"],
        )
    trained = SearchModelsFacts.of(models).arms
    if arm not in trained:
        raise MissingInput(
            "arm_not_trained",
            f"{models.reference} has no arm {arm!r}; it has {sorted(trained)}",
            arm=arm,
            arms=sorted(trained),
        )
    embedded = PhotoEmbeddingsFacts.of(inputs["photo_embeddings"]).arms.get(arm)
    built = PhotoIndexFacts.of(index)
    digests = {
        "search_models": trained[arm].model_digest,
        "photo_embeddings": None if embedded is None else embedded.model_digest,
        "photo_index": built.model_digest,
    }
    if len(set(digests.values())) > 1:
        found = ", ".join(f"{inputs[name].reference} is of model {digest}" for name, digest in digests.items())
        raise BadInput(
            "models_differ",
            f"these do not belong together: {found}. Rerun embed_photos and build_index.",
            models=digests,
        )
    if built.photo_count != index.row_counts["ids"]:
        raise BadInput(
            "index_counts_differ",
            f"{index.reference} holds {built.photo_count} photos, its id map {index.row_counts['ids']}. "
            f"Delete that run and rerun build_index.",
            run=index.reference,
        )
    return trained[arm].model_digest


def _check_photos(index: Manifest, photo_count: int) -> None:
    """Raise `BadInput` if not all photos of the index are photos of the night."""
    if photo_count != index.row_counts["ids"]:
        raise BadInput(
            "index_counts_differ",
            f"{index.reference} holds {index.row_counts['ids']} photos, only {photo_count} of them are in the night's "
            f"splits. Rerun embed_photos and build_index.",
            run=index.reference,
        )


def _describe(ctx: RunContext, inputs: dict[str, Manifest], arm: str, digest: str) -> dict[str, Any]:
    """Return release.json: what a reader needs to know, and which runs it came from."""
    splits, index = SplitsFacts.of(inputs["splits"]), PhotoIndexFacts.of(inputs["photo_index"])
    models = inputs["search_models"]
    trained = SearchModelsFacts.of(models)
    return {
        "catalogue": ctx.catalogue,
        "run_date": ctx.run_date.isoformat(),
        "as_of": ctx.as_of.isoformat(),
        "model": {
            "arm": arm,
            "digest": digest,
            "trained_until": trained.trained_until.isoformat(),
            "selected_until": trained.selected_until and trained.selected_until.isoformat(),
        },
        "reranker": _describe_reranker(inputs["reranker"]),
        "counts_until": splits.test_end.isoformat(),
        "index": index.model_dump(include={"model_digest", "kind", "shard_count", "photo_count", "bytes"}),
        "vocabulary": _file(models, arm, "keywords.json"),
        "config": _file(models, arm, "config.json"),
        "splits": splits.model_dump(include={"train_start", "train_end", "validation_end", "test_end"}),
        "runs": {
            name: {"reference": manifest.reference, "digest": manifest.digest} for name, manifest in inputs.items()
        },
    }


def _describe_reranker(reranker: Manifest) -> dict[str, Any] | None:
    """Return what the order was learned from; None if there was too little, and vectors alone decide."""
    facts = RerankerFacts.of(reranker)
    if facts.note:
        return None
    return {
        "trained_until": facts.trained_until.isoformat(),
        "search_count": facts.learnable_search_count,
        "reads_past": set(VISITOR) <= set(facts.feature_names),  # what the visitor took before
        **{name: reranker.params[name] for name in ("half_life_days", "candidate_count")},
    }


def _file(models: Manifest, arm: str, name: str) -> dict[str, str] | None:
    """Return place and digest of a file of the model; None if this kind of model has none."""
    info = models.files.get(f"{arm}/{name}")
    return None if info is None else {"file": f"{MODEL}/{name}", "sha256": info.sha256}
