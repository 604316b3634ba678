"""LoRA by PEFT: an adapter that knows its base, and merging the two into one model.

Promises that an adapter is merged only into the very weights that it was trained on.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from transformers import AutoProcessor

from dragonfly.files import ORIGIN, atomic_directory
from dragonfly.inference.adapter import base_of, check_base, weights_hash, with_adapter
from dragonfly.inference.loading import find_directory
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration
from dragonfly.models.joining import stop_at_turns
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
    about = base_of(adapter)
    base = find_directory(base or about["path"], setting="--base" if base else f"{adapter / ORIGIN}")
    check_base(adapter, base)
    with atomic_directory(target) as folder:
        processor: Any = AutoProcessor.from_pretrained(adapter)
        config = DragonflyConfig.from_pretrained(base)
        config.encoder = processor.image_processor.encoder  # it was trained under its own, which may be another than its base's
        model: Any = DragonflyForConditionalGeneration.from_pretrained(base, config=config, dtype="auto")
        stop_at_turns(model.generation_config, processor)
        with_adapter(model, adapter).save_pretrained(folder)
        processor.save_pretrained(folder)
        write_origin(folder, {**(read_origin(adapter) or {}), "merged_from": str(adapter)})
    return Path(target)
