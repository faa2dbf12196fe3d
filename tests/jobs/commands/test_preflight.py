"""The first line of `make`: one sentence for an unfit machine, silence for a fit one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.commands import preflight


@pytest.mark.parametrize(
    ("version", "free_gb", "memory_gb", "is_installed", "word"),
    [
        ((3, 9, 2), 100, 16, False, "Python 3.9 is too old"),
        ((3, 12, 0), 5, 16, False, "5.0 GB of disk are free here, 12 GB"),
        ((3, 12, 0), 1, 16, True, "1.0 GB of disk are free here, 2 GB"),
        ((3, 11, 0), 100, 2, False, "2.0 GB of memory, 6 GB"),
    ],
)
def test_each_fault_is_one_sentence(
    version: tuple[int, ...], free_gb: float, memory_gb: float, is_installed: bool, word: str
) -> None:
    fault = preflight.find_fault(version, free_gb, memory_gb, is_installed)
    assert word in fault
    assert "\n" not in fault


def test_a_fit_machine_has_none() -> None:
    assert preflight.find_fault((3, 11, 0), 13, 8, False) is None
    assert preflight.find_fault((3, 14, 0), 3, 8, True) is None


def test_it_runs_as_a_plain_script_without_the_environment(tmp_path: Path) -> None:
    script = Path(preflight.__file__)
    done = subprocess.run([sys.executable, "-I", "-S", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("nightlens: ") == (done.returncode == 2)
