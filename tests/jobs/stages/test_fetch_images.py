"""fetch_images against a server with every fault, and the rules about addresses, ids and resuming."""

from __future__ import annotations

import io
import logging
import os
import socket
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from PIL import Image

from jobs.adapters import safe_download
from jobs.adapters.safe_download import (
    Fetcher,
    FetchError,
    Limits,
    checked_url,
    is_public,
    retry_after_seconds,
    sized_url,
)
from jobs.config.params.ingest import FetchImagesParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.errors import GateFailed
from jobs.ingest.image_listing import list_images
from jobs.ingest.image_sources import FetchedImages
from jobs.ingest.photo_files import file_stem
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from jobs.runtime.progress import Progress
from tests.conftest import Contexts
from tests.errors import raises
from tests.faulty_server import MAX_BYTES, FaultyServer, bomb, picture, running_server
from tests.validated_lake import commit_tables

PARAMS = FetchImagesParams(
    width=64,
    concurrency=4,
    max_bytes=MAX_BYTES,
    max_pixels=1_000_000,
    retry_count=2,
    timeout_seconds=1.0,
    max_missing_share=1.0,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setattr(safe_download, "BACKOFF_SECONDS", 0.01)
    with running_server() as faulty:
        yield faulty


def commit_photos(ctx: RunContext, urls: dict[str, str | None]) -> None:
    rows = pl.DataFrame([*urls.items()], schema={"photo_id": pl.String, "image_url": pl.String}, orient="row")
    commit_tables(ctx, VALIDATED, {"photos": rows})


def statuses(ctx: RunContext, manifest: Manifest) -> dict[str, tuple[str, str | None]]:
    rows = ctx.lake.read_table(manifest, "images").iter_rows(named=True)
    return {row["photo_id"]: (row["status"], row["reason"]) for row in rows}


@pytest.fixture
def open_context(make_context: Contexts) -> Contexts:
    """Contexts whose settings allow private addresses, as the server is on one."""

    def make(**changes: Any) -> RunContext:
        ctx = make_context(**changes)
        return ctx.model_copy(update={"settings": ctx.settings.model_copy(update={"allow_private_addresses": True})})

    return make


EXPECTED = {
    "ok/1": ("fetched", None),
    "404": ("missing", "http_404"),
    "403": ("failed", "http_403"),
    "500": ("failed", "http_500"),
    "overloaded": ("fetched", None),
    "slow": ("failed", "timeout"),
    "drip": ("failed", "timeout"),
    "truncated": ("failed", "connection_broken"),
    "hangup": ("fetched", None),
    "huge": ("refused", "too_large"),
    "endless": ("refused", "too_large"),
    "html": ("refused", "not_an_image"),
    "half": ("refused", "truncated"),
    "bomb": ("refused", "too_many_pixels"),
    "gzip": ("refused", "unexpected_encoding"),
    "to/ok": ("fetched", None),
    "to/file": ("refused", "scheme_not_allowed"),
    "to/loop": ("refused", "too_many_redirects"),
    "to/login": ("refused", "credentials_in_url"),
}


def test_every_fault_has_its_status_and_reason(server: FaultyServer, open_context: Contexts) -> None:
    ctx = open_context()
    urls: dict[str, str | None] = {name: server.url(name) for name in EXPECTED} | {"none": None, "empty": ""}
    commit_photos(ctx, urls)
    manifest = run_stage(ctx, "fetch_images", PARAMS)
    assert statuses(ctx, manifest) == EXPECTED | {"none": ("missing", "no_url"), "empty": ("missing", "no_url")}
    assert manifest.facts["fetched_count"] == manifest.facts["downloaded_count"] == 4
    assert manifest.facts["reasons"]["timeout"] == 2
    counts = server.counts()
    assert counts["500"] == counts["truncated"] == PARAMS.retry_count + 1  # retried, but not for ever
    assert counts["404"] == counts["html"] == counts["bomb"] == 1  # nothing to gain by asking again
    for row in ctx.lake.read_table(manifest, "images").filter(pl.col("status") == "fetched").iter_rows(named=True):
        body = Path(row["uri"]).read_bytes()
        assert Image.open(io.BytesIO(body)).size == (20, 10)
        assert len(body) == row["byte_count"]
        assert ctx.lake.root in row["uri"]
    assert run_stage(ctx, "fetch_images", PARAMS) == manifest
    assert server.counts() == counts


def limits(**changes: Any) -> Limits:
    values: dict[str, Any] = {
        "max_bytes": MAX_BYTES,
        "timeout_seconds": 1.0,
        "retry_count": 2,
        "concurrency": 2,
        "allow_private_addresses": True,
        "seed": 1,
    }
    return Limits(**(values | changes))


def fetch_reason(url: str, **changes: Any) -> tuple[str, str]:
    with Fetcher(limits(**changes)) as fetcher, pytest.raises(FetchError) as caught:
        fetcher.fetch(url)
    return caught.value.status, caught.value.reason


def test_retry_after_is_honoured(server: FaultyServer) -> None:
    with Fetcher(limits()) as fetcher:
        assert fetcher.fetch(server.url("busy")) == picture()
    first, second = server.times["busy"]
    assert second - first >= 0.99


def test_a_host_that_asks_for_too_long_a_wait_is_left_alone(server: FaultyServer) -> None:
    with Fetcher(limits()) as fetcher:
        for path in ("tomorrow", "ok/1", "ok/2"):
            with pytest.raises(FetchError, match="failed: told_to_wait"):
                fetcher.fetch(server.url(path))
    assert server.counts() == {"tomorrow": 1}


def test_a_host_that_never_answers_well_is_left_alone(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_download, "MAX_HOST_FAILURES", 5)
    with Fetcher(limits()) as fetcher:
        for number in range(10):
            with pytest.raises(FetchError, match="failed: http_500"):
                fetcher.fetch(server.url(f"500/{number}"))
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "Mon, 06 Oct 2025 10:00:09 GMT", "date": "Mon, 06 Oct 2025 10:00:00 GMT"}, 9.0),
        ({"retry-after": "Mon, 06 Oct 2025 10:00:00 GMT", "date": "Mon, 06 Oct 2025 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 06 Oct 2025 10:00:00 GMT"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_retry_after_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


def test_no_more_requests_at_a_time_than_allowed(server: FaultyServer, open_context: Contexts) -> None:
    ctx = open_context()
    commit_photos(ctx, {f"p{number}": server.url(f"ok/{number}") for number in range(40)})
    manifest = run_stage(ctx, "fetch_images", PARAMS)
    assert manifest.facts["fetched_count"] == 40
    assert 2 <= server.most_under_way <= PARAMS.concurrency


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/a.jpg", "scheme_not_allowed"),
        ("file:///etc/passwd", "scheme_not_allowed"),
        ("//example.com/a.jpg", "scheme_not_allowed"),
        ("a.jpg", "scheme_not_allowed"),
        ("http://user:secret@example.com/a.jpg", "credentials_in_url"),
        ("http://example.com@127.0.0.1/", "credentials_in_url"),
        ("http:///a.jpg", "bad_url"),
        ("http://exa mple.com/", "bad_url"),
        ("http://example.com/a\r\nX-Evil: 1", "bad_url"),
        ("http://example.com\\@127.0.0.1/", "credentials_in_url"),
        ("http://example.com\\.evil/", "bad_url"),
        ("http://example.com:99999/", "bad_url"),
        ("http://[::1/", "bad_url"),
        ("http://example.com/\ud800", "bad_url"),
        ("http://" + "a" * 70 + ".com/", "bad_url"),
        ("http://example.com/" + "a" * 5000, "bad_url"),
    ],
)
def test_urls_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(FetchError, match=f"^refused: {reason}$"):
        checked_url(url)
    assert fetch_reason(url) == ("refused", reason)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%1", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "64:ff9b::7f00:1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_private_addresses_are_refused_however_they_are_spelled(server: FaultyServer, host: str) -> None:
    assert fetch_reason(server.url("ok/1", host), allow_private_addresses=False) == ("refused", "private_address")
    assert server.requests == []


def test_the_stage_refuses_private_addresses_unless_a_setting_allows_them(
    server: FaultyServer, make_context: Contexts, open_context: Contexts
) -> None:
    for ctx, expected in ((make_context(), ("refused", "private_address")), (open_context(), ("fetched", None))):
        commit_photos(ctx, {"a": server.url("ok/1")})
        assert statuses(ctx, run_stage(ctx, "fetch_images", PARAMS)) == {"a": expected}


def test_a_redirect_to_a_private_address_is_refused(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_download, "is_public", lambda address: address == "127.0.0.1")
    assert fetch_reason(server.url("to/private"), allow_private_addresses=False) == ("refused", "private_address")
    assert server.counts() == {"to/private": 1}


def test_the_connection_goes_to_the_address_that_was_checked(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers with a public address first and a private one later gets nothing by it."""
    original, asked = socket.getaddrinfo, []

    def rebinding(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "rebind.example":
            return original(host, *args, **kwargs)
        asked.append(host)
        return original("127.0.0.1" if len(asked) == 1 else "127.0.0.2", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(safe_download, "is_public", lambda address: address == "127.0.0.1")
    with Fetcher(limits(allow_private_addresses=False)) as fetcher:
        assert fetcher.fetch(server.url("ok/1", "rebind.example"))
        assert len(asked) == 1
        fetcher._pool.close()
        with pytest.raises(FetchError, match="private_address"):
            fetcher.fetch(server.url("ok/1", "rebind.example"))


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(2, 1, 6, "", (address, 80)) for address in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    assert fetch_reason("http://two.example/a", allow_private_addresses=False) == ("refused", "private_address")


def fail_to_look_up(monkeypatch: pytest.MonkeyPatch, code: int) -> list[str]:
    """Let no name be found; return the names that are asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(code, "not found")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(safe_download, "BACKOFF_SECONDS", 0.01)
    return asked


def test_a_host_that_does_not_exist_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fail_to_look_up(monkeypatch, socket.EAI_NONAME)
    with Fetcher(limits()) as fetcher:
        for url in ["http://gone.example/a", "http://gone.example/b", "https://photos.invalid/c"] * 2:
            with pytest.raises(FetchError, match="failed: host_not_found"):
                fetcher.fetch(url)
    assert asked == ["gone.example"]


def test_a_resolver_that_is_down_is_asked_again_but_not_for_every_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fail_to_look_up(monkeypatch, socket.EAI_AGAIN)
    with Fetcher(limits(retry_count=2)) as fetcher:
        for _ in range(5):
            with pytest.raises(FetchError, match="failed: host_not_found"):
                fetcher.fetch("http://later.example/a")
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("url", "sized"),
    [
        ("https://i.example/p", "https://i.example/p?w=64&fm=jpg&fit=max"),
        (
            "https://i.example/p?ixid=x%20y&ixid=2&fit=crop#top",
            "https://i.example/p?ixid=x+y&ixid=2&fit=crop&w=64&fm=jpg",
        ),
        ("https://i.example/p?w=5000&fm=tif&blank=", "https://i.example/p?blank=&w=64&fm=jpg&fit=max"),
    ],
)
def test_the_size_is_asked_for_and_other_parameters_are_kept(url: str, sized: str) -> None:
    assert sized_url(url, 64) == sized


def test_an_interrupted_run_goes_on_where_it_was(
    server: FaultyServer, open_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = open_context()
    commit_photos(ctx, {f"p{number}": server.url(f"ok/{number}") for number in range(20)})
    original, kept = FetchedImages.put, []

    def failing(self: FetchedImages, key: str, body: bytes) -> tuple[str, int, str]:
        if len(kept) >= 7:
            raise OSError("disk full")
        kept.append(key)
        return original(self, key, body)

    monkeypatch.setattr(FetchedImages, "put", failing)
    with pytest.raises(OSError, match="disk full"):
        run_stage(ctx, "fetch_images", PARAMS)
    monkeypatch.setattr(FetchedImages, "put", original)
    manifest = run_stage(ctx, "fetch_images", PARAMS)
    assert (manifest.facts["fetched_count"], manifest.facts["downloaded_count"]) == (20, 13)
    undisturbed = open_context(catalogue="other")
    commit_photos(undisturbed, {f"p{number}": server.url(f"ok/{number}") for number in range(20)})
    columns = ["photo_id", "status", "byte_count", "sha256"]
    tables = [
        c.lake.read_table(m, "images", columns)
        for c, m in ((ctx, manifest), (undisturbed, run_stage(undisturbed, "fetch_images", PARAMS)))
    ]
    assert tables[0].equals(tables[1])


def test_too_many_photos_without_an_image_stop_the_night_and_say_what_to_do(
    server: FaultyServer, open_context: Contexts
) -> None:
    ctx = open_context()
    urls: dict[str, str | None] = {"a": server.url("ok/1"), "b": server.url("500/b"), "c": server.url("404"), "d": None}
    commit_photos(ctx, urls)
    strict = PARAMS.model_copy(update={"max_missing_share": 0.5})
    with raises(GateFailed, "too_many_images_missing", missing=3, photos=4) as caught:
        run_stage(ctx, "fetch_images", strict)
    assert "failed (http_500): 1" in str(caught.value)
    server.is_healed = True
    manifest = run_stage(ctx, "fetch_images", strict)
    assert statuses(ctx, manifest)["b"] == ("fetched", None)
    assert server.counts()["ok/1"] == 1  # kept from the night that was stopped


def write(folder: Path, name: str, data: bytes | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(picture() if data is None else data)
    return path


@pytest.mark.parametrize("folder", ["photos", "images", ""])
def test_images_of_the_data_set_are_found_and_not_touched(make_context: Contexts, folder: str) -> None:
    ctx = make_context()
    root = Path(ctx.dataset_uri)
    paths = [write(root / folder, "a.jpg"), write(root / folder, "b.PNG", picture(kind="PNG"))]
    write(root, "photos.tsv000", b"photo_id\n")
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    commit_photos(ctx, {"a": "https://never.invalid/a", "b": None})
    manifest = run_stage(ctx, "fetch_images", PARAMS.model_copy(update={"max_missing_share": 0.0}))
    rows = ctx.lake.read_table(manifest, "images").to_dicts()
    assert [(row["status"], row["uri"], row["byte_count"]) for row in rows] == [
        ("present", str(path), path.stat().st_size) for path in paths
    ]
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == ["a.jpg", "b.PNG", "photos.tsv000"]


def test_one_file_of_several_is_chosen_by_a_fixed_order(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    write(tmp_path / "images", "a.jpg")
    write(tmp_path / "photos", "a.webp")
    chosen = write(tmp_path / "photos", "a.png")
    assert list_images(str(tmp_path)).frame().sort("place")["uri"][0] == str(chosen)


def test_hostile_photo_ids_open_nothing(make_context: Contexts, tmp_path: Path) -> None:
    ctx = make_context()
    write(tmp_path, "secret.jpg")
    write(Path(ctx.dataset_uri) / "photos", "fine.jpg")
    ids = ["../../secret", "../secret", str(tmp_path / "secret"), "fine\0", "f*", "x" * 4096, ".", "photos/fine"]
    commit_photos(ctx, dict.fromkeys([*ids, "fine"]))
    found = statuses(ctx, run_stage(ctx, "fetch_images", PARAMS))
    assert found.pop("fine") == ("present", None)
    assert set(found.values()) == {("missing", "no_url")}


def test_unreadable_and_oversized_files_have_a_reason(make_context: Contexts) -> None:
    ctx = make_context()
    folder = Path(ctx.dataset_uri) / "photos"
    write(folder, "large.jpg", bytes(MAX_BYTES + 1))
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    (folder / "linked.jpg").symlink_to(write(folder, "a.jpg"))
    commit_photos(ctx, dict.fromkeys(["large", "gone", "linked"]))
    assert statuses(ctx, run_stage(ctx, "fetch_images", PARAMS)) == {
        "large": ("refused", "too_large"),
        "gone": ("failed", "unreadable_FileNotFoundError"),
        "linked": ("present", None),
    }


def test_an_unchanged_file_is_not_hashed_again_the_next_night(make_context: Contexts) -> None:
    first, second = make_context(), make_context(run_date=date(2025, 12, 29))
    folder = Path(first.dataset_uri) / "photos"
    for name in ("a.jpg", "b.jpg"):
        write(folder, name)
    ids: dict[str, str | None] = dict.fromkeys(["a", "b"])
    commit_photos(first, ids)
    assert run_stage(first, "fetch_images", PARAMS).facts["hashed_count"] == 2
    changed = write(folder, "b.jpg", picture((1, 2, 3)))
    os.utime(changed, ns=(1, changed.stat().st_mtime_ns + 1_000_000))
    commit_photos(second, ids)
    manifest = run_stage(second, "fetch_images", PARAMS)
    assert manifest.facts["hashed_count"] == 1
    hashes = second.lake.read_table(manifest, "images")["sha256"].to_list()
    assert len(set(hashes)) == 2
    assert None not in hashes


def test_a_picture_is_found_by_any_id_and_is_of_one_photo(make_context: Contexts) -> None:
    ctx = make_context()
    folder = Path(ctx.dataset_uri) / "photos"
    ids = ("a/b", "a%2Fb", "../../x", "50%", "a:b", "SKU 1.5", "0108775015", "x" * 128)
    for number, name in enumerate(ids):
        stem = name if name == "a:b" else file_stem(name)  # as it is, where the system has such names
        write(folder, f"{stem}.png", picture((30 * number, 0, 0), "PNG"))
    commit_photos(ctx, dict.fromkeys([*ids, "108775015"]))
    images = ctx.lake.read_table(run_stage(ctx, "fetch_images", PARAMS), "images")
    found = dict(images.select("photo_id", "uri").iter_rows())
    assert found.pop("108775015") is None
    reds = {name: Image.open(uri).getpixel((0, 0)) for name, uri in found.items()}
    assert reds == {name: (30 * number, 0, 0) for number, name in enumerate(ids)}


def test_a_file_that_is_no_picture_is_not_present(make_context: Contexts) -> None:
    ctx = make_context()
    folder = Path(ctx.dataset_uri) / "photos"
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    bodies = {"page": b"<html>404</html>", "none": b"", "phone": heic, "half": picture()[:-200], "bomb": bomb()}
    for name, body in bodies.items():
        write(folder, f"{name}.jpg", body)
    write(folder, "named.heic", heic)
    write(folder, "fine.jpg")
    commit_photos(ctx, dict.fromkeys([*bodies, "named", "fine"]))
    manifest = run_stage(ctx, "fetch_images", PARAMS)
    assert statuses(ctx, manifest) == {
        "page": ("refused", "not_an_image"),
        "none": ("refused", "empty"),
        "phone": ("refused", "heic"),
        "named": ("refused", "heic"),
        "half": ("refused", "truncated"),
        "bomb": ("refused", "too_many_pixels"),
        "fine": ("present", None),
    }
    images = ctx.lake.read_table(manifest, "images")
    assert images.drop_nulls("uri")["photo_id"].to_list() == ["fine"]
    # what trains and embeds reads one or the other
    assert images.drop_nulls("sha256")["photo_id"].to_list() == ["fine"]
    assert (manifest.facts["present_count"], manifest.facts["refused_count"]) == (1, 6)


def test_a_file_that_is_no_picture_gives_way_to_the_photos_address(
    server: FaultyServer, open_context: Contexts
) -> None:
    ctx = open_context()
    for name in ("a", "b"):
        write(Path(ctx.dataset_uri) / "photos", f"{name}.jpg", b"<html>404</html>")
    commit_photos(ctx, {"a": server.url("ok/1"), "b": server.url("404")})
    found = statuses(ctx, run_stage(ctx, "fetch_images", PARAMS))
    assert found == {"a": ("fetched", None), "b": ("refused", "not_an_image")}


def test_files_that_are_no_pictures_stop_the_night_before_it_trains(make_context: Contexts) -> None:
    ctx = make_context()
    folder = Path(ctx.dataset_uri) / "photos"
    for number in range(6):
        write(folder, f"p{number}.jpg", b"<html>404</html>" if number % 3 == 0 else None)
    commit_photos(ctx, dict.fromkeys(f"p{number}" for number in range(6)))
    with raises(GateFailed, "too_many_images_missing") as caught:
        run_stage(ctx, "fetch_images", FetchImagesParams())
    assert "refused (not_an_image): 2, such as p0.jpg, p3.jpg" in str(caught.value)


def test_a_verdict_about_an_unchanged_file_is_reused_the_next_night(
    make_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = [make_context(run_date=date(2025, 12, day)) for day in (27, 28, 29)]
    folder = Path(nights[0].dataset_uri) / "photos"
    bad = write(folder, "bad.jpg", b"<html>404</html>")
    write(folder, "fine.jpg")
    ids: dict[str, str | None] = dict.fromkeys(["bad", "fine"])
    for night in nights:
        commit_photos(night, ids)
    first = run_stage(nights[0], "fetch_images", PARAMS)
    second = run_stage(nights[1], "fetch_images", PARAMS)
    assert [manifest.facts["hashed_count"] for manifest in (first, second)] == [2, 0]
    assert statuses(nights[1], second) == {"bad": ("refused", "not_an_image"), "fine": ("present", None)}
    bad.write_bytes(picture())
    third = run_stage(nights[2], "fetch_images", PARAMS)
    assert statuses(nights[2], third)["bad"] == ("present", None)
    assert third.facts["hashed_count"] == 1
    stricter = run_stage(nights[2], "fetch_images", PARAMS.model_copy(update={"max_pixels": 100}))
    assert stricter.facts["hashed_count"] == 2
    assert statuses(nights[2], stricter)["fine"] == ("refused", "too_many_pixels")


def test_a_data_set_in_an_object_store(make_context: Contexts) -> None:
    with fsspec.open("memory://catalogue/photos/a.jpg", "wb") as file:
        file.write(picture())
    ctx = make_context(dataset_uri="memory://catalogue")
    commit_photos(ctx, {"a": None})
    row = ctx.lake.read_table(run_stage(ctx, "fetch_images", PARAMS), "images").row(0, named=True)
    assert (row["status"], row["byte_count"]) == ("present", len(picture()))
    with fsspec.open(row["uri"], "rb") as file:
        assert file.read() == picture()


def test_progress_says_rate_and_time_left(caplog: pytest.LogCaptureFixture) -> None:

    now = iter([0.0, 5.0, 12.0, 13.0])
    progress = Progress(logging.getLogger("test"), "photos", 200, clock=lambda: next(now))
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            progress.advance(20)
    assert caplog.messages == ["photos: 40 of 200 (20%), 3.3/s, 48 s left"]
