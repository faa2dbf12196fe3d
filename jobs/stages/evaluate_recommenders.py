"""Stage `evaluate_recommenders`: what would this visitor want next? Every method learns, recommends, and is measured.

By the night's own protocol, `temporal`, methods learn from everything before the test window and are asked, at its
beginning, about all who came in it. Beside it stand the protocols by which such methods are often published
(`models.recommend.protocols`), on the whole log. Recommended is from all photos that were there when the window ended,
without those that the visitor has, but by the protocol `no_split`, which asks for them. A method that has too little to
learn from is left out, with the reason. What the others learned by the night's own protocol is kept, for
`nightlens recommend`.

Facts: arm (whose photo vectors are compared), methods, protocols {name: visitor_count, trial_count, log_count}, notes
{protocol/method: why it is left out}, note (why all is; empty if it is not), countries (as the methods number them),
photo_count, seconds.
"""

from __future__ import annotations

import time
from typing import Any

from jobs.config.params.evaluation import EvaluateRecommendersParams
from jobs.context import RunContext
from jobs.datasets.evaluation import RECOMMENDATION
from jobs.lake.manifest import Manifest
from jobs.recommending.benchmark import find
from jobs.recommending.inputs import INPUTS, read_world
from jobs.recommending.saved_methods import learned_folder
from jobs.recommending.tables import empty, filled
from models.recommend.interface import Fitted
from models.recommend.saving import save


def run(ctx: RunContext, params: EvaluateRecommendersParams) -> Manifest:
    """Learn, recommend, measure and commit."""
    inputs = {name: ctx.read(dataset) for name, dataset in INPUTS.items()}
    arm = inputs["search_models"].facts["challenger"]
    staged = ctx.begin(RECOMMENDATION, params, inputs, {"arm": arm})
    if staged.manifest is not None:
        return staged.manifest
    begun = time.perf_counter()
    facts: dict[str, Any] = {"arm": arm, "methods": list(params.methods), "protocols": {}, "notes": {}, "note": ""}
    if not params.max_visitor_count:
        for table in RECOMMENDATION.tables:
            staged.write_table(table.name, empty(table.name))
        return staged.commit(facts | {"note": "left out: max_visitor_count is 0", "photo_count": 0, "seconds": 0.0})
    world = read_world(ctx, inputs, arm, params.max_missing_share)

    def keep(name: str, fitted: Fitted) -> None:
        with staged.local_folder(learned_folder(name)) as folder:
            save(fitted, folder)

    found = find(world, params, ctx.seed, ctx.settings, keep)
    found.frames["photos"].append(world.photo_ids.to_frame("photo_id").with_row_index("number"))
    for table in RECOMMENDATION.tables:
        staged.write_table(table.name, filled(table.name, found.frames[table.name]))
    return staged.commit(
        facts
        | {
            "protocols": found.protocols,
            "notes": found.notes,
            "countries": list(world.countries),
            "photo_count": world.items.item_count,
            "seconds": round(time.perf_counter() - begun, 2),
        }
    )
