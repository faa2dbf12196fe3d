"""A lake that may be read but not written: what reads works, what writes says so and changes nothing anywhere."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.context import RunContext
from jobs.datasets.releases import RELEASE
from tests.conftest import Contexts
from tests.drills.conftest import Call
from tests.released import Registry, commit_candidate, commit_release


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO])
def test_a_write_that_is_refused_names_the_file(
    make_context: Contexts, call: Call, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    context = make_context()
    commit_candidate(context)

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        ended = call("make_release")
    assert (ended.status, ended.code) == (2, "storage_refused")
    assert os.strerror(number) in ended.said
    assert context.lake.root in ended.said
    assert call("make_release").status == 0


def test_a_stage_on_a_read_only_lake(
    make_context: Contexts, call: Call, make_read_only: Callable[[Path], None]
) -> None:
    context = make_context()
    commit_candidate(context)
    make_read_only(Path(context.lake.root))
    ended = call("make_release")
    assert (ended.status, ended.code) == (2, "storage_refused")
    assert "Read-only file system" in ended.said
    assert context.lake.root in ended.said
    assert context.lake.history(RELEASE) == []


def test_a_promotion_on_a_read_only_lake_moves_no_alias(
    make_context: Contexts, registry: Registry, call: Call, make_read_only: Callable[[Path], None]
) -> None:
    context = make_context()
    commit_release(context)
    assert call("promote", "--version", "1", "--reason", "better").status == 0
    commit_release(make_context(run_date=context.run_date.replace(day=29)), version=2, seed=1)
    make_read_only(Path(context.lake.root))
    ended = call("promote", "--version", "2", "--reason", "better still")
    assert (ended.status, ended.code) == (2, "storage_refused")
    assert registry.champion == 1
    ended = call("rollback", "--reason", "worse")
    assert ended.status == 2
    assert call("ledger").status == 0  # reading goes on
    assert registry.moves == [1]


def test_a_read_only_state_folder_under_mlflow(
    tracked: RunContext,
    call: Call,
    make_read_only: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("NIGHTLENS_LAKE_URI", str(tmp_path / "lake"))
    settings = tracked.settings.model_copy(update={"lake_uri": str(tmp_path / "lake")})
    commit_release(tracked.model_copy(update={"settings": settings}), is_registered=False)
    make_read_only(tracked.settings.state_dir)
    ended = call("register_model")
    assert ended.status == 2
    assert "ead-only file system" in ended.said
    assert str(tracked.settings.state_dir) in ended.said
