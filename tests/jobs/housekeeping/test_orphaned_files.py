"""What clean_up removes beside runs: nothing in use, nothing young, the rest whole, and twice at once is no fault."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.config.params.release import CleanUpParams
from jobs.errors import LostWork
from jobs.housekeeping import orphaned_files
from jobs.housekeeping.clean_up import LEAST_STALE, clean_up
from jobs.housekeeping.orphaned_files import remove_from_stores, remove_pages
from jobs.lake.catalogue import Lake
from jobs.lake.inventory import stored
from jobs.lake.vector_store import read_part
from jobs.releasing import fresh_counts
from jobs.releasing.published_pointer import key_of
from tests.conftest import Contexts, make_settings
from tests.registered import commit_night, make_model
from tests.released import NOW, commit_release, night

SINCE = NOW - LEAST_STALE
OLD = SINCE - timedelta(hours=1)


def put(lake: Lake, *names: str, content: bytes = b"12345", old: bool = True) -> Path:
    lake.store(*names[:-1]).put(names[-1], content)
    path = Path(lake.store(*names[:-1]).folder) / names[-1]
    return made_at(path, OLD.timestamp() if old else NOW.timestamp())


def made_at(path: Path, seconds: float) -> Path:
    os.utime(path, (seconds, seconds))
    return path


@pytest.fixture
def lake(make_context: Contexts) -> Lake:
    return make_context().lake


def test_checkpoints_go_when_nobody_has_written_them_for_long(lake: Lake) -> None:
    left = [put(lake, "checkpoints", "search_models", "killed", name) for name in ("full", "finetuned")]
    put(lake, "checkpoints", "base_model", "running", "zero_shot", old=False)
    half = [
        put(lake, "checkpoints", "search_models", "half", "full"),
        put(lake, "checkpoints", "search_models", "half", "z", old=False),
    ]
    planned = remove_from_stores(lake, [], SINCE, dry_run=True)
    assert all(path.exists() for path in left)
    removed = remove_from_stores(lake, [], SINCE)
    assert removed == planned
    assert [(one.what, one.byte_count) for one in removed] == [("checkpoints of search_models, run killed", 10)]
    assert not left[0].parent.exists()
    assert set(stored(lake, "checkpoints", 2)) == {("base_model", "running"), ("search_models", "half")}
    assert all(path.exists() for path in half)
    assert remove_from_stores(lake, [], SINCE) == []


def test_counts_go_with_their_release(make_context: Contexts, lake: Lake) -> None:
    releases = [commit_release(make_context(run_date=night(n)), version=n, seed=n) for n in (1, 2)]
    keys = [key_of(release) for release in releases]
    kept, gone, young = (
        put(lake, "published", fresh_counts.FOLDER, f"{key}.20251202T100000.{name}", "arrays.bin", old=is_old)
        for key, name, is_old in ((keys[0], "a", True), (keys[1], "b", True), (keys[1], "c", False))
    )
    put(lake, "published", "claims", "x")
    assert remove_from_stores(lake, [], SINCE) == []
    (removed,) = remove_from_stores(lake, [releases[1].reference], SINCE)
    assert removed.what == f"fresh counts {gone.parent.name}"
    assert [path.exists() for path in (kept, gone, young)] == [True, False, True]
    assert not gone.parent.exists()


def test_vectors_go_with_the_last_model_that_made_them(make_context: Contexts, lake: Lake) -> None:
    kept, gone = (make_context(run_date=night(n)) for n in (1, 2))
    commit_night(kept, seed=0)
    commit_night(gone, seed=1)
    models = {n: make_model("finetuned_country_keywords", n) for n in (0, 1)}
    stores = {
        (kind, n): put(
            lake, kind, f"{digest}-float32-1" if kind == "photo_vectors" else f"{digest}-float32", "x.parquet"
        )
        for n, model in models.items()
        for kind, digest in (("photo_vectors", model.image_digest), ("query_vectors", model.text_digest))
    }
    young = put(lake, "query_vectors", "0123456789abcdef-float32", "x.parquet", old=False)
    assert remove_from_stores(lake, [], SINCE) == []
    references = [m.reference for m in lake.manifests() if m.partition["run_date"] == gone.run_date.isoformat()]
    removed = remove_from_stores(lake, references, SINCE)
    assert [one.what.split(" of ")[0] for one in removed] == ["photo_vectors", "query_vectors"]
    assert [key for key, path in stores.items() if path.exists()] == [("photo_vectors", 0), ("query_vectors", 0)]
    assert young.exists()


def test_a_part_that_is_removed_while_it_is_read_is_lost_work(lake: Lake) -> None:
    with pytest.raises(
        LostWork, match=r"gone\.parquet was removed while it was to be read.* Run the same command again"
    ):
        read_part(lake.store("query_vectors", "encoder"), "gone.parquet", ["key"])


def test_what_another_cleaner_removes_meanwhile_is_no_fault(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    put(lake, "checkpoints", "search_models", "killed", "full")
    listed = stored(lake, "checkpoints", 2)
    monkeypatch.setattr(orphaned_files, "stored", lambda _, name, depth: listed if name == "checkpoints" else {})
    other = Lake(lake.root_uri, lake.catalogue)
    assert len(remove_from_stores(other, [], SINCE)) == 1
    assert remove_from_stores(lake, [], SINCE) == []  # listed, then gone
    monkeypatch.setattr(orphaned_files, "last_written", lambda *_: OLD)
    assert len(remove_from_stores(lake, [], SINCE)) == 1  # gone after it was judged


def publish_pages(folder: Path, *dates: str) -> None:
    for date in dates:
        for name in (f"{date}.html", f"{date}-data-docs/static/x.css", f"{date}-ablation.md"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(date)
            made_at(path, OLD.timestamp())
    (folder / "latest.html").write_text(max(dates))
    (folder / "searches").mkdir()
    made_at(folder / "latest.html", OLD.timestamp())


def test_pages_of_removed_nights_go_but_never_the_newest_or_a_young_one(tmp_path: Path) -> None:
    publish_pages(tmp_path, "2025-12-01", "2025-12-02", "2025-12-03", "2025-12-04")
    made_at(tmp_path / "2025-12-03-ablation.md", NOW.timestamp())
    planned = remove_pages(tmp_path, {"2025-12-02"}, SINCE, dry_run=True)
    assert len(list(tmp_path.iterdir())) == 4 * 3 + 2
    assert remove_pages(tmp_path, {"2025-12-02"}, SINCE) == planned
    assert [(one.what, one.byte_count) for one in planned] == [("published page of the night of 2025-12-01", 30)]
    left = {path.name[:10] for path in tmp_path.iterdir()}
    assert left == {"2025-12-02", "2025-12-03", "2025-12-04", "latest.htm", "searches"}
    assert (tmp_path / "latest.html").read_text() == (tmp_path / "2025-12-04.html").read_text()
    assert remove_pages(tmp_path, {"2025-12-02"}, SINCE) == []
    assert remove_pages(tmp_path / "none", set(), SINCE) == []


def test_clean_up_does_all_of_it_also_on_an_object_store(
    tmp_path: Path, make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.housekeeping.clean_up._remove_from_mlflow", lambda *_: [])
    settings = make_settings(tmp_path / "remote", lake_uri=f"memory://{tmp_path.name}/lake")
    lake = make_context(settings=settings).lake
    lake.store("checkpoints", "search_models", "killed").put("full", b"1")
    lake.store("photo_vectors", "0123456789abcdef-float32-1").put("x.parquet", b"12")
    publish_pages(settings.report_dir / "test", "2025-12-01", "2025-12-02")
    later = lake.fs.modified(f"{lake.store('checkpoints', 'search_models', 'killed').folder}/full") + timedelta(days=3)
    params = CleanUpParams(keep_nights=1, keep_days=0)
    removed = clean_up(settings, "test", params, later)
    assert [one.byte_count for one in removed] == [1, 2, 30]
    assert clean_up(settings, "test", params, later) == []
