"""The tower of convolutions and layers: an ordinary vision tower of transformers, frozen norms included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel

from dragonfly.models import ConvTower, ConvTowerConfig, DragonflyForConditionalGeneration
from dragonfly.models.tower import build_tower, num_prefix_tokens, tower_config
from dragonfly.models.tower_structure import structure_of
from dragonfly.planning import TowerSize
from dragonfly.vision.spec import EncoderSpec
from dragonfly.vision.towers import MEAN_AND_STD, PREFIX_TOKENS
from tests import tiny

SMALL: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 8,
    "stem_channels": [8, 16],
    "stem_depths": [1, 2],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
}


def tower(**changes: Any) -> ConvTower:
    torch.manual_seed(0)
    made = ConvTower(ConvTowerConfig(**{**SMALL, **changes}))
    for name, buffer in made.named_buffers():  # moments as after some training
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
    return made.eval()


def pixels(number: int = 2) -> torch.Tensor:
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_it_is_saved_and_found_by_its_type(tmp_path: Path) -> None:
    first = tower()
    first.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(again, ConvTower) and isinstance(AutoConfig.from_pretrained(tmp_path), ConvTowerConfig)
    with torch.no_grad():
        torch.testing.assert_close(again(pixels()).last_hidden_state, first(pixels()).last_hidden_state, rtol=0, atol=0)


def test_it_keeps_the_contract_of_towers() -> None:
    config = tower_config({"model_type": "dragonfly_conv_tower", **SMALL})
    assert num_prefix_tokens(config) == PREFIX_TOKENS[config.model_type] == 0 and config.model_type in MEAN_AND_STD
    structure = structure_of(config)
    assert (structure.layers, structure.above, structure.unused, structure.num_tokens) == ("layers", (), (), 16)
    whole = tower()
    with torch.no_grad():
        states = whole(pixels(), output_hidden_states=True).hidden_states
        for layers in (3, 2, 1):
            cut = build_tower(config, layers).eval()
            assert not cut.load_state_dict(whole.state_dict(), strict=False).missing_keys
            torch.testing.assert_close(cut(pixels()).last_hidden_state, states[layers])
        moved = pixels()
        moved[:, :, 24:, 24:] += 1.0  # the last patch
        change = (whole(moved, output_hidden_states=True).hidden_states[0] - states[0]).abs().sum(dim=-1)[0]
    assert int(change.argmax()) == 15 and not change.view(4, 4)[:2, :2].any()


def test_a_whole_model_with_it_answers_alike_after_saving(tmp_path: Path) -> None:
    settings = tiny.config("v1", vision_config=tower_config({"model_type": "dragonfly_conv_tower", **SMALL}))
    model, processor = tiny.model(settings), tiny.processor(settings)
    batch = processor(text="<image>what is it", images=tiny.image(), return_tensors="pt")
    model.save_pretrained(tmp_path)
    again = DragonflyForConditionalGeneration.from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(**batch).logits, model.eval()(**batch).logits)


def test_frozen_norms_use_and_keep_their_moments_in_training_mode() -> None:
    frozen = tower()
    expected = frozen(pixels()).last_hidden_state
    before = {name: buffer.clone() for name, buffer in frozen.named_buffers()}
    frozen.requires_grad_(False).train()
    torch.testing.assert_close(frozen(pixels()).last_hidden_state, expected)
    assert all(torch.equal(before[name], buffer) for name, buffer in frozen.named_buffers())
    frozen.requires_grad_(True)
    assert not torch.allclose(frozen(pixels()).last_hidden_state, expected)  # moments of the batch
    assert not torch.equal(
        frozen.get_buffer("embeddings.stem.0.norm.running_mean"), before["embeddings.stem.0.norm.running_mean"]
    )


def test_patches_may_be_left_out_in_any_order() -> None:
    model = tower()
    with torch.no_grad():
        whole = model(pixels()).last_hidden_state
        order = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(row)) for row in range(2)])
        some = model(pixels(), patch_indices=order).last_hidden_state
        few = model(pixels(), patch_indices=order[:, :5]).last_hidden_state
    torch.testing.assert_close(some, whole.gather(1, order[..., None].expand_as(whole)))  # attention has no order of its own
    assert few.shape == (2, 5, 32) and not torch.allclose(few, some[:, :5])  # what is left out is not seen


def test_implementations_of_attention_and_half_precision_agree() -> None:
    expected = tower()(pixels()).last_hidden_state
    other = tower()
    other.set_attn_implementation("eager")
    torch.testing.assert_close(other(pixels()).last_hidden_state, expected, rtol=1e-4, atol=1e-4)
    rounded: Any = tower().to(dtype=torch.bfloat16)  # pyright: ignore[reportArgumentType, reportCallIssue]
    half = rounded(pixels()).last_hidden_state  # float32 pixels, as processors give them
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.1)


def test_its_flops_are_those_that_torch_counts() -> None:
    model = tower(_attn_implementation="eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(pixels(1))
    spec = EncoderSpec(resolution=32, patch_size=8, num_prefix_tokens=0)
    assert TowerSize.from_config(model.config, 3).flops(spec) == counter.get_total_flops()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem_depths": [1]}, "one number of at least 1 for each stage"),
        ({"patch_size": 16}, "2 stages halve the grid 3 times, so patch_size must be 8"),
        ({"image_size": 36}, "image_size a multiple of it; got 8 and 36"),
        ({"num_attention_heads": 5}, "hidden_size 32 does not divide among 5 heads"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvTowerConfig(**{**SMALL, **changes})
