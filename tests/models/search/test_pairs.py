"""Dense weights against the loop over all combinations of pairs that they stand for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.search.losses.pairs import Pairs
from tests.models.search.batches import KINDS, combinations, count_pairs, random_pairs


def brute_force(pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor]:
    """The definition: every pair or extra with every other one, by its photo and the other's text."""
    own, extras, excluded = combinations(pairs)
    positive = torch.zeros(pairs.photo_count, pairs.text_count, dtype=torch.float64)
    negative = torch.zeros_like(positive)
    everyone = own + extras
    for i, (photo, text, weight) in enumerate(everyone):
        if i < len(own):
            positive[photo, text] += weight
        for j, (_, other_text, other_weight) in enumerate(everyone):
            is_negative = i != j and photo >= 0 and other_text >= 0 and (photo, other_text) not in excluded
            if is_negative:
                negative[photo, other_text] += weight * other_weight
    for factor, dim in ((pairs.photo_factor_U, 1), (pairs.text_factor_V, 0)):
        negative *= 1 if factor is None else factor.double().unsqueeze(dim)
    return positive, negative


@st.composite
def any_pairs(draw: st.DrawFn) -> Pairs:
    photo_count, text_count = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    combination = st.tuples(st.integers(0, photo_count - 1), st.integers(0, text_count - 1))
    photo, text = zip(*draw(st.lists(combination, min_size=1, max_size=12)), strict=True)
    masked = draw(st.none() | st.lists(combination, max_size=8))

    def weights(count: int, low: float) -> torch.Tensor | None:
        numbers = st.lists(st.floats(low, 4, width=32), min_size=count, max_size=count)
        drawn = draw(st.none() | numbers)
        return None if drawn is None else torch.tensor(drawn, dtype=torch.float32)

    return Pairs(
        photo_P=torch.tensor(photo),
        text_P=torch.tensor(text),
        photo_count=photo_count,
        text_count=text_count,
        weight_P=weights(len(photo), 0.125),
        masked_2M=None if masked is None else torch.tensor(masked, dtype=torch.int64).reshape(-1, 2).T,
        extra_photo_U=weights(photo_count, 0.0),
        extra_text_V=weights(text_count, 0.0),
        photo_factor_U=weights(photo_count, 0.25),
        text_factor_V=weights(text_count, 0.25),
        mask_known_positives=draw(st.booleans()),
    )


@settings(deadline=None, max_examples=200)
@given(pairs=any_pairs())
def test_weights_are_those_of_all_combinations_written_out(pairs: Pairs) -> None:
    found = [weights.double() for weights in pairs.dense()]
    torch.testing.assert_close(found, list(brute_force(pairs)), rtol=1e-5, atol=1e-4)


@settings(deadline=None, max_examples=100)
@given(pairs=any_pairs(), data=st.data())
def test_a_slice_is_the_rows_of_the_whole_and_swapping_transposes(pairs: Pairs, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, pairs.photo_count))
    stop = data.draw(st.integers(start, pairs.photo_count))
    whole = pairs.dense()
    assert all(torch.equal(part, full[start:stop]) for part, full in zip(pairs.dense(start, stop), whole, strict=True))
    back = pairs.swapped().dense()
    torch.testing.assert_close([weights.T for weights in back], list(whole))
    rows = pairs.rows(start, stop)
    assert len(rows.row_P) == ((pairs.photo_P >= start) & (pairs.photo_P < stop)).sum()


@settings(deadline=None)
@given(pairs=any_pairs())
def test_without_weights_masks_and_extras_it_is_the_count_matrix(pairs: Pairs) -> None:
    bare = Pairs(pairs.photo_P, pairs.text_P, pairs.photo_count, pairs.text_count)
    count_UV = count_pairs(pairs.photo_P, pairs.text_P, pairs.photo_count, pairs.text_count)
    positive_UV, negative_UV = bare.dense()
    assert torch.equal(positive_UV, count_UV)
    assert torch.equal(negative_UV, count_UV.sum(1, keepdim=True) * count_UV.sum(0, keepdim=True) * (count_UV == 0))


def test_a_pair_of_weight_two_without_masks_is_one_anchor_and_not_its_own_negative() -> None:
    one = Pairs(torch.tensor([0]), torch.tensor([0]), 1, 1, weight_P=torch.tensor([2.0]), mask_known_positives=False)
    assert [weights.item() for weights in one.dense()] == [2, 0]
    twice = Pairs(torch.tensor([0, 0]), torch.tensor([0, 0]), 1, 1, mask_known_positives=False)
    assert [weights.item() for weights in twice.dense()] == [2, 2]


def test_a_hard_negative_without_a_pair_is_a_negative_of_every_text_but_the_masked() -> None:
    pairs = Pairs(
        photo_P=torch.tensor([0, 1]),
        text_P=torch.tensor([0, 1]),
        photo_count=3,
        text_count=2,
        masked_2M=torch.tensor([[2], [1]]),
        extra_photo_U=torch.tensor([0.0, 0.0, 0.5]),
    )
    positive_UV, negative_UV = pairs.dense()
    assert positive_UV.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert negative_UV.tolist() == [[0, 1], [1, 0], [0.5, 0]]


@pytest.mark.parametrize("kind", KINDS)
def test_it_stays_the_same_on_its_way_to_a_device(kind: str) -> None:
    pairs = random_pairs(kind, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(pairs.to("cpu").dense(), pairs.dense(), strict=True))
    assert pairs.to("meta").photo_P.device.type == "meta"


def test_what_cannot_be_is_refused() -> None:
    good = Pairs(torch.tensor([0, 1]), torch.tensor([0, 0]), photo_count=2, text_count=1)
    wrong = [
        ({"weight_P": torch.ones(3)}, "shape"),
        ({"extra_photo_U": torch.ones(1)}, "shape"),
        ({"masked_2M": torch.zeros(3, 2, dtype=torch.int64)}, "shape"),
        ({"weight_P": torch.tensor([1.0, 0.0])}, "pair weights"),
        ({"extra_photo_U": torch.tensor([1.0, -1.0])}, "extra weights"),
        ({"photo_count": 1}, "photo position"),
        ({"masked_2M": torch.tensor([[0], [1]])}, "text position"),
    ]
    for change, message in wrong:
        with pytest.raises(ValueError, match=message):
            replace(good, **change)
