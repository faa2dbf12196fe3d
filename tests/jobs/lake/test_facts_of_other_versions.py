"""Facts that another version of Nightlens wrote are refused in a line that says what to run."""

from __future__ import annotations

from jobs.datasets.releases import LiveFigures
from jobs.datasets.reports import REPORT
from jobs.errors import BadInput
from tests.conftest import Contexts
from tests.errors import raises
from tests.validated_lake import commit_tables


def test_facts_that_lack_or_have_a_name_of_another_version_are_named(make_context: Contexts) -> None:
    run = commit_tables(make_context(), REPORT, files={"report.html": b"x"})
    other = run.model_copy(update={"facts": {"search_count": 1, "newer": 2}})
    with raises(BadInput, "facts_of_other_version", run=run.reference) as caught:
        LiveFigures.of(other)
    for name in ("newer", "low", "hit_rate_at_10"):
        assert name in str(caught.value)
