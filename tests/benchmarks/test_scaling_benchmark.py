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
from threadpoolctl import threadpool_limits
from torch.utils.flop_counter import FlopCounterMode

from models.evaluation.counting import rank_by_vectors
from models.evaluation.ranking import Availability
from models.images import decode_image
from models.rerank.history import Events, History
from models.rerank.tables import Conversions, Counts
from models.search.config import ImageConfig
from models.search.images import Preprocess

pytestmark = pytest.mark.benchmark

DIM, RANKED_PHOTOS, RANKED_SEARCHES = 768, 100_000, 4_000
TOWERS, SIDE, CONTEXT = "ViT-B-16-SigLIP", 224, 64
PICTURE_COUNT, PICTURE_WIDTH, PICTURE_HEIGHT = 200, 512, 384


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
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
    texts, targets = np.arange(RANKED_SEARCHES), random.integers(0, RANKED_PHOTOS, RANKED_SEARCHES)
    asked_at, availability = np.ones(RANKED_SEARCHES, np.int64), Availability(np.zeros(RANKED_PHOTOS, np.int64))
    cells = RANKED_PHOTOS * RANKED_SEARCHES

    def ranked() -> np.ndarray:
        has_vector = np.ones(RANKED_PHOTOS, np.bool_)
        return rank_by_vectors(query_QD, photo_PD, has_vector, (texts, targets, asked_at), availability)

    def plain() -> np.ndarray:
        return np.concatenate([np.argsort(-(query_QD[i : i + 100] @ photo_PD.T), axis=1) for i in range(0, 300, 100)])

    ours, sorting = cpu_seconds(ranked, cells), cpu_seconds(plain, 300 * RANKED_PHOTOS)
    print(
        f"\nexact ranking at {DIM} numbers: {1e9 * ours:.1f} CPU s a billion scores; sorting all: {1e9 * sorting:.1f}"
    )
    exact_QP = (query_QD[:20].astype(np.float64) @ photo_PD.T.astype(np.float64)).astype(np.float32)
    bar_Q1 = np.take_along_axis(exact_QP, targets[:20, None], axis=1)
    assert ranked()[:20].tolist() == (1 + (exact_QP > bar_Q1).sum(axis=1)).tolist()
    assert ours < sorting


def test_fresh_conversions_counted() -> None:
    """An hour's conversions put on top of the counts of a million different (photo, query, country)."""
    random, photos, day = np.random.default_rng(0), 100_000, 86_400_000_000
    available, count = np.zeros(photos, np.int64), 1_000_000

    def made(count: int) -> Conversions:
        texts, places = random.integers(0, 200_000, count).astype(np.uint64), random.integers(0, photos, count)
        countries = np.array(["BR", "DE", "IN", "US"])[random.integers(0, 4, count)]
        return Conversions(places, texts, countries, random.integers(-1, 3, count))

    nothing = Events(*(np.zeros(0, np.int64) for _ in range(5)))
    empty = Counts(History.of(nothing, day, available, 0, 7.0), np.zeros(0, np.uint64), np.array([], np.str_))
    counts, hour = empty.plus(made(count), available), made(1000)
    seconds = cpu_seconds(lambda: counts.plus(hour, available), 1)
    print(f"\nan hour's conversions on top of {len(counts.history.by_query_country_photo.keys):,}: {seconds:.3f} CPU s")
    assert counts.plus(hour, available).history.photo_sums[:, 0].sum() == count + 1000


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
