"""Near duplicates, the business filter, ground truths and lists against plain loops, metrics against ir-measures."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Callable
from functools import reduce

import ir_measures as ir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse.csgraph import connected_components

from models.evaluation.metrics import columns, list_metrics
from models.evaluation.topk_merge import merge
from models.images import decode_image
from models.search.counter_random import joint_ids, uniforms
from models.similar import duplicates, hash_pairs
from models.similar.duplicates import Units, arrange, have_close_hash, near_duplicates
from models.similar.neighbours import (
    common_keywords,
    gains_of_lists,
    judge,
    nearest_units,
    random_units,
    without_own,
)
from models.similar.picture_hash import BITS, different_bits, picture_hash
from models.similar.truths import Truth, sharing, taken_for_same_query
from tests.growth import peak_bytes


def scene(number: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """A picture of soft shapes, like a photo in that areas are even and edges are not sharp."""
    fields = np.random.default_rng(number).integers(0, 256, (5, 6, 3), np.uint8)
    return Image.fromarray(fields).resize(size, Image.Resampling.BICUBIC)


def compressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return decode_image(buffer.getvalue())


ALTERED = {
    "half the size": lambda image: image.resize((120, 90), Image.Resampling.LANCZOS),
    "other proportions of pixels": lambda image: image.resize((240, 150), Image.Resampling.LANCZOS),
    "strong compression": lambda image: compressed(image, 30),
    "a little brighter": lambda image: image.point(lambda value: min(255, value * 1.08)),
    "in grey": lambda image: image.convert("L"),
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_picture_keeps_nearly_all_bits(how: str) -> None:
    pairs = [(picture_hash(scene(n)), picture_hash(ALTERED[how](scene(n)))) for n in range(20)]
    assert max(int(different_bits(one, other)) for one, other in pairs) <= 10


def test_other_pictures_differ_in_many_bits() -> None:
    hashes = [picture_hash(scene(n)) for n in range(40)]
    bits = [int(different_bits(one, other)) for one, other in itertools.combinations(hashes, 2)]
    assert min(bits) > 20
    assert BITS / 3 < np.mean(bits) < 2 * BITS / 3


def test_an_even_picture_has_no_bits_compressed_or_not() -> None:
    even = Image.new("RGB", (64, 48), (200, 30, 90))
    assert picture_hash(even).tolist() == picture_hash(compressed(even, 20)).tolist() == [0] * 8


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 14))
def test_near_duplicates_are_the_connected_pairs_that_both_vector_and_hash_call_the_same(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    vector_ND = rng.normal(size=(4, 3))[rng.integers(0, 4, count)] + rng.normal(size=(count, 3)) * 0.05
    vector_ND = (vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True)).astype(np.float32)
    hash_NW = rng.integers(0, 2**16, (3, 8)).astype(np.uint16)[rng.integers(0, 3, count)]
    hash_NW[:, 0] ^= rng.integers(0, 16, count).astype(np.uint16)
    is_known_N = rng.random(count) < 0.9
    expected = list(range(count))
    for _ in range(count):  # the lowest of whatever is connected, step by step
        for one, other in itertools.product(range(count), repeat=2):
            is_same = vector_ND[one] @ vector_ND[other] >= 0.97 and different_bits(hash_NW[one], hash_NW[other]) <= 3
            if is_same and is_known_N[one] and is_known_N[other]:
                expected[one] = expected[other] = min(expected[one], expected[other])
    assert near_duplicates(vector_ND, hash_NW, is_known_N, 0.97, 3).tolist() == expected


def crowded(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and hashes of which many are the same, many are nearly the same, and some are alike in one way only."""
    hash_NW = rng.integers(0, 2**16, (6, 8)).astype(np.uint16)[rng.integers(0, 6, count)]
    hash_NW[:2] = 0
    for _ in range(8):
        flipped = rng.random(count) < 0.6
        bit_N = (1 << rng.integers(0, 16, count)).astype(np.uint16)
        hash_NW[np.arange(count), rng.integers(0, 8, count)] ^= np.where(flipped, bit_N, 0).astype(np.uint16)
    vector_ND = rng.normal(size=(9, 12))[rng.integers(0, 9, count)] + rng.normal(size=(count, 12)) * 0.06
    return (vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True)).astype(np.float32), hash_NW


def of_all_pairs(vector_ND: np.ndarray, hash_NW: np.ndarray, is_known_N: np.ndarray, max_bits: int) -> list[int]:
    """The groups as all pairs give them, one after the other."""
    is_pair_NN = (vector_ND.astype(float) @ vector_ND.T >= 0.97) & is_known_N[:, None] & is_known_N[None]
    is_pair_NN &= different_bits(hash_NW[:, None], hash_NW[None]) <= max_bits
    _, label_N = connected_components(is_pair_NN, directed=False)
    _, first, inverse_N = np.unique(label_N, return_index=True, return_inverse=True)
    return [int(place) for place in first[inverse_N]]


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(0, 14))
def test_groups_are_those_of_all_pairs_whatever_the_tiles_and_blocks(seed: int, count: int, max_bits: int) -> None:
    rng = np.random.default_rng(seed)
    vector_ND, hash_NW = crowded(rng, count)
    is_known_N = rng.random(count) < 0.9
    expected = of_all_pairs(vector_ND, hash_NW, is_known_N, max_bits)
    bits_NN = different_bits(hash_NW[:, None], hash_NW[None]) + 999 * np.eye(count, dtype=int)
    is_close_N = ((bits_NN <= max_bits) & is_known_N[None]).any(axis=1) & is_known_N
    for tile, vectors, dense in ((512, 4096, 16), (3, 2, 0), (3, 2, 10**6)):
        with pytest.MonkeyPatch.context() as patched:
            for module, name, number in (
                (hash_pairs, "TILE", tile),
                (hash_pairs, "_PAIRS", 2 * tile * tile),
                (duplicates, "TILE", tile),
                (duplicates, "_VECTORS", vectors),
                (duplicates, "_DENSE", dense),
                (duplicates, "_LEADERS", 2),
            ):
                patched.setattr(module, name, number)
            assert near_duplicates(vector_ND, hash_NW, is_known_N, 0.97, max_bits).tolist() == expected
            assert have_close_hash(hash_NW, is_known_N, max_bits).tolist() == is_close_N.tolist()
            of_close = near_duplicates(vector_ND, hash_NW, is_close_N, 0.97, max_bits)
            assert of_close.tolist() == expected


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(0, 20), st.integers(1, 9))
def test_each_close_pair_of_hashes_is_found_once(seed: int, count: int, max_bits: int, words: int) -> None:
    rng = np.random.default_rng(seed)
    hash_NW = np.unique(
        (rng.integers(0, 2**16, (count, words)) & rng.integers(0, 2**16, words)).astype(np.uint16), axis=0
    )
    found = [
        pair
        for pairs in hash_pairs.close_pairs(hash_pairs.codes(hash_NW), max_bits)
        for pair in zip(*pairs, strict=True)
    ]
    bits_NN = different_bits(hash_NW[:, None], hash_NW[None])
    expected = np.argwhere(np.triu(bits_NN <= max_bits, 1))
    assert sorted(tuple(sorted(map(int, pair))) for pair in found) == [tuple(pair) for pair in expected.tolist()]


def test_equal_pictures_cost_memory_by_their_number_and_not_by_their_pairs() -> None:
    def groups_of(count: int) -> Callable[[], object]:
        vector_ND, hash_NW = np.ones((count, 1), np.float32), np.zeros((count, 8), np.uint16)
        return lambda: near_duplicates(vector_ND, hash_NW, np.ones(count, bool)).tolist() == [0] * count

    assert groups_of(3000)()
    some, more = (peak_bytes(groups_of(count)) for count in (1500, 3000))
    assert more < 2.5 * some  # the pairs are four times as many


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 8))
def test_what_is_shown_is_never_hidden_never_the_query_and_each_group_once(seed: int, count: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    group_N = rng.integers(0, 6, count)
    is_query_N = np.arange(count) == rng.integers(0, count)
    is_hidden_N = rng.random(count) < 0.3
    own = int(group_N[is_query_N][0])
    allowed = [place for place in range(count) if not is_query_N[place] and not is_hidden_N[place]]
    grouped = arrange(group_N, is_query_N, is_hidden_N, own, k)
    everything = [*grouped.places, *itertools.chain(*grouped.alike), *grouped.same]
    assert len(everything) == len(set(everything))
    assert set(everything) <= set(allowed)
    assert all(group_N[place] == own for place in grouped.same)
    heads = [group_N[place] for place in grouped.places]
    assert max(Counter(heads).values(), default=0) <= 1
    assert own not in heads
    assert list(grouped.places) == sorted(grouped.places)
    for place, more in zip(grouped.places, grouped.alike, strict=True):
        assert all(group_N[other] == group_N[place] and other > place for other in more)
    if len(heads) < k:
        assert sorted(everything) == allowed
    assert arrange(group_N, is_query_N, is_hidden_N, own, k, "drop").places == grouped.places
    assert list(arrange(group_N, is_query_N, is_hidden_N, own, k, "show").places) == allowed[:k]


@given(st.integers(0, 10**6))
def test_photos_taken_for_the_same_query_are_those_a_plain_count_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photo_N, query_N, visitor_N = (rng.integers(0, top, 60) for top in (7, 5, 4))
    truth = taken_for_same_query(photo_N, query_N, visitor_N, 7, min_visitors=2, max_group_size=4)
    visitors: dict[tuple[int, int], set[int]] = {}
    for photo, query, visitor in zip(photo_N, query_N, visitor_N, strict=True):
        visitors.setdefault((query, photo), set()).add(visitor)
    taken = [pair for pair, who in visitors.items() if len(who) >= 2]
    per_query = Counter(query for query, _ in taken)
    taken = [(query, photo) for query, photo in taken if per_query[query] <= 4]
    expected = np.zeros((7, 7), int)
    for (query, photo), (other_query, other) in itertools.permutations(taken, 2):
        expected[photo, other] += query == other_query and photo != other
    assert dense(truth, 7).tolist() == expected.tolist()
    assert (truth.may_have_gains() == expected.any(axis=1)).all()


def dense(truth: Truth, count: int) -> np.ndarray:
    """The gains of every photo for every photo."""
    gain_PP = np.zeros((count, count), int)
    for block, cells in truth.gains(np.arange(count)):
        gain_PP[np.arange(count)[block][cells.row_N], cells.place_N] = cells.value_N
    return gain_PP


def lists_of(vector_PD: np.ndarray, units: Units, query_Q: np.ndarray, k: int) -> np.ndarray:
    """The lists that dot products give, from one block."""
    return without_own(nearest_units(vector_PD[query_Q], vector_PD, units.shown, k + 1), units, query_Q, k)


def random_case(seed: int) -> tuple[np.ndarray, Units, Truth]:
    """Forty photos: vectors, groups of which some hold several, a few hidden, and keywords as truth."""
    rng = np.random.default_rng(seed)
    vector_PD = rng.normal(size=(40, 6))
    vector_PD = (vector_PD / np.linalg.norm(vector_PD, axis=1, keepdims=True)).astype(np.float32)
    group_P = np.arange(40)
    group_P[[5, 9]], group_P[[20, 21]] = 2, 19
    truth = sharing(rng.integers(0, 40, 120), rng.integers(0, 12, 120), 40, min_shared=2)
    return vector_PD, Units(group_P, rng.random(40) < 0.15), truth


@pytest.mark.parametrize("seed", range(3))
def test_lists_and_their_metrics_equal_plain_loops_and_ir_measures(seed: int) -> None:
    vector_PD, units, truth = random_case(seed)
    judged = judge(truth, units, np.arange(40), count=40, depth=25)
    lists = lists_of(vector_PD, units, judged.query_Q, 25)
    gain_QK = gains_of_lists(truth, units, judged.query_Q, lists)
    values = list_metrics(gain_QK, judged.ideal_QK, judged.relevant_Q)
    heads = np.unique(units.group)
    qrels, run = {}, {}
    for query in range(40):
        gains = dense(truth, 40)[query]
        scores = vector_PD[query] @ vector_PD.T
        members = {head: np.flatnonzero((units.group == head) & ~units.is_hidden) for head in heads}
        may = [head for head in heads if head != units.group[query] and len(members[head])]
        relevant = {str(head): int(gains[members[head]].max()) for head in may if gains[members[head]].max() > 0}
        if relevant and not units.is_hidden[query]:
            qrels[str(query)] = relevant
            run[str(query)] = {str(head): float(scores[members[head]].max()) for head in may}
    assert [str(query) for query in judged.query_Q] == list(qrels)
    assert judged.relevant_Q.tolist() == [len(found) for found in qrels.values()]
    measures = {"ndcg": ir.nDCG, "map": ir.AP, "mrr": ir.RR, "precision": ir.P, "recall": ir.R, "hit_rate": ir.Success}
    for metric, k in itertools.product(measures, (1, 10, 25)):
        found = {one.query_id: one.value for one in ir.iter_calc([measures[metric] @ k], qrels, run)}
        expected = [found[str(query)] for query in judged.query_Q]
        np.testing.assert_allclose(values[:, columns().index((metric, k))], expected, err_msg=f"{metric}@{k}")


def test_the_sample_ends_where_enough_have_answers_and_keeps_its_order() -> None:
    _, units, truth = random_case(0)
    order = np.random.default_rng(1).permutation(40)
    everything, some = (judge(truth, units, order, count, 25).query_Q for count in (40, 7))
    assert some.tolist() == everything[:7].tolist()
    assert everything.tolist() == [photo for photo in order if photo in set(everything.tolist())]


def test_blocks_change_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    _, units, truth = random_case(1)
    list_QK = np.random.default_rng(2).permuted(np.tile(np.arange(units.count), (40, 1)), axis=1)[:, :10]
    list_QK[:, 7:] = -1
    whole = judge(truth, units, np.arange(40), 40, 25), gains_of_lists(truth, units, np.arange(40), list_QK)
    monkeypatch.setattr("models.similar.overlaps._PRODUCTS", 9)
    monkeypatch.setattr("models.similar.neighbours._CANDIDATES", 7)
    cut = judge(truth, units, np.arange(40), 40, 25), gains_of_lists(truth, units, np.arange(40), list_QK)
    np.testing.assert_array_equal(cut[0].ideal_QK, whole[0].ideal_QK)
    np.testing.assert_array_equal(cut[1], whole[1])
    assert whole[1].any()


def crowd(rng: np.random.Generator, count: int) -> tuple[np.ndarray, Units]:
    """Photos of which many have one vector, in groups of which some are large, a part of them hidden."""
    vector_PD = np.eye(5)[rng.integers(0, 5, count)] + rng.normal(size=(count, 5)) * rng.choice([0, 0.3], (count, 1))
    vector_PD = (vector_PD / np.linalg.norm(vector_PD, axis=1, keepdims=True)).astype(np.float32)
    first_P = np.where(rng.random(count) < 0.5, np.arange(count), rng.integers(0, count, count) // 8)
    first_P = np.minimum(first_P, np.arange(count))
    return vector_PD, Units(first_P[first_P], rng.random(count) < 0.2)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 70), st.integers(1, 12), st.integers(1, 5))
def test_lists_by_blocks_are_those_of_all_photos_for_every_arm(seed: int, count: int, k: int, blocks: int) -> None:
    rng = np.random.default_rng(seed)
    vector_PD, units = crowd(rng, count)
    query_Q = rng.permutation(count)[:5]
    parts = np.array_split(rng.permutation(count), blocks)
    score_QP = (vector_PD[query_Q].astype(float)[:, None] * vector_PD).sum(axis=2).astype(np.float32)
    tops = [nearest_units(vector_PD[query_Q], vector_PD[part], units.shown[part], k + 1) for part in parts]
    cut = without_own(reduce(lambda one, other: merge(one, other, k + 1), tops), units, query_Q, k)
    assert cut.tolist() == in_one_sort(score_QP, units, query_Q, k)

    pair_N = joint_ids(np.repeat(query_Q, count), np.tile(np.arange(count), len(query_Q)))
    random_QP = uniforms(3, 1 << 49, 0, pair_N, 1)[:, 0].reshape(len(query_Q), count)
    tops = [random_units(query_Q, part, units.shown[part], 3, k + 1) for part in parts]
    cut = without_own(reduce(lambda one, other: merge(one, other, k + 1), tops), units, query_Q, k)
    assert cut.tolist() == in_one_sort(random_QP, units, query_Q, k)

    photo_N, word_N = rng.integers(0, count, 3 * count), rng.integers(0, 9, 3 * count)
    likeness = common_keywords(photo_N, word_N, rng.random(3 * count), count)
    cosine_QP = likeness.weight_PG.toarray()[query_Q] @ likeness.weight_PG.toarray().T
    lists = without_own(likeness.units(units, query_Q, k + 1), units, query_Q, k)
    worth_QU = np.stack(
        [cosine_QP[:, units.shown == unit].max(axis=1, initial=-1) for unit in range(units.count)], axis=1
    )
    for row, (found, expected) in enumerate(zip(lists, in_one_sort(cosine_QP, units, query_Q, k), strict=True)):
        wanted = [unit for unit in expected if unit >= 0]  # the order of nearly equal cosines is a matter of rounding
        np.testing.assert_allclose(worth_QU[row, found[: len(wanted)]], worth_QU[row, wanted], atol=1e-12)
        assert (found[len(wanted) :] == -1).all()
        assert len({*found[: len(wanted)].tolist()}) == len(wanted)


def in_one_sort(score_QP: np.ndarray, units: Units, query_Q: np.ndarray, k: int) -> list[list[int]]:
    """The best groups of each query, from the scores of all photos."""
    rows = []
    for query, score_P in zip(query_Q, score_QP, strict=True):
        may = [unit for unit in np.unique(units.shown[units.shown >= 0]) if unit != units.number[query]]
        worth = {int(unit): score_P[units.shown == unit].max() for unit in may}
        found = sorted(worth, key=lambda unit: (-worth[unit], unit))[:k]
        rows.append(found + [-1] * (k - len(found)))
    return rows


def test_a_random_order_finds_as_much_as_chance_and_depends_on_the_seed_alone() -> None:
    truth = sharing(np.arange(400), np.arange(400) // 40, 400)  # 39 of 399 others are alike
    units = Units(np.arange(400), np.zeros(400, bool))

    def lists_by(query_Q: np.ndarray, seed: int) -> np.ndarray:
        return without_own(random_units(query_Q, np.arange(400), units.shown, seed, 26), units, query_Q, 25)

    lists = lists_by(np.arange(400), 4)
    gains = gains_of_lists(truth, units, np.arange(400), lists)
    assert gains.mean() == pytest.approx(39 / 399, abs=0.01)
    again = lists_by(np.array([7, 3]), 4)
    assert again.tolist() == lists[[7, 3]].tolist()
    assert lists_by(np.array([7]), 5).tolist() != again[:1].tolist()


def test_no_truth_has_no_query() -> None:
    truth = sharing(np.zeros(0, np.int64), np.zeros(0, np.int64), 5)
    judged = judge(truth, Units(np.arange(5), np.zeros(5, bool)), np.arange(5), 5, 25)
    assert len(judged.query_Q) == len(judged.ideal_QK) == len(judged.cluster_Q) == truth.group_count == 0
