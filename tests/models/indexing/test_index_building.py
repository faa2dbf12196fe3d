"""Ids, shards and files: of the photos alone, the same on every night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.indexing.building import build_index
from models.indexing.filling import BASE_MEMORY_MB, ShardFiller, TooLittleMemory, photos_within, train
from models.indexing.ids import hashed_ids, stable_ids
from models.indexing.kinds import KINDS, Kind, bytes_per_vector, choose_kind, fewest_photos, recipe_for
from models.indexing.shards import ShardKey, assign, plan_shards
from tests.errors import raises
from tests.models.indexing.vectors import build, names, unit_vectors


@given(st.lists(st.text(max_size=12), unique=True, max_size=50))
def test_ids_are_63_bits_and_of_the_name_alone(photo_ids: list[str]) -> None:
    ids = stable_ids(photo_ids)
    assert (ids >= 0).all()
    assert ids[::-1].tolist() == stable_ids(photo_ids[::-1]).tolist()


def test_two_photos_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="'b'"):
        stable_ids(["a", "b", "c", "b"])
    with pytest.raises(ValueError, match="ids"):
        ShardFiller(recipe_for("flat", 16, 3, 3), None).add(unit_vectors(3, 1), np.array([1, 2, 2]), names(3))


# -- shards ----------------------------------------------------------------------------------------------------

_DAYS = st.dictionaries(st.integers(-50, 70_000), st.integers(1, 60), min_size=1, max_size=40)


def photos_of(count_by_day: dict[int, int]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    day_N = np.repeat(list(count_by_day), list(count_by_day.values()))
    return day_N, hashed_ids(names(len(day_N)))


@given(_DAYS, st.integers(1, 200))
def test_every_photo_lies_in_one_shard_and_none_is_too_full(count_by_day: dict[int, int], size: int) -> None:
    keys = plan_shards(count_by_day, size)
    day_N, ids_N = photos_of(count_by_day)
    shard_N = assign(keys, day_N, ids_N)
    assert len({key.name for key in keys}) == len(keys)
    for number, key in enumerate(keys):
        inside = day_N[shard_N == number].clip(0, 65535)
        assert ((inside >= key.first_day) & (inside < key.first_day + key.day_count)).all()
        assert key.part_count > 1 or 0 < len(inside) <= size


@given(_DAYS, st.integers(20, 200), st.data())
def test_shards_whose_days_have_the_same_photos_stay_unless_others_force_a_cut(
    count_by_day: dict[int, int], size: int, data: Any
) -> None:
    """New photos of the last day change no shard but those that hold this day or are cut around it."""
    last = max(count_by_day)
    tomorrow = count_by_day | {last: count_by_day[last] + data.draw(st.integers(1, 30))}
    before, after = set(plan_shards(count_by_day, size)), set(plan_shards(tomorrow, size))
    (holder,) = {(key.first_day, key.day_count) for key in before if _has(key, last)}
    for key in after - before:
        assert holder[0] <= key.first_day
        assert key.first_day + key.day_count <= holder[0] + holder[1]


def _has(key: ShardKey, day: int) -> bool:
    return key.first_day <= min(max(day, 0), 65535) < key.first_day + key.day_count


def test_a_photo_of_a_day_that_was_not_planned_is_refused() -> None:
    keys = plan_shards({40_000: 500, 50_000: 500}, 600)
    with pytest.raises(ValueError, match="shards"):
        assign(keys[1:], np.array([40_000]), np.array([1]))


def test_new_photos_leave_the_files_of_other_days_as_they_are(tmp_path: Path) -> None:
    photo_ND, day_N = unit_vectors(400, 1), np.arange(400) // 4 + 18_000
    today = build(tmp_path / "today", photo_ND[:390], day_N=day_N[:390], shard_size=120)
    tomorrow = build(tmp_path / "tomorrow", photo_ND, day_N=day_N, shard_size=120)
    same = set(today.shards) & set(tomorrow.shards)
    assert len(today.shards) > 4
    assert len(same) == len(today.shards) - 1


# -- kinds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photo_count", "limits", "kind", "reason"),
    [
        (99_999, {}, "flat", "99,999 photos, fewer than 100,000"),
        (100_000, {}, "ivf_flat", "ivf_flat takes 0.1 GB and usually finds 95%"),
        (3_000_000, {"min_recall": 0.97}, "hnsw", "hnsw takes 3.9 GB and usually finds 98%"),
        (3_000_000, {"min_recall": 1.0}, "flat", "only comparing with every one is sure to find 100.0%"),
        (50_000, {"max_index_bytes": 10_000_000}, "opq_ivf_pq", "do not fit into 0.0 GB"),
        (3_000_000, {"max_index_bytes": 10**9, "min_recall": 0.7}, "opq_ivf_pq", "takes 0.4 GB and usually finds 80%"),
        (3_000_000, {"max_index_bytes": 10**9}, "opq_ivf_pq", "none that does usually finds 90%"),
        (3_000_000, {"max_index_bytes": 10**6}, "opq_ivf_pq", "nor does any other"),
    ],
)
def test_auto_says_which_kind_and_why(photo_count: int, limits: dict[str, Any], kind: str, reason: str) -> None:
    choice = choose_kind(photo_count, 256, **limits)
    assert choice.kind == kind
    assert reason in choice.reason


@given(st.integers(1, 10**9), st.integers(8, 1152), st.integers(1, 10**13), st.floats(0, 1))
def test_auto_takes_what_fits_if_anything_does(photo_count: int, dim: int, limit: int, recall: float) -> None:
    choice = choose_kind(photo_count, dim, max_index_bytes=limit, min_recall=recall)
    size = {kind: photo_count * bytes_per_vector(kind, dim) for kind in KINDS}
    assert size[choice.kind] <= limit or min(size.values()) > limit
    assert choice.reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_takes_the_bytes_it_is_said_to(tmp_path: Path, kind: Kind) -> None:
    sizes = [build(tmp_path / str(n), unit_vectors(n, 1, 32), kind, shard_size=9999).byte_count for n in (2000, 4000)]
    recipes = [recipe_for(kind, 32, n, n) for n in (2000, 4000)]
    centroids = [4 * 32 * (recipe.nlist or 0) for recipe in recipes]
    measured = (sizes[1] - centroids[1] - sizes[0] + centroids[0]) / 2000
    # codes of a small corpus have fewer than 8 bits
    expected = bytes_per_vector(kind, 32) - (16 * (8 - recipes[1].code_bits) / 8 if recipes[1].code_bits else 0)
    assert measured == pytest.approx(expected, rel=0.25 if recipes[1].code_bits else 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_input_gives_equal_files_in_whatever_order(tmp_path: Path, kind: Kind) -> None:
    photo_ND, photo_ids, day_N = unit_vectors(400, 1), np.array(names(400)), np.arange(400) // 10
    descriptions = []
    for order in (np.arange(400), np.random.default_rng(3).permutation(400)):
        given_ids = photo_ids[order].tolist()
        options: dict[str, Any] = {"model_digest": "m1", "shard_size": 150, "day_N": day_N[order], "seed": 7}
        descriptions.append(build_index(tmp_path, photo_ND[order], given_ids, kind, **options))
    assert descriptions[0] == descriptions[1]


def test_a_photo_without_enough_company_still_gets_a_quantizer() -> None:
    recipe = recipe_for("ivf_pq", 16, 5, 5)
    assert (recipe.nlist, recipe.code_bits) == (1, 1)


# -- memory and content ----------------------------------------------------------------------------------------


def test_less_memory_makes_smaller_shards_and_too_little_is_refused() -> None:
    sizes = [photos_within(limit, "flat", 256) for limit in (600, 1000, 4000)]
    assert sizes == sorted(sizes)
    assert photos_within(1000, "ivf_pq", 256) > photos_within(1000, "hnsw", 256)
    with raises(TooLittleMemory, "too_little_memory", allowed_mb=BASE_MEMORY_MB):
        photos_within(BASE_MEMORY_MB, "flat", 256)


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
    with pytest.raises(ValueError, match="vectors"):
        build(tmp_path, vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_built_of_the_fewest_photos_it_learns_from(kind: Kind, tmp_path: Path) -> None:
    fewest = fewest_photos(kind, 16)
    assert build(tmp_path, unit_vectors(fewest, 1), kind).photo_count == fewest


@pytest.mark.parametrize("kind", ["ivf_pq", "opq_ivf_pq"])
def test_fewer_photos_than_a_kind_learns_from_are_an_error_and_not_the_end_of_the_process(kind: Kind) -> None:
    fewest = fewest_photos(kind, 16)
    with pytest.raises(ValueError, match=f"learns from {fewest} photos at least"):
        train(recipe_for(kind, 16, fewest - 1, fewest - 1), unit_vectors(fewest - 1, 1), 0)


def test_a_rotation_is_learned_from_as_many_photos_as_vectors_have_numbers() -> None:
    assert recipe_for("opq_ivf_pq", 1152, 40, 1152).training_count == 1152


def test_what_does_not_fit_is_of_a_kind_that_so_few_photos_can_teach() -> None:
    chosen = choose_kind(1000, 1152, max_index_bytes=2**16)
    assert fewest_photos(chosen.kind, 1152) <= 1000
