"""The peers' half of the recommender parity benchmark: needs numpy, scipy and implicit or RecTools, not this project.

`python recommender_peer.py FOLDER PEER SEED THREADS` reads FOLDER/trial.npz, writes the items of every asked visitor's
list, best first and filled up with -1, to FOLDER/items.npy, and prints what it took.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

K = 10
NONE = -1


class Implicit:
    """A model of implicit over the matrix of likes."""

    def __init__(self, trial, seed, threads):
        self.asked_V = trial["asked_V"]
        shape = (int(trial["visitor_count"]), int(trial["item_count"]))
        ones = np.ones(len(trial["item_N"]), np.float32)
        self.likes_VI = csr_matrix((ones, (trial["visitor_N"], trial["item_N"])), shape=shape)
        self.likes_VI.sum_duplicates()
        self.likes_VI.data[:] = 1
        self.model = self.made(seed, threads)

    def fit(self):
        self.model.fit(self.likes_VI, show_progress=False)

    def lists(self):
        own_VI = self.likes_VI[self.asked_V]
        item_VK, score_VK = self.model.recommend(self.asked_V, own_VI, N=K, filter_already_liked_items=True)
        knows_V = np.diff(own_VI.indptr) > 0
        is_there_VK = knows_V[:, None] & (score_VK > np.finfo(np.float32).min) & (item_VK >= 0)
        return np.where(is_there_VK, item_VK, NONE)


class ImplicitKnn(Implicit):
    """Neighbours of items: 100 of each, as ours."""

    kind = "CosineRecommender"

    def made(self, seed, threads):
        from implicit import nearest_neighbours

        return getattr(nearest_neighbours, self.kind)(K=100, num_threads=threads)


class ImplicitTfIdf(ImplicitKnn):
    kind = "TFIDFRecommender"


class ImplicitBm25(ImplicitKnn):
    kind = "BM25Recommender"


class ImplicitAls(Implicit):
    """Factors with the objective of ours: as many of them, as many passes, the same weights."""

    def made(self, seed, threads):
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(
            64, regularization=0.05, alpha=11.0, iterations=15, random_state=seed, num_threads=threads
        )


class RecTools:
    """A model of RecTools over a table of likes."""

    def __init__(self, trial, seed, threads):
        import pandas as pd
        from rectools import Columns
        from rectools.dataset import Dataset

        rows = {
            Columns.User: trial["visitor_N"],
            Columns.Item: trial["item_N"],
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(trial["at_N"], unit="s"),
        }
        self.dataset = Dataset.construct(pd.DataFrame(rows))
        self.asked_V = trial["asked_V"]
        self.model = self.made(seed, threads)

    def fit(self):
        self.model.fit(self.dataset)

    def lists(self):
        is_known_V = np.isin(self.asked_V, self.dataset.user_id_map.external_ids)
        rows = self.model.recommend(
            self.asked_V[is_known_V], self.dataset, K, filter_viewed=True, on_unsupported_targets="ignore"
        )
        place_of = np.full(self.asked_V.max() + 1, NONE)
        place_of[self.asked_V] = np.arange(len(self.asked_V))
        item_VK = np.full((len(self.asked_V), K), NONE)
        item_VK[place_of[rows["user_id"].to_numpy()], rows["rank"].to_numpy() - 1] = rows["item_id"].to_numpy()
        return item_VK


class RecToolsPopular(RecTools):
    def made(self, seed, threads):
        from rectools.models import PopularModel

        return PopularModel()


class RecToolsEase(RecTools):
    def made(self, seed, threads):
        from rectools.models import EASEModel

        return EASEModel(recommend_n_threads=threads, recommend_use_gpu_ranking=False)


class RecToolsSasRec(RecTools):
    """A network of the size of ours, 30 passes with RecTools' own loss, which is over all items."""

    passes = 30

    def made(self, seed, threads):
        from pytorch_lightning import seed_everything
        from rectools.models import SASRecModel

        seed_everything(seed, verbose=False)
        return SASRecModel(
            n_blocks=2, n_heads=2, n_factors=64, session_max_len=50, epochs=self.passes, get_trainer_func=trainer
        )


def trainer():
    from pytorch_lightning import Trainer

    return Trainer(
        accelerator="cpu",
        max_epochs=RecToolsSasRec.passes,
        min_epochs=RecToolsSasRec.passes,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


PEERS = {
    "implicit_cosine": ImplicitKnn,
    "implicit_tfidf": ImplicitTfIdf,
    "implicit_bm25": ImplicitBm25,
    "implicit_als": ImplicitAls,
    "rectools_popular": RecToolsPopular,
    "rectools_ease": RecToolsEase,
    "rectools_sasrec": RecToolsSasRec,
}


def resident(field):
    """Return the resident memory of this process now (VmRSS) or at its peak (VmHWM), in MiB."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


if __name__ == "__main__":
    folder, peer, seed, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with np.load(folder / "trial.npz") as arrays:
        prepared = PEERS[peer](dict(arrays), seed, threads)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    times = [time.process_time()]
    prepared.fit()
    times.append(time.process_time())
    found = prepared.lists()
    times.append(time.process_time())
    np.save(folder / "items.npy", found.astype(np.int64))
    cost = {"fit": times[1] - times[0], "list": times[2] - times[1], "mib": resident("VmHWM") - before}
    print(json.dumps(cost))
