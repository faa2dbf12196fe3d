"""Every error code of the source has its advice, and docs/ERRORS.md says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.error_codes import CODES, find_raised, page

ROOT = Path(__file__).parents[2]


def test_codes_are_short() -> None:
    assert [code for code in CODES if len(code) > 40 or not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", code)] == []


def test_the_codes_of_the_source_are_those_with_an_advice_and_on_the_page() -> None:
    raised = find_raised()
    places = {code: one.place for one in raised for code in one.codes}
    assert {code: place for code, place in places.items() if code not in CODES} == {}
    assert [code for code in CODES if code not in places] == []
    assert (ROOT / "docs" / "ERRORS.md").read_text(encoding="utf-8") == page(raised)


def test_errors_are_found_by_where_they_come_from(tmp_path: Path) -> None:
    for folder in ("jobs", "models", "dags"):
        (tmp_path / folder).mkdir()
    (tmp_path / "jobs" / "a.py").write_text(
        "class Own(errors.BadInput): ...\nclass BadInput(NightlensError): ...\nclass Other(Exception): ...\n"
        'raise Own("one" if 1 else "two", "text")\nraise Other("three", "text")\nraise BadInput(error.code, "text")\n'
    )
    assert find_raised(tmp_path) == [("jobs/a.py:4", "Own", ("one", "two")), ("jobs/a.py:6", "BadInput", ())]
    (tmp_path / "dags" / "b.py").write_text('raise NightlensError(f"{made}_up", "text")')
    with pytest.raises(ValueError, match=re.escape("dags/b.py:1")):
        find_raised(tmp_path)
