"""DragonflyModel and its head: equivalences that any wrong implementation breaks, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dragonfly.models import DragonflyForConditionalGeneration, DragonflyProcessor
from dragonfly.vision.pooling import mean_pool
from tests import tiny

Model = DragonflyForConditionalGeneration


def rule(preset: str = "v1", **selection: Any) -> dict[str, Any]:
    """A preset's encoder on the tiny tower, under another selection policy."""
    return tiny.config(preset).spec.with_selection(**selection).to_dict()


def make(preset: str = "v1", **changes: Any) -> tuple[Model, DragonflyProcessor]:
    settings = tiny.config(preset, **changes)
    return tiny.model(settings), tiny.processor(settings)


def encode(processor: DragonflyProcessor, text: Any = "<image>what?", images: Any = None, **options: Any) -> Any:
    images = tiny.image() if images is None else images
    return processor(text=text, images=images, return_tensors="pt", **options)


def logits(model: Model, inputs: Any, **options: Any) -> Tensor:
    with torch.no_grad():
        return model(**inputs, **options).logits


def count_rows(model: Model) -> list[int]:
    """Every call of the tower adds how many sub-images it was given."""
    rows: list[int] = []
    model.model.vision_tower.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    return rows


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


# rows of a batch


@pytest.mark.parametrize("preset", ["v1", "v2", "baseline-1"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_batch_mates_change_nothing(preset: str, side: str) -> None:
    model, processor = make(preset)
    text = ["<image>what is it, then?", "no image", "<image>a<image>b"]
    images = [[tiny.image(seed=1)], [], [tiny.image(64, 96, seed=2), tiny.image(seed=3)]]
    inputs = encode(processor, text, images, padding=True, padding_side=side)
    together = logits(model, inputs)
    for row in range(3):
        alone = processor(text=text[row], images=images[row] or None, return_tensors="pt")
        close(together[row][inputs["attention_mask"][row].bool()], logits(model, alone)[0])


def test_the_order_of_images_matters() -> None:
    model, processor = make()
    one, other = tiny.image(seed=1), tiny.image(seed=2)
    straight = logits(model, encode(processor, "<image>a<image>b", [one, other]))
    swapped = logits(model, encode(processor, "<image>a<image>b", [other, one]))
    assert (straight - swapped)[0, -1].abs().max() > 0.05


def test_every_image_is_put_at_its_own_placeholders() -> None:
    model, processor = make()
    inputs = encode(processor, ["<image>a", "b", "<image><image>"], [tiny.image(seed=seed) for seed in range(3)], padding=True)
    features = model.get_image_features(inputs["pixel_values"], inputs["sub_image_regions"]).pooler_output
    seen: dict[str, Tensor] = {}
    model.model.language_model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.update(embeds=kwargs["inputs_embeds"]), with_kwargs=True
    )
    logits(model, inputs)
    mask = inputs["input_ids"] == model.config.image_token_id
    assert torch.equal(seen["embeds"][0][mask[0]], features[0])  # pyright: ignore[reportOptionalSubscript]
    assert torch.equal(seen["embeds"][2][mask[2]], torch.cat(list(features[1:])))  # pyright: ignore[reportOptionalSubscript]
    words = model.get_input_embeddings()(inputs["input_ids"])
    assert torch.equal(seen["embeds"][~mask], words[~mask])


def test_features_are_counted_as_the_layout_counts_them() -> None:
    for preset in ("v1", "v2", "low-only", "baseline-3", "v1-global", "v1-high48"):
        model, processor = make(preset)
        inputs = encode(processor)
        features = model.get_image_features(inputs["pixel_values"], inputs["sub_image_regions"]).pooler_output
        count = processor.image_processor.layout((64, 96)).num_features
        assert features is not None and features[0].shape == (count, 32)
        assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == count


def test_image_features_carry_what_the_tower_gave() -> None:
    model, processor = make()
    inputs = encode(processor, "<image><image>", [tiny.image(seed=1), tiny.image(seed=2)])
    images = {key: inputs[key] for key in ("pixel_values", "sub_image_regions")}
    plain: Any = model.get_image_features(**images)
    assert plain.hidden_states is None and plain.attentions is None
    values = model.get_image_features(**images, return_dict=False)
    assert isinstance(values, tuple) and torch.equal(values[0], plain.last_hidden_state)
    sub_images = inputs["pixel_values"].flatten(0, 1)
    close(plain.last_hidden_state.flatten(0, 1), model.model.encode(sub_images))
    model.set_attn_implementation("eager")
    for batch in (None, 7):  # also where the tower runs over a few sub-images at once
        model.config.encoder_batch = batch
        whole: Any = model.get_image_features(**images, output_hidden_states=True, output_attentions=True)
        assert len(whole.hidden_states) == 3 and len(whole.attentions) == 2  # two of the tower's three layers are built
        close(whole.hidden_states[-1], plain.last_hidden_state)
        assert whole.attentions[0].shape == (2, 29, 2, 17, 17)
        close(whole.attentions[0].sum(-1), torch.ones(2, 29, 2, 17))


def test_image_features_of_uneven_images_are_filled_up() -> None:
    model, processor = uneven("similarity")
    inputs = encode(processor, "<image><image>", [tiny.image(40, 40), tiny.image(300, 200)])
    images = {key: inputs[key] for key in ("pixel_values", "sub_image_regions", "num_sub_images")}
    whole: Any = model.get_image_features(**images, output_hidden_states=True)
    for layer in (whole.last_hidden_state, *whole.hidden_states):
        assert layer.shape == (2, 29, 17, 32) and not layer[0, 1:].any() and layer[0, 0].any()
    close(whole.last_hidden_state[1], model.model.encode(inputs["pixel_values"][1]))
    named: Any = model.get_image_features(images["pixel_values"], image_position_ids=images["sub_image_regions"])
    close(torch.cat(list(named.pooler_output)), torch.cat(list(whole.pooler_output)))  # the numbers follow from the regions


def test_image_features_take_no_argument_that_nothing_reads() -> None:
    model, processor = make()
    with pytest.raises(ValueError, match="takes no argument 'selected_hihg'"):
        model.get_image_features(encode(processor)["pixel_values"], selected_hihg=None)


# the connector


def test_pooling_then_projecting_is_projecting_then_pooling() -> None:
    model, _ = make("v2")
    tokens = model.model.encode(torch.randn(3, 3, 32, 32))
    project = model.model.multi_modal_projector
    close(project(mean_pool(tokens, 1, 4)), mean_pool(project(tokens), 1, 4))


def test_cls_is_kept_apart_from_pooling() -> None:
    model, processor = make("v2")
    inputs = encode(processor)
    features = model.get_image_features(inputs["pixel_values"]).pooler_output
    tokens = model.model.multi_modal_projector(model.model.encode(inputs["pixel_values"][0]))
    expected = torch.cat([tokens[0], *(torch.stack([row[0], row[1:].mean(dim=0)]) for row in tokens[1:])])
    close(features[0], expected)  # pyright: ignore[reportOptionalSubscript]


def test_the_tower_gives_its_second_to_last_hidden_state() -> None:
    model, _ = make()
    config = copy.deepcopy(model.config.vision_config)
    full = type(model.model.vision_tower)(config).eval()
    full.load_state_dict(model.model.vision_tower.state_dict(), strict=False)
    pixels = torch.randn(2, 3, 32, 32)
    states = full(pixel_values=pixels, output_hidden_states=True).hidden_states
    close(model.model.encode(pixels), states[-2])


@pytest.mark.parametrize("tower", sorted(tiny.TOWERS))
def test_layers_that_are_not_used_are_not_built(tower: str) -> None:
    for layer, built in ((-2, 2), (-1, 3), (1, 1)):
        model, _ = make(tower=tower, vision_feature_layer=layer)
        names = {name for name, _ in model.model.vision_tower.named_parameters()}
        assert len({name.split("layers.")[1].split(".")[0] for name in names if "layers." in name}) == built
        assert not [name for name in names if "post_layernorm" in name or "head" in name]


def test_encoder_batch_changes_nothing_but_the_calls() -> None:
    model, processor = make("v1")
    inputs = encode(processor, "<image><image>", [tiny.image(seed=1), tiny.image(seed=2)])
    rows = count_rows(model)
    expected = logits(model, inputs)
    assert rows == [58]
    for size, calls in ((1, [1] * 58), (40, [40, 18]), (100, [58])):
        rows.clear()
        model.model.config.encoder_batch = size
        close(logits(model, inputs), expected)
        assert rows == calls


# selection


@pytest.mark.parametrize("policy", ["similarity", "detail", "uniform", "residual"])
@pytest.mark.parametrize("scope", ["region", "image"])
def test_keeping_all_is_no_selection(policy: str, scope: str) -> None:
    keep = 6 if scope == "region" else 24
    model, processor = make(encoder=rule(policy=policy, scope=scope, keep=keep))
    free, plain = make(encoder=rule(policy="all"))
    close(logits(model, encode(processor)), logits(free, encode(plain)))


def test_the_models_own_choice_handed_in_is_the_same() -> None:
    model, processor = make()
    inputs = encode(processor, "<image><image>", [tiny.image(seed=1), tiny.image(64, 96, seed=2)])
    rows = count_rows(model)
    expected = logits(model, inputs)
    selection = model.get_image_features(inputs["pixel_values"], inputs["sub_image_regions"]).selection
    assert rows == [58, 58] and selection.indices.shape == (2, 12) and selection.scores.dtype == torch.float32
    rows.clear()
    close(logits(model, inputs, selected_high=selection.indices), expected)
    assert rows == [34]  # what is not kept is never encoded

    def reduce(values: Tensor) -> Tensor:
        return torch.stack([torch.cat([row[:5], row[5 + kept]]) for row, kept in zip(values, selection.indices, strict=True)])

    reduced = {**inputs, "pixel_values": reduce(inputs["pixel_values"]), "sub_image_regions": reduce(inputs["sub_image_regions"])}
    rows.clear()
    close(logits(model, reduced), expected)
    close(logits(model, reduced, selected_high=selection.indices), expected)
    assert rows == [34, 34]
    other = (selection.indices + 1).clamp(max=23)
    assert (logits(model, inputs, selected_high=other) - expected).abs().max() > 0.01


@pytest.mark.parametrize("policy", ["uniform", "random", "residual"])
def test_what_is_dropped_before_the_tower_never_enters_it(policy: str) -> None:
    model, processor = make(encoder=rule(policy=policy))
    _, full = make()
    early, late = encode(processor), encode(full)
    assert early["pixel_values"].shape[1] == 17 and late["pixel_values"].shape[1] == 29
    rows = count_rows(model)
    close(logits(model, early), logits(model, late, selected_high=early["selected_high"]))
    assert rows == [17, 17]


def test_oracle_through_the_whole_path() -> None:
    model, processor = make(encoder=rule(policy="oracle", keep=1))
    boxes = processor.image_processor.layout((64, 96)).level_boxes("high")
    near = encode(processor, evidence=[[boxes[0]]])
    far = encode(processor, evidence=[[boxes[1]]])
    assert near["selected_high"][0, 0] == 0 and far["selected_high"][0, 0] == 1
    assert (logits(model, near) - logits(model, far)).abs().max() > 0.001


@pytest.mark.parametrize("shape", [(1, 11), (2, 12), (1, 24)])
def test_selected_high_of_another_shape(shape: tuple[int, int]) -> None:
    model, processor = make()
    with pytest.raises(ValueError, match=r"selected_high has shape .* this encoder keeps 12 high sub-images of each of 1 images"):
        model(**encode(processor), selected_high=torch.zeros(shape, dtype=torch.long))


def test_selection_leaves_no_gradient_and_no_trace_on_its_mates() -> None:
    model, processor = make()
    images = [tiny.image(seed=1), tiny.image(seed=2)]
    both = encode(processor, "<image><image>", images)
    chosen = model.get_image_features(both["pixel_values"], both["sub_image_regions"]).selection
    alone = encode(processor, images=images[1])
    own = model.get_image_features(alone["pixel_values"], alone["sub_image_regions"]).selection
    assert torch.equal(chosen.indices[1:], own.indices) and not chosen.scores.requires_grad
    close(chosen.scores[1:], own.scores)


# uneven images


def uneven(policy: str) -> tuple[Model, DragonflyProcessor]:
    keep: dict[str, Any] = {} if policy == "all" else {"keep": 3}
    return make(encoder={**rule(policy=policy, **keep), "max_enlargement": 1.0})


@pytest.mark.parametrize("policy", ["all", "similarity", "uniform"])
def test_uneven_images_equal_each_alone(policy: str) -> None:
    model, processor = uneven(policy)
    images = [tiny.image(40, 40, seed=1), tiny.image(70, 70, seed=2), tiny.image(300, 200, seed=3)]
    text = ["<image>a", "<image>b", "<image>c"]
    inputs = encode(processor, text, images, padding=True)
    expected = [1, 5, 17 if policy == "uniform" else 29]
    assert inputs["num_sub_images"].tolist() == expected
    rows = count_rows(model)
    together = logits(model, inputs)
    assert rows == [sum(expected)]  # padding never enters the tower
    for row in range(3):
        close(together[row][inputs["attention_mask"][row].bool()], logits(model, encode(processor, text[row], images[row]))[0])


def test_uneven_images_with_a_choice_handed_in() -> None:
    model, processor = uneven("similarity")
    inputs = encode(processor, "<image><image>", [tiny.image(40, 40), tiny.image(300, 200)])
    images = {key: inputs[key] for key in ("pixel_values", "sub_image_regions", "num_sub_images")}
    selection = model.get_image_features(**images).selection
    assert selection[0] is None and selection[1].indices.shape == (1, 12)
    chosen = torch.cat([torch.full((1, 12), -1), selection[1].indices])
    rows = count_rows(model)
    close(logits(model, inputs, selected_high=chosen), logits(model, inputs))
    assert rows == [18, 30]


def test_choices_of_different_lengths_are_padded_to_one_width() -> None:
    """A square keeps 3 of each of 4 regions and a wide one of each of 2; columns beyond an image's own are not read."""
    partners = [[[2, 2], [[4, 6]]], [[1, 2], [[2, 6]]]]
    grids = {"mid": {"grids": [[2, 2], [1, 2]]}, "high": {"grids": [[4, 6], [2, 6]]}, "partners": partners}
    model, processor = make(encoder={**rule(), **grids})
    loaded_images = [tiny.image(64, 64, seed=1), tiny.image(128, 64, seed=2)]
    inputs = encode(processor, "<image><image>", loaded_images)
    assert inputs["num_sub_images"].tolist() == [29, 15]
    images = {key: inputs[key] for key in ("pixel_values", "sub_image_regions", "num_sub_images")}
    square, wide = (one.indices for one in model.get_image_features(**images).selection)
    assert (square.shape, wide.shape) == ((1, 12), (1, 6))
    chosen = torch.full((2, 14), -1)  # wider than both: a batch mate that keeps more is elsewhere
    chosen[0, :12], chosen[1, :6] = square[0], wide[0]
    rows = count_rows(model)
    close(logits(model, inputs, selected_high=chosen), logits(model, inputs))
    assert rows == [1 + 4 + 12 + 1 + 2 + 6, 29 + 15]
    with pytest.raises(ValueError, match=r"selected_high has shape \(2, 11\), this encoder keeps 12 high sub-images"):
        model(**inputs, selected_high=chosen[:, :11])


def test_uneven_grids_need_no_cap() -> None:
    model, processor = make(encoder=tiny.config(encoder={"mid": {"grids": [[2, 2], [1, 2]]}}).encoder)
    images = [tiny.image(64, 64), tiny.image(128, 64)]
    assert logits(model, encode(processor, "<image><image>", images)).shape[1] == 1 + 8 * 18


@pytest.mark.parametrize(("policy", "position"), [("residual", "none"), ("random", "learned"), ("similarity", "learned")])
def test_images_whose_grids_follow_their_pixels_equal_each_alone(policy: str, position: str) -> None:
    encoder = tiny.config("v1-any").spec.changed({"position": position, "selection": {"policy": policy}}).to_dict()
    model, processor = make(encoder=encoder)
    if position == "learned":
        places: Any = model.model.sub_image_position
        assert places.weight.shape == (3 + 64 + 64, 32)
        nn.init.normal_(places.weight)
    images = [tiny.image(40, 40, seed=1), tiny.image(300, 200, seed=2), tiny.image(30, 400, seed=3)]
    grids = [level.grid for image in images for level in processor.image_processor.layout((image.height, image.width)).levels[2:]]
    assert grids == [(4, 6), (8, 10), (16, 3)]
    text = ["<image>a", "<image>b", "<image>c"]
    inputs = encode(processor, text, images, padding=True)
    early = policy in ("residual", "random")
    assert ("num_sub_images" in inputs) is not early
    rows = count_rows(model)
    together = logits(model, inputs)
    assert rows == [3 * 17 if early else 3 * 5 + 24 + 80 + 48]  # before the tower: 17 of every image, whatever its size
    assert (inputs["input_ids"] == model.config.image_token_id).sum(dim=1).tolist() == [17 * 17] * 3
    for row in range(3):
        close(together[row][inputs["attention_mask"][row].bool()], logits(model, encode(processor, text[row], images[row]))[0])
    named = {("image_position_ids" if key == "sub_image_regions" else key): value for key, value in inputs.items()}
    named.pop("num_sub_images", None)
    close(logits(model, named), together)


def test_uneven_images_without_their_numbers() -> None:
    model, processor = uneven("all")
    inputs = encode(processor)
    with pytest.raises(ValueError, match="pass num_sub_images"):
        model.get_image_features(inputs["pixel_values"], inputs["sub_image_regions"])
    with pytest.raises(ValueError, match="num_sub_images needs sub_image_regions"):
        model.get_image_features(inputs["pixel_values"], num_sub_images=inputs["num_sub_images"])


# other ways in


def test_encoder_outputs_equal_pixel_values() -> None:
    model, processor = make()
    inputs = encode(processor)
    features = model.get_image_features(inputs["pixel_values"], inputs["sub_image_regions"])
    text = {"input_ids": inputs["input_ids"], "mm_encoder_outputs": {"image": features}}
    assert torch.equal(logits(model, text), logits(model, inputs))
    with pytest.raises(ValueError, match="pixel_values or mm_encoder_outputs, not both"):
        model(**inputs, mm_encoder_outputs={"image": features})


def test_embeddings_equal_ids() -> None:
    model, processor = make()
    inputs = encode(processor)
    rest = {key: value for key, value in inputs.items() if key != "input_ids"}
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    assert torch.equal(logits(model, {**rest, "inputs_embeds": embeds}), logits(model, inputs))
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(**inputs, inputs_embeds=embeds)


def test_logits_to_keep_and_loss() -> None:
    model, processor = make()
    inputs = encode(processor)
    everything = logits(model, inputs)
    close(logits(model, inputs, logits_to_keep=2), everything[:, -2:])
    labels = inputs["input_ids"].clone()
    labels[:, :-3] = -100
    expected = nn.functional.cross_entropy(everything[0, -4:-1], labels[0, -3:])
    close(model(**inputs, labels=labels).loss, expected)


def test_tuples_instead_of_outputs() -> None:
    model, processor = make()
    inputs = encode(processor)
    assert torch.equal(model(**inputs, return_dict=False)[0], model(**inputs).logits)
    base = model.model(**inputs)
    assert base.last_hidden_state.shape == (*inputs["input_ids"].shape, 32)
    assert base.image_hidden_states.shape == (17 * 17, 32)


# what is refused


def test_placeholders_and_features_that_differ() -> None:
    model, processor = make()
    inputs = encode(processor)
    with pytest.raises(ValueError, match="Image features and image tokens do not match, tokens: 278, features: 289"):
        model(**{**inputs, "input_ids": inputs["input_ids"][:, :295], "attention_mask": None})


def test_wrong_number_of_sub_images() -> None:
    model, processor = make()
    inputs = encode(processor)
    with pytest.raises(ValueError, match=r"has 20 sub-images per image; this encoder makes 29 \(or 17 after selection\)"):
        model(**{**inputs, "pixel_values": inputs["pixel_values"][:, :20]})
    with pytest.raises(ValueError, match="selection needs sub_image_regions"):
        model(**{**inputs, "sub_image_regions": None})


def test_a_config_without_a_placeholder() -> None:
    model, processor = make(image_token_id=None)
    with pytest.raises(ValueError, match="image_token_id is not set"):
        model(**encode(processor))


# the mean embedding of policy `centred`


def test_embeddings_are_mean_projected_tokens() -> None:
    model, processor = make()
    pixels = encode(processor)["pixel_values"][0]
    tokens = model.model.multi_modal_projector(model.model.encode(pixels))
    close(model.model.embed_sub_images(pixels), tokens.mean(dim=1))


def test_centred_refuses_until_it_is_calibrated() -> None:
    model, processor = make(encoder=rule(policy="centred"))
    inputs = encode(processor)
    with pytest.raises(ValueError, match="dragonfly lab calibrate"):
        model(**inputs)
    plain, _ = make()
    plain.load_state_dict(model.state_dict(), strict=False)
    scores = plain.get_image_features(inputs["pixel_values"], inputs["sub_image_regions"]).selection.scores
    mean_embedding: Any = model.model.mean_embedding
    mean_embedding.update(torch.zeros(1, 32))  # a mean of nothing centres nothing
    own = model.get_image_features(inputs["pixel_values"], inputs["sub_image_regions"]).selection
    close(own.scores, scores)
    mean_embedding.update(torch.randn(9, 32))
    moved = model.get_image_features(inputs["pixel_values"], inputs["sub_image_regions"]).selection
    assert (moved.scores - own.scores).abs().max() > 0.01
