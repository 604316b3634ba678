"""Counted FLOPs against torch's counter on the same batch, forward and backward."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dragonfly.data import IGNORE_INDEX, Collator
from dragonfly.training.lora import add_adapter
from dragonfly.training.modules import count_modules, freeze
from dragonfly.training.recipe import Lora
from dragonfly.training.trainer import Flops
from tests import tiny


def counted(trainable: list[str], feature_layer: int = -2) -> tuple[int, int]:
    """Ours and torch's FLOPs of one batch of one image and 60 letters."""
    settings = tiny.config("baseline-1", attn_implementation="eager", vision_feature_layer=feature_layer)
    model = tiny.model(settings).train()
    freeze(model, trainable)
    processor: Any = tiny.processor(settings)
    batch = processor(images=[tiny.image()], text="<image>" + "x" * 60, return_tensors="pt")
    ours = Flops.of_model(model, count_modules(model))
    assert ours is not None
    with FlopCounterMode(display=False) as theirs:
        model(**batch, labels=batch["input_ids"]).loss.backward()
    return ours.of_batch(batch), theirs.get_total_flops()


@pytest.mark.parametrize(
    "trainable",
    [
        ["vision_tower", "multi_modal_projector", "language_model", "lm_head"],
        ["multi_modal_projector"],
        ["lm_head", "language_model"],
    ],
)
def test_flops_are_those_of_torchs_counter(trainable: list[str]) -> None:
    ours, theirs = counted(trainable)
    # Left out: the projector, and the gradient of pixels that torch does not need either.
    assert ours == pytest.approx(theirs, rel=0.04)


@pytest.mark.parametrize("feature_layer", [-1, 1])
def test_the_tower_is_counted_up_to_its_feature_layer(feature_layer: int) -> None:
    ours, theirs = counted(["vision_tower", "multi_modal_projector", "language_model", "lm_head"], feature_layer)
    assert ours == pytest.approx(theirs, rel=0.04)


def test_a_language_model_under_an_adapter_is_frozen_and_passed_by_gradients() -> None:
    settings = tiny.config("baseline-1", attn_implementation="eager")
    settings.text_config.update({"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 8})
    model = tiny.model(settings).train()
    adapted: Any = add_adapter(model, Lora(r=1, alpha=1), [])
    processor: Any = tiny.processor(settings)
    batch = processor(images=[tiny.image()], text="<image>" + "x" * 60, return_tensors="pt")
    ours = Flops.of_model(model, count_modules(adapted), adapter=True)
    assert ours is not None
    with FlopCounterMode(display=False) as theirs:
        adapted(**batch, labels=batch["input_ids"]).loss.backward()
    assert ours.of_batch(batch) == pytest.approx(theirs.get_total_flops(), rel=0.05)  # counted as trained: 40 % more


def test_text_costs_no_tower_and_an_unknown_language_model_no_guess() -> None:
    model = tiny.model(tiny.config("baseline-1"))
    ours = Flops.of_model(model, count_modules(model))
    assert ours is not None
    text = {"attention_mask": torch.tensor([[1, 1, 1, 0]])}
    with_images = {**text, "pixel_values": torch.zeros(1, 5, 3, 32, 32)}
    assert ours.of_batch(with_images) - ours.of_batch(text) == 3 * 5 * ours.per_sub_image
    fewer = {**with_images, "num_sub_images": torch.tensor([2])}
    assert ours.of_batch(fewer) - ours.of_batch(text) == 3 * 2 * ours.per_sub_image
    assert ours.of_batch({**text, "pixel_values": torch.zeros(1, 5, 17, 32)}) == ours.of_batch(text)  # encoded already
    model.config.text_config.model_type = "mamba"
    assert Flops.of_model(model, count_modules(model)) is None


def test_packed_rows_cost_what_they_cost_alone_and_logits_are_those_of_answers() -> None:
    model = tiny.model(tiny.config("baseline-1"))
    ours = Flops.of_model(model, count_modules(model))
    assert ours is not None
    ids = [torch.arange(length) for length in (30, 12, 50)]
    rows = [{"input_ids": row, "labels": torch.where(row > 9, row, IGNORE_INDEX)} for row in ids]
    plain = Collator(0)(rows)
    assert ours.of_batch(Collator(0, packing=60)(rows)) == ours.of_batch(plain)
    size = model.config.text_config
    without = {key: value for key, value in plain.items() if key != "labels"}
    assert ours.of_batch(without) - ours.of_batch(plain) == 3 * 2 * 3 * 10 * size.hidden_size * size.vocab_size
