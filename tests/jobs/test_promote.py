"""The champion moves when it is told to, to a version there is, and says from where."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from jobs import make_release, register_model, tracking
from jobs.context import RunContext
from jobs.errors import BadInput, MissingInput
from jobs.params import FULL, MakeReleaseParams, RegisterModelParams
from jobs.promote import promote
from jobs.releasing.ledger import Ledger
from jobs.rollback import rollback
from tests.registered import commit_night, make_model
from tests.released import NOW, commit_index

BY: dict[str, Any] = {"by": "ada", "reason": "better", "at": NOW}


def champion(context: RunContext) -> int | None:
    version = tracking.resolve_alias(context.settings, "test", tracking.CHAMPION)
    return None if version is None else version.number


def test_the_champion_moves_by_promotion_alone(tracked: RunContext, make_context: Callable[..., RunContext]) -> None:
    settings = tracked.settings
    with pytest.raises(BadInput, match="no model 'nightlens-test' is registered"):
        promote(settings, "test", 1, **BY)

    facts = []
    for seed, context in enumerate((tracked, make_context(run_date=date(2025, 12, 29)))):
        commit_night(context, seed)
        facts.append(register_model.run(context, RegisterModelParams()).facts)
        commit_index(context, make_model(FULL, seed).digest, ["a", "b"])
        make_release.run(context, MakeReleaseParams())
    assert champion(tracked) is None
    tracking.log_evaluation(settings, facts[0], {f"{FULL}/hit_rate_at_10": 0.5})

    first = f"version 1 (2025-12-28, {FULL}, hit rate@10 0.5000)"
    second = f"version 2 (2025-12-29, {FULL})"
    text = promote(settings, "test", "1", **BY)
    assert text.startswith(f"The champion of nightlens-test is now {first}; there was none. Published is the release")
    assert champion(tracked) == 1
    assert promote(settings, "test", 1, **BY).startswith("The champion of nightlens-test is version 1 already")
    text = promote(settings, "test", 2, **BY)
    assert text.startswith(f"The champion of nightlens-test is now {second}; it was version 1.")
    assert champion(tracked) == 2

    for unknown in ("7", "latest", "-1", "1.0", ""):
        with pytest.raises(BadInput) as caught:
            promote(settings, "test", unknown, **BY)
        assert str(caught.value).splitlines() == [
            f"nightlens-test has no version {unknown!r}. Registered are:",
            f"  {first}",
            f"  {second}",
        ]
    assert champion(tracked) == 2
    rollback(settings, "test", **BY)
    assert champion(tracked) == 1
    tracking.set_alias(settings, tracking.find_version(settings, "test", 2), tracking.CHAMPION)
    with pytest.raises(BadInput, match="nothing was live before"):
        rollback(settings, "test", **BY)
    assert [entry.kind for entry in Ledger(tracked.lake).entries()] == [
        *("promoted", "promoted", "rolled_back", "moved_outside")
    ]
    tracking.move_champion(settings, "test", None)
    assert champion(tracked) is None
    with pytest.raises(MissingInput, match="has no version 9"):
        tracking.find_version(settings, "test", 9)


def test_a_version_that_never_passed_its_check_is_refused(tracked: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_night(tracked)
    with monkeypatch.context() as patched:
        patched.delattr(tracking, "load_version")
        with pytest.raises(AttributeError):
            register_model.run(tracked, RegisterModelParams())
    with pytest.raises(BadInput, match="version 1 never passed the check"):
        promote(tracked.settings, "test", 1, **BY)
    assert champion(tracked) is None
