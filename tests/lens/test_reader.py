"""The one path through which every family answers, attends and chooses, beside transformers itself."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from dragonfly.lens import Lens, calibrate
from dragonfly.lens.families import FAMILIES as NEEDS
from dragonfly.lens.grid import Grid
from dragonfly.lens.methods import spread
from dragonfly.lens.reader import _as_map
from tests.lens.conftest import pair_of
from tests.lens.family_models import FAMILIES
from tests.lens.seen import noise


def test_an_answer_is_what_transformers_generates(pair: tuple[Any, Any]) -> None:
    lens, image = Lens(pair, "downsample"), noise(300, 200)
    answer = lens.ask(image, "What?", max_tokens=2000, max_new_tokens=5)
    model, processor = pair
    options = dict(lens.plan((200, 300), max_tokens=2000).whole_options)
    inputs = processor(text=[lens.reader._text([""], "What?")], images=[image], return_tensors="pt", **options)
    inputs.pop("labels", None)
    with torch.inference_mode():
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=5)[0, inputs["input_ids"].shape[1] :].tolist()
        logits = model(**inputs).logits[0, -1].float().log_softmax(-1)
    assert list(answer.token_ids) == ids[: len(answer.token_ids)]
    assert answer.logprobs[0] == pytest.approx(float(logits[ids[0]]), abs=1e-4)
    assert answer.prompt_tokens == inputs["input_ids"].shape[1]


def test_attention_is_the_last_tokens_own(pair: tuple[Any, Any]) -> None:
    """Mean over heads and the later half of the layers, at the places of the image's tokens; equal to output_attentions."""
    lens, image = Lens(pair, "attention"), noise(120, 120)
    model, processor = pair
    before = model.config._attn_implementation
    found = lens.reader.attention(image, "What?", 2000)
    assert model.config._attn_implementation == before
    assert not any(module._forward_hooks for module in model.modules() if hasattr(module, "layer_idx"))
    model.set_attn_implementation("eager")
    try:
        inputs = processor(
            text=[lens.reader._text([""], "What?")], images=[image], return_tensors="pt", **lens.reader.family.close
        )
        inputs.pop("labels", None)
        with torch.inference_mode():
            layers = model(**inputs, output_attentions=True).attentions
    finally:
        model.set_attn_implementation(before)
    places = inputs["input_ids"][0] == processor.image_token_ids[0]
    expected = torch.stack([layer[0, :, -1].mean(0) for layer in layers[len(layers) // 2 :]]).mean(0)[places].numpy()
    assert found.size <= len(expected)
    np.testing.assert_allclose(found.reshape(-1), expected[: found.size], atol=1e-6)
    assert 0 < found.sum() <= 1


def test_a_choice_is_a_distribution_over_the_views(pair: tuple[Any, Any]) -> None:
    lens = Lens(pair, "search")
    views = [(f"Close-up {n}:", noise(56, 56, seed=n)) for n in range(1, 4)]
    shares = lens.reader.choose(views, "Which?", 3 * lens.reader.tokens((56, 56)))
    assert shares.shape == (3,)
    assert shares.sum() == pytest.approx(1)
    assert len(set(shares.tolist())) == 3


def test_a_map_lies_as_the_image_does() -> None:
    """A square map of a tile; else the division of the number that is nearest to the image's shape."""
    values = np.arange(12.0)
    assert _as_map(values, (300, 400), False, None).shape == (3, 4)
    assert _as_map(values, (400, 300), False, None).shape == (4, 3)
    assert _as_map(np.arange(25.0), (100, 900), True, 16).tolist() == np.arange(16.0).reshape(4, 4).tolist()
    grid = Grid.of((1000, 2000), 200)
    hot = np.zeros((4, 8))
    hot[3, 1] = 1.0
    row, column = np.unravel_index(int(spread(hot, grid).argmax()), grid.cells)
    left, top, right, bottom = (250, 750, 500, 1000)
    assert top <= row * grid.cell[0] < bottom
    assert left <= column * grid.cell[1] < right


def test_the_count_is_additive_over_views(pair: tuple[Any, Any]) -> None:
    lens = Lens(pair, "residual")
    one = lens.reader.tokens((56, 100))
    lens.reader._inputs(
        [("a", noise(100, 56)), ("b", noise(100, 56)), ("c", noise(100, 56))], "What?", lens.reader.family.close, 3 * one
    )
    with pytest.raises(ValueError, match=r"made \d+ image tokens where it had counted 1$"):
        lens.reader._inputs([("", noise(100, 56))] * 2, "What?", lens.reader.family.close, 1)


def test_a_processor_that_does_not_count_is_asked_to_make(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_of("qwen2_5_vl")
    sizes = [(56, 56), (100, 300), (333, 41)]
    counted = [Lens(pair).reader.tokens(size) for size in sizes]
    monkeypatch.delattr(transformers.Qwen2_5_VLProcessor, "_get_num_multimodal_tokens")
    assert not hasattr(pair[1], "_get_num_multimodal_tokens")
    assert [Lens(pair).reader.tokens(size) for size in sizes] == counted


def test_a_family_is_a_few_lines_of_data() -> None:
    """Some of the families that are tried here need none at all, none needs a class."""
    assert {name for name in FAMILIES if name not in NEEDS} == {"qwen2_5_vl", "gemma3", "paligemma", "glm4v"}


def test_a_question_without_an_image_is_asked(pair: tuple[Any, Any], family: str) -> None:
    if family == "paligemma":
        pytest.skip("its processor takes no text without an image")
    answer = Lens(pair, "residual").ask(None, "What is it?", max_new_tokens=2)
    assert (answer.image_tokens, answer.layouts, answer.calls) == (0, (), 1)


@pytest.mark.parametrize(
    ("question", "options", "words"),
    [
        ("", {}, "the question is empty"),
        ("see <IMG_CONTEXT> here", {}, "the question contains '<IMG_CONTEXT>', which is a control token"),
        ("Where?", {"method": "oracle"}, "method 'oracle' needs the boxes of the evidence"),
        ("Where?", {"method": "atention"}, "method 'atention' .* 'attention'"),
        ("Where?", {"method": "gate", "threshold": 2}, "threshold must be a confidence from 0 to 1, got 2"),
    ],
)
def test_a_slip_is_one_line(question: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        Lens(pair_of("internvl"), **options).ask(Image.new("RGB", (300, 300)), question, max_new_tokens=1)
    assert "\n" not in str(raised.value)


def test_a_gate_is_calibrated_on_questions_with_known_answers() -> None:
    confidences, whole, closer = [0.2, 0.5, 0.7, 0.9], [0, 0, 1, 1], [1, 1, 0, 0]
    assert calibrate(confidences, whole, closer) == 0.7
    assert calibrate(confidences, closer, whole) == 0.0  # never closer: the lowest threshold of equals
    assert calibrate([0.4], [0], [1]) == 1.0
    with pytest.raises(ValueError, match="at least one question"):
        calibrate([0.4], [0, 1], [1])
