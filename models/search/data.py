"""What the training loop is fed with: pixels decoded once and kept, pairs, and batches of unique photos and texts.

Shapes: N photos, P pairs, T texts, U and V different photos and texts of a batch, L tokens, C H W pixels.
"""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.images import ImageError, decode_image
from models.search.counter_random import joint_ids
from models.search.errors import ModelError
from models.search.images import Preprocess
from models.search.keywords import RaggedKeywords
from models.search.losses.pairs import Pairs
from models.search.partners import NONE, CoConverted
from models.search.sampling import KnownPositives

Indices = npt.NDArray[np.int64]


class PhotoPixels:
    """Photos at model size: decoded when first asked for, kept in a memory-mapped file up to a byte limit.

    Past the limit the photo that was not asked for the longest makes room. Pictures that cannot be decoded are
    reported in `failures` (photo index to reason) and never tried again. Safe to call from several threads. The
    file is made in `folder` and has no name there: it is gone with the process, however that ends.
    """

    def __init__(
        self,
        uris: Sequence[str],
        read: Callable[[str], bytes],
        preprocess: Preprocess,
        folder: Path,
        byte_limit: int,
        thread_count: int = 4,
    ) -> None:
        size = preprocess.config.size
        slot_count = min(len(uris), byte_limit // (3 * size * size))
        if slot_count < 1:
            raise ModelError(
                "no_room_for_pixels",
                f"no room to keep pixels: {len(uris)} photos of {3 * size * size} bytes, {byte_limit=}",
                byte_limit=byte_limit,
            )
        self.failures: dict[int, str] = {}
        self._uris, self._read, self._preprocess = uris, read, preprocess
        self._shape = (3, size, size)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._kept = np.memmap(self._file, np.uint8, "r+", shape=(slot_count, *self._shape))
        self._slots: OrderedDict[int, int] = OrderedDict()  # photo to slot, the longest unused first
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(thread_count)

    def __len__(self) -> int:
        return len(self._uris)

    def fetch(self, photos: Indices) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
        """Return pixels, uint8 [n, 3, size, size], and which of them are good; the others are black."""
        pixels = np.zeros((len(photos), *self._shape), np.uint8)
        with self._lock:
            missing = []
            for position, photo in enumerate(photos.tolist()):
                slot = self._slots.get(photo)
                if slot is not None:
                    self._slots.move_to_end(photo)
                    pixels[position] = self._kept[slot]
                elif photo not in self.failures:
                    missing.append((position, photo))
            decoded = self._threads.map(self._decode, [photo for _, photo in missing])
            for (position, photo), (picture, reason) in zip(missing, decoded, strict=True):
                if picture is None:
                    self.failures[photo] = reason
                else:
                    pixels[position] = picture
                    self._keep(photo, picture)
            good = np.array([photo not in self.failures for photo in photos.tolist()], np.bool_)
        return torch.from_numpy(pixels), good

    def _decode(self, photo: int) -> tuple[npt.NDArray[np.uint8] | None, str]:
        try:
            image = decode_image(self._read(self._uris[photo]))
        except ImageError as error:
            return None, error.reason
        return self._preprocess(image).numpy(), ""

    def _keep(self, photo: int, picture: npt.NDArray[np.uint8]) -> None:
        if photo in self._slots:
            return
        free = len(self._slots)
        slot = free if free < len(self._kept) else self._slots.popitem(last=False)[1]
        self._kept[slot] = picture
        self._slots[photo] = slot

    def close(self) -> None:
        """Stop the threads and give the disk space back."""
        self._threads.shutdown()
        self._file.close()


@dataclass(frozen=True)
class Batch:
    """One step's input: every photo and text once, and what they are to one another."""

    pixels: torch.Tensor  # uint8 [U, C, H, W]
    tokens: torch.Tensor  # int64 [V, L]
    keywords: RaggedKeywords | None
    pairs: Pairs
    pair_count: int
    photos: Indices  # [U], by index into the data's pixels
    texts: Indices  # [V], by index into the data's tokens
    partners: torch.Tensor | None = None  # int64 [2, A]: positions of a photo and of one taken for the same query


@dataclass(frozen=True)
class TrainingData:
    """Positive pairs (photo, text) by index into `pixels` and `tokens`, and all photos' keywords.

    Texts of one group, such as one query from different countries, have their positives in common: `known` has
    the group ids of every photo. Without it only the batch's own pairs are known.

    Photos are in a batch as often as they are taken, and so are negatives as often: what is learned is how much
    likelier a photo is for this query than for any. With a `popularity_correction` of 1 they are negatives equally
    often, and what is learned is how likely the photo is (https://doi.org/10.1145/3298689.3346996, the correction
    of sampling bias, with the sampling probability known); between 0 and 1 lies between.

    `is_in_pool` are the photos that may be learned from: those of the training window. `pixels` may hold more, on which
    models are validated, and no batch has one of these.

    Where several processes train together, each holds the photos of some shards (`is_held`) and all that was taken of
    them; the ids are what a photo and a text are called in all of them.
    """

    photos: Indices  # [P]
    texts: Indices  # [P]
    tokens: torch.Tensor  # int32 [T, L]
    pixels: PhotoPixels
    keywords: RaggedKeywords | None = None
    weights: npt.NDArray[np.float32] | None = None  # [P]; 1 each if None
    known: KnownPositives | None = None
    popularity_correction: float = 0.0
    popularity_sums: tuple[float, float] | None = None  # of all processes; those of this one if None
    photo_ids: Indices | None = None  # [N]; their positions if None
    text_ids: Indices | None = None  # [T]; their positions if None
    group_ids: Indices | None = None  # [T]; the text ids if None
    is_in_pool: npt.NDArray[np.bool_] | None = None  # [N]; all if None
    is_held: npt.NDArray[np.bool_] | None = None  # [N]; all if None
    is_flippable: npt.NDArray[np.bool_] | None = None  # [N]; all if None
    queries: Indices | None = None  # [T]: the query of every text, by which `co_converted` knows it
    co_converted: CoConverted | None = None
    shards: Indices | None = None  # [N]; one shard if None
    shard_count: int = 1

    def __len__(self) -> int:
        return len(self.photos)

    @cached_property
    def pair_shards(self) -> Indices:
        """The shard of every pair, [P]."""
        return np.zeros(len(self), np.int64) if self.shards is None else self.shards[self.photos]

    def ids_of_photos(self, photos: Indices) -> Indices:
        """Return the ids of photos."""
        return photos if self.photo_ids is None else self.photo_ids[photos]

    def find_held(self, ids: Indices) -> Indices:
        """Return the positions, ascending, of the photos of these ids that are held here."""
        held_ids, held = self._held_by_id
        place = np.searchsorted(held_ids, ids)
        place[place == len(held_ids)] = 0
        return np.sort(held[place[held_ids[place] == ids]]) if len(held) else held

    @cached_property
    def _held_by_id(self) -> tuple[Indices, Indices]:
        """The photos held here by ascending id: their ids and positions."""
        held = np.arange(len(self.pixels)) if self.is_held is None else np.flatnonzero(self.is_held)
        ids = self.ids_of_photos(held)
        order = np.argsort(ids)
        return ids[order], held[order]

    def ids_of_texts(self, texts: Indices) -> Indices:
        """Return the ids of texts."""
        return texts if self.text_ids is None else self.text_ids[texts]

    def ids_of_groups(self, texts: Indices) -> Indices:
        """Return the ids of the groups of texts."""
        return self.ids_of_texts(texts) if self.group_ids is None else self.group_ids[texts]

    def batch(
        self,
        rows: Indices,
        *,
        key: tuple[int, int] = (0, 0),
        keyword_dropout: float = 0.0,
        keyword_free_share: float = 0.0,
        mask_known_positives: bool = True,
        hard_photos: Indices | None = None,
        with_partners: bool = False,
    ) -> Batch:
        """Return the pairs of `rows`, every photo and text once; pairs whose picture cannot be decoded are left out.

        `key`, the seed and the step, decides which keywords are dropped, and of which photos all are. `hard_photos` are
        further photos that serve as negatives of all texts they are no known positives of. `with_partners`, each pair
        brings another photo that was taken for its query, if there is one; to the texts it is nothing. Without
        `mask_known_positives` nothing is known of repetitions and other positives: see `Pairs`. Raises `ModelError` if
        no pair is left, and for a photo outside of the pool, whatever brought it in.
        """
        photos = np.unique(self.photos[rows])
        if hard_photos is not None:
            photos = np.union1d(photos, hard_photos)
        partner_P = self._draw_partners(rows, key) if with_partners else None
        if partner_P is not None:
            photos = np.union1d(photos, partner_P[partner_P != NONE])
        if self.is_in_pool is not None and not self.is_in_pool[photos].all():
            outside = int(np.count_nonzero(~self.is_in_pool[photos]))
            raise ModelError(
                "photo_outside_pool",
                f"{outside} of {len(photos)} photos of a batch are none that may be learned from: they were not there "
                f"in the training window, or the code that drew them is at fault",
                outside_count=outside,
            )
        pixels_UCHW, is_good = self.pixels.fetch(photos)
        if not is_good.all():
            is_kept_P = np.isin(self.photos[rows], photos[is_good])
            rows, partner_P = rows[is_kept_P], None if partner_P is None else partner_P[is_kept_P]
            photos, pixels_UCHW = photos[is_good], pixels_UCHW[torch.from_numpy(is_good)]
        if not len(rows):
            raise self._why_empty()
        texts, text_P = np.unique(self.texts[rows], return_inverse=True)
        keywords = None
        if self.keywords is not None:
            keywords = self.keywords.take(photos)
            if keyword_dropout or keyword_free_share:
                keywords = keywords.dropped(keyword_dropout, key, self.ids_of_photos(photos), keyword_free_share)
        pairs = Pairs(
            photo_P=torch.from_numpy(np.searchsorted(photos, self.photos[rows])),
            text_P=torch.from_numpy(text_P),
            photo_count=len(photos),
            text_count=len(texts),
            weight_P=None if self.weights is None else torch.from_numpy(self.weights[rows]),
            masked_2M=self._masked(photos, texts) if mask_known_positives else None,
            extra_photo_U=None
            if hard_photos is None
            else torch.from_numpy(np.isin(photos, hard_photos).astype(np.float32)),
            photo_factor_U=self._factors(photos),
            mask_known_positives=mask_known_positives,
        )
        tokens = self.tokens[torch.from_numpy(texts)].long()
        partners = None if partner_P is None else _partner_positions(photos, self.photos[rows], partner_P)
        return Batch(pixels_UCHW, tokens, keywords, pairs, len(rows), photos, texts, partners)

    def _draw_partners(self, rows: Indices, key: tuple[int, int]) -> Indices:
        if self.co_converted is None or self.queries is None:
            raise ModelError("partners_unknown", "partners are wanted, but not what was taken for the same query")
        photos, texts = self.photos[rows], self.texts[rows]
        pair_ids = joint_ids(self.ids_of_photos(photos), self.ids_of_texts(texts))
        return self.co_converted.draw(photos, self.queries[texts], pair_ids, seed=key[0], step=key[1])

    def are_safe_to_flip(self, photos: Indices) -> npt.NDArray[np.bool_]:
        """Return which photos say the same in a mirror."""
        return np.ones(len(photos), np.bool_) if self.is_flippable is None else self.is_flippable[photos]

    def known_ids(self, photos: Indices, text_ids: Indices, group_ids: Indices) -> Indices:
        """Return the known combinations of photos held here with texts from anywhere, as ids, int64 [2, M]."""
        if self.known is None:
            return np.zeros((2, 0), np.int64)
        photo_M, text_M = self.known.among(photos, group_ids)
        return np.stack([self.ids_of_photos(photos)[photo_M], text_ids[text_M]])

    def own_popularity_sums(self) -> tuple[float, float]:
        """Return the sums over the photos held here by which the factors of photos get a mean of 1."""
        weight_N = self._photo_weights
        corrected_N = weight_N * self._drawn(weight_N) ** -self.popularity_correction
        return float(weight_N.sum()), float(corrected_N.sum())

    def _why_empty(self) -> ModelError:
        if not self.pixels.failures:
            return ModelError(
                "batch_without_pairs", "a batch without pairs: fewer processes or larger batches are needed"
            )
        reasons = sorted(set(self.pixels.failures.values()))
        return ModelError(
            "no_picture_decoded",
            f"no picture of a batch can be decoded ({', '.join(reasons)}): look at the images",
            reasons=reasons,
        )

    @cached_property
    def _photo_weights(self) -> npt.NDArray[np.float64]:
        weights = np.ones(len(self.photos)) if self.weights is None else self.weights
        return np.bincount(self.photos, weights, minlength=len(self.pixels)).astype(np.float64)

    @staticmethod
    def _drawn(weight_N: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return what photos of these weights count as negatives; one that nobody took counts as one pair does."""
        return np.where(weight_N > 0, weight_N, 1.0)

    def _factors(self, photos: Indices) -> torch.Tensor | None:
        """Return the factors of photos as negatives, float32 [U]; over all pairs their mean is 1."""
        if not self.popularity_correction:
            return None
        total, corrected = self.popularity_sums or self.own_popularity_sums()
        drawn_U = self._drawn(self._photo_weights[photos])
        return torch.from_numpy((total / corrected * drawn_U**-self.popularity_correction).astype(np.float32))

    def _masked(self, photos: Indices, texts: Indices) -> torch.Tensor | None:
        """Return the combinations that are positives somewhere in the log, as positions in both, int64 [2, M]."""
        if self.known is None:
            return None
        return torch.from_numpy(self.known.among(photos, self.ids_of_groups(texts)))


def _partner_positions(photo_U: Indices, photo_P: Indices, partner_P: Indices) -> torch.Tensor:
    """Return each different pair of a photo and its partner by position in the batch, int64 [2, A]."""
    pair_2P = np.stack([photo_P, partner_P])[:, np.isin(partner_P, photo_U)]
    return torch.from_numpy(np.searchsorted(photo_U, np.unique(pair_2P, axis=1)))
