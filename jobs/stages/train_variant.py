"""Stage `train_variant`: train one variant of the ablation once and rank the test queries with it.

The model is not kept: what the comparison needs are the ranks, which are those the evaluation would find, from the
same task and by the same ranking. Kept are the vectors of the photos too, with which `evaluate_similar` can rank photos
by their likeness to a photo.
"""

from __future__ import annotations

from jobs.config.params.ablation import TrainVariantParams
from jobs.config.params.arms import AS_TRAINED
from jobs.context import Chosen, Inputs, RunContext
from jobs.datasets.features import IMPRESSIONS
from jobs.datasets.models import SEARCH_MODELS, VariantFacts
from jobs.lake.staged_run import StagedRun


def choose(ctx: RunContext, params: TrainVariantParams, inputs: Inputs) -> Chosen:
    """Read what this variant needs besides."""
    more = {"impressions": ctx.read(IMPRESSIONS)} if params.reads_impressions else {}
    more |= {"search_models": ctx.read(SEARCH_MODELS)} if params.variant == AS_TRAINED else {}
    return Chosen(more, within={"variant": params.variant, "repeat": str(params.repeat)})


def run(ctx: RunContext, params: TrainVariantParams, inputs: Inputs, staged: StagedRun) -> VariantFacts:
    """Write ranks of the converted photos, training curves and photo vectors of one variant and repetition."""
    from jobs.training.variants import train_and_rank

    tables, facts = train_and_rank(ctx, params, staged.checkpoints, inputs)
    for name, table in tables.items():
        staged.write_table(name, table)
    return facts
