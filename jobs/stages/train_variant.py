"""Stage `train_variant`: train one variant of the ablation once and rank the test queries with it.

The model is not kept: what the comparison needs are the ranks, which are those the evaluation would find, from the
same task and by the same ranking. Kept are the vectors of the photos too, with which `evaluate_similar` can rank photos
by their likeness to a photo.
"""

from __future__ import annotations

from jobs.config.params.ablation import TrainVariantParams
from jobs.config.params.arms import AS_TRAINED
from jobs.context import RunContext
from jobs.datasets.clean import IMAGES
from jobs.datasets.features import IMPRESSIONS, SPLITS
from jobs.datasets.models import BASE_MODEL, SEARCH_MODELS, VARIANT
from jobs.evaluation.splits import ranked_searches
from jobs.lake.manifest import Manifest


def run(ctx: RunContext, params: TrainVariantParams) -> Manifest:
    """Commit ranks of the converted photos, training curves and photo vectors of one variant and repetition."""
    splits, images, base = (ctx.read(d) for d in (SPLITS, IMAGES, BASE_MODEL))
    inputs = {"splits": splits, "images": images, "base_model": base}
    if params.reads_impressions:
        inputs["impressions"] = ctx.read(IMPRESSIONS)
    if params.variant == AS_TRAINED:
        inputs["search_models"] = ctx.read(SEARCH_MODELS)
    # What is taken from facts is not part of the inputs' digests.
    ranked = {"max_ranked_searches": str(ranked_searches(splits))}
    staged = ctx.begin(VARIANT, params, inputs, ranked, variant=params.variant, repeat=str(params.repeat))
    if staged.manifest is not None:
        return staged.manifest
    from jobs.training.variants import train_and_rank

    tables, facts = train_and_rank(ctx, params, staged.checkpoints, inputs)
    for name, table in tables.items():
        staged.write_table(name, table)
    manifest = staged.commit(facts)
    staged.checkpoints.clear()
    return manifest
