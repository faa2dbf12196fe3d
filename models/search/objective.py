"""What a step of training makes better: a batch's losses and their gradients, encoded whole or in chunks.

A batch may be that of this process alone or its part of that of several (see `World`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch.nn.functional import normalize

from models.search.augmentation import KINDS, augment
from models.search.data import Batch, TrainingData
from models.search.gradient_cache import backward_in_chunks
from models.search.losses import DISTRIBUTED_LOSSES, LOSSES, images
from models.search.losses.distributed import RankPairs
from models.search.losses.pairs import Pairs
from models.search.losses.sigmoid import calibrate
from models.search.model import SearchModel
from models.search.options import TrainingConfig
from models.search.world import World


class Objective:
    """The loss of photos and texts, and the losses among photos that the options ask for."""

    def __init__(self, model: SearchModel, data: TrainingData, config: TrainingConfig, world: World) -> None:
        self.model, self.data, self.config, self.world = model, data, config, world

    def backward(self, batch: Batch, step: int) -> torch.Tensor:
        """Add the gradients of this process's part of a batch's loss and return that part; `step` is for chance."""
        network, device = self.model.network, self.model.device
        pairs = batch.pairs.to(device)
        rank_pairs = None if self.world.size == 1 else self._rank_pairs(batch)

        def loss(photo_UD: torch.Tensor, text_VD: torch.Tensor) -> torch.Tensor:
            vectors = photo_UD.split(self.model.dim, dim=1)  # the photo's and, with two views, the views'
            features = vectors[0], text_VD, network.logit_scale.exp(), network.logit_bias
            name, chunk_size = self.config.loss, self.config.loss_chunk
            if rank_pairs is None:
                value = LOSSES[name](*features, pairs, chunk_size=chunk_size)
            else:
                value = DISTRIBUTED_LOSSES[name](*features, rank_pairs, chunk_size=chunk_size)
            return value + self._among_photos(batch, vectors, pairs, rank_pairs)

        photos, texts = partial(self._photo_vectors, batch, step), partial(self._text_vectors, batch)
        if self.config.encode_chunk is None:
            value = loss(photos(0, pairs.photo_count), texts(0, pairs.text_count))
            value.backward()
            return value.detach()
        return backward_in_chunks(
            photos,
            pairs.photo_count,
            texts,
            pairs.text_count,
            loss,
            chunk_size=self.config.encode_chunk,
            device=device,
        )

    @torch.no_grad()
    def calibrate(self, batch: Batch | None) -> None:
        """Fit scale and bias to a first batch, that of the first process; the bias is about -log(batch size)."""
        self.model.eval()
        network = self.model.network
        if batch is not None:
            photo_UD = self._photo_vectors(batch, 0, 0, batch.pairs.photo_count)
            cosine_UV = photo_UD @ self._text_vectors(batch, 0, batch.pairs.text_count).T
            positive_UV, negative_UV = batch.pairs.to(cosine_UV.device).dense()
            scale, bias = calibrate(cosine_UV, positive_UV, negative_UV, network.logit_scale.exp().item())
            network.logit_scale.fill_(math.log(scale))
            # negatives grow with the batch
            network.logit_bias.fill_(bias - math.log(self.config.batch_size / batch.pair_count))
        self.world.same_weights([network.logit_scale, network.logit_bias])

    def _among_photos(
        self, batch: Batch, vectors: Sequence[torch.Tensor], pairs: Pairs, rank_pairs: RankPairs | None
    ) -> torch.Tensor | float:
        """Return the weighted losses of photos among photos, 0 if there are none."""
        config, chunk_size = self.config, self.config.loss_chunk
        value: torch.Tensor | float = 0.0
        if config.two_views_weight:
            photo_ids = None if rank_pairs is None else rank_pairs.photo_id_U
            views = images.two_views(vectors[1], vectors[2], photo_ids, chunk_size=chunk_size)
            value += config.two_views_weight * views
        if batch.partners is not None:
            partner_2A = batch.partners.to(self.model.device)
            if rank_pairs is None:
                taken = images.co_converted(vectors[0], pairs, partner_2A, chunk_size=chunk_size)
            else:
                taken = images.co_converted_by_gather(vectors[0], rank_pairs, partner_2A, chunk_size=chunk_size)
            value += config.partner_weight * taken
        return value

    def _rank_pairs(self, batch: Batch) -> RankPairs:
        """Return the batch as the other processes know it, with what is known of its photos and their texts."""
        data, device = self.data, self.model.device
        text_ids, group_ids = data.ids_of_texts(batch.texts), data.ids_of_groups(batch.texts)
        known = None
        if self.config.mask_known_positives:
            every = self.world.gather([torch.from_numpy(ids) for ids in (text_ids, group_ids)])
            known = torch.from_numpy(data.known_ids(batch.photos, *(ids.cpu().numpy() for ids in every)))
        photo_ids = torch.from_numpy(data.ids_of_photos(batch.photos))
        return RankPairs(batch.pairs, photo_ids, torch.from_numpy(text_ids), known).to(device)

    def _photo_vectors(self, batch: Batch, step: int, start: int, stop: int) -> torch.Tensor:
        """Return the photos' vectors, [n, D]; with two views, beside one another with those of the views, [n, 3D]."""
        keywords = None if batch.keywords is None else batch.keywords.take(np.arange(start, stop))
        pixels_UCHW = batch.pixels[start:stop].to(self.model.device, non_blocking=True)
        features_UD = self._encoded(self._augmented(batch, pixels_UCHW, step, start, self.config.augment, view=0))
        vector_UD = self.model.combine(features_UD, keywords)
        if not (self.config.two_views_weight and self.model.training):
            return vector_UD
        kinds = self.config.augment or KINDS
        second_UD = self._encoded(self._augmented(batch, pixels_UCHW, step, start, kinds, view=1))
        views = [normalize(view_UD.float(), dim=1) for view_UD in (features_UD, second_UD)]
        return torch.cat([vector_UD, *views], dim=1)

    def _encoded(self, pixels_UCHW: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.model.device.type == "cuda"):
            return self.model.encode_images(pixels_UCHW)

    def _augmented(
        self, batch: Batch, pixels_UCHW: torch.Tensor, step: int, start: int, kinds: Sequence[str], view: int
    ) -> torch.Tensor:
        """Return other pictures of the photos from `start` on; which ones is a matter of seed, step and photo."""
        if not (kinds and self.model.training):
            return pixels_UCHW
        photos = batch.photos[start : start + len(pixels_UCHW)]
        is_flippable_U = self.data.are_safe_to_flip(photos)
        ids = self.data.ids_of_photos(photos)
        return augment(pixels_UCHW, ids, is_flippable_U, kinds, seed=self.config.seed, step=step, view=view)

    def _text_vectors(self, batch: Batch, start: int, stop: int) -> torch.Tensor:
        device = self.model.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return self.model.encode_tokens(batch.tokens[start:stop].to(device, non_blocking=True)).float()
