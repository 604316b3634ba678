"""Vision towers as they are built: the layers that are used, and their plain output."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel

from dragonfly.models.tower import build_tower, tower_config

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["clip_vision_model", "siglip_vision_model", "vit", "dinov2"])
def test_a_tower_gives_the_plain_hidden_state_of_its_last_layer(kind: str, layers: int) -> None:
    """Their final layer norm belongs to the layers above: applied here, every feature would be another number."""
    torch.manual_seed(0)
    config = tower_config({"model_type": kind, **SMALL, **({} if kind == "dinov2" else {"intermediate_size": 64})})
    whole = AutoModel.from_config(config).eval()
    tower = build_tower(config, layers).eval()
    unused = tower.load_state_dict(whole.state_dict(), strict=False)
    assert not unused.missing_keys
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        states = whole(pixel_values=pixels, output_hidden_states=True).hidden_states
        torch.testing.assert_close(tower(pixel_values=pixels).last_hidden_state, states[layers])
