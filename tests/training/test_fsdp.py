"""What is asked of FSDP before any process is started, and that plain data parallelism is never taken for it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dragonfly.training import Recipe
from dragonfly.training.arguments import training_arguments
from dragonfly.training.fsdp import IsSharedOut, fsdp_arguments, layer_classes
from tests import tiny
from tests.training import small


def test_one_process_has_nobody_to_share_with(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(small.values(tmp_path, fsdp=True))
    with pytest.raises(ValueError, match="fsdp shares weights out among processes, and there is one"):
        training_arguments(recipe, 10)
    assert fsdp_arguments(True, 2)["fsdp_config"]["version"] == 2 and fsdp_arguments(False, 1) == {}


def test_a_launcher_that_asks_for_fsdp_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate would take plain data parallelism on CPUs, and layers of its own choice on GPUs."""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="start with torchrun, and give fsdp=true"):
        fsdp_arguments(False, 2)
    assert fsdp_arguments(True, 2)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"deepspeed": "zero1"}, "set deepspeed=null"),
        ({"lora": {"r": 4}, "trainable": []}, "set lora=null"),
        ({"best": {"task": "pope"}, "save": {"every": 2}}, "set best=null"),
    ],
)
def test_what_does_not_go_with_it_is_refused(tmp_path: Path, changes: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=f"fsdp goes with none of deepspeed, lora and best; {fault}"):
        Recipe.model_validate(small.values(tmp_path, fsdp=True, **changes))


def test_a_model_that_is_not_shared_out_ends_the_run_before_its_first_step() -> None:
    with pytest.raises(ValueError, match="the model was not shared out on these devices"):
        IsSharedOut().on_train_begin(None, SimpleNamespace(), None, model=torch.nn.Linear(2, 2))


@pytest.mark.parametrize("tower", ["clip", "siglip"])
def test_the_layers_are_those_of_the_model_itself(tower: str) -> None:
    names = layer_classes(tiny.model(tiny.config(tower=tower)))
    assert "LlamaDecoderLayer" in names and {"clip": "CLIPEncoderLayer", "siglip": "SiglipEncoderLayer"}[tower] in names
    assert not any("Text" in name for name in names)  # which the family knows and this model has not
