"""Progress on a terminal; its lines in a log are tested where photos are fetched."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from jobs.runtime import progress
from jobs.runtime.progress import Progress, stop_bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stderr a terminal; in the test itself, as pytest sets stderr anew after the fixtures."""
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", stream)
    progress.bars.cache_clear()
    return stream


def test_a_terminal_shows_a_bar_with_rate_and_time_left_until_the_work_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = terminal(monkeypatch)
    caplog.set_level(logging.INFO)
    now = iter([0.0, 20.0, 40.0])
    work = Progress(logging.getLogger("nightlens"), "photos", 2, clock=lambda: next(now))
    work.advance()
    progress.bars().refresh()
    assert "photos: 1 of 2 (50%), 0.1/s, 20 s left" in stream.getvalue()
    assert progress.bars().live.is_started
    assert caplog.messages == []
    work.advance()
    assert not progress.bars().live.is_started
    assert caplog.messages == ["photos: 2 of 2 (100%), 0.1/s, 0 s left"]


def test_the_bar_of_work_that_was_cut_off_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    Progress(logging.getLogger("nightlens"), "photos", 2).advance()
    stop_bars()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")  # the cursor is back
    progress.bars.cache_clear()
    stop_bars()  # where there never was one
