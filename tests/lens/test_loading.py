"""Directories as the hub has them, loaded without torchvision."""

import json
from pathlib import Path
from typing import Any

import pytest

from dragonfly.lens import Lens
from tests.lens.conftest import pair_of
from tests.lens.family_models import smolvlm
from tests.lens.seen import noise, spy


@pytest.fixture
def directory(tmp_path: Path, pair: tuple[Any, Any]) -> Path:
    model, processor = pair
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return tmp_path


def test_a_directory_answers_as_the_pair_does(pair: tuple[Any, Any], directory: Path, budget: int) -> None:
    expected = Lens(pair, "residual").ask(noise(900, 700), "Where?", max_tokens=budget, max_new_tokens=3)
    answer = Lens(directory, "residual", device="cpu").ask(noise(900, 700), "Where?", max_tokens=budget, max_new_tokens=3)
    assert answer.token_ids == expected.token_ids
    assert answer.views == expected.views


def test_the_hubs_own_names_of_processors_are_known(tmp_path: Path) -> None:
    """Qwen2.5-VL names a torchvision image processor and a video processor's settings; neither is needed."""
    model, processor = pair_of("qwen2_5_vl")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    images = {**saved.pop("image_processor"), "image_processor_type": "Qwen2VLImageProcessorFast"}
    images["processor_class"] = "Qwen2_5_VLProcessor"
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps({"video_processor_type": "Qwen2VLVideoProcessor"}))
    (tmp_path / "processor_config.json").unlink()
    lens = Lens(tmp_path, "residual", device="cpu")
    assert type(lens.reader.processor).__name__ == "Qwen2_5_VLProcessor"
    assert lens.ask(noise(900, 700), "Where?", max_tokens=300, max_new_tokens=1).image_tokens <= 300


def test_smolvlm_whose_processor_has_no_count_of_its_own() -> None:
    """Its views are made to be counted, which is slow, so it is not among the families that every test asks.

    A loaded pair: from a directory its processor is made with torchvision alone.
    """
    lens = Lens(smolvlm(), "residual")
    calls = spy(lens)
    answer = lens.ask(noise(900, 700), "Where?", max_tokens=40, max_new_tokens=2)
    assert (answer.calls, answer.image_tokens) == (1, calls[0].tokens) and 20 < answer.image_tokens <= 40
    image = noise(900, 700)
    for view, shown in zip(answer.views[1:], calls[0].images[1:], strict=True):
        assert view.size == (56, 56) and shown.tobytes() == image.crop(view.box).tobytes()


def test_our_own_model_is_one_of_them() -> None:
    lens = Lens(None, "residual", device="cpu")
    plan = lens.plan((2000, 1500), max_tokens=600)
    answer = lens.ask(noise(1500, 2000), "What is the total?", max_tokens=600, max_new_tokens=2)
    assert (answer.calls, answer.image_tokens) == (1, plan.tokens)
    assert len(answer.views) > 1


def test_a_model_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match="holds a model of type 'llama', which takes no images") as raised:
        Lens(tmp_path)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=r"no config\.json"):
        Lens(tmp_path.parent)
