"""A tower in the place of another: the same one changes nothing, one that differs by a linear map is seen through."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from dragonfly.research.curriculum.new_tower import with_tower
from tests import tiny


def linear_model() -> Any:
    model = tiny.model(tiny.config("v1")).eval()
    width, out = model.config.vision_config.hidden_size, model.config.text_config.hidden_size
    model.model.multi_modal_projector = torch.nn.Linear(width, out)
    return model


def shown(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.model.multi_modal_projector(model.model.run_tower(pixels).last_hidden_state)


def test_the_same_tower_and_one_that_is_turned_show_what_was_shown() -> None:
    model, generator = linear_model(), torch.Generator().manual_seed(0)
    batches = [torch.randn(6, 3, 32, 32, generator=generator) for _ in range(8)]
    before = shown(model, batches[0])
    same = copy.deepcopy(model.model.vision_tower)
    assert with_tower(model, same, batches) > 0.999
    torch.testing.assert_close(shown(model, batches[0]), before, atol=1e-2, rtol=1e-2)
    assert model.model.vision_tower is same
    other = tiny.model(tiny.config("v1"), seed=3).eval().model.vision_tower
    explained = with_tower(model, other, batches)
    assert 0.0 < explained < 0.999
    error = (shown(model, batches[0]) - before).square().sum() / (before - before.mean(dim=(0, 1))).square().sum()
    assert float(error) == pytest.approx(1 - explained, abs=0.15)


def test_only_a_linear_projector_is_fitted() -> None:
    model = tiny.model(tiny.config("v1"))
    model.model.multi_modal_projector = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.GELU())
    with pytest.raises(ValueError, match="the projector is a Sequential"):
        with_tower(model, model.model.vision_tower, [])
