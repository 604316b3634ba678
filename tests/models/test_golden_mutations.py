"""The comparisons against recorded behaviour can fail: each deliberate mistake is made, and each is caught."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dragonfly.models import DragonflyForConditionalGeneration, connector
from dragonfly.vision import scoring
from dragonfly.vision.selection import Selection, SelectionInputs
from tests.models import golden as g
from tests.models.golden import Case, Golden, Trace

Mistake = Callable[[pytest.MonkeyPatch, Golden, Any, Any], None]


def last_layer(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    deeper = DragonflyForConditionalGeneration.from_pretrained(golden.checkpoint, vision_feature_layer=-1).eval()
    assert deeper.config.num_tower_layers == model.config.num_tower_layers + 1
    model.model.vision_tower = deeper.model.vision_tower


def unsorted_top_k(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    select = connector.select

    def best_first(inputs: SelectionInputs, regions: Tensor, *rest: Any, **more: Any) -> Selection:
        chosen = select(inputs, regions, *rest, **more)
        order = chosen.scores.gather(1, chosen.indices) - 1e6 * regions.gather(1, chosen.indices)
        return Selection(chosen.indices.gather(1, order.argsort(dim=1, descending=True)), chosen.scores)

    patch.setattr(connector, "select", best_first)


def cosine(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    match = scoring._match
    unit = nn.functional.normalize
    patch.setattr(scoring, "_match", lambda mid, high, *rest: match(unit(mid, dim=-1), unit(high, dim=-1), *rest))


def best_of_the_whole_image(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    spec = model.model.spec
    rule = spec.selection.with_changes(scope="image", keep=4 * spec.selection.keep)
    model.model.spec = spec.with_changes(selection=rule)


def class_token_left_out_of_the_means(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    choose = connector._select

    def without(views: connector.Views, *rest: Any) -> Any:
        return choose(dataclasses.replace(views, features=views.features[:, :, 1:]), *rest)

    patch.setattr(connector, "_select", without)


def other_activation(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    for module in model.model.vision_tower.modules():
        if hasattr(module, "activation_fn"):
            module.activation_fn = nn.GELU()


def bilinear(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    processor.image_processor.resample = Image.Resampling.BILINEAR


def other_rope_base(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    rotary = model.model.language_model.rotary_emb
    size = 2 * len(rotary.inv_freq)
    rotary.inv_freq = 10000.0 ** (-torch.arange(0, size, 2) / size)


def max_pool(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    def pooled(tokens: Tensor, prefix: int, window: int) -> Tensor:
        if window == 1:
            return tokens
        side = round((tokens.shape[-2] - prefix) ** 0.5) // window
        cells = tokens[..., prefix:, :].unflatten(-2, (side, window, side, window))
        return torch.cat([tokens[..., :prefix, :], cells.amax(dim=(-4, -2)).flatten(-3, -2)], dim=-2)

    patch.setattr(connector, "mean_pool", pooled)


# Which versions a mistake concerns: what selects, what pools, or both.
MISTAKES: dict[Mistake, tuple[str, ...]] = {
    last_layer: ("v1", "v2"),
    unsorted_top_k: ("v1",),
    cosine: ("v1",),
    best_of_the_whole_image: ("v1",),
    other_activation: ("v1", "v2"),
    bilinear: ("v1", "v2"),
    other_rope_base: ("v1", "v2"),
    max_pool: ("v2",),
}
BOTH = [(golden, mistake) for golden in g.versions() for mistake, where in MISTAKES.items() if golden.version in where]
SELECTING = [golden for golden in g.versions() if golden.version == "v1"]


def faithful(patch: pytest.MonkeyPatch, golden: Golden, model: Any, processor: Any) -> None:
    """No mistake."""


def trace(case: Case, patch: pytest.MonkeyPatch, mistake: Mistake) -> tuple[Trace, Any]:
    """A forward pass with the mistake, made on copies: other tests share the model and the processor."""
    model, processor = copy.deepcopy(g.load(case.golden))
    mistake(patch, case.golden, model, processor)
    inputs = g.our_inputs(case, processor)
    return g.forward(model, inputs), inputs


@pytest.mark.parametrize("golden", g.parameters(list(g.versions())))
def test_without_a_mistake_nothing_is_caught(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    case = g.smallest_image_case(golden)
    found, inputs = trace(case, monkeypatch, faithful)
    g.compare_logits(found.logits, case, inputs["attention_mask"])


@pytest.mark.parametrize(
    ("golden", "mistake"),
    [pytest.param(*item, id=f"{item[0]}-{item[1].__name__}") for item in BOTH]
    or [pytest.param(None, None, marks=g.parameters([])[0].marks, id="absent")],
)
def test_caught_by_the_logits(golden: Golden, mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
    case = g.smallest_image_case(golden)
    found, inputs = trace(case, monkeypatch, mistake)
    with pytest.raises(AssertionError, match=r"logits differ by"):
        g.compare_logits(found.logits, case, inputs["attention_mask"])
    # Far beyond the tolerance, not by luck.
    assert g.logits_error(found.logits, case, inputs["attention_mask"]) > 50 * g.TOLERANCE


@pytest.mark.parametrize("mistake", [unsorted_top_k, best_of_the_whole_image, cosine], ids=lambda item: item.__name__)
@pytest.mark.parametrize("golden", g.parameters(SELECTING))
def test_caught_by_the_selection(golden: Golden, mistake: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
    case = g.smallest_image_case(golden)
    found, inputs = trace(case, monkeypatch, mistake)
    with pytest.raises(AssertionError):
        g.compare_selection(found, case, g.high_regions(inputs))


@pytest.mark.parametrize("golden", g.parameters(SELECTING))
def test_class_token_left_out_is_caught_by_the_scores(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hardly ever changes which sub-images are kept, so no logit need show it."""
    case = g.smallest_image_case(golden)
    model, _ = g.load(golden)
    found, inputs = trace(case, monkeypatch, class_token_left_out_of_the_means)
    assert found.selection is not None
    with pytest.raises(AssertionError, match="scores differ by"):
        g.compare_scores(found.selection.scores, g.high_regions(inputs), case.tensors["region_scores_masked"])
    spec = model.model.spec
    tokens = (spec.resolution // spec.patch_size) ** 2 + spec.num_prefix_tokens
    with pytest.raises(AssertionError, match="embeddings differ by"):
        g.compare_sub_image_embeddings(found, case, tokens, spec.num_prefix_tokens)


@pytest.mark.parametrize("golden", g.parameters(list(g.versions())))
def test_pixels_catch_another_filter(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = copy.deepcopy(g.load(golden)[1])
    name, meta = next(iter(golden.manifest["pixels"].items()))
    bilinear(monkeypatch, golden, None, processor)
    pixels = processor.image_processor(images=[golden.image(name)], return_tensors="np")["pixel_values"][0]
    recorded = meta["sub_image_f32_sha256"]
    assert all(hashlib.sha256(ours.tobytes()).hexdigest() != theirs for ours, theirs in zip(pixels, recorded, strict=True))
