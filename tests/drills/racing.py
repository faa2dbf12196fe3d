"""What racing processes do; apart, so that they load little."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def commit_each(barrier: Any, results: Any, lake_uri: str, rounds: int, first: int) -> None:
    """Commit `rounds` runs, each at the same moment as the others; report their manifests as JSON."""
    from tests.conftest import context_in, make_settings
    from tests.jobs.lake.test_lake import PARAMS, THINGS, fill

    made = []
    for number in range(rounds):
        state = Path(lake_uri).parent
        context = context_in(state, settings=make_settings(state, lake_uri=lake_uri))
        staged = context.begin(THINGS, PARAMS.model_copy(update={"test_days": first + number}), {})
        fill(staged)
        barrier.wait(120)
        made.append(staged.commit().model_dump_json())
        barrier.wait(120)
    results.put(made)


def promote_one(barrier: Any, results: Any, state_dir: str, versions: tuple[int, ...]) -> None:
    """Promote one version after the other while others do; report how it ended."""
    from jobs.releasing import promotion
    from tests.conftest import make_settings

    settings = make_settings(Path(state_dir))
    try:
        for version in versions:
            barrier.wait(120)
            promotion.promote(settings, "test", version, by="ada", reason="race", at=datetime(2026, 1, 1, tzinfo=UTC))
        results.put(("ended", len(versions)))
    except BaseException as error:
        results.put(("failed", repr(error)))
        raise
