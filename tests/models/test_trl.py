"""TRL trains a model by its path: supervised, by preference without a reference model, and by reward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from dragonfly.models import DragonflyForConditionalGeneration
from tests import tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of TRL's and accelerate's own; ours are errors in every other test
]
QUESTION = [{"role": "user", "content": "what?"}]
OPTIONS: dict[str, Any] = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "save_strategy": "no",
    "logging_steps": 1,
    "gradient_checkpointing": False,
    "learning_rate": 1e-2,
}


def save(folder: Path, preset: str = "v1", **processor: Any) -> str:
    settings = tiny.config(preset)
    tiny.model(settings).save_pretrained(folder)
    tiny.processor(settings, **processor).save_pretrained(folder)
    return str(folder)


def rows(**columns: Any) -> Any:
    from datasets import Dataset  # not there with the oldest transformers, where these tests do not run

    return Dataset.from_dict(
        {"images": [[tiny.image(seed=seed)] for seed in range(4)]} | {k: [v] * 4 for k, v in columns.items()}
    )


def losses(trainer: Any) -> list[float]:
    assert isinstance(trainer.model, DragonflyForConditionalGeneration)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_sft_by_path(tmp_path: Path) -> None:
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    path = save(tmp_path / "model")
    data = rows(messages=[*QUESTION, {"role": "assistant", "content": "a kite"}])
    arguments = SFTConfig(str(tmp_path / "out"), **OPTIONS, max_length=None, assistant_only_loss=True)
    trainer = SFTTrainer(path, args=arguments, train_dataset=data)
    first, second = losses(trainer)
    assert second < first
    trainer.save_model(str(tmp_path / "trained"))
    read = AutoModelForImageTextToText.from_pretrained(tmp_path / "trained")
    before = AutoModelForImageTextToText.from_pretrained(path)
    assert not torch.equal(read.lm_head.weight, before.lm_head.weight)
    assert (tmp_path / "trained" / "dragonfly_auto.py").exists()


def test_an_adapter_of_the_language_model_alone(tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    path = save(tmp_path / "model")
    data = rows(prompt=QUESTION, completion=[{"role": "assistant", "content": "a kite"}])
    arguments = SFTConfig(str(tmp_path / "out"), **OPTIONS, max_length=None)
    adapter: Any = LoraConfig(target_modules=r".*language_model.*\.(q|k|v|o)_proj", task_type="CAUSAL_LM")
    trainer: Any = SFTTrainer(path, args=arguments, train_dataset=data, peft_config=adapter)
    names = [name for name, weight in trainer.model.named_parameters() if weight.requires_grad]
    assert len(names) == 16 and all("language_model" in name for name in names)
    trainer.train()
    trainer.save_model(str(tmp_path / "adapter"))
    base = DragonflyForConditionalGeneration.from_pretrained(path)
    merged: Any = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).merge_and_unload()
    inputs = AutoProcessor.from_pretrained(path)(text="<image>a", images=tiny.image(), return_tensors="pt")
    torch.testing.assert_close(merged(**inputs).logits, trainer.model.eval()(**inputs).logits, atol=1e-4, rtol=1e-4)


def test_dpo_without_a_reference_model(tmp_path: Path) -> None:
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    answers = {name: [{"role": "assistant", "content": text}] for name, text in (("chosen", "a kite"), ("rejected", "no"))}
    arguments = DPOConfig(str(tmp_path / "out"), **OPTIONS, max_length=None)
    trainer = DPOTrainer(save(tmp_path / "model"), args=arguments, train_dataset=rows(prompt=QUESTION, **answers))
    first, second = losses(trainer)
    assert first == pytest.approx(0.6931, abs=1e-3)  # the reference is the model itself, so the first step knows no preference
    assert second < first


def reward(tmp_path: Path, path: str, **given: Any) -> list[float]:
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    def longest(completions: Any, **columns: Any) -> list[float | None]:
        return [float(index) for index, _ in enumerate(completions)]

    arguments = GRPOConfig(str(tmp_path / "out"), **OPTIONS, num_generations=2, max_completion_length=4)
    data = rows(prompt=QUESTION)
    return losses(GRPOTrainer(path, longest, args=arguments, train_dataset=data, **given))


def test_grpo_where_nothing_is_selected(tmp_path: Path) -> None:
    assert len(reward(tmp_path, save(tmp_path / "model", "v2"))) == 2


def test_grpo_drops_the_regions_unless_they_go_by_a_name_that_it_knows(tmp_path: Path) -> None:
    path = save(tmp_path / "model")
    with pytest.raises(ValueError, match="regions_name='image_position_ids'"):
        reward(tmp_path, path)
    processor = AutoProcessor.from_pretrained(path, regions_name="image_position_ids")
    assert len(reward(tmp_path, path, processing_class=processor)) == 2
