"""Partners: for a photo that was taken for a text, another photo that was taken for it too.

Two photos taken for the same query are alike in what people search for, which is what a search by photo wants.
What is learned of them is said in `losses/images.py`.

Shapes: N photos, P pairs of the log, K different ones among them, B pairs that a partner is wanted for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.search.counter_random import uniforms

Indices = npt.NDArray[np.int64]
NONE = -1
_STREAM = 1 << 48  # of random numbers


@dataclass(frozen=True)
class CoConverted:
    """Which photos were taken for each text, shard by shard; within these by photo id.

    A process that holds some of the shards finds for their photos what one that holds all of them finds: neither the
    numbers of photos, texts and shards nor their order matter, only their ids do.
    """

    places: Indices  # [K]: list * N + rank, ascending
    lists: Indices  # text * shard count + shard of every list, ascending
    photo_of_rank_N: Indices  # the photos by ascending id
    rank_N: Indices  # and the reverse
    shard_N: Indices  # numbered from 0
    shard_count: int

    @classmethod
    def of(cls, photo_P: Indices, text_P: Indices, shard_N: Indices, photo_id_N: Indices) -> CoConverted:
        """Collect the pairs (photo, text) of a log by their positions; each counts once, however often it is there.

        Texts may be groups of texts that have their positives in common. `photo_id_N`, any different int64, has to
        be the same for a photo wherever it is held. Raises ValueError for ids that are not different.
        """
        photo_of_rank_N = np.argsort(photo_id_N, kind="stable")
        if (np.diff(photo_id_N[photo_of_rank_N]) == 0).any():
            raise ValueError("different photos have the same id")
        rank_N = np.empty_like(photo_of_rank_N)
        rank_N[photo_of_rank_N] = np.arange(len(rank_N))
        shards, shard_N = np.unique(shard_N, return_inverse=True)
        lists, list_P = np.unique(text_P * len(shards) + shard_N[photo_P], return_inverse=True)
        places = np.unique(list_P * len(rank_N) + rank_N[photo_P])
        return cls(places, lists, photo_of_rank_N, rank_N, shard_N, len(shards))

    def draw(self, photo_B: Indices, text_B: Indices, pair_id_B: Indices, *, seed: int, step: int) -> Indices:
        """Return for each pair one of the other photos of its text and shard, evenly drawn; `NONE` without any.

        The choice is that of (`seed`, `step`, pair id). A pair that is not of the log has partners too.
        """
        photo_count = len(self.rank_N)
        wanted_B = text_B * self.shard_count + self.shard_N[photo_B]
        list_B = np.searchsorted(self.lists, wanted_B)
        end_B = np.searchsorted(self.lists, wanted_B, side="right")
        first_B = np.searchsorted(self.places, list_B * photo_count)
        last_B = np.searchsorted(self.places, end_B * photo_count)
        own_place_B = list_B * photo_count + self.rank_N[photo_B]
        own_B = np.searchsorted(self.places, own_place_B)
        is_there_B = np.searchsorted(self.places, own_place_B, side="right") > own_B
        is_there_B &= last_B > first_B
        count_B = last_B - first_B - is_there_B
        number_B = uniforms(seed, _STREAM, step, pair_id_B, 1)[:, 0]
        chosen_B = first_B + (number_B * count_B).astype(np.int64)
        chosen_B += is_there_B & (chosen_B >= own_B)
        partner_B = np.full(len(photo_B), NONE, np.int64)
        has_B = count_B > 0
        partner_B[has_B] = self.photo_of_rank_N[self.places[chosen_B[has_B]] % photo_count]
        return partner_B
