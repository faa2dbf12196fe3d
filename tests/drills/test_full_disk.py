"""A disk without room: every layer that writes says so, nothing half-written counts, and with room the rerun ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.datasets.models import BASE_MODEL, REGISTRATION
from jobs.datasets.releases import RELEASE
from jobs.sample import TINY, make_sample
from tests.conftest import Contexts, make_settings
from tests.drills.conftest import Call, fill
from tests.released import Registry, commit_candidate, commit_release
from tests.training_lake import commit_images, commit_splits


def leftovers(context: RunContext) -> list[str]:
    """Return the unfinished files there are."""
    return [path.name for path in Path(context.lake.root).rglob(".*") if path.is_file()]


@pytest.mark.parametrize("writes_before", range(3))
def test_no_room_at_any_write_commits_nothing_and_the_rerun_ends(
    make_context: Contexts, call: Call, monkeypatch: pytest.MonkeyPatch, writes_before: int
) -> None:
    context = make_context()
    commit_candidate(context)
    sync, left = os.fsync, writes_before

    def fsync(descriptor: int) -> None:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= 1
        sync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        ended = call("make_release")
    assert (ended.status, ended.code) == (1, "disk_full")
    assert context.lake.root in ended.said  # which file
    assert leftovers(context) == []
    assert len(context.lake.history(RELEASE)) == 0
    assert call("make_release").status == 0
    assert len(list(context.lake.manifests(RELEASE))) == 1


@pytest.fixture
def on_small_disk(
    small_disk: Path, tmp_path: Path, make_context: Contexts, call: Call, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A factory of contexts whose lake is on a small disk."""
    settings = make_settings(tmp_path / "state", lake_uri=str(small_disk / "lake"))
    monkeypatch.setenv("NIGHTLENS_LAKE_URI", settings.lake_uri)
    return lambda **changes: make_context(**{"settings": settings} | changes)


def test_a_full_lake(small_disk: Path, on_small_disk: Contexts, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    context = on_small_disk()
    commit_candidate(context)
    filler = fill(small_disk)
    ended = call("make_release")
    assert (ended.status, ended.code) == (1, "disk_full")
    assert f"{context.settings.lake_uri} has 0 MiB" in ended.said
    assert leftovers(context) == []
    filler.unlink()
    assert call("make_release").status == 0


@pytest.mark.parametrize("leave_bytes", [0, 40_000, 150_000])
def test_a_lake_that_fills_up_while_a_model_is_trained(
    small_disk: Path,
    on_small_disk: Contexts,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    leave_bytes: int,
) -> None:
    context = on_small_disk()
    commit_splits(context)
    commit_images(context, tmp_path / "photos")
    sizes = {"image_size": 16, "patch_size": 8, "vision_width": 32, "vision_layers": 1, "text_width": 32}
    sizes |= {"text_layers": 1, "embed_dim": 16, "epochs": 1, "batch_size": 8}
    flags = [word for name, value in sizes.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    filler = fill(small_disk, leave_bytes)
    ended = call("train_base", *flags, "--checkpoint-seconds", "0")
    assert (ended.status, ended.code) == (1, "disk_full"), ended.said
    assert context.lake.history(BASE_MODEL) == []
    filler.unlink()
    assert call("train_base", *flags, "--checkpoint-seconds", "0").status == 0


def test_a_full_disk_under_mlflow(
    small_disk: Path, tracked: RunContext, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Path(tracked.settings.state_dir / "mlflow.db")
    (small_disk / "mlflow.db").write_bytes(database.read_bytes())
    monkeypatch.setenv("NIGHTLENS_TRACKING_URI", f"sqlite:///{small_disk / 'mlflow.db'}")
    monkeypatch.setenv("NIGHTLENS_ARTIFACT_URI", (small_disk / "artifacts").as_uri())
    commit_release(tracked, is_registered=False)
    filler = fill(small_disk)
    ended = call("register_model")
    assert (ended.status, ended.code) == (1, "mlflow_out_of_reach"), ended.said
    assert "database or disk is full" in ended.said
    filler.unlink()
    fill(small_disk, 300_000)  # room for rows, not for a model
    ended = call("register_model")
    assert ended.status == 1, ended.said
    assert ended.code in ("disk_full", "mlflow_out_of_reach")  # whichever needs room first
    assert tracked.lake.history(REGISTRATION) == []
    filler.unlink()
    assert call("register_model").status == 0


def test_a_promotion_without_room_changes_nothing_or_is_finished_by_the_next(
    small_disk: Path, on_small_disk: Contexts, registry: Registry, call: Call
) -> None:
    context = on_small_disk()
    commit_release(context)
    filler = fill(small_disk)
    ended = call("promote", "--version", "1", "--reason", "better")
    assert (ended.status, ended.code) == (1, "disk_full")
    assert registry.champion is None
    filler.unlink()
    assert call("promote", "--version", "1", "--reason", "better").status == 0
    assert registry.champion == 1


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_lake_that_fills_up_while_spark_writes(
    small_disk: Path, on_small_disk: Contexts, tmp_path: Path, call: Call
) -> None:
    context = on_small_disk()
    make_sample(tmp_path / "sample", TINY)
    filler = fill(small_disk, 100_000)
    ended = call("validate_logs", "--dataset", str(tmp_path / "sample"))
    assert (ended.status, ended.code) == (1, "disk_full"), ended.said
    assert context.lake.history(VALIDATED) == []
    filler.unlink()
    assert call("validate_logs", "--dataset", str(tmp_path / "sample")).status == 0
