"""What a method costs grows with the log, never with the square of one long history or of one popular photo."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.ragged import unit_rows
from models.recommend.als import Als
from models.recommend.ease import Ease
from models.recommend.graphsage import GraphSage
from models.recommend.interactions import Interactions, ItemFeatures
from models.recommend.item_knn import ItemKnn
from models.recommend.methods import METHODS
from models.recommend.sasrec import SasRec
from models.recommend.topk import top_k
from models.recommend.training import Training
from models.recommend.two_tower import TwoTower
from tests.growth import largest_tensor_bytes, peak_bytes
from tests.models.recommend.tastes import log_of

SMALL = METHODS | {
    "als": lambda: Als(factor_count=8, pass_count=1),
    "sasrec": lambda: SasRec(dim=8, training=Training(1, 128)),
    "two_tower": lambda: TwoTower(dim=8, hidden_dim=8, training=Training(1, 128)),
    "graphsage": lambda: GraphSage(dim=8, training=Training(1, 1024)),
    "item_knn": lambda: ItemKnn(history_count=100),
    "ease": lambda: Ease(item_limit=100),
}
FEW, MANY = 250, 1000


def one_long_history(count: int) -> Interactions:
    """A visitor who took every photo once, and one who took two."""
    visitor, item = np.append(np.zeros(count, int), [1, 1]), np.append(np.arange(count), [0, 1])
    return log_of(visitor, item, np.arange(count + 2), np.ones(count + 2), [0, 1], count)


def one_popular_photo(count: int) -> Interactions:
    """As many visitors as photos, who all took the first photo and one of their own."""
    visitor, item = np.repeat(np.arange(count), 2), np.column_stack([np.zeros(count, int), np.arange(count)]).ravel()
    return log_of(visitor, item, np.arange(2 * count), np.ones(2 * count), np.zeros(count), count)


def work(name: str, log: Interactions) -> Callable[[], object]:
    """Learn, and recommend to a few."""
    vectors = unit_rows(np.random.default_rng(0).normal(size=(log.item_count, 8)))
    asked = log.take(np.arange(2))
    return lambda: top_k(SMALL[name]().fit(log, ItemFeatures(vectors), seed=0), asked, 10)


@pytest.mark.integration
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("world", [one_long_history, one_popular_photo])
def test_four_times_the_log_takes_about_four_times_the_memory(name: str, world: Callable[[int], Interactions]) -> None:
    work(name, world(50))()  # what is imported and kept the first time
    for measured in (peak_bytes, largest_tensor_bytes):
        few, many = (measured(work(name, world(count))) for count in (FEW, MANY))
        assert many < 5 * few + 200_000  # sixteen times for pairs


def test_neighbourhoods_keep_no_more_pairs_than_the_cut_allows() -> None:
    method = ItemKnn(neighbour_count=1000, history_count=100)
    for count in (200, 2000):
        log = one_long_history(count)
        fitted = method.fit(log, ItemFeatures(np.zeros((count, 1), np.float32)), seed=0)
        assert fitted.cosine_II.nnz == 100 * 99 + 2  # type: ignore[attr-defined]
        latest = np.isin(np.arange(count), [0, 1, *range(count - 100, count)])
        assert fitted.is_known_I.tolist() == latest.tolist()  # type: ignore[attr-defined]


def test_blocks_of_neighbourhoods_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    log = log_of(
        random.integers(0, 30, 300), random.integers(0, 40, 300), np.arange(300), np.ones(300), np.zeros(30), 45
    )
    items = ItemFeatures(np.zeros((45, 1), np.float32))
    whole = ItemKnn().fit(log, items, seed=0)
    monkeypatch.setattr("models.recommend.item_knn._PAIRS_PER_BLOCK", 20)
    parts = ItemKnn().fit(log, items, seed=0)
    np.testing.assert_allclose(
        parts.cosine_II.toarray(),  # type: ignore[attr-defined]
        whole.cosine_II.toarray(),  # type: ignore[attr-defined]
        atol=1e-6,
    )


def test_who_likes_everything_says_little_of_any_two() -> None:
    rows = [(0, item) for item in range(20)] + [(1, 0), (1, 1), (2, 0), (2, 2), (2, 1)]
    visitor, item = zip(*rows, strict=True)
    log = log_of(visitor, item, np.arange(len(rows)), np.ones(len(rows)), np.zeros(3), 20)
    cosine = ItemKnn().fit(log, ItemFeatures(np.zeros((20, 1), np.float32)), seed=0).cosine_II.toarray()  # type: ignore[attr-defined]
    norm = {0: 1 / 20 + 1 / 2 + 1 / 3, 1: 1 / 20 + 1 / 2 + 1 / 3, 2: 1 / 20 + 1 / 3, 7: 1 / 20}
    assert cosine[0, 1] == pytest.approx(1)
    assert cosine[0, 2] == pytest.approx((1 / 20 + 1 / 3) / np.sqrt(norm[0] * norm[2]))
    assert cosine[0, 7] == pytest.approx((1 / 20) / np.sqrt(norm[0] * norm[7]))
