"""Loss, labels and gradients of the released format against recorded training steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models import golden as g
from tests.models import released
from tests.models.golden import Case

STEPS = g.parameters(g.cases("train"))


def has_own_bos(case: Case, tokenizer: object) -> bool:
    return any(tokenizer.bos_token in text for text in case.texts)  # pyright: ignore[reportAttributeAccessIssue]


def batch(case: Case) -> dict[str, Tensor]:
    """The recorded ids and mask, reached our way or, where they carry a fault, by the restated fault; and the images."""
    _, processor = g.load(case.golden)
    limit = case.meta["max_length"]
    if not case.images:  # items 18 and 25: one row without an image made the whole batch text
        values = released.text_only(processor.tokenizer, case.texts, limit)
    else:
        values = dict(g.our_inputs(case, processor))
        if has_own_bos(case, processor.tokenizer):
            block = [i for i in values["input_ids"][0].tolist() if i in (processor.image_token_id, processor.separator_token_id)]
            values |= released.with_own_bos(processor.tokenizer, case.texts[0], block, limit)
    for name, value in case.recorded("input_ids", "attention_mask").items():
        assert torch.equal(values[name], value), name
    if "image_patches_indices" in case.tensors:
        indices = released.patch_indices(values["input_ids"], processor.image_token_id)
        assert torch.equal(indices, case.recorded("image_patches_indices")["image_patches_indices"])
    return values


@pytest.mark.parametrize("case", STEPS)
def test_loss_labels_and_gradients(case: Case) -> None:
    model, processor = g.load(case.golden)
    values = batch(case)
    labels = case.recorded("labels")["labels"]
    assert torch.equal(released.labels(values["input_ids"], processor.tokenizer.bos_token_id), labels)
    model.zero_grad()
    with torch.enable_grad():
        output = model(**values, labels=labels)
        output.loss.backward()
    g.compare_logits(output.logits.detach(), case, values["attention_mask"])
    g.compare(output.loss.detach().reshape(1), case.tensors["loss"], 1e-5, "loss")
    compare_gradients(case, {released.tensor_name(name): p.grad for name, p in model.named_parameters()})
    model.zero_grad()


def compare_gradients(case: Case, gradients: dict[str, Tensor | None]) -> None:
    """Norms and stored gradients; the same parameters have none, ours by not being built where none ever has."""
    for name in (key for key in case.tensors if key.startswith("grad.")):
        gradient = gradients[name.removeprefix("grad.")]
        assert gradient is not None
        largest = float(np.abs(case.tensors[name]).max())
        g.compare(gradient, case.tensors[name], 1e-4 * max(largest, 1.0), name)
    if "grad_norms" not in case.meta:
        return
    norms = {name: float(gradient.norm()) for name, gradient in gradients.items() if gradient is not None}
    recorded = case.meta["grad_norms"]
    assert norms.keys() == recorded.keys()
    for name, norm in norms.items():
        # Gradients that are zero in exact arithmetic (the keys' biases) are rounding noise on both sides.
        assert norm == pytest.approx(recorded[name], rel=1e-4, abs=1e-6), name
    without = {name for name, gradient in gradients.items() if gradient is None}
    unbuilt = set(case.golden.manifest["checkpoint"]["state_dict"]) - set(gradients)
    assert without | unbuilt == set(case.meta["params_without_grad"])
    assert all(name.startswith("image_encoder.") for name in unbuilt)


@pytest.mark.parametrize("case", STEPS)
def test_padding_left_out_of_the_loss(case: Case) -> None:
    """Item 23: what the loss is once padding is not supervised; the recorded labels less their padding."""
    model, _ = g.load(case.golden)
    values = batch(case)
    labels = case.recorded("labels")["labels"]
    padding = values["attention_mask"] == 0
    assert int(((labels != released.IGNORE) & padding).sum()) == case.meta["n_label_positions_on_padding"]
    assert int((labels != released.IGNORE).sum()) == case.meta["n_label_positions"]
    with torch.no_grad():
        loss = model(**values, labels=labels.masked_fill(padding, released.IGNORE)).loss
    assert float(loss) == pytest.approx(case.meta["derived_loss_padding_masked"], abs=1e-5)


@pytest.mark.parametrize("case", [p for p in STEPS if p.values[0] is None or None in p.values[0].meta["images"]])
def test_a_row_without_an_image_costs_no_other_row_its_own(case: Case) -> None:
    """Item 25: in ours each row keeps its images."""
    _, processor = g.load(case.golden)
    images = [[] if name is None else [case.golden.image(name)] for name in case.meta["images"]]
    values = processor(text=case.texts, images=images if any(images) else None, padding=True, return_tensors="pt")
    blocks = (values["input_ids"] == processor.image_token_id).sum(dim=1)
    per_image = case.golden.manifest["counts"]["image_embeddings"]
    assert blocks.tolist() == [per_image * len(row) for row in images]
    assert len(values.get("pixel_values", [])) == sum(len(row) for row in images)
