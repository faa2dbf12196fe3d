"""Taking over by columns finds the same as looking at every photo, in one process and in Spark's tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.adapters import safe_download
from jobs.adapters.safe_download import PLAIN_URL, checked_url, sized_url
from jobs.config.params.ingest import FetchImagesParams
from jobs.context import RunContext
from jobs.datasets.clean import VALIDATED
from jobs.errors import GateFailed
from jobs.ingest.image_listing import file_stems, list_images
from jobs.ingest.image_sources import FetchedImages
from jobs.ingest.photo_files import file_stem
from jobs.lake.manifest import Manifest
from jobs.nights.stage_runner import run_stage
from tests.conftest import Contexts
from tests.errors import raises
from tests.faulty_server import MAX_BYTES, FaultyServer, bomb, picture, running_server
from tests.jobs.ingest.plain_images import PlainLocator, find_plainly
from tests.validated_lake import commit_tables

PARAMS = FetchImagesParams(
    width=64, concurrency=5, max_bytes=MAX_BYTES, max_pixels=1_000_000, retry_count=1, max_missing_share=1.0
)
ENGINES = pytest.mark.parametrize(
    "spark_from_rows",
    [
        pytest.param(1_000_000, id="one process", marks=pytest.mark.quick),
        pytest.param(1, id="Spark", marks=[pytest.mark.spark, pytest.mark.integration]),
    ],
)
PAGE = b"<html>404</html>"
ODD_IDS = [
    "a/b",
    "a%2Fb",
    "../../x",
    "50%",
    "SKU 1.5",
    ".hidden",
    "trail.",
    "new.\n",
    "été",
    "x" * 250,
    "0108",
    "A|" * 60,
]
URLS = {
    "ok/1": "ok/1",
    "ok/2": "ok/2?ixid=x%20y&w=9&fit=crop#top",
    "html": "html",
    "half": "half",
    "404": "404",
    "huge": "huge",
    "moved": "to/ok",
    "login": "to/login",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setattr(safe_download, "BACKOFF_SECONDS", 0.01)
    with running_server() as faulty:
        yield faulty


def context(make_context: Contexts, spark_from_rows: int, **changes: Any) -> RunContext:
    ctx = make_context(**changes)
    settings = ctx.settings.model_copy(update={"allow_private_addresses": True, "spark_from_rows": spark_from_rows})
    return ctx.model_copy(update={"settings": settings})


def write_odd_files(root: Path) -> None:
    """Write pictures under every kind of name, and files that are none, into all folders of a data set."""
    for folder in ("photos", "images", ""):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, photo_id in enumerate(ODD_IDS):
        (root / "photos" / f"{file_stem(photo_id)}.png").write_bytes(picture((20 * number, 0, 0), "PNG"))
    files = {
        "photos/a:b.jpg": picture((1, 1, 1)),  # as it is
        "images/a%3Ab.jpg": picture((2, 2, 2)),  # as `file_stem` writes it: this counts
        "photos/c:d.jpg": picture((3, 3, 3)),
        "photos/many.webp": picture((4, 4, 4), "WEBP"),
        "photos/many.JPG": picture((5, 5, 5)),
        "photos/many.jpg": picture((6, 6, 6)),
        "images/many.jpg": picture((7, 7, 7)),
        "many.jpg": picture((8, 8, 8)),
        "images/second.jpg": picture((9, 9, 9)),
        "beside.jpeg": picture((10, 10, 10)),
        "photos/nobodys.jpg": picture(),
        "photos/large.jpg": bytes(MAX_BYTES + 1),
        "photos/none.jpg": b"",
        "photos/bomb.png": bomb(),
        "photos/phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
        "photos/.jpg": picture(),
        "photos/notes.txt": b"",
        **{f"photos/page {name}.jpg": PAGE for name in (*URLS, "alone", "bad") if "/" not in name},
    }
    for name, body in files.items():
        (root / name).write_bytes(body)
    (root / "photos" / "gone.jpg").symlink_to(root / "nowhere")
    (root / "photos" / "linked.jpg").symlink_to(root / "photos" / "many.jpg")
    (root / "photos" / "folder.jpg").mkdir()
    (root / os.fsdecode(b"photos/no text \xff.jpg")).write_bytes(picture())


def photos_of(server: FaultyServer) -> dict[str, str | None]:
    """Photos with a file, with an address, with both, and with neither."""
    urls = {name: server.url(path) for name, path in URLS.items()}
    named = ["a:b", "c:d", "many", "second", "beside", "large", "none", "bomb", "phone", "gone", "linked", "folder"]
    return {
        **dict.fromkeys([*ODD_IDS, *named, "page alone", "nothing"]),
        **urls,
        **{f"page {name}": url for name, url in urls.items() if "/" not in name},
        "both": "",
        "50% ": "",
        "page bad": "ftp://host/a",
        "scheme": "file:///etc/passwd",
        "login in it": "http://me:pw@host/a",
        "space": "http://host/a b",
        "label": f"http://{'a' * 64}.invalid/a",
        "nobody": "https://photos.invalid/a",
        "c%3Ad": None,
    }


def change_files(root: Path, urls: dict[str, str | None], server: FaultyServer) -> dict[str, str | None]:
    """Do what may happen between two nights; return the photos of the second."""
    photos = root / "photos"
    (photos / "many.jpg").unlink()  # another counts now
    (photos / "50%25.png").write_bytes(picture((99, 0, 0), "PNG") + b"longer")
    touched = photos / "0108.png"
    os.utime(touched, ns=(1, touched.stat().st_mtime_ns + 5_000_000_000))
    (photos / "second.png").write_bytes(picture((98, 0, 0), "PNG"))  # is preferred to that in images/
    (photos / "ok%2F1.png").write_bytes(picture((97, 0, 0), "PNG"))  # the photo had a download
    (photos / "page 404.jpg").write_bytes(picture((96, 0, 0)))
    (root / "beside.jpeg").unlink()
    changed = urls | {"moved": server.url("ok/5"), "new": server.url("ok/6"), "beside": server.url("ok/8")}
    del changed["été"]
    return changed


def commit_photos(ctx: RunContext, urls: dict[str, str | None]) -> None:
    rows = pl.DataFrame([*urls.items()], schema={"photo_id": pl.String, "image_url": pl.String}, orient="row")
    commit_tables(ctx, VALIDATED, {"photos": rows})


def compare(ctx: RunContext, manifest: Manifest, rows: list[tuple[Any, ...]], plain: PlainLocator) -> None:
    """Hold both tables and the facts to the plain version."""
    images = ctx.lake.read_table(manifest, "images")
    key = pl.col("uri").str.extract("/([0-9a-f]{32})-[^/]*[.]img$")
    named_by_key = images.with_columns(pl.when(pl.col("status") == "fetched").then(key).otherwise("uri").alias("uri"))
    assert named_by_key.rows() == rows
    assert ctx.lake.read_table(manifest, "files").rows() == sorted(map(tuple, plain.local))
    facts = manifest.facts
    assert (facts["hashed_count"], facts["downloaded_count"]) == (len(plain.hashed), len(plain.downloaded))
    for status in ("present", "fetched", "missing", "refused", "failed"):
        assert facts[f"{status}_count"] == sum(row[1] == status for row in rows) > 0
    reasons = [row[2] for row in rows if row[2] is not None]
    assert facts["reasons"] == {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    assert facts["byte_count"] == sum(row[4] or 0 for row in rows)


@ENGINES
def test_three_nights_find_what_looking_at_every_photo_finds(
    server: FaultyServer, make_context: Contexts, spark_from_rows: int, request: pytest.FixtureRequest
) -> None:
    if spark_from_rows == 1:
        request.getfixturevalue("spark")
    nights = [context(make_context, spark_from_rows, run_date=date(2025, 12, day)) for day in (27, 28, 29)]
    root = Path(nights[0].dataset_uri)
    write_odd_files(root)
    urls = photos_of(server)
    known: dict[Any, Any] = {}
    downloads: dict[str, Any] = {}
    for number, ctx in enumerate(nights):
        if number == 1:
            urls = change_files(root, urls, server)
        commit_photos(ctx, urls)
        rows, plain = find_plainly(ctx, PARAMS, urls, known, downloads)
        compare(ctx, run_stage(ctx, "fetch_images", PARAMS), rows, plain)
        known = {file[1:4]: file[4:] for file in plain.local if file.modified_ns is not None and file.sha256}
    assert len(plain.hashed) == 2  # the third night: only links, whose time is not trusted
    assert not plain.downloaded


@ENGINES
def test_the_message_of_a_stopped_night_has_counts_and_examples(
    make_context: Contexts, spark_from_rows: int, request: pytest.FixtureRequest
) -> None:
    if spark_from_rows == 1:
        request.getfixturevalue("spark")
    ctx = context(make_context, spark_from_rows)
    folder = Path(ctx.dataset_uri) / "photos"
    folder.mkdir(parents=True)
    for number in range(9):
        (folder / f"p{number}.jpg").write_bytes(PAGE if number % 2 == 0 else picture())
    commit_photos(ctx, dict.fromkeys([*(f"p{number}" for number in range(9)), "q1", "q2"]))
    with raises(GateFailed, "too_many_images_missing", missing=7, photos=11) as caught:
        run_stage(ctx, "fetch_images", FetchImagesParams())
    expected = "refused (not_an_image): 5, such as p0.jpg, p2.jpg, p4.jpg; missing (no_url): 2, such as q1, q2. Put"
    assert expected in str(caught.value)


@pytest.mark.quick
def test_of_two_downloads_under_one_key_the_first_by_name_counts(make_context: Contexts) -> None:
    store = FetchedImages(make_context().lake)
    key = "7" + "0" * 31
    kept = [store.put(key, body) for body in (picture((1, 2, 3)), picture((4, 5, 6)), picture((7, 8, 9)))]
    store.put("70" + "1" * 30, picture())
    assert store.table("7").filter(pl.col("download_key") == key).rows() == [(key, *min(kept))]
    assert store.table("8").is_empty()


@pytest.mark.quick
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=210) | st.from_regex(r"[ab./%: \n]{0,4}\Z")))
def test_stems_by_columns_are_those_one_by_one(photo_ids: list[str]) -> None:
    assert file_stems(pl.Series(photo_ids, dtype=pl.String)).to_list() == [file_stem(one) for one in photo_ids]


@pytest.mark.quick
@given(st.from_regex(PLAIN_URL.removesuffix("$") + r"\Z"))
def test_a_plain_address_is_allowed_and_gets_a_query(url: str) -> None:
    checked_url(url)
    assert sized_url(url, 64) == f"{url}?w=64&fm=jpg&fit=max"


@pytest.mark.quick
def test_the_digest_of_a_listing_follows_the_files_and_not_their_order(tmp_path: Path) -> None:
    def digest(names: list[str]) -> str:
        root = tmp_path / "-".join(names)
        (root / "photos").mkdir(parents=True)
        for name in names:
            path = root / "photos" / name
            path.write_bytes(picture())
            os.utime(path, ns=(1, 1_700_000_000_000_000_000))
        (root).rename(tmp_path / "set")
        found = list_images(str(tmp_path / "set")).digest
        (tmp_path / "set").rename(root)
        return found

    assert digest(["a.jpg", "b.jpg", "c.jpg"]) == digest(["c.jpg", "a.jpg", "b.jpg"])
    assert len({digest(names) for names in (["d.jpg"], ["d.png"], ["d.jpg", "e.jpg"], ["e.jpg"])}) == 4
