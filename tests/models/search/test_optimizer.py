"""Parameter groups: everything not frozen once, at its rate; averaged weights against the plain formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.search.keywords import KeywordVocabulary, RaggedKeywords
from models.search.model import SearchModel, build_tiny_model
from models.search.optimizer import AveragedWeights, freeze, make_optimizers, moved_by_rows, parameter_groups
from models.search.options import Tower, TrainingConfig
from tests.models.search.conftest import small_model

VOCABULARY = KeywordVocabulary(("red", "green", "blue"), hash_rows=4)
CONFIG = TrainingConfig(
    epochs=1, batch_size=1, learning_rate=1.0, seed=0, keyword_rate_factor=30.0, token_rate_factor=1.0
)


def by_name(model: SearchModel, layer_decay: float = 1.0) -> dict[str, tuple[float, float]]:
    """Return rate and decay of every parameter that is in a group; each may be in one only."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, replace(CONFIG, layer_decay=layer_decay))
    found = [(names[id(p)], group["rate"], group["weight_decay"]) for group in groups for p in group["params"]]
    assert len({name for name, _, _ in found}) == len(found)
    return {name: (rate, decay) for name, rate, decay in found}


def test_every_parameter_is_trained_once_at_its_rate() -> None:
    model = small_model(vocabulary=VOCABULARY)
    found = by_name(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    assert found["keyword_encoder.bag.weight"] == (30.0, 0.0)
    assert found["network.logit_scale"] == found["network.logit_bias"] == (20.0, 0.0)
    assert found["network.visual.conv1.weight"] == (1.0, 0.05)
    assert found["network.text.token_embedding.weight"] == (1.0, 0.0)
    assert found["network.visual.ln_post.weight"] == (1.0, 0.0)


def test_lower_blocks_learn_more_slowly() -> None:
    model = build_tiny_model(image_size=16, vision_width=32, vision_layers=3, text_width=32, text_layers=2)
    found = by_name(model, layer_decay=0.5)
    visual = "network.visual.transformer.resblocks.{}.mlp.c_fc.weight"
    assert [found[visual.format(block)][0] for block in (0, 1, 2)] == [0.25, 0.5, 1.0]
    assert found["network.visual.conv1.weight"][0] == 0.125
    assert found["network.visual.proj"][0] == found["network.visual.ln_post.weight"][0] == 1.0
    assert found["network.text.token_embedding.weight"][0] == 0.25
    assert found["network.logit_scale"][0] == 20.0


@pytest.mark.parametrize(("tower", "prefix"), [("image", "network.visual."), ("text", "network.text.")])
def test_a_frozen_tower_is_in_no_group(tower: Tower, prefix: str) -> None:
    model = small_model()
    freeze(model, tower)
    assert {name for name, _ in model.named_parameters() if not name.startswith(prefix)} == by_name(model).keys()
    freeze(model, "none")
    assert by_name(model).keys() == dict(model.named_parameters()).keys()


def test_averaged_weights_follow_the_formula() -> None:
    model = small_model()
    weight = model.network.visual.conv1.weight
    average = AveragedWeights(model, decay=0.9)
    expected = weight.detach().clone()
    for step in range(1, 40):
        with torch.no_grad():
            weight += 1
        average.update(model)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    assert torch.allclose(average.weights["network.visual.conv1.weight"], expected, atol=1e-4)
    own = weight.detach().clone()
    with average.in_place(model):
        assert torch.allclose(model.network.visual.conv1.weight, expected, atol=1e-4)
    assert torch.equal(model.network.visual.conv1.weight, own)


def test_a_step_moves_only_the_rows_of_a_table_that_the_batch_has() -> None:
    model = small_model(vocabulary=VOCABULARY)
    assert model.keyword_encoder is not None
    tables = {"tokens": model.network.text.token_embedding.weight, "keywords": model.keyword_encoder.bag.weight}
    before = {name: table.detach().clone() for name, table in tables.items()}
    optimizers = make_optimizers(parameter_groups(model, CONFIG))
    keywords = RaggedKeywords.encode(VOCABULARY, [[("red", 0.5)], [("blue", 1.0)]])
    tokens = torch.tensor([[3, 7, 0]])
    with moved_by_rows(model):
        text_1D = model.network.text.token_embedding(tokens).sum()
        (text_1D + model.keyword_encoder(keywords).sum()).backward()
        assert all(table.grad.is_sparse for table in tables.values())
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 0.1
            optimizer.step()
    moved = {name: (table != before[name]).any(dim=1).nonzero().flatten().tolist() for name, table in tables.items()}
    assert moved == {"tokens": [0, 3, 7], "keywords": [VOCABULARY.row("red"), VOCABULARY.row("blue")]}
    for name, table in tables.items():  # the first step of Adam is of the rate's length
        assert torch.allclose((table - before[name])[moved[name]], torch.tensor(-0.1), atol=1e-4)
    model.zero_grad()
    model.network.text.token_embedding(tokens).sum().backward()
    assert not tables["tokens"].grad.is_sparse


def test_a_frozen_table_has_no_optimizer() -> None:
    model = small_model()
    freeze(model, "text")
    assert [type(optimizer) for optimizer in make_optimizers(parameter_groups(model, CONFIG))] == [torch.optim.AdamW]
