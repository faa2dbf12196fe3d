"""What drills share: commands as a person or Airflow calls them, nights to call them on, disks that refuse."""

from __future__ import annotations

import gc
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.commands import main
from jobs.config.settings import Settings
from tests.jobs.conftest import new_mlflow_database, registry, tracked  # noqa: F401


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, and what it printed or, if it failed, the error."""

    status: int
    said: str

    @property
    def code(self) -> str:
        """The code of its error; empty if it did not fail."""
        found = re.match(r"nightlens \w+: \w+ \[(\w+)\]: ", self.said)
        return found[1] if found else ""


Call = Callable[..., Ended]
TOOLS = {"promote", "rollback", "ledger", "reject", "open_review", "collect_releases", "forget"}


@pytest.fixture
def call(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run a command of the catalogue `test` in this process. What it does not explain is raised and fails the drill."""
    for name in [name for name in os.environ if name.startswith("NIGHTLENS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTLENS_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("NIGHTLENS_PSEUDONYM_KEY", "test-key")

    def run(command: str, *more: str, run_date: str = "2025-12-28") -> Ended:
        night = [] if command in TOOLS else ["--dataset", str(tmp_path), "--run-date", run_date]
        capsys.readouterr()
        status = main.main([command, "--catalogue", "test", *night, *more])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        said = out if status == 0 else err[err.rindex(f"nightlens {command}: ") :]
        return Ended(status, said.strip())

    return run


def flip(path: Path, place: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << (place % 8)
    path.write_bytes(data)


# -- disks ------------------------------------------------------------------------------------------------


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a full or read-only disk is made by mount, which only root may do: run the drills as root too")
    _mount("-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leave_bytes: int = 0) -> Path:
    """Fill a disk up to so many bytes; return the file to remove."""
    gc.collect()  # removed files that garbage still maps would make room later
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as file:
        file.truncate(0)
        os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - leave_bytes))
    return filler


@pytest.fixture
def make_read_only(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Return what mounts a folder over itself, read-only; all is undone at the end."""
    mounted: list[Path] = []
    if os.geteuid() != 0:
        pytest.skip("a full or read-only disk is made by mount, which only root may do: run the drills as root too")

    def mount(folder: Path) -> None:
        _mount("--bind", str(folder), str(folder))
        mounted.append(folder)
        _mount("-o", "remount,bind,ro", str(folder))

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", str(folder)], check=True)
