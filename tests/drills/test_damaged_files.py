"""Files that are not what was committed: a flipped bit, a cut, an empty file. Each is named, and used for nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from jobs.adapters.spark_tables import read_parts
from jobs.context import RunContext
from jobs.datasets.indexes import PHOTO_INDEX
from jobs.datasets.models import BASE_MODEL, REGISTRATION
from jobs.datasets.releases import RELEASE
from jobs.errors import BadInput, MissingInput
from jobs.ingest.rows import pseudonym
from jobs.lake.manifest import Manifest
from jobs.lake.vector_store import PART_SCHEMA, part_bytes, part_name, read_part
from jobs.releasing.ledger import Ledger
from jobs.runtime.error_translation import explain
from models.search.checkpoint import pack, unpack
from models.search.errors import ModelError
from tests.conftest import Contexts
from tests.drills.conftest import Call, flip
from tests.errors import raises
from tests.released import Registry, commit_candidate, commit_release
from tests.training_lake import commit_images, commit_splits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CHANCE = random.Random(20251006)


def table_file(context: RunContext, manifest: Manifest, table: str) -> Path:
    return Path(context.lake.root) / manifest.tables[table].files[0].path


# -- a flipped bit ----------------------------------------------------------------------------------------


def test_a_flipped_bit_anywhere_in_a_table_is_found_by_every_way_of_reading(make_context: Contexts) -> None:
    """Without the digest most of these would be read as other numbers, without a word."""
    context = make_context()
    splits = commit_splits(context)
    path = table_file(context, splits, "train")
    whole, silent = path.read_bytes(), 0
    for place in CHANCE.sample(range(len(whole)), 60):
        path.write_bytes(whole)
        flip(path, place)
        lake = make_context().lake
        ways = {
            "read_table": lambda lake=lake: lake.read_table(splits, "train"),
            "read_shards": lambda lake=lake: lake.read_shards(splits, "train", [0]),
            "table_uris": lambda lake=lake: lake.table_uris(splits, "train"),
            "spark_uris": lambda lake=lake: lake.spark_uris(splits, "train"),
        }
        for name, read in ways.items():
            with raises(BadInput, "stored_file_changed", path=str(path)) as caught:
                read()
            assert str(path.parents[3]) in str(caught.value).replace(str(path), ""), name
        try:
            pq.read_table(path)
            silent += 1
        except Exception:  # the library itself notices
            continue
    assert silent > 0


def test_a_file_of_a_run_that_is_gone_is_named(make_context: Contexts) -> None:
    context = make_context()
    splits = commit_splits(context)
    path = table_file(context, splits, "train")
    path.unlink()
    with raises(MissingInput, "stored_file_gone", path=str(path)):
        context.lake.read_table(splits, "train")


def test_a_stage_on_a_damaged_table_commits_nothing_until_its_run_is_made_again(
    make_context: Contexts, call: Call, tmp_path: Path
) -> None:
    context = make_context()
    splits = commit_splits(context)
    commit_images(context, tmp_path / "photos")
    path = table_file(context, splits, "photos")
    flip(path, path.stat().st_size // 2)
    ended = call("train_base", "--epochs", "1")
    assert (ended.status, ended.code) == (2, "stored_file_changed")
    assert str(path) in ended.said
    assert context.lake.history(BASE_MODEL) == []
    for file in sorted((Path(context.lake.root) / splits.reference).rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    again = commit_splits(make_context())
    assert (again.run_id, again.digest) == (splits.run_id, splits.digest)


@pytest.mark.parametrize("place", [20, 2000, -5])
def test_damaged_weights_are_not_registered(tracked: RunContext, call: Call, place: int) -> None:
    release = commit_release(tracked, is_registered=False)
    path = Path(tracked.lake.file_path(release, "model/model.safetensors"))
    flip(path, place)
    ended = call("register_model")
    assert ended.status == 2, ended.said
    assert "model.safetensors" in ended.said
    assert tracked.lake.history(REGISTRATION) == []


def a_part() -> tuple[str, bytes]:
    """Name and bytes of a part of 500 vectors."""
    keys, features = [f"k{number}" for number in range(500)], np.random.default_rng(1).normal(size=(500, 16))
    return part_name(keys), part_bytes(keys, features.astype(np.float32), [None] * 500)


def test_a_damaged_part_of_the_store_is_named_by_every_reader(make_context: Contexts) -> None:
    store = make_context().lake.store("vectors", "m")
    name, whole = a_part()
    store.put(name, whole)
    assert read_part(store, name, ["key"]).num_rows == 500
    path, found, named = Path(store.folder) / name, 0, set()
    expected = pl.from_arrow(read_part(store, name, ["key", "vector"]))
    for place in CHANCE.sample(range(len(whole)), 60):
        path.write_bytes(whole)
        flip(path, place)
        try:
            rows = read_part(store, name, ["key", "vector"])
        except BadInput as error:
            named.add(str(path) in str(error))
            found += 1
        else:
            assert expected.equals(pl.from_arrow(rows))  # a part of the footer that says nothing
    assert found > 40
    assert named == {True}


@pytest.mark.spark
def test_a_damaged_part_of_the_store_is_named_by_spark(make_context: Contexts, spark: SparkSession) -> None:
    context = make_context()
    store = context.lake.store("vectors", "m")
    name, whole = a_part()
    path = Path(store.folder) / name
    for damaged in (whole[:9000] + bytes([whole[9000] ^ 1]) + whole[9001:], whole[: len(whole) // 2]):
        store.put(name, damaged)
        with pytest.raises(Exception, match=r".") as caught:
            read_parts(spark, store, PART_SCHEMA).collect()
        explained = explain(caught.value, [context.settings.lake_uri])
        assert isinstance(explained, BadInput), str(caught.value)[:2000]
        assert explained.code == "stored_part_damaged"
        assert str(path) in str(explained)
    store.put(name, b"")
    assert read_parts(spark, store, PART_SCHEMA).collect() == []  # as if it were not there: its rows are embedded anew


def test_a_damaged_checkpoint_is_not_gone_on_from() -> None:
    blob = pack({"model": {"w": torch.arange(200.0)}}, {"step": 3, "rate": 0.1})
    groups, state = unpack(blob)
    assert (state, groups["model"]["w"].tolist()) == ({"step": 3, "rate": 0.1}, list(range(200)))
    damaged = [blob[:0], blob[: len(blob) // 2], blob[:-1]]
    damaged += [blob[:at] + bytes([blob[at] ^ 4]) + blob[at + 1 :] for at in CHANCE.sample(range(len(blob)), 50)]
    for one in damaged:
        with raises(ModelError, "checkpoint_damaged"):
            unpack(one)


# -- a cut, an empty file ---------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.5], ids=["empty", "half"])
@pytest.mark.parametrize("name", ["manifest.json", "current.json"])
@pytest.mark.parametrize("whose", ["input", "output"])
def test_a_cut_manifest_or_pointer_is_named_and_what_the_text_says_mends_it(
    make_context: Contexts, call: Call, share: float, name: str, whose: str
) -> None:
    context = make_context()
    commit_candidate(context)
    assert call("make_release").status == 0
    made = context.read(RELEASE)
    damaged = made if whose == "output" else context.read(PHOTO_INDEX)
    folder = Path(context.lake.root) / damaged.reference
    path = folder / name if name == "manifest.json" else folder.parent / name
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])

    ended = call("make_release")
    if (name, whose) == ("current.json", "output"):
        assert ended.status == 0  # the run is there: its pointer is written again
        assert context.read(RELEASE) == made
        return
    code = "damaged_manifest" if name == "manifest.json" else "damaged_run_pointer"
    assert (ended.status, ended.code) == (2, code)
    assert str(path) in ended.said
    path.unlink()
    if whose == "input":
        assert call("make_release").status == 2  # "Run the stage that makes it first"
        commit_candidate(make_context())
    assert call("make_release").status == 0
    assert context.read(RELEASE).digest == made.digest


@pytest.mark.parametrize("share", [0, 0.5], ids=["empty", "half"])
def test_a_cut_pointer_to_what_is_published_is_written_again_from_the_ledger(
    make_context: Contexts, registry: Registry, call: Call, share: float
) -> None:
    context = make_context()
    commit_release(context)
    better = ("--version", "1", "--reason", "better")
    assert call("promote", *better).status == 0
    path = Path(context.lake.store("published").folder) / "current.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    ended = call("promote", *better)
    assert (ended.status, ended.code) == (2, "damaged_pointer")
    assert str(path) in ended.said
    path.unlink()
    assert call("promote", *better).status == 0
    assert path.read_bytes() == whole


@pytest.mark.parametrize("share", [0, 0.5], ids=["empty", "half"])
def test_a_cut_entry_of_the_ledger_stops_every_decision(
    make_context: Contexts, registry: Registry, call: Call, share: float
) -> None:
    context = make_context()
    commit_release(context)
    assert call("promote", "--version", "1", "--reason", "better").status == 0
    path = Path(context.lake.store("ledger").folder) / "00000001.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    for command in (("ledger",), ("rollback", "--reason", "worse"), ("promote", "--version", "1", "--reason", "x")):
        ended = call(*command)
        assert (ended.status, ended.code) == (2, "damaged_ledger")
        assert "00000001.json" in ended.said
    assert registry.moves == [1]
    path.write_bytes(whole)
    assert len(Ledger(context.lake).entries()) == 1
    assert call("ledger").status == 0


# -- forgetting in a damaged lake ---------------------------------------------------------------------------

VISITOR = "0a1b2c3d-0000-4000-8000-000000000001"
FORGET = ("forget", "--visitor", VISITOR)


def leave_trace(context: RunContext) -> None:
    """Let a file of the lake hold the visitor: who is nowhere is refused."""
    key = context.settings.pseudonym_key.get_secret_value().encode()
    (Path(context.lake.root) / "trace.txt").write_text(pseudonym(VISITOR, key))


@pytest.mark.parametrize("share", [0, 0.5], ids=["empty", "half"])
def test_forgetting_names_a_cut_manifest_and_removes_nothing_before_it_is_mended(
    make_context: Contexts, call: Call, share: float
) -> None:
    context = make_context()
    splits = commit_splits(context)
    leave_trace(context)
    rows = table_file(context, splits, "train")
    path = Path(context.lake.root) / splits.reference / "manifest.json"
    manifest, table = path.read_bytes(), rows.read_bytes()
    path.write_bytes(manifest[: int(share * len(manifest))])
    ended = call(*FORGET)
    assert (ended.status, ended.code) == (2, "damaged_manifest")
    assert str(path) in ended.said
    assert rows.read_bytes() == table
    path.write_bytes(manifest)
    assert "none holds the visitor" in call(*FORGET).said


def test_forgetting_names_a_cut_table(make_context: Contexts, call: Call) -> None:
    context = make_context()
    rows = table_file(context, commit_splits(context), "train")
    leave_trace(context)
    whole = rows.read_bytes()
    rows.write_bytes(whole[:100])
    ended = call(*FORGET)
    assert (ended.status, ended.code) == (2, "damaged_file")
    assert str(rows) in ended.said
    rows.write_bytes(whole)
    assert call(*FORGET).status == 0
