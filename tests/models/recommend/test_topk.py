"""The best items in blocks are those of the whole matrix sorted, ties by number, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.recommend.interactions import NONE, Interactions, Ints, ItemFeatures
from models.recommend.interface import Fitted, Scorer
from models.recommend.topk import TopK, top_k
from tests.growth import peak_bytes
from tests.models.recommend.tastes import histories


class Table(Fitted):
    """Scores that are written down, row by the visitor's name."""

    def __init__(self, score_VI: np.ndarray) -> None:
        self.score_VI = score_VI.astype(np.float32)

    @property
    def item_count(self) -> int:
        return self.score_VI.shape[1]

    def _over(self, items: ItemFeatures, number_I: Ints) -> Fitted:
        raise NotImplementedError  # no test here asks for a catalogue that grows

    def scorer(self, histories: Interactions) -> Scorer:
        return lambda candidate_C: self.score_VI[histories.visitor_V][:, candidate_C]


def plain(score_VI: np.ndarray, log: Interactions, candidates: np.ndarray, k: int) -> tuple[list, list, list]:
    items, scores, counts = [], [], []
    for visitor, score_I in enumerate(score_VI.tolist()):
        seen = set(log.item_N[log.history(visitor)].tolist())
        left = [i for i in sorted(candidates.tolist()) if i not in seen and score_I[i] > -np.inf]
        best = sorted(left, key=lambda i: -score_I[i])[:k]
        items.append(best + [NONE] * (k - len(best)))
        scores.append([score_I[i] for i in best] + [-np.inf] * (k - len(best)))
        counts.append(len(left))
    return items, scores, counts


@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 60), st.booleans())
def test_blocks_equal_the_whole_matrix_sorted(seed: int, k: int, cells: int, some_only: bool) -> None:
    random = np.random.default_rng(seed)
    visitors, items = int(random.integers(0, 6)), int(random.integers(1, 30))
    # few different values, so that most are ties; both zeros, and what cannot be scored
    score_VI = random.choice([-1.5, -0.0, 0.0, 2.0, 3.0, -np.inf], (visitors, items)).astype(np.float32)
    rows = [
        (int(random.integers(0, visitors)), int(random.integers(0, items)), 1.0) for _ in range(10 * (visitors > 0))
    ]
    log = histories(rows, visitors, items)
    candidates = random.permutation(items)[: int(random.integers(1, items + 1))] if some_only else np.arange(items)
    found = top_k(Table(score_VI), log, k, candidates=candidates if some_only else None, cells_per_block=cells)
    expected = plain(score_VI, log, candidates, k)
    assert (found.item_VK.tolist(), found.score_VK.tolist(), found.scored_V.tolist()) == expected


def test_of_equal_scores_the_lower_item_comes_first() -> None:
    found = top_k(Table(np.zeros((1, 50))), histories([(0, 1, 1.0)], 1, 50), 4, cells_per_block=7)
    assert found.item_VK.tolist() == [[0, 2, 3, 4]]


def test_it_tells_how_many_could_be_scored() -> None:
    score_VI = np.array([[1.0, -np.inf, 3.0, 2.0], [-np.inf] * 4])
    found = top_k(Table(score_VI), histories([(0, 2, 1.0)], 2, 4), 3)
    assert found.scored_V.tolist() == [2, 0]
    assert found.item_VK.tolist() == [[3, 0, NONE], [NONE] * 3]
    assert found.score_VK.tolist() == [[2.0, 1.0, -np.inf], [-np.inf] * 3]


def test_a_score_that_is_not_a_number_is_refused() -> None:
    score_VI = np.zeros((2, 9))
    score_VI[1, 7] = np.nan
    with pytest.raises(ValueError, match=r"NaN .*6 to 8"):
        top_k(Table(score_VI), histories([], 2, 9), 2, cells_per_block=6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "0 of 9 candidates"),
        ({"k": 1, "candidates": np.zeros(0, np.int64)}, "1 of 0 candidates"),
        ({"k": 1, "candidates": np.array([2, 2])}, "1 of 2 candidates"),
        ({"k": 1, "candidates": np.array([9])}, "candidates 9 to 9"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        top_k(Table(np.zeros((1, 9))), histories([], 1, 9), **arguments)


def test_memory_is_that_of_a_block() -> None:
    class Rising(Table):
        """Every block is better than those before."""

        @property
        def item_count(self) -> int:
            return 20_000

        def scorer(self, histories: Interactions) -> Scorer:
            return lambda candidate_C: np.tile(candidate_C.astype(np.float32), (histories.visitor_count, 1))

    log, cells = histories([], 300, 20_000), 100_000  # all scores at once would be 24 MB
    found: list[TopK] = []
    peak = peak_bytes(lambda: found.append(top_k(Rising(np.zeros((1, 1))), log, 10, cells_per_block=cells)))
    assert found[0].item_VK[0, 0] == 19_999
    assert peak < 60 * cells + 1_000_000
