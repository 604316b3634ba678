"""What an encoder may add to the choice: a pooled remainder, diversity, learned positions. Counts, equivalences, and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dragonfly.models import DragonflyForConditionalGeneration, DragonflyModel, DragonflyProcessor
from tests import tiny

Model = DragonflyForConditionalGeneration


def encoder(preset: str = "v1", position: str = "none", **selection: Any) -> dict[str, Any]:
    return tiny.config(preset).spec.changed({"position": position, "selection": selection}).to_dict()


def make(**options: Any) -> tuple[Any, DragonflyProcessor]:
    settings = tiny.config(encoder=encoder(**options))
    return tiny.model(settings), tiny.processor(settings)


def encode(processor: DragonflyProcessor, text: Any = "<image>what?", images: Any = None, **options: Any) -> Any:
    return processor(text=text, images=tiny.image() if images is None else images, return_tensors="pt", **options)


def images_of(inputs: Any) -> dict[str, Any]:
    return {key: value for key, value in inputs.items() if key not in ("input_ids", "attention_mask")}


def logits(model: Model, inputs: Any, **options: Any) -> Tensor:
    with torch.no_grad():
        return model(**inputs, **options).logits


def features(model: Model, inputs: Any, **options: Any) -> Any:
    with torch.no_grad():
        return model.get_image_features(**images_of(inputs), **options)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


RULES: dict[str, dict[str, Any]] = {
    "pooled_remainder": {"pooled_remainder": 4},
    "pooled-remainder-image": {"scope": "image", "keep": 7, "pooled_remainder": 9, "min_per_region": 1},
    "pooled-pooled-remainder-1": {"policy": "detail", "pooled_remainder": 1},
    "diversity": {"diversity": 0.5},
    "detail-diversity": {"policy": "detail", "diversity": 0.7},
    "position": {"position": "learned"},
    "position-early": {"position": "learned", "policy": "uniform"},
    "everything": {
        "position": "learned",
        "pooled_remainder": 4,
        "diversity": 0.3,
        "scope": "image",
        "keep": 9,
        "min_per_region": 2,
    },
}


@pytest.mark.parametrize("name", RULES)
def test_batch_mates_change_nothing(name: str) -> None:
    model, processor = make(**RULES[name])
    if hasattr(model.model, "sub_image_position"):
        torch.nn.init.normal_(model.model.sub_image_position.weight)
    images = [tiny.image(seed=1), tiny.image(64, 96, seed=2)]
    together = encode(processor, ["<image>a", "<image>b"], images, padding=True)
    out = logits(model, together)
    for row in range(2):
        alone = logits(model, encode(processor, "<image>" + "ab"[row], images[row]))
        close(out[row][together["attention_mask"][row].bool()], alone[0])


@pytest.mark.parametrize("name", RULES)
def test_features_are_counted_by_the_layout(name: str) -> None:
    model, processor = make(**RULES[name])
    inputs = encode(processor)
    layout = processor.image_processor.layout((64, 96))
    out = features(model, inputs)
    assert out.pooler_output[0].shape == (layout.num_features, 32)
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == layout.num_features
    separators = (inputs["input_ids"] == model.config.separator_token_id).sum()
    assert separators == len(layout.token_counts) == layout.num_image_tokens - layout.num_features


@pytest.mark.parametrize("name", RULES)
def test_a_choice_handed_in_again_is_the_same(name: str) -> None:
    model, processor = make(**RULES[name])
    inputs = encode(processor, "<image><image>", [tiny.image(seed=1), tiny.image(64, 96, seed=2)])
    selection = features(model, inputs).selection
    if selection is not None:
        close(logits(model, inputs, selected_high=selection.indices), logits(model, inputs))


# the pooled remainder


def test_a_remainder_is_the_mean_of_what_is_not_kept() -> None:
    model, processor = make(pooled_remainder=4)
    inputs = encode(processor)
    out = features(model, inputs)
    tokens = model.model.encode(inputs["pixel_values"][0])[5:, 1:]  # (24, 16, hidden), 4 x 4 patches
    regions, kept = inputs["sub_image_regions"][0, 5:], set(out.selection.indices[0].tolist())
    expected = []
    for region in range(4):
        dropped = [i for i in range(24) if regions[i] == region and i not in kept]
        assert len(dropped) == 3
        grid = tokens[dropped].mean(dim=0).unflatten(0, (2, 2, 2, 2)).mean(dim=(1, 3)).flatten(0, 1)
        expected.append(model.model.multi_modal_projector(grid))
    close(out.pooler_output[0][-16:], torch.cat(expected))
    plain, same = make()
    close(out.pooler_output[0][:-16], features(plain, encode(same)).pooler_output[0])


def test_a_remainder_of_the_image_is_one_group() -> None:
    model, processor = make(scope="image", keep=20, pooled_remainder=1)
    inputs = encode(processor)
    out = features(model, inputs)
    dropped = [i for i in range(24) if i not in out.selection.indices[0].tolist()]
    mean = model.model.encode(inputs["pixel_values"][0])[5:, 1:][dropped].mean(dim=(0, 1))
    close(out.pooler_output[0][-1], model.model.multi_modal_projector(mean))


def test_cells_overlap_where_the_patches_do_not_divide() -> None:
    model, processor = make(scope="image", keep=23, pooled_remainder=9)
    inputs = encode(processor)
    out = features(model, inputs)
    (dropped,) = set(range(24)) - set(out.selection.indices[0].tolist())
    grid = model.model.encode(inputs["pixel_values"][0])[5 + dropped, 1:].unflatten(0, (4, 4))
    spans = [slice(0, 2), slice(1, 3), slice(2, 4)]
    cells = torch.stack([grid[row, col].mean(dim=(0, 1)) for row in spans for col in spans])
    close(out.pooler_output[0][-9:], model.model.multi_modal_projector(cells))


def test_where_all_is_kept_nothing_remains() -> None:
    model, processor = make(keep=6, pooled_remainder=9)
    plain, same = make(policy="all")
    close(logits(model, encode(processor)), logits(plain, encode(same)))


def test_gradient_reaches_what_is_not_kept() -> None:
    for pooled_remainder in (0, 4):
        model, processor = make(pooled_remainder=pooled_remainder)
        inputs = encode(processor)
        inputs["pixel_values"].requires_grad_()
        out = model.get_image_features(**images_of(inputs))
        out.pooler_output[0].square().sum().backward()
        dropped = [5 + i for i in range(24) if i not in out.selection.indices[0].tolist()]
        assert (inputs["pixel_values"].grad[0, dropped].abs().amax(dim=(1, 2, 3)) > 0).all() == bool(pooled_remainder)


def test_uneven_images_have_their_own_remainders() -> None:
    spec = {**encoder(pooled_remainder=4), "max_enlargement": 1.0}
    settings = tiny.config(encoder=spec)
    model, processor = tiny.model(settings), tiny.processor(settings)
    images = [tiny.image(40, 40, seed=1), tiny.image(300, 200, seed=3)]
    inputs = encode(processor, ["<image>a", "<image>b"], images, padding=True)
    out = logits(model, inputs)
    for row in range(2):
        alone = logits(model, encode(processor, "<image>" + "ab"[row], images[row]))
        close(out[row][inputs["attention_mask"][row].bool()], alone[0])


def test_a_remainder_needs_everything() -> None:
    model, processor = make(pooled_remainder=4)
    inputs = encode(processor)
    with pytest.raises(
        ValueError, match=r"selection.pooled_remainder pools what is not kept, and pixel_values holds the 12 kept"
    ):
        model(**{**inputs, "pixel_values": inputs["pixel_values"][:, :17]})


# diversity


def test_diversity_changes_the_choice_and_nothing_else() -> None:
    inputs = encode(make()[1])
    plain, diverse = (features(make(diversity=value)[0], inputs) for value in (0.0, 0.9))
    assert torch.equal(plain.selection.scores, diverse.selection.scores)
    assert not torch.equal(plain.selection.indices, diverse.selection.indices)


# learned positions


@pytest.mark.parametrize("policy", ["similarity", "uniform", "all"])
def test_new_positions_change_nothing_and_learned_ones_say_where(policy: str) -> None:
    model, processor = make(position="learned", policy=policy)
    plain, same = make(policy=policy)
    plain.load_state_dict(model.state_dict(), strict=False)
    fresh: Any = Model(model.config)
    assert not fresh.model.sub_image_position.weight.any()
    torch.nn.init.zeros_(model.model.sub_image_position.weight)
    inputs = encode(processor)
    before = features(model, inputs)
    assert torch.equal(before.pooler_output[0], features(plain, encode(same)).pooler_output[0])
    embedding = model.model.sub_image_position.weight
    assert embedding.shape == (3 + 8 + 8, 32) and not embedding.any()
    torch.nn.init.normal_(embedding)
    layout = processor.image_processor.layout((64, 96))
    kept = before.selection.indices[0] if before.selection else inputs.get("selected_high", [range(24)])[0]
    places = [*layout.positions[:5], *(layout.positions[5 + int(index)] for index in kept)]
    added = (features(model, inputs).pooler_output[0] - before.pooler_output[0]).unflatten(0, (len(places), 17))
    for row, (level, high, wide) in zip(added, places, strict=True):
        close(row, (embedding[level] + embedding[3 + high] + embedding[11 + wide]).expand(17, 32))


def test_positions_are_saved_loaded_and_left_out(tmp_path: Path) -> None:
    model, _ = make(position="learned")
    torch.nn.init.normal_(model.model.sub_image_position.weight)
    model.save_pretrained(tmp_path)
    again = Model.from_pretrained(tmp_path)
    assert torch.equal(again.model.sub_image_position.weight, model.model.sub_image_position.weight)
    settings = tiny.config(encoder=encoder())
    without = Model.from_pretrained(tmp_path, config=settings)  # the rule can be changed when a model is loaded
    assert not hasattr(without.model, "sub_image_position")
    plain, _ = make()
    plain.save_pretrained(tmp_path / "plain")
    fresh = Model.from_pretrained(tmp_path / "plain", config=tiny.config(encoder=encoder(position="learned")))
    assert not fresh.model.sub_image_position.weight.any()
    assert not [name for name in plain.state_dict() if ".sub_image_position" in name or "question" in name]


LEARNED = {
    "sub_image_position": {"position": "learned"},
    "query_projection": {"policy": "question"},
    "mean_embedding": {"policy": "centred"},
}


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("kind", [Model, DragonflyModel])
def test_what_the_checkpoints_own_configuration_asks_for_may_not_be_missing(tmp_path: Path, name: str, kind: Any) -> None:
    plain, _ = make()
    plain.save_pretrained(tmp_path)
    asking = tiny.config(encoder=encoder(**LEARNED[name]))
    fresh = kind.from_pretrained(tmp_path, config=asking)  # asked for at load: new
    assert any(f"{name}." in key for key in fresh.state_dict())
    asking.save_pretrained(tmp_path)
    for settings in ({}, {"config": asking}):
        with pytest.raises(
            ValueError, match=rf"does not fit the model: missing (model\.)?{name}\.\w+(, (model\.)?{name}\.\w+)?$"
        ):
            kind.from_pretrained(tmp_path, **settings)
    assert not hasattr(kind.from_pretrained(tmp_path, config=tiny.config(encoder=encoder())), name)
    assert any(f"{name}." in key for key in kind.from_pretrained(tmp_path, strict=False).state_dict())


@pytest.mark.parametrize("context", ["row", "patches"])
def test_a_choice_learned_in_one_context_is_not_made_in_another(tmp_path: Path, context: str) -> None:
    model, _ = make(policy="question", context=context)
    model.save_pretrained(tmp_path)
    saved, loaded = (one.model.query_projection.state_dict() for one in (model, Model.from_pretrained(tmp_path)))
    assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())
    with pytest.raises(
        ValueError, match=rf"learned to choose with selection\.context '{context}', .* does not fit 'none'; leave"
    ):
        Model.from_pretrained(tmp_path, config=tiny.config(encoder=encoder(policy="question")))
    assert not hasattr(Model.from_pretrained(tmp_path, config=tiny.config(encoder=encoder())).model, "query_projection")


@pytest.mark.parametrize(
    ("options", "user"),
    [
        ({"position": "learned"}, "position 'learned'"),
        ({"policy": "question", "context": "row"}, "selection.context 'row'"),
        ({"policy": "question", "context": "patches"}, "selection.context 'patches'"),
    ],
)
def test_positions_must_be_given(options: dict[str, str], user: str) -> None:
    model, processor = make(**options)
    inputs = encode(processor)
    with pytest.raises(ValueError, match=f"{user} needs sub_image_positions, which the image processor makes"):
        model(**{key: value for key, value in inputs.items() if key != "sub_image_positions"})
