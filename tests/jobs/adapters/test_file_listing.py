"""A folder's files one after another, as fsspec lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from jobs.adapters.file_listing import entries


@pytest.fixture
def s3_options() -> Iterator[dict[str, Any]]:
    """What leads to a server that has no bucket yet."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {"endpoint_url": f"http://{host}:{port}", "key": "key", "secret": "secret"}
    server.stop()


def test_a_local_folder_is_listed_as_fsspec_does(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    fs = fsspec.filesystem("file")
    listed = {entry["name"]: entry for entry in fs.ls(str(tmp_path), detail=True)}
    found = list(entries(fs, str(tmp_path)))
    assert sorted(entry["name"] for entry in found) == sorted(listed)
    for entry in found:
        assert entry.items() <= listed[entry["name"]].items()
        assert entry.get("islink", False) == listed[entry["name"]]["islink"]


def test_another_file_system_is_listed_as_it_is() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/listed/photos/a.jpg", b"123")
    try:
        assert [(entry["name"], entry["size"]) for entry in entries(fs, "/listed/photos")] == [
            ("/listed/photos/a.jpg", 3)
        ]
    finally:
        fs.rm("/listed", recursive=True)


@pytest.mark.service
@pytest.mark.parametrize("folder", ["one/set/photos", "two"])
def test_pages_of_a_bucket_are_read_one_after_another(
    folder: str, s3_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = fsspec.filesystem("s3", **s3_options)
    fs.mkdir(folder.split("/")[0])
    names = [f"{folder}/{number}.jpg" for number in range(7)]
    for name in (*names, f"{folder}/deeper/8.jpg"):
        fs.pipe_file(name, b"123")
    call, pages = fs.call_s3, []

    def paged(method: str, **asked: object) -> object:
        pages.append(method)
        return call(method, MaxKeys=3, **asked)

    monkeypatch.setattr(fs, "call_s3", paged)
    found = {entry["name"]: entry for entry in entries(fs, folder)}
    assert sorted(found) == names
    assert len(pages) == 3
    listed = {entry["name"]: entry for entry in fs.ls(folder, detail=True, refresh=True)}
    assert all(entry.items() <= listed[name].items() for name, entry in found.items())
