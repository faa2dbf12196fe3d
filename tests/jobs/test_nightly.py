"""What `nightlens nightly` shows of a night: progress and faults without Airflow's own marks."""

from __future__ import annotations

import io

from jobs import nightly

MARK = " [airflow.task.operators.stage_operator.StageOperator] loc=stage_operator.py:46"


def test_progress_is_shown_as_the_stage_wrote_it() -> None:
    line = "2026-11-21T13:57:36Z [info     ] 2026-11-21 13:57:36,001 INFO nightlens.stage: evaluate  5.8 s  ranks 12"
    for text in (line, line + MARK):
        found = nightly._PROGRESS.search(text)
        assert found
        assert found[1] == "evaluate  5.8 s  ranks 12"


def test_a_fault_is_shown_whole() -> None:
    line = "[info     ] nightlens audit_leaks: GateFailed: 2 rows [corpus] of the future" + MARK
    found = nightly._FAULT.search(line)
    assert found
    assert found[1] == "nightlens audit_leaks: GateFailed: 2 rows [corpus] of the future"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_how_far_a_stage_is_takes_one_line_of_a_terminal() -> None:
    detail = "[info     ] 2026-11-21 13:57:36,001 INFO nightlens: train_base: step 3/9, 5 s left" + MARK
    found = nightly._DETAIL.search(detail)
    assert found
    assert found[1] == "train_base: step 3/9, 5 s left"
    terminal = Terminal()
    screen = nightly.Screen(terminal)
    screen.status("step 1")
    screen.status("step 2")
    screen.line("done")
    assert terminal.getvalue() == "\r\x1b[Kstep 1\r\x1b[Kstep 2\r\x1b[Kdone\n"


def test_elsewhere_a_line_comes_now_and_then() -> None:
    now = [0.0]
    stream = io.StringIO()
    screen = nightly.Screen(stream, every_seconds=30, clock=lambda: now[0])
    for second in range(0, 100, 10):
        now[0] = second
        screen.status(f"at {second}")
    assert stream.getvalue() == "at 30\nat 60\nat 90\n"
