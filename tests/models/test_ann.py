"""The reader against brute force: flat is exact, shards change nothing, hidden photos cost no results."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import ann
from models.indexing.ids import stable_ids
from models.indexing.kinds import KINDS
from models.indexing.measuring import ExactSearch
from tests.errors import raises
from tests.models.indexing.vectors import brute_force, build, names, unit_vectors


@pytest.mark.parametrize("shard_size", [1000, 100, 60])
def test_a_flat_index_finds_what_brute_force_finds(tmp_path: Path, shard_size: int) -> None:
    photo_ND, query_QD = unit_vectors(300, 1), unit_vectors(20, 2)
    description = build(tmp_path, photo_ND, shard_size=shard_size)
    assert (len(description.shards) == 1) == (shard_size == 1000)
    assert sum(shard.photo_count for shard in description.shards) == 300
    found = ann.ShardedIndex.open(tmp_path, "m1").search(query_QD, 10)
    assert [[photo_id for photo_id, _ in row] for row in found] == brute_force(query_QD, photo_ND, 10)
    best = [row[0][1] for row in found]
    np.testing.assert_allclose(best, (query_QD @ photo_ND.T).max(axis=1), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_more_results_than_photos_gives_every_photo_once(tmp_path: Path, kind: str) -> None:
    photo_ND = unit_vectors(50, 1)
    build(tmp_path, photo_ND, kind, shard_size=20, nprobe=1)
    (found,) = ann.ShardedIndex.open(tmp_path, "m1").search(photo_ND[:1], 60)
    assert sorted(photo_id for photo_id, _ in found) == sorted(names(50))
    assert kind in ("ivf_pq", "opq_ivf_pq") or found[0][0] == "photo-0"


def test_an_inverted_file_scanned_whole_is_exact_and_scanned_in_part_is_nearly_so(tmp_path: Path) -> None:
    photo_ND, query_QD = unit_vectors(4000, 1), unit_vectors(50, 2)
    whole = build(tmp_path / "whole", photo_ND, "ivf_flat", shard_size=2500, nprobe=10_000)
    assert whole.recipe.nlist == whole.nprobe
    found = ann.ShardedIndex.open(tmp_path / "whole", "m1").search(query_QD, 10)
    assert [[photo_id for photo_id, _ in row] for row in found] == brute_force(query_QD, photo_ND, 10)

    recalls = []
    for nprobe in (1, 8, 32):
        build(tmp_path / "part", photo_ND, "ivf_flat", shard_size=2500, nprobe=nprobe)
        recalls.append(recall_at_10(ann.ShardedIndex.open(tmp_path / "part", "m1"), query_QD, photo_ND))
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.6 < 0.9 < recalls[2] < 1.0


def recall_at_10(index: ann.ShardedIndex, query_QD: ann.Floats, photo_ND: ann.Floats) -> float:
    ids_QK, _ = index.search_ids(query_QD, 10)
    exact = ExactSearch(query_QD, 10, (ids_QK,)).scores([(stable_ids(names(len(photo_ND))), photo_ND)])
    return float(exact.recall([ids_QK], 0, 10).mean())


@pytest.mark.parametrize(
    ("kind", "least"),
    [("hnsw", 0.98), ("ivf_flat", 0.7), ("ivf_pq", 0.55), ("opq_ivf_pq", 0.55), ("lsh", 0.35)],
)
def test_every_kind_finds_most_of_the_best(tmp_path: Path, kind: str, least: float) -> None:
    photo_ND, query_QD = unit_vectors(3000, 1), unit_vectors(40, 2)
    build(tmp_path, photo_ND, kind, shard_size=2000)
    with ann.ShardedIndex.open(tmp_path, "m1") as index:
        assert recall_at_10(index, query_QD, photo_ND) >= least


@pytest.mark.parametrize("kind", KINDS)
def test_scores_fall_and_estimate_the_inner_product(tmp_path: Path, kind: str) -> None:
    photo_ND, query_QD = unit_vectors(500, 1), unit_vectors(5, 2)
    build(tmp_path, photo_ND, kind, shard_size=300)
    for query_D, row in zip(query_QD, ann.ShardedIndex.open(tmp_path, "m1").search(query_QD, 10), strict=True):
        scores = [score for _, score in row]
        assert scores == sorted(scores, reverse=True)
        exact = [float(query_D @ photo_ND[int(name.split("-")[1])]) for name, _ in row]
        error = {"lsh": 0.5, "ivf_pq": 0.4, "opq_ivf_pq": 0.4}.get(kind, 1e-5)
        np.testing.assert_allclose(scores, exact, atol=error)


# -- what must not be shown ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    for kind, folder in made.items():
        build(folder, unit_vectors(200, 1), kind, shard_size=80, nprobe=1)
    return made


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_hidden_photos_are_never_found_and_cost_no_results(folders: dict[str, Path], kind: str, data: Any) -> None:
    hidden = data.draw(st.sets(st.sampled_from(names(200))))
    in_germany = data.draw(st.sets(st.sampled_from(names(200)), max_size=150))
    k = data.draw(st.integers(1, 220))
    countries = data.draw(st.lists(st.sampled_from(["DE", "de", "GB", ""]), min_size=3, max_size=3))
    visibility = ann.Visibility.of([*hidden, "gone"], {"DE": [*in_germany, "never there"]})
    with ann.ShardedIndex.open(folders[kind], "m1", is_trusted=True, threads=1) as index:
        found = index.search(unit_vectors(3, 2), k, visibility, countries)
    for country, row in zip(countries, found, strict=True):
        photo_ids = [photo_id for photo_id, _ in row]
        shown = set(names(200)) - hidden - (in_germany if country.upper() == "DE" else set())
        assert set(photo_ids) <= shown
        assert len(set(photo_ids)) == len(photo_ids) == min(k, len(shown))


def test_without_the_hidden_the_best_of_the_others_are_found_in_their_order(tmp_path: Path) -> None:
    photo_ND, query_QD = unit_vectors(300, 1), unit_vectors(6, 2)
    build(tmp_path, photo_ND)
    best = brute_force(query_QD, photo_ND, 300)
    hidden = {photo_id for row in best for photo_id in row[:25]}
    in_france = {row[40] for row in best}
    visibility = ann.Visibility.of(hidden, {"FR": in_france})
    countries = ["FR", "GB", "FR", "", "FR", "GB"]
    found = ann.ShardedIndex.open(tmp_path, "m1").search(query_QD, 30, visibility, countries)
    for row, country, photos in zip(best, countries, found, strict=True):
        taken_out = hidden | (in_france if country == "FR" else set())
        expected = [photo_id for photo_id in row if photo_id not in taken_out][:30]
        assert [photo_id for photo_id, _ in photos] == expected


def test_searches_side_by_side_find_what_each_finds_alone(tmp_path: Path) -> None:
    photo_ND = unit_vectors(600, 1)
    build(tmp_path, photo_ND, "hnsw", shard_size=150)
    queries = [unit_vectors(3, seed) for seed in range(40)]
    with ann.ShardedIndex.open(tmp_path, "m1", threads=4) as index, ThreadPoolExecutor(8) as callers:
        together = list(callers.map(lambda query_QD: index.search(query_QD, 10), queries))
        assert together == [index.search(query_QD, 10) for query_QD in queries]


# -- what is refused -------------------------------------------------------------------------------------------


def test_another_models_queries_are_refused(tmp_path: Path) -> None:
    build(tmp_path, unit_vectors(10, 1))
    with raises(ann.UnusableIndex, "index_of_other_model", found="m1", asked="m2"):
        ann.ShardedIndex.open(tmp_path, "m2")
    with pytest.raises(ValueError, match="dimensions"):
        ann.ShardedIndex.open(tmp_path, "m1").search(unit_vectors(1, 1, dim=8), 5)


@pytest.mark.parametrize("end", [".faiss", ".ids.npy", ".photos.npy"])
def test_damage_is_refused_by_file(tmp_path: Path, end: str) -> None:
    description = build(tmp_path, unit_vectors(300, 1))
    path = tmp_path / f"{description.shards[1].name}{end}"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with raises(ann.UnusableIndex, "index_file_changed", path=path):
        ann.ShardedIndex.open(tmp_path, "m1")
    path.write_bytes(whole[:-1])
    with raises(ann.UnusableIndex, "index_file_changed", path=path, byte_count=len(whole) - 1):
        ann.ShardedIndex.open(tmp_path, "m1", is_trusted=True)
    path.unlink()
    with raises(ann.UnusableIndex, "index_file_missing", path=path):
        ann.ShardedIndex.open(tmp_path, "m1")


def test_a_description_of_another_form_is_refused(tmp_path: Path) -> None:
    description = build(tmp_path, unit_vectors(300, 1))
    assert description == ann.IndexDescription.read(tmp_path)
    fields = json.loads((tmp_path / "index.json").read_text())
    for changed in (fields | {"surplus": 1}, fields | {"format": 1}):
        (tmp_path / "index.json").write_text(json.dumps(changed))
        with raises(ann.UnusableIndex, "index_description_unreadable", path=tmp_path / "index.json"):
            ann.ShardedIndex.open(tmp_path, "m1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_can_be_moved_and_its_files_may_be_links(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query_QD = unit_vectors(5, 2)
    build(tmp_path / "made", unit_vectors(300, 1), kind)
    expected = ann.ShardedIndex.open(tmp_path / "made", "m1").search(query_QD, 10)
    shutil.move(tmp_path / "made", tmp_path / "moved")
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in (tmp_path / "moved").iterdir():
        (linked / path.name).symlink_to(path)
    monkeypatch.chdir(linked)
    assert ann.ShardedIndex.open(tmp_path / "moved", "m1").search(query_QD, 10) == expected
    assert ann.ShardedIndex.open(linked, "m1").search(query_QD, 10) == expected
