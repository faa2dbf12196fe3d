"""The index against brute force: flat is exact, shards change nothing, damage is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ann

DIM = 16


def unit_vectors(count: int, seed: int, dim: int = DIM) -> ann.Floats:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def names(count: int) -> list[str]:
    return [f"photo-{number}" for number in range(count)]


def build(folder: Path, photo_ND: ann.Floats, **options: Any) -> ann.IndexDescription:
    folder.mkdir(exist_ok=True)
    options = {"model_digest": "m1", "shard_size": 100} | options
    return ann.build_index(folder, photo_ND, ann.stable_ids(names(len(photo_ND))), **options)


def reopen(folder: Path, count: int, model_digest: str = "m1") -> ann.ShardedIndex:
    return ann.ShardedIndex.open(folder, model_digest, ann.stable_ids(names(count)), names(count))


def brute_force(query_QD: ann.Floats, photo_ND: ann.Floats, k: int) -> list[list[str]]:
    order_QN = np.argsort(-(query_QD.astype(np.float64) @ photo_ND.astype(np.float64).T), axis=1, kind="stable")
    return [[f"photo-{row}" for row in rows[:k]] for rows in order_QN]


@pytest.mark.parametrize("shard_size", [1000, 100, 60])
def test_a_flat_index_finds_what_brute_force_finds(tmp_path: Path, shard_size: int) -> None:
    photo_ND, query_QD = unit_vectors(300, 1), unit_vectors(20, 2)
    description = build(tmp_path, photo_ND, shard_size=shard_size)
    assert len(description.shards) == ann.shard_count_for(300, shard_size)
    assert sum(shard.photo_count for shard in description.shards) == 300
    found = reopen(tmp_path, 300).search(query_QD, 10)
    assert [[photo_id for photo_id, _ in row] for row in found] == brute_force(query_QD, photo_ND, 10)
    best = [row[0][1] for row in found]
    np.testing.assert_allclose(best, (query_QD @ photo_ND.T).max(axis=1), atol=1e-6)


def test_more_results_than_photos_gives_every_photo_once(tmp_path: Path) -> None:
    photo_ND = unit_vectors(5, 1)
    build(tmp_path, photo_ND, shard_size=2)  # four shards for five photos: some are empty or nearly so
    (found,) = reopen(tmp_path, 5).search(photo_ND[:1], 10)
    assert sorted(photo_id for photo_id, _ in found) == names(5)
    assert found[0][0] == "photo-0"


def test_an_inverted_file_scanned_whole_is_exact_and_scanned_in_part_is_nearly_so(tmp_path: Path) -> None:
    photo_ND, query_QD = unit_vectors(4000, 1), unit_vectors(50, 2)
    whole = build(tmp_path / "whole", photo_ND, shard_size=2000, kind="ivf_flat", nprobe=10_000)
    assert whole.nlist == whole.nprobe == ann.list_count_for(2000)
    found = reopen(tmp_path / "whole", 4000).search(query_QD, 10)
    assert [[photo_id for photo_id, _ in row] for row in found] == brute_force(query_QD, photo_ND, 10)

    recalls = []
    for nprobe in (1, 8, 32):
        build(tmp_path / "part", photo_ND, shard_size=2000, kind="ivf_flat", nprobe=nprobe)
        recalls.append(measured_recall(reopen(tmp_path / "part", 4000), query_QD, photo_ND))
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.6 < 0.9 < recalls[2] < 1.0


def measured_recall(index: ann.ShardedIndex, query_QD: ann.Floats, photo_ND: ann.Floats) -> float:
    row_of = {int(found): row for row, found in enumerate(ann.stable_ids(names(len(photo_ND))))} | {-1: -1}
    ids_QK, _ = index.search_ids(query_QD, 10)
    return ann.recall_at_k(query_QD, photo_ND, np.vectorize(row_of.get)(ids_QK))


def test_auto_is_flat_until_the_catalogue_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ann, "FLAT_BELOW", 500)
    assert build(tmp_path, unit_vectors(499, 1)).kind == "flat"
    assert build(tmp_path, unit_vectors(500, 1)).kind == "ivf_flat"


@pytest.mark.parametrize("kind", ["flat", "ivf_flat"])
def test_equal_input_gives_equal_files_in_whatever_order(tmp_path: Path, kind: str) -> None:
    photo_ND = unit_vectors(400, 1)
    ids = ann.stable_ids(names(400))
    options: dict[str, Any] = {"model_digest": "m1", "shard_size": 150, "kind": kind, "seed": 7}
    first, second = (
        ann.build_index(tmp_path, photo_ND[order], ids[order], **options)
        for order in (np.arange(400), np.random.default_rng(3).permutation(400))
    )
    assert first == second


def test_a_photo_keeps_its_id_and_shard_when_others_come_and_go(tmp_path: Path) -> None:
    photo_ND = unit_vectors(400, 1)
    ids = ann.stable_ids(names(400))
    members = []
    for number, rows in enumerate((np.arange(300), np.arange(20, 400))):
        folder = tmp_path / str(number)
        folder.mkdir()
        description = ann.build_index(folder, photo_ND[rows], ids[rows], model_digest="m1", shard_size=100)
        shards = [ann._ids_of(ann._read_shard(folder / shard.file, shard)) for shard in description.shards]
        members.append({int(i): shard for shard, found in enumerate(shards) for i in found})
    kept = members[0].keys() & members[1].keys()
    assert len(kept) == 280
    assert all(members[0][i] == members[1][i] for i in kept)


@given(st.lists(st.text(max_size=12), unique=True, max_size=50))
def test_ids_are_63_bits_and_of_the_name_alone(photo_ids: list[str]) -> None:
    ids = ann.stable_ids(photo_ids)
    assert (ids >= 0).all()
    assert ids[::-1].tolist() == ann.stable_ids(photo_ids[::-1]).tolist()


def test_two_photos_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="'b' and 'b' have the same index id"):
        ann.stable_ids(["a", "b", "c", "b"])


def test_recall_counts_found_of_the_best() -> None:
    photo_ND = np.eye(4, dtype=np.float32)
    query_QD = np.array([[0.8, 0.5, 0.3, 0.1], [0.1, 0.3, 0.5, 0.8]], dtype=np.float32)
    assert ann.recall_at_k(query_QD, photo_ND, np.array([[0, 1], [3, 2]])) == 1.0
    assert ann.recall_at_k(query_QD, photo_ND, np.array([[0, 2], [3, 2]])) == 0.75
    assert ann.recall_at_k(query_QD, photo_ND, np.array([[0, -1], [-1, -1]])) == 0.25


def test_recall_does_not_care_which_of_equal_photos_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ann, "_BLOCK", 2)
    photo_ND = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)  # three copies of each of two pictures
    query_QD = np.array([[1.0, 0.0]], dtype=np.float32)
    for rows in ([0, 1], [1, 2], [2, 0]):
        assert ann.recall_at_k(query_QD, photo_ND, np.array([rows])) == 1.0
    assert ann.recall_at_k(query_QD, photo_ND, np.array([[0, 3]])) == 0.5


def test_another_models_queries_are_refused(tmp_path: Path) -> None:
    build(tmp_path, unit_vectors(10, 1))
    with pytest.raises(ann.UnusableIndex, match="holds vectors of model m1, asked for is m2"):
        reopen(tmp_path, 10, "m2")


def test_damage_is_refused_by_file(tmp_path: Path) -> None:
    description = build(tmp_path, unit_vectors(300, 1))
    with pytest.raises(ann.UnusableIndex, match="id map of 299 photos"):
        reopen(tmp_path, 299)
    shard = tmp_path / "shard-0001.faiss"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ann.UnusableIndex, match=r"shard-0001\.faiss is not the file that was built"):
        reopen(tmp_path, 300)
    shard.unlink()
    with pytest.raises(ann.UnusableIndex, match=r"shard-0001\.faiss is missing"):
        reopen(tmp_path, 300)
    assert replace(description) == ann.IndexDescription.read(tmp_path)
    fields = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(fields | {"surplus": 1}))
    with pytest.raises(ann.UnusableIndex, match=r"index\.json cannot be read"):
        reopen(tmp_path, 300)


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((3, 4), dtype=np.float32),
        np.full((3, 4), np.nan, dtype=np.float32),
        np.eye(4, dtype=np.float64),
        np.empty((0, 4), dtype=np.float32),
    ],
)
def test_other_than_unit_float32_vectors_are_refused(tmp_path: Path, vectors: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ValueError, match="vectors must be"):
        build(tmp_path, vectors)
