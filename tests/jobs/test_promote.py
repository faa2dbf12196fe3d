"""The champion moves when it is told to, to a version there is, and says from where."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from jobs import register_model, tracking
from jobs.context import RunContext
from jobs.errors import BadInput
from jobs.params import FULL, RegisterModelParams
from jobs.promote import promote
from tests.registered import commit_night


def champion(context: RunContext) -> int | None:
    version = tracking.resolve_alias(context.settings, "test", tracking.CHAMPION)
    return None if version is None else version.number


def test_the_champion_moves_by_promotion_alone(tracked: RunContext, make_context: Callable[..., RunContext]) -> None:
    settings = tracked.settings
    with pytest.raises(BadInput, match="no model 'nightlens-test' is registered"):
        promote(settings, "test", 1)

    facts = []
    for seed, context in enumerate((tracked, make_context(run_date=date(2025, 12, 29)))):
        commit_night(context, seed)
        facts.append(register_model.run(context, RegisterModelParams()).facts)
    assert champion(tracked) is None
    tracking.log_evaluation(settings, facts[0], {f"{FULL}/hit_rate_at_10": 0.5})

    first = f"version 1 (2025-12-28, {FULL}, hit rate@10 0.5000)"
    second = f"version 2 (2025-12-29, {FULL})"
    assert promote(settings, "test", "1") == (
        f"The champion of nightlens-test is now {first}; there was none. The next night compares with it."
    )
    assert champion(tracked) == 1
    assert promote(settings, "test", 1) == "The champion of nightlens-test is version 1 already; nothing changed."
    assert promote(settings, "test", 2) == (
        f"The champion of nightlens-test is now {second}; it was {first}. The next night compares with it."
    )
    assert champion(tracked) == 2

    for unknown in ("7", "latest", "-1", "1.0", ""):
        with pytest.raises(BadInput) as caught:
            promote(settings, "test", unknown)
        assert str(caught.value).splitlines() == [
            f"nightlens-test has no version {unknown!r}. Registered are:",
            f"  {first}",
            f"  {second}",
        ]
    assert champion(tracked) == 2


def test_a_version_that_never_passed_its_check_is_refused(tracked: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_night(tracked)
    with monkeypatch.context() as patched:
        patched.delattr(tracking, "load_version")
        with pytest.raises(AttributeError):
            register_model.run(tracked, RegisterModelParams())
    with pytest.raises(BadInput, match="version 1 never passed the check"):
        promote(tracked.settings, "test", 1)
    assert champion(tracked) is None
