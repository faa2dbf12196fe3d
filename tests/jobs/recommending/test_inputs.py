"""What recommenders know of a photo: the vector of its description."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from jobs.recommending import inputs
from models.search.model import build_tiny_model


def test_a_description_counts_in_its_normal_form_and_not_if_nothing_of_it_is_visible(
    tmp_path: Path,
) -> None:
    model = build_tiny_model(
        image_size=32, vision_width=32, vision_layers=1, text_width=32, text_layers=1, embed_dim=16
    )
    vector_PD = inputs._descriptions(model, pl.Series(["A\u200b  Cat", "a cat", "\u200b ", None]), tmp_path / "texts")
    assert vector_PD[0].any()
    assert vector_PD[0].tolist() == vector_PD[1].tolist()
    assert not vector_PD[2:].any()
    assert inputs._descriptions(model, pl.Series([], dtype=pl.String), tmp_path / "none").shape == (0, 16)
