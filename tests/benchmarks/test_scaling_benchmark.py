"""Unit figures of what grows with photos and searches: ranking, mixing, pictures read, and the towers of a real model.

    pytest -n 0 -m benchmark tests/benchmarks/test_scaling_benchmark.py -s

One thread, CPU-seconds. docs/SCALING.md rests on these figures. The towers are those of the preset `vit-b-16-siglip`,
with weights drawn at random: what they cost does not depend on what they have learned.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from models.evaluation.ranking import Availability, dense_scorer, rank_targets
from models.evaluation.trending import HOUR, Conversions, Mixture, Searches, mixed_ranks
from models.images import decode_image
from models.search.config import ImageConfig
from models.search.images import Preprocess

pytestmark = pytest.mark.benchmark

DIM, RANKED_PHOTOS, RANKED_SEARCHES = 768, 100_000, 500
TOWERS, SIDE, CONTEXT = "ViT-B-16-SigLIP", 224, 64
PICTURE_COUNT, PICTURE_WIDTH, PICTURE_HEIGHT = 200, 512, 384


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cpu_seconds(work: Callable[[], object], count: int) -> float:
    """Return the CPU-seconds of one of `count` in the best of three runs."""
    best = np.inf
    for _ in range(3):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return best / count


def test_exact_ranking() -> None:
    random = np.random.default_rng(0)
    photo_PD, query_QD = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for vectors in (random.normal(size=(n, DIM)).astype(np.float32) for n in (RANKED_PHOTOS, RANKED_SEARCHES))
    )
    scorer = dense_scorer(query_QD, photo_PD, np.ones(RANKED_PHOTOS, np.bool_))
    texts, targets = np.arange(RANKED_SEARCHES), random.integers(0, RANKED_PHOTOS, RANKED_SEARCHES)
    asked_at, availability = np.ones(RANKED_SEARCHES, np.int64), Availability(np.zeros(RANKED_PHOTOS, np.int64))
    cells = RANKED_PHOTOS * RANKED_SEARCHES

    def ranked() -> np.ndarray:
        return rank_targets(scorer, texts, targets, asked_at, availability)

    def plain() -> np.ndarray:
        return np.concatenate([np.argsort(-(query_QD[i : i + 100] @ photo_PD.T), axis=1) for i in range(0, 300, 100)])

    ours, sorting = cpu_seconds(ranked, cells), cpu_seconds(plain, 300 * RANKED_PHOTOS)
    print(
        f"\nexact ranking at {DIM} numbers: {1e9 * ours:.1f} CPU s a billion scores; sorting all: {1e9 * sorting:.1f}"
    )
    assert ranked()[:300].tolist() == (1 + np.argmax(plain() == targets[:300, None], axis=1)).tolist()
    assert ours < sorting


def test_recent_conversions_mixed_in() -> None:
    random = np.random.default_rng(0)
    score_UP = random.normal(size=(100, RANKED_PHOTOS)).astype(np.float32)
    at_N = np.sort(random.integers(0, 200 * HOUR, 100_000))
    key_N, photo_N = random.integers(0, 100, len(at_N)), random.integers(0, RANKED_PHOTOS, len(at_N))
    by_words = Conversions(key_N, photo_N, at_N, RANKED_PHOTOS)
    by_photo = Conversions(np.zeros_like(key_N), photo_N, at_N, RANKED_PHOTOS)
    text_Q, target_Q = np.arange(100), random.integers(0, RANKED_PHOTOS, 100)
    asked_Q = np.full(100, 190 * HOUR)
    searches = Searches(text_Q, text_Q, target_Q, asked_Q, asked_Q)
    availability, cells = Availability(np.zeros(RANKED_PHOTOS, np.int64)), RANKED_PHOTOS * len(text_Q)
    one = Mixture(24, 1, 0.5)
    more = [Mixture(24, weight, 0.5) for weight in range(1, 9)]

    def mixed(mixtures: list[Mixture]) -> np.ndarray:
        return mixed_ranks(lambda text_B: score_UP[text_B], searches, by_words, by_photo, availability, mixtures)

    alone, several = cpu_seconds(lambda: mixed([one]), cells), cpu_seconds(lambda: mixed(more), cells)
    each = (several - alone) / (len(more) - 1)
    print(f"\nconversions mixed in: {1e9 * alone:.1f} CPU s a billion scores, {1e9 * each:.1f} each mixture more")
    assert mixed(more)[0].tolist() == mixed([one])[0].tolist()
    assert 0 < each < alone


def test_pictures_read() -> None:
    random = np.random.default_rng(0)
    low = random.integers(0, 256, (PICTURE_HEIGHT // 16, PICTURE_WIDTH // 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(low).resize((PICTURE_WIDTH, PICTURE_HEIGHT)).save(file, "jpeg", quality=85)
    data = file.getvalue()
    preprocess = Preprocess(ImageConfig(size=SIDE, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic"))
    found = cpu_seconds(lambda: [preprocess(decode_image(data)) for _ in range(PICTURE_COUNT)], PICTURE_COUNT)
    print(
        f"\na JPEG of {PICTURE_WIDTH} x {PICTURE_HEIGHT}, {len(data):,} bytes, to {SIDE} px: {1e3 * found:.2f} CPU ms"
    )
    assert preprocess(decode_image(data)).shape == (3, SIDE, SIDE)


def test_the_towers_of_a_real_model() -> None:
    model = open_clip.create_model(TOWERS, pretrained=None).eval().requires_grad_(False)
    pixels_BCHW, tokens_BL = torch.zeros(8, 3, SIDE, SIDE), torch.ones(8, CONTEXT, dtype=torch.long)
    with torch.no_grad():
        for name, encode, batch in (
            ("picture", model.encode_image, pixels_BCHW),
            ("text", model.encode_text, tokens_BL),
        ):
            with FlopCounterMode(display=False) as counter:
                encode(batch)
            gflop = counter.get_total_flops() / len(batch) / 1e9
            found = cpu_seconds(lambda encode=encode, batch=batch: encode(batch), len(batch))
            print(f"\n{TOWERS}, a {name}: {gflop:.1f} GFLOP, {found:.3f} CPU s, {gflop / found:.0f} GFLOP/s")
            assert gflop > 1
