"""More layers of a language model: which, and that they say nothing before they are trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import dragonfly
from dragonfly.inference import Engine
from dragonfly.research.curriculum.more_layers import with_layers
from tests import tiny


def test_a_deeper_model_answers_as_before_with_a_cache_for_every_layer(tmp_path: Any) -> None:
    engine: Any = dragonfly.load(device="cpu")
    image, question = tiny.image(200, 300), "Give the tax."
    before = engine.ask(image, question, max_new_tokens=4)
    layers = engine.model.config.text_config.num_hidden_layers
    deeper = with_layers(engine.model.float(), [0, layers - 1])
    assert deeper.config.text_config.num_hidden_layers == layers + 2 == len(deeper.model.language_model.layers)
    assert [layer.self_attn.layer_idx for layer in deeper.model.language_model.layers] == list(range(layers + 2))
    deeper.save_pretrained(tmp_path)
    engine.processor.save_pretrained(tmp_path)
    for again in (Engine(deeper, engine.processor, "deeper"), dragonfly.load(tmp_path, device="cpu")):
        answer = again.ask(image, question, max_new_tokens=4)
        assert answer.token_ids == before.token_ids
        assert answer.confidence == pytest.approx(before.confidence, abs=1e-4)


def test_new_layers_learn() -> None:
    model = with_layers(tiny.model(tiny.config("v1")), [1])
    layer: Any = model.model.language_model.layers[2]
    assert not layer.self_attn.o_proj.weight.any() and layer.self_attn.q_proj.weight.any()
    hidden = torch.randn(1, 4, model.config.text_config.hidden_size)
    model.model.language_model(inputs_embeds=hidden).last_hidden_state.square().sum().backward()
    assert layer.self_attn.o_proj.weight.grad.any() and layer.mlp.down_proj.weight.grad.any()


@pytest.mark.parametrize("behind", [[9], [0, 0], [-1]])
def test_layers_that_are_not_there_are_refused(behind: list[int]) -> None:
    with pytest.raises(ValueError, match="give each layer once, from 0 to 1"):
        with_layers(tiny.model(tiny.config("v1")), behind)
