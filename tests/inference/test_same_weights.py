"""A second selection on the weights of a first is what loading the model under that selection gives."""

from __future__ import annotations

import pytest

from dragonfly.inference import Engine, load
from dragonfly.inference.same_weights import with_same_weights
from tests import tiny

IMAGE = tiny.image(96, 64, seed=1)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny.model(), tiny.processor(), name="tiny")


def test_no_tensor_is_held_twice(engine: Engine) -> None:
    other = with_same_weights(engine, ["model.selection.policy=detail"])
    own = {name: tensor.data_ptr() for name, tensor in engine.model.state_dict().items()}
    assert {name: tensor.data_ptr() for name, tensor in other.model.state_dict().items()} == own
    assert {id(one) for one in other.model.buffers()} == {id(one) for one in engine.model.buffers()}


def test_the_first_stays_what_it_was_and_both_share_one_cache(engine: Engine) -> None:
    before = engine.ask(IMAGE, "What is it?", max_new_tokens=6)
    other = with_same_weights(engine, ["model.selection.policy=uniform", "model.selection.keep=1"])
    second = other.ask(IMAGE, "What is it?", max_new_tokens=6)
    after = engine.ask(IMAGE, "What is it?", max_new_tokens=6)
    assert (after.token_ids, after.prompt_tokens) == (before.token_ids, before.prompt_tokens)
    assert second.prompt_tokens < before.prompt_tokens and other.cache is engine.cache
    assert engine.model.config.spec.selection.policy != "uniform" == other.processor.image_processor.spec.selection.policy


def test_a_preset_beside_another(engine: Engine) -> None:
    other = with_same_weights(engine, ["model.preset=low-only"])
    assert other.ask(IMAGE, "What is it?", max_new_tokens=2).layouts[0].num_sub_images == 1


@pytest.mark.slow
def test_it_answers_as_the_model_that_was_loaded_so() -> None:
    change = ["model.selection.policy=detail"]
    first, loaded = load("nano"), load("nano", overrides=change)
    other = with_same_weights(first, change)
    for question in ("What is it?", "Give the qty."):
        one, two = (engine.ask("examples/images/receipt.png", question, max_new_tokens=8) for engine in (other, loaded))
        assert (one.token_ids, one.selections) == (two.token_ids, two.selections)


def test_a_choice_learned_in_context_is_not_made_without() -> None:
    settings = tiny.config(encoder=tiny.config().spec.with_selection(policy="question", context="row").to_dict())
    engine = Engine(tiny.model(settings), tiny.processor(settings), name="tiny")
    with pytest.raises(ValueError, match=r"selection.context=none sees sub-images otherwise than 'tiny' has learned"):
        with_same_weights(engine, ["model.selection.context=none"])
    assert with_same_weights(engine, ["model.selection.policy=detail"]).processor.image_processor.spec.selection.context == "none"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["model.selection.policy=question"], "needs a learned query_projection, which 'tiny' does not have"),
        (["model.selection.policy=centred"], "needs a learned mean_embedding"),
        (["model.position=learned"], "needs a learned sub_image_position"),
        (["model.selection.policy=oracle"], "nobody tells"),
        (["model.preset=v1"], "is what the model has already"),
        (["model.selection.policy=details"], "detail"),
        (["model.preset=v3"], "v3"),
    ],
)
def test_what_these_weights_cannot_do_is_refused_in_one_line(engine: Engine, changes: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        with_same_weights(engine, changes)
    assert "\n" not in str(error.value)
