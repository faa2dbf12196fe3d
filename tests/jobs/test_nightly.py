"""What `nightlens nightly` shows of a night: progress and faults without Airflow's own marks."""

from __future__ import annotations

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
