"""The released format against recorded behaviour of the released models.

`DRAGONFLY_GOLDEN=DIR pytest tests/models/test_golden.py` tries any directory of the same form. Pixels and training have files of
their own, collected from here so that this one command tries everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dragonfly.models.modeling_dragonfly import DragonflyImageFeatures
from dragonfly.vision.pooling import mean_pool
from tests.models import golden as g
from tests.models import released
from tests.models.golden import Case, Trace
from tests.models.golden_images import (  # noqa: F401 - collected by pytest
    test_odd_modes_are_converted_to_rgb_first,
    test_sub_images_bit_for_bit,
)
from tests.models.golden_training import (  # noqa: F401
    test_a_row_without_an_image_costs_no_other_row_its_own,
    test_loss_labels_and_gradients,
    test_padding_left_out_of_the_loss,
)

IMAGES = ("single_generate", "single_train_layout", "batch2_generate", "batch2_train_layout")
NEW_TOKENS = 12


@dataclass
class Run:
    """Our own pass over a case with images: from the texts and images, not from recorded ids."""

    case: Case
    model: Any
    processor: Any
    inputs: Any
    trace: Trace
    num_sub_images: int

    @property
    def prompt(self) -> dict[str, Any]:
        """What `generate` takes: ids, mask and the encoded images."""
        assert self.trace.features is not None
        encoded = DragonflyImageFeatures(pooler_output=list(self.trace.features))  # pyright: ignore[reportArgumentType]
        names = ("input_ids", "attention_mask")
        return {**{name: self.inputs[name] for name in names}, "mm_encoder_outputs": {"image": encoded}}

    @property
    def mask(self) -> Tensor:
        return self.inputs["attention_mask"]

    @property
    def recorded(self) -> dict[str, np.ndarray]:
        return self.case.tensors


@cache
def run(case: Case) -> Run:
    """Images are encoded once; what is kept of them for generation is their features."""
    model, processor = g.load(case.golden)
    inputs = g.our_inputs(case, processor)
    trace = g.forward(model, inputs)
    assert trace.features is not None
    counts = inputs.pop("pixel_values").shape[1]
    return Run(case, model, processor, inputs, trace, counts)


@pytest.fixture(params=g.parameters(g.cases(*IMAGES)))
def ours(request: pytest.FixtureRequest) -> Run:
    return run(request.param)


@pytest.fixture(params=g.parameters(g.cases("single_generate", "batch2_generate")))
def prompt(request: pytest.FixtureRequest) -> Run:
    return run(request.param)


@pytest.fixture(params=g.parameters(g.cases("batch2_generate")))
def batch(request: pytest.FixtureRequest) -> Run:
    return run(request.param)


def test_ids_and_mask(ours: Run) -> None:
    assert ours.inputs["input_ids"].tolist() == ours.recorded["input_ids"].tolist()
    assert ours.mask.tolist() == ours.recorded["attention_mask"].tolist()


def test_image_patches_indices_follow_from_the_ids(ours: Run) -> None:
    indices = released.patch_indices(ours.inputs["input_ids"], ours.processor.image_token_id)
    assert indices.tolist() == ours.recorded["image_patches_indices"].tolist()


def test_grids(ours: Run) -> None:
    for image, grid in zip(ours.case.images, ours.case.meta["grids"], strict=True):
        layout = ours.processor.image_processor.layout((image.height, image.width))
        assert [image.width, image.height] == grid["image_size"]
        assert [list(layout.level(name).grid[::-1]) for name in ("mid", "high")] == [grid["mid"], grid["high"]]


def test_sub_image_and_token_counts(ours: Run) -> None:
    counts = ours.case.golden.manifest["counts"]
    layout = ours.processor.image_processor.layout(ours.case.images[0].size[::-1])
    assert layout.num_sub_images == counts["n_sub_images"] == ours.num_sub_images
    assert layout.num_image_tokens == counts["image_ids_incl_newlines"]
    assert layout.num_features == counts["image_embeddings"]


def test_selection(ours: Run) -> None:
    if "selected_high" in ours.recorded:
        g.compare_selection(ours.trace, ours.case, g.high_regions(ours.inputs))
    else:
        assert not ours.model.model.spec.selects or "logits_lse" not in ours.recorded


def test_logits(ours: Run) -> None:
    g.compare_logits(ours.trace.logits, ours.case, ours.mask)


def test_embeddings(prompt: Run) -> None:
    g.compare_embeddings(prompt.trace, prompt.case, prompt.mask)


def test_sub_image_embeddings(prompt: Run) -> None:
    spec = prompt.model.model.spec
    tokens = (spec.resolution // spec.patch_size) ** 2 + spec.num_prefix_tokens
    g.compare_sub_image_embeddings(prompt.trace, prompt.case, tokens, spec.num_prefix_tokens)


def test_projected_tokens(prompt: Run) -> None:
    if "projected_low" not in prompt.recorded:
        return
    low, first = prompt.recorded["projected_low"], prompt.recorded["projected_first_high"]
    assert prompt.trace.features is not None
    g.compare(prompt.trace.features[0, : len(low)], low, name="projected low")
    codes = prompt.inputs["sub_image_regions"][0]
    index = int((codes >= 0).nonzero()[0])
    inner, spec = prompt.model.model, prompt.model.model.spec
    pixels = prompt.processor.image_processor(images=prompt.case.images[:1], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        tokens = inner.encode(pixels[0, index : index + 1])
        projected = inner.multi_modal_projector(mean_pool(tokens, spec.num_prefix_tokens, spec.high.pool))
    g.compare(projected[0], first, name="projected first high")


def generate(run: Run, inputs: Any, eos: list[int] | None = None) -> tuple[Tensor, Tensor]:
    """New ids (rows, tokens) and each step's logits (rows, tokens, vocabulary).

    Item 21: the recorded calls stopped at [BOS, eot] and padded finished rows with the first of the list.
    """
    stops = eos or run.processor.tokenizer.encode("<|eot_id|>")
    output = run.model.generate(
        **inputs,
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=stops,
        pad_token_id=stops[0],
        output_logits=True,
        return_dict_in_generate=True,
    )
    return output.sequences[:, inputs["input_ids"].shape[1] :], torch.stack(output.logits, dim=1)


def test_greedy_tokens(prompt: Run) -> None:
    ids, logits = generate(prompt, prompt.prompt)
    assert ids.tolist() == prompt.recorded["generated_ids"].tolist()
    g.compare(logits, prompt.recorded["generated_step_logits"], name="step logits")


def test_greedy_tokens_with_another_stop(prompt: Run) -> None:
    for name in (key for key in prompt.recorded if key.startswith("generated_ids_eos_is")):
        ids, _ = generate(prompt, prompt.prompt, prompt.case.meta["eos_used_for_stop_test"])
        assert ids.tolist() == prompt.recorded[name].tolist()


def test_batch_equals_single(batch: Run) -> None:
    for row, (text, image) in enumerate(zip(batch.case.texts, batch.case.images, strict=True)):
        alone = batch.processor(text=[text], images=[image], return_tensors="pt")
        ids, _ = generate(batch, alone)
        assert ids[0].tolist() == batch.recorded["generated_ids_each_alone"][row].tolist()
        real = batch.mask[row].bool()
        assert batch.inputs["input_ids"][row][real].tolist() == alone["input_ids"][0].tolist()
        logits = g.forward(batch.model, alone).logits[0]
        assert float((batch.trace.logits[row][real] - logits).abs().max()) <= g.TOLERANCE


def test_left_padding(batch: Run) -> None:
    assert (batch.mask == 0).sum(dim=1).tolist() == batch.case.meta["left_pad"]
    padding = batch.inputs["input_ids"][batch.mask == 0]
    assert bool((padding == batch.processor.tokenizer.eos_token_id).all())


def test_positions_of_generation(batch: Run) -> None:
    positions = torch.from_numpy(batch.recorded["position_ids_generate"]).long()
    assert torch.equal(released.generate_positions(batch.mask), positions)
    given = []
    hook = batch.model.register_forward_pre_hook(lambda *call: given.append(call[2]["position_ids"]), with_kwargs=True)
    batch.model.generate(**batch.prompt, max_new_tokens=1, do_sample=False, pad_token_id=0)
    hook.remove()
    real = batch.mask.bool()
    assert torch.equal(given[0][real], positions[real])
    trace = g.forward(batch.model, batch.prompt, position_ids=positions)
    g.compare_logits(trace.logits, batch.case, batch.mask, prefix="genpos_")


@pytest.mark.parametrize("case", g.parameters(g.cases("text_only")))
def test_text_only(case: Case) -> None:
    """Item 18: the recorded ids carry the fault; the model is right about them, and ours leave the fault out."""
    model, processor = g.load(case.golden)
    faulty = released.text_only(processor.tokenizer, case.texts)
    for name, value in case.recorded("input_ids", "attention_mask").items():
        assert torch.equal(faulty[name], value)
    if "logits" in case.tensors:
        trace = g.forward(model, faulty)
        g.compare_logits(trace.logits, case, faulty["attention_mask"])
        g.compare_embeddings(trace, case, faulty["attention_mask"])
    if "generated_ids" in case.tensors:
        ids, logits = released.greedy(model, **faulty, steps=NEW_TOKENS)
        stops = processor.tokenizer.encode("<|eot_id|>")
        assert released.until(ids, stops).tolist() == case.tensors["generated_ids"].tolist()
        if "generated_step_logits" in case.tensors:
            g.compare(logits, case.tensors["generated_step_logits"], name="step logits")
    for text, row, mask in zip(case.texts, faulty["input_ids"], faulty["attention_mask"], strict=True):
        prompt = processor(text=[text], return_tensors="pt")["input_ids"][0]
        assert prompt.tolist() == row[mask.bool()].tolist()[:-1]


@pytest.mark.parametrize("case", g.parameters(g.cases("truncation")))
def test_truncation_and_options(case: Case) -> None:
    _, processor = g.load(case.golden)
    tokenizer, image, limit = processor.tokenizer, case.images[0], case.meta["max_length"]

    def ids(text: str, **options: Any) -> Tensor:
        return processor(text=[text], images=[image], return_tensors="pt", **options)["input_ids"]

    cut = {"truncation": True, "max_length": limit}
    long, short = case.texts[0], case.meta["boa_text"]
    expected = case.recorded(*case.tensors)
    train = ids(long, add_end_of_text=True, **cut)
    assert torch.equal(train, expected["trunc_train_input_ids"])
    indices = released.patch_indices(train, processor.image_token_id)
    assert torch.equal(indices, expected["trunc_train_image_patches_indices"])
    assert torch.equal(ids(long, add_end_of_text=False, **cut), expected["trunc_generate_input_ids"])
    assert torch.equal(ids(short), expected["boa_generate_input_ids"])  # item 16: the option did nothing here,
    swapped = torch.cat([ids(short), torch.tensor([[tokenizer.convert_tokens_to_ids("<|end_header_id|>")]])], dim=1)
    assert torch.equal(swapped, expected["boa_train_input_ids"])  # and replaced end_of_text there
    assert torch.equal(ids("", add_end_of_text=True), expected["text_none_input_ids"])
    cut_text = released.text_only(tokenizer, [long], limit)["input_ids"]
    assert torch.equal(cut_text, expected["text_only_trunc_input_ids"])
    assert tokenizer(long)["input_ids"] == expected["full_text_ids"][0].tolist()
