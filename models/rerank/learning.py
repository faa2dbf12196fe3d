"""LambdaRank on the rows of `features`: training, the text model, scoring, importances. No files, no candidates.

Shape letters: S searches, N candidates, F features.

LambdaMART (Burges, 2010) as LightGBM has it. The model is kept as LightGBM's own text: readable, and no pickle.
Equal rows, options and seed give an equal text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.ranking import Ints
from models.rerank.booster import Booster
from models.rerank.features import FEATURES, Matrix, mask_history
from models.rerank.loading import load_lightgbm

CUTOFF = 10
FOLD_COUNT = 5
"""Models whose mean score is taken, each held out from another part of the visitors. One model moves with its seed,
since who is held out decides when training ends; the mean of 5 moves less than half as much, of 10 hardly less."""
_SHARE_OF_NEW, _LEAST_OF_NEW, _MOST_OF_NEW, _SEARCHES_OF_NEW = 0.2, 4.0, 20.0, 3
"""What searches for photos that nobody took before count together, what one of them counts at least and at most, and
how many searches for one such photo count."""
ROWS_WORTH_THREADS = 1_000_000
"""With fewer rows, threads wait for one another longer than they work, above all on a busy machine."""


@dataclass(frozen=True)
class Rows:
    """Training rows: the candidates of S searches one after another, which of them was converted, and by whom.

    `photo` names the photo that a search converted.
    """

    matrix: Matrix
    is_converted: NDArray[np.bool_]
    count: Ints
    visitor: Ints
    photo: Ints

    def __post_init__(self) -> None:
        """Check that rows and groups add up."""
        if not len(self.matrix) == len(self.is_converted) == self.count.sum():
            raise ValueError("rows, labels and groups do not add up")

    def of_searches(self, is_kept_S: NDArray[np.bool_]) -> Rows:
        """Return the rows of some of the searches."""
        is_kept_N = np.repeat(is_kept_S, self.count)
        of_searches = (values[is_kept_S] for values in (self.count, self.visitor, self.photo))
        return Rows(self.matrix[is_kept_N], self.is_converted[is_kept_N], *of_searches)

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Return several blocks of searches as one."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    def ranks(self, score_N: NDArray[np.floating[Any]]) -> Ints:
        """Return the rank of each search's converted photo by a score, shape (S,), the worst place among equals.

        Every search must have one among its candidates.
        """
        search_N = np.repeat(np.arange(len(self.count)), self.count)
        bar_S = score_N[self.is_converted]
        return np.bincount(search_N[score_N >= bar_S[search_N]], minlength=len(self.count))

    def weights(self) -> NDArray[np.float64]:
        """Return how much each search counts in training, shape (S,): 1, but more if nobody had taken its photo before.

        Such searches are few, and the longer after the cutoff the more there are: the test has a larger share of them
        than the window that is learned from. They count `_LEAST_OF_NEW` times, and more until they are `_SHARE_OF_NEW`
        of all. A photo that many take at once must not stand for all new photos: its searches count as
        `_SEARCHES_OF_NEW`.
        """
        past_S = np.nan_to_num(self.matrix[self.is_converted, FEATURES.index("photo_conversions")])
        _, number_S, count = np.unique(self.photo, return_inverse=True, return_counts=True)
        is_new_S, each_S = past_S <= 0, np.minimum(1, _SEARCHES_OF_NEW / count[number_S])
        wanted = _SHARE_OF_NEW / (1 - _SHARE_OF_NEW) * (~is_new_S).sum()
        factor = np.clip(wanted / max(1.0, each_S[is_new_S].sum()), _LEAST_OF_NEW, _MOST_OF_NEW)
        return np.where(is_new_S, factor * each_S, 1.0)

    def learnable(self) -> Rows:
        """Return the rows of the searches whose converted photo is among the candidates: others teach no order."""
        search_N = np.repeat(np.arange(len(self.count)), self.count)
        return self.of_searches(np.bincount(search_N[self.is_converted], minlength=len(self.count)) > 0)


@dataclass(frozen=True)
class Options:
    """How the trees are grown."""

    rounds: int = 300
    patience: int = 25
    learning_rate: float = 0.1
    leaves: int = 15
    min_rows_per_leaf: int = 50
    mask_share: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """The model's text, the rounds kept, and nDCG@10 by round on training and held-out searches."""

    text: str
    best_round: int
    curves: dict[str, list[float]] = field(default_factory=dict)


def folds(visitor_S: Ints, seed: int) -> Ints:
    """Return the part of each search, shape (S,): every visitor is in one of `FOLD_COUNT` parts, or fewer.

    Parts have equally many visitors, up to one, drawn at random; whole ones, for a visitor's searches are alike. There
    are no more parts than visitors. Fewer than two visitors raise `ValueError`: nothing would be left to learn from.

    >>> folds(np.array([7, 3, 7]), seed=0).tolist()
    [1, 0, 1]
    """
    visitors, place_S = np.unique(visitor_S, return_inverse=True)
    if len(visitors) < 2:
        raise ValueError(f"{len(visitors)} visitors cannot be told apart: two are needed, one to learn from")
    fold_V = np.random.default_rng(seed).permutation(len(visitors)) % min(FOLD_COUNT, len(visitors))
    fold_S: Ints = fold_V[place_S]
    return fold_S


def train(rows: Rows, is_held_out_S: NDArray[np.bool_], options: Options) -> Trained:
    """Grow trees until nDCG@10 on the searches held out has not risen for `patience` rounds; keep the best round.

    A share of the rows of both has its history masked (see `features.mask_history`), so that the model that is kept is
    one that can rank photos without history.
    """
    lgb = load_lightgbm()
    sets: list[Any] = []
    weight_S = rows.weights()
    parameters = _parameters(options, int(rows.count[~is_held_out_S].sum()))
    for number, is_in_S in enumerate((~is_held_out_S, is_held_out_S)):
        part = rows.of_searches(is_in_S)  # a copy, which LightGBM turns into bytes at once
        mask_history(part.matrix, options.mask_share, options.seed + number)
        label, reference = part.is_converted.astype(np.int8), sets[0] if sets else None
        made = lgb.Dataset(
            part.matrix,
            label,
            reference,
            weight=np.repeat(weight_S[is_in_S], part.count),
            group=part.count,
            feature_name=list(FEATURES),
            params=dict(parameters),
        )
        sets.append(made.construct())
        del part
    recorded: dict[str, dict[str, list[float]]] = {}
    booster = lgb.train(
        parameters,
        sets[0],
        num_boost_round=options.rounds,
        valid_sets=sets,
        valid_names=["training", "held_out"],
        callbacks=[lgb.early_stopping(options.patience, verbose=False), lgb.record_evaluation(recorded)],
    )
    best = booster.best_iteration or booster.current_iteration()
    curves = {name: next(iter(values.values())) for name, values in recorded.items()}
    return Trained(booster.model_to_string(num_iteration=best), best, curves)


def _threads(row_count: int) -> int:
    """Return how many threads to use; 0 leaves it to the library."""
    return 1 if row_count < ROWS_WORTH_THREADS else 0


def _parameters(options: Options, row_count: int) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [CUTOFF],
        "lambdarank_truncation_level": 30,
        "learning_rate": options.learning_rate,
        "num_leaves": options.leaves,
        "min_data_in_leaf": options.min_rows_per_leaf,
        "feature_fraction": 0.8,
        "lambda_l2": 1.0,
        "seed": options.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": _threads(row_count),
        "verbosity": -1,
    }


class Reranker:
    """Trained models, given by their texts: scores rows of features by the mean, and says what they look at."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._boosters = [Booster(text) for text in texts]
        self.names = self._boosters[0].names

    def scores(self, matrix_NF: Matrix) -> NDArray[np.float64]:
        """Return the score of every row, shape (N,); only the order within a search means anything."""
        threads = _threads(len(matrix_NF))
        mean_N: NDArray[np.float64] = np.mean([one.scores(matrix_NF, threads) for one in self._boosters], axis=0)
        return mean_N

    def contributions(self, matrix_NF: Matrix) -> NDArray[np.float64]:
        """Return what each feature added to the score of every row, shape (N, F).

        Shapley values of the trees (Lundberg et al., 2020, https://doi.org/10.1038/s42256-019-0138-9), by the mean of
        the models. They and one number that is the same for all rows add up to the score.
        """
        each = [one.contributions(matrix_NF, threads=1) for one in self._boosters]
        mean_NF: NDArray[np.float64] = np.mean(each, axis=0)[:, :-1]
        return mean_NF

    def importances(self) -> dict[str, tuple[float, int]]:
        """Return for each feature the loss it saved (gain, all splits together) and in how many splits it is used."""
        gain = np.sum([one.importances("gain") for one in self._boosters], axis=0).tolist()
        split = np.sum([one.importances("split") for one in self._boosters], axis=0).tolist()
        return {name: (float(g), int(s)) for name, g, s in zip(self.names, gain, split, strict=True)}
