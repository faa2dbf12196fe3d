"""Presets: which values the Params of a night's stages have."""

from __future__ import annotations

from typing import Any

from jobs.config.params.arms import ARMS, FINETUNED, FULL
from jobs.config.params.evaluation import RECOMMENDER_PROTOCOLS, RECOMMENDERS
from jobs.config.params.ingest import EIGHTY_TWENTY


def _on_a_gpu(source: str, **training: Any) -> dict[str, dict[str, Any]]:
    """Return the preset of a pretrained model: one pass at a low rate, vectors computed in bfloat16."""
    return {
        "train_base": {"source": source},
        # its tokens are known already: what moves them faster makes it forget
        "train_search": {
            "epochs": 1,
            "batch_size": 128,
            "learning_rate": 1e-5,
            "token_rate_factor": 1.0,
            "average_decay": 0.0,
            **training,
        },
        "embed_photos": {"precision": "bfloat16"},
        "embed_queries": {"precision": "bfloat16"},
    }


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {
        "train_base": {
            "image_size": 32,
            "vision_width": 64,
            "vision_layers": 1,
            "text_width": 64,
            "text_layers": 1,
            "embed_dim": 64,
            "epochs": 2,
            "batch_size": 64,
        },
        "train_search": {"arms": (FINETUNED, FULL), "epochs": 1, "batch_size": 64, "evaluations_per_epoch": 1},
        "embed_photos": {"part_size": 64, "batch_size": 32},
        "map_embeddings": {"min_cluster_sizes": (5, 10), "radius_quantiles": (0.25, 0.5)},
        "build_index": {"shard_size": 100},
        "train_reranker": {"candidate_count": 50, "min_search_count": 20, "rounds": 20, "min_rows_per_leaf": 10},
        "evaluate": {"contact_sheet_queries": 4},
        "evaluate_similar": {"query_count": 100, "min_visitors": 1, "contact_sheet_photos": 2},
        "evaluate_recommenders": {
            "methods": ("random", "popularity", "item_knn", "mean_embedding", "als", "two_tower"),
            "protocols": ("no_split", "fifth_held_out"),
            "protocol_methods": ("popularity", "mean_embedding"),
            "max_visitor_count": 200,
            "two_tower_passes": 1,
            "contact_sheet_visitors": 2,
        },
    },
    "sample": {
        # small batches: the catalogue is small, and what it lacks is steps
        "train_base": {"vision_layers": 2, "text_layers": 1, "epochs": 15, "batch_size": 64},
        "train_search": {
            "arms": (FINETUNED, FULL),
            "epochs": 4,
            "batch_size": 64,
            "loss": "softmax",
            "evaluations_per_epoch": 1,
        },
        "train_reranker": {"candidate_count": 100, "rounds": 150},
    },
    "small": {"train_search": {"loss": "softmax"}},
    # every arm beside the others, in half the passes each; every recommender by every protocol
    "all-arms": {
        "train_search": {"arms": tuple(ARMS), "epochs": 3, "loss": "softmax"},
        "evaluate_recommenders": {"methods": RECOMMENDERS, "protocols": RECOMMENDER_PROTOCOLS},
    },
    "thorough": {"train_search": {"epochs": 12, "patience": 8, "average_decay": 0.999, "pair_weighting": "each"}},
    "vit-b-16-siglip": _on_a_gpu("ViT-B-16-SigLIP/webli"),
    "vit-b-16-siglip2": _on_a_gpu("ViT-B-16-SigLIP2/webli"),
    # the setting of the published table of Unsplash Lite
    "unsplash-lite": _on_a_gpu("ViT-B-16-SigLIP/webli", arms=(FINETUNED, FULL))
    | {"split_temporal": {"protocol": EIGHTY_TWENTY, "validation_share": 0.0}},
    "so400m-siglip2": _on_a_gpu(
        "ViT-SO400M-16-SigLIP2-256/webli",
        # more than a billion parameters: the batch is encoded in pieces, with the gradients of the whole
        encode_chunk=32,
        checkpoint_activations=True,
        layer_decay=0.9,
    ),
}
