"""LoRA by PEFT: an adapter that knows its base, and merging the two into one model.

Promises that an adapter is merged only into the very weights that it was trained on.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from transformers import AutoProcessor

from dragonfly.files import ORIGIN, atomic_directory
from dragonfly.inference.adapter import weights_hash
from dragonfly.inference.loading import find_directory
from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.models.origin import read_origin, write_origin

from .recipe import Lora


def add_adapter(model: Any, lora: Lora, trainable: list[str]) -> Any:
    """The model as a PEFT model: adapters on `lora.targets`, the modules of `trainable` trained whole and saved with them."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if lora.quantize:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        modules_to_save=trainable or None,
    )
    try:
        with warnings.catch_warnings():  # peft asks transformers 5.23 by a name that it is retiring
            warnings.simplefilter("ignore", FutureWarning)
            return get_peft_model(model, config)
    except ValueError as error:
        raise ValueError(f"lora.targets {lora.targets!r} or trainable does not fit the model: {error}") from None


def base_hash(directory: str | Path) -> str:
    """One hash of all weights of a model, by its directory or name. ValueError where there are none."""
    return weights_hash(find_directory(directory, setting="init_from.checkpoint"))


def merge(adapter: str | Path, target: str | Path, base: str | Path | None = None) -> Path:
    """Write base and adapter as one model directory.

    `base` is where the base lies now, if not where it was in training. ValueError if it is not the adapter's own, if
    `adapter` holds none, or if `target` exists.
    """
    adapter = Path(adapter)
    about = _origin(adapter)
    base = find_directory(base or about["base"]["path"], setting="--base" if base else f"{adapter / ORIGIN}")
    actual = base_hash(base)
    if actual != about["base"]["sha256"]:
        raise ValueError(
            f"adapter {adapter} belongs to a base with hash {about['base']['sha256'][:12]}, {base} has {actual[:12]}; "
            "name the directory it was trained on: --base DIRECTORY"
        )
    from peft import PeftModel

    with atomic_directory(target) as folder:
        model: Any = DragonflyForConditionalGeneration.from_pretrained(base, dtype="auto")
        merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        for parameter in merged.parameters():
            parameter.data = parameter.data.to(merged.config.dtype)  # adapters are float32, whatever the base is
        merged.save_pretrained(folder)
        AutoProcessor.from_pretrained(adapter).save_pretrained(folder)
        write_origin(folder, {**about, "merged_from": str(adapter)})
    return Path(target)


def _origin(adapter: Path) -> dict[str, Any]:
    about = read_origin(adapter) or {}
    if not {"path", "sha256"} <= about.get("base", {}).keys():
        raise ValueError(f"{adapter} is no adapter of `dragonfly train`: its {ORIGIN} names no base")
    return about
