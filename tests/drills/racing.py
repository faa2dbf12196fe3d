"""What racing processes do; apart, so that they load little."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any


def commit_each(barrier: Any, results: Any, lake_uri: str, rounds: int, first: int) -> None:
    """Commit `rounds` runs, each at the same moment as the others; report their manifests as JSON."""
    from jobs.context import RunContext
    from tests.conftest import make_settings
    from tests.jobs.lake.test_lake import EXTRAS, PARAMS, ROWS, THINGS

    made = []
    for number in range(rounds):
        context = RunContext(
            settings=make_settings(Path(lake_uri).parent, lake_uri=lake_uri),
            catalogue="test",
            dataset_uri="nowhere",
            run_date=date(2025, 12, 28),
            run_id="night",
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            code_version="test-code",
        )
        staged = context.begin(THINGS, PARAMS.model_copy(update={"test_days": first + number}), {})
        staged.write_table("rows", ROWS)
        staged.write_table("extras", EXTRAS)
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
