"""The arms by name, and the variants of the ablation."""

from __future__ import annotations

from typing import Any

ZERO_SHOT = "zero_shot"


FINETUNED = "finetuned"


FULL = "finetuned_country_keywords"


CHAMPION_ARM = "champion"


RERANKED = "reranked"


NIGHTLY_COUNTS, HOURLY_COUNTS = "trending_24h", "trending_1h"
TRENDING = {NIGHTLY_COUNTS: 24, "trending_6h": 6, HOURLY_COUNTS: 1}
"""The reranked arm with its counts refreshed every so many hours within the test window."""


ARMS: dict[str, dict[str, Any]] = {
    FINETUNED: {},
    "finetuned_country": {"uses_country": True},
    "finetuned_keywords": {"uses_keywords": True},
    FULL: {"uses_country": True, "uses_keywords": True},
}
"""The trained arms by name: what each reads, and in what its training differs from the parameters of the night."""


VARIANTS: dict[str, dict[str, Any]] = {
    FINETUNED: ARMS[FINETUNED],
    "finetuned_country": ARMS["finetuned_country"],
    "finetuned_keywords": ARMS["finetuned_keywords"],
    FULL: ARMS[FULL],
    "without_masks": ARMS[FULL] | {"mask_known_positives": False},
    "without_correction": ARMS[FULL] | {"popularity_correction": 0.0},
    "masked_by_query": ARMS[FULL] | {"mask_by": "query"},
    "each_repetition": ARMS[FULL] | {"pair_weighting": "each"},
    "without_average": ARMS[FULL] | {"average_decay": 0.0},
    "softmax": ARMS[FULL] | {"loss": "softmax"},
    "sigmoid": ARMS[FULL] | {"loss": "sigmoid"},
    "batch_64": ARMS[FULL] | {"batch_size": 64},
    "batch_1024": ARMS[FULL] | {"batch_size": 1024},
    "augmented": ARMS[FULL] | {"augment": ("crop", "flip", "colour")},
    "two_views": ARMS[FULL] | {"two_views_weight": 0.2},
    "image_pairs": ARMS[FULL] | {"partner_weight": 0.2},
    "hard_negatives": ARMS[FULL] | {"hard_share": 0.5},
}
"""What the ablation trains beside the zero-shot base: the arms, and the full arm with one choice made otherwise."""


STEPS = (
    (ZERO_SHOT, FINETUNED),
    (FINETUNED, "finetuned_country"),
    (FINETUNED, "finetuned_keywords"),
    ("finetuned_country", FULL),
    ("finetuned_keywords", FULL),
    (FULL, RERANKED),
)
"""How the full arm is built up: what the ablation compares besides, the second with the first of each pair."""


COMPARED = (ZERO_SHOT, *VARIANTS, RERANKED)
"""What the ablation compares, in the order of its table. The reranked arm is the night's own: nothing is trained."""


AS_TRAINED = "as_trained"
"""A variant that is not trained but is the night's own full arm, however that came to be."""
