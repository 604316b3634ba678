"""A directory made of a tower and a language model: what lies in it, and what is refused without a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM

from dragonfly.inference import load
from dragonfly.models import DragonflyForConditionalGeneration, joining
from tests import tiny


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> joining.Parts:
    folder, settings = tmp_path_factory.mktemp("parts"), tiny.config()
    torch.manual_seed(0)
    AutoModel.from_config(settings.vision_config).save_pretrained(folder / "tower")
    AutoModelForCausalLM.from_config(settings.text_config).save_pretrained(folder / "language_model")
    tiny.tokenizer().save_pretrained(folder / "language_model")
    return joining.Parts(str(folder / "tower"), str(folder / "language_model"))


def test_the_directory_answers_and_says_what_it_was_made_of(parts: joining.Parts, tmp_path: Path) -> None:
    made = joining.new(parts, "low-only", tmp_path / "new", seed=3)
    engine = load(tmp_path / "new")
    assert engine.ask(tiny.image(), "what?", max_new_tokens=2).text is not None
    record = json.loads((tmp_path / "new" / "dragonfly.json").read_text())
    assert record["joined"] == {"tower": "tower", "language_model": "language_model"}  # not where they lay
    assert record["projector"] == "new, from seed 3" and record["preset"] == "low-only"
    tower: Any = AutoModel.from_pretrained(parts.tower)
    language_model: Any = AutoModelForCausalLM.from_pretrained(parts.language_model)
    read: Any = DragonflyForConditionalGeneration.from_pretrained(tmp_path / "new")
    theirs = tower.state_dict()
    for name, tensor in read.model.vision_tower.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    assert torch.equal(read.lm_head.weight, language_model.lm_head.weight)
    assert torch.equal(read.model.multi_modal_projector.weight, made.model.multi_modal_projector.weight)


def test_the_plan_is_what_is_made(parts: joining.Parts, tmp_path: Path) -> None:
    planned = joining.planned_config(parts, "v1")
    made = joining.new(parts, "v1", tmp_path / "new").config
    assert planned.encoder == made.encoder
    assert planned.get_text_config().hidden_size == made.get_text_config().hidden_size
    assert planned.tie_word_embeddings == made.tie_word_embeddings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tower": "language_model"}, r"'llama'.*its image_size is None"),
        ({"language_model": "tower"}, r"language model '.*tower' .*"),
        ({"tower": "nothing"}, r"no model directory '.*nothing' \(no config.json there\)"),
        ({"language_model": "nothing"}, r"no model directory '.*nothing' \(no config.json there\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_and_leaves_nothing(
    parts: joining.Parts, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    folder = Path(parts.tower).parent
    given = {"tower": parts.tower, "language_model": parts.language_model, **{k: str(folder / v) for k, v in change.items()}}
    with pytest.raises(ValueError, match=message) as error:
        joining.new(joining.Parts(**given), "low-only", tmp_path / "new")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_tower_with_missing_weights_is_refused(parts: joining.Parts, tmp_path: Path) -> None:
    tower: Any = AutoModel.from_pretrained(parts.tower)
    state = {name: value for name, value in tower.state_dict().items() if "layers.0.mlp.fc1" not in name}
    tower.save_pretrained(tmp_path / "tower", state_dict=state)
    broken = joining.Parts(str(tmp_path / "tower"), parts.language_model)
    with pytest.raises(ValueError, match=r"does not fit the model: missing .*layers\.0\.mlp\.fc1\.bias"):
        joining.new(broken, "low-only", tmp_path / "new")
