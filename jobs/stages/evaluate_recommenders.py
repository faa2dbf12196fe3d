"""Stage `evaluate_recommenders`: what would this visitor want next? Every method learns, recommends, and is measured.

By the night's own protocol, `temporal`, methods learn from everything before the test window and are asked, at its
beginning, about all who came in it. Beside it stand the protocols by which such methods are often published
(`models.recommend.protocols`), on the whole log. Recommended is from all photos that were there when the window ended,
without those that the visitor has, but by the protocol `no_split`, which asks for them. Lists are measured as they are
shown: what a method leaves empty is filled up by popularity. A method that has too little to learn from is left out,
with the reason. What the others learned by the night's own protocol is kept, for
`nightlens recommend`.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.context import RunContext
from jobs.datasets.evaluation import RECOMMENDATION, RecommendationFacts
from jobs.datasets.models import SearchModelsFacts
from jobs.lake.manifest import Manifest
from jobs.lake.staged_run import StagedRun
from jobs.recommending.benchmark import find
from jobs.recommending.inputs import read_world
from jobs.recommending.saved_methods import learned_folder
from jobs.recommending.tables import empty, filled
from models.recommend.interface import Fitted
from models.recommend.saving import save


def run(
    ctx: RunContext, params: EvaluateRecommendersParams, inputs: dict[str, Manifest], staged: StagedRun
) -> RecommendationFacts:
    """Learn, recommend and measure."""
    begun = time.perf_counter()
    arm = SearchModelsFacts.of(inputs["search_models"]).challenger
    facts = partial(RecommendationFacts, arm=arm, methods=params.methods)
    if not params.max_visitor_count:
        for table in RECOMMENDATION.tables:
            staged.write_table(table.name, empty(table.name))
        return facts(note="left out: max_visitor_count is 0")

    def keep(name: str, fitted: Fitted) -> None:
        with staged.local_folder(learned_folder(name)) as folder:
            save(fitted, folder)

    with tempfile.TemporaryDirectory(prefix="nightlens-") as folder:
        world = read_world(ctx, inputs, arm, params, Path(folder))
        found = find(world, params, ctx.seed, ctx.settings, staged.worker_input, keep)
    found.frames["photos"].append(world.photo_ids.to_frame("photo_id").with_row_index("number"))
    for table in RECOMMENDATION.tables:
        staged.write_table(table.name, filled(table.name, found.frames[table.name]))
    return facts(
        protocols=found.protocols,
        notes=found.notes,
        countries=world.countries,
        photo_count=world.items.item_count,
        reach=found.reach,
        sample=world.sample,
        seconds=round(time.perf_counter() - begun, 2),
    )
