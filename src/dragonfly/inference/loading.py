"""Finding, checking and loading a model for inference: directory or name, device, number format, overrides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoProcessor
from transformers.utils import logging as transformers_logging

from dragonfly.config import nearest, parse_overrides
from dragonfly.inference.engine import Engine
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration, DragonflyProcessor
from dragonfly.vision.layout import make_layout
from dragonfly.vision.spec import EncoderSpec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICES = ("auto", "cpu", "cuda", "mps")
SELECTION_KEYS = ("policy", "scope", "keep", "seed")
SPEC_KEYS = ("fit", "grid_rule", "max_enlargement", "regions")
OVERRIDES = (
    "model.preset",
    "model.encoder_batch",
    *(f"model.{key}" for key in SPEC_KEYS),
    *(f"model.selection.{key}" for key in SELECTION_KEYS),
)


def load(
    model: str | Path | None = None,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    quantization: Any = None,
    device_map: Any = None,
    overrides: Sequence[str] = (),
) -> Engine:
    """Load a model and everything beside it.

    Args:
        model: a directory (ours, or in the released format) or a name on the Hugging Face hub; None for the bundled model.
        device: `auto` (CUDA, then MPS, then CPU) or a torch device.
        dtype: `auto`, `float32`, `bfloat16` or `float16`. `auto` is the checkpoint's own on an accelerator; on a CPU float32
            for checkpoints below 4 GiB, the checkpoint's own above.
        quantization: None, `int8` (weights only, by torchao), or a transformers quantisation configuration. The vision tower
            and the projector are left as they are.
        device_map: as in transformers; overrules `device`.
        overrides: `key=value` strings such as `model.selection.policy=detail`.

    Raises:
        ValueError: for anything the user can mend; one line.
    """
    path = _locate(model)
    changes = _check_overrides(overrides)
    settings = {"preset": changes.pop("preset")} if "preset" in changes else {}
    config = DragonflyConfig.from_pretrained(path, **settings)
    processor = cast(DragonflyProcessor, AutoProcessor.from_pretrained(path, **settings))
    if changes:
        _apply(config, processor, changes)
    if config.spec != processor.image_processor.spec:
        raise ValueError(f"'{path}' has a processor made for another encoder than its model; save both from one configuration")
    target = torch.device(_device(device))
    transformers_logging.disable_progress_bar()
    built = DragonflyForConditionalGeneration.from_pretrained(
        path,
        config=config,
        dtype=_dtype(dtype, path, target),
        device_map=device_map,
        quantization_config=_quantization(quantization),
    )
    if device_map is None and quantization is None:
        built.to(target)
    return Engine(built.eval(), processor, name=str(model or "nano"))


def bundled_model() -> Path:
    """The directory of the model that is part of the package."""
    return Path(str(files("dragonfly") / "assets" / "nano"))


def _locate(model: str | Path | None) -> str:
    path = bundled_model() if model is None else Path(model)
    if (path / "config.json").is_file():
        return str(path)
    if model is None:
        raise ValueError("this installation has no bundled model; name one: --model DIRECTORY")
    if path.exists():
        raise ValueError(f"'{model}' is no model directory: it has no config.json")
    if str(model).count("/") == 1 and not str(model).startswith((".", "/", "~")):
        return str(model)  # a name on the hub; transformers finds or refuses it
    raise ValueError(f"no model directory '{model}'; give a directory with a config.json, or a hub name such as 'owner/model'")


def _check_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """The `model` part of `key=value` overrides; unknown keys are refused with the nearest legal one."""
    for override in overrides:
        key = override.partition("=")[0]
        if key not in OVERRIDES:
            raise ValueError(f"unknown override: {nearest(key, OVERRIDES)}")
    return parse_overrides(list(overrides)).get("model", {})


def _apply(config: DragonflyConfig, processor: DragonflyProcessor, changes: dict[str, Any]) -> None:
    if "encoder_batch" in changes:
        config.encoder_batch = int(changes.pop("encoder_batch"))
    spec = config.spec
    selection = changes.pop("selection", None)
    values = {**spec.to_dict(), **changes}
    if selection:
        if spec.high is None:
            raise ValueError("this model has no high level, so there is nothing to select; choose another model.preset")
        values["selection"] = {**values["selection"], **selection}
    encoder = EncoderSpec.from_dict(values).to_dict()
    config.encoder = encoder
    processor.image_processor.encoder = encoder


def _device(device: str) -> str:
    if device != "auto":
        if device.partition(":")[0] not in DEVICES:
            raise ValueError(f"device: {nearest(device, DEVICES)}")
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _dtype(dtype: str | torch.dtype, path: str, device: torch.device) -> Any:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype != "auto":
        if dtype not in DTYPES:
            raise ValueError(f"dtype: {nearest(dtype, ('auto', *DTYPES))}")
        return DTYPES[dtype]
    weights = sum(file.stat().st_size for file in Path(path).glob("*") if file.suffix in (".safetensors", ".bin"))
    return torch.float32 if device.type == "cpu" and weights < 4 * 2**30 else "auto"


def _quantization(quantization: Any) -> Any:
    if quantization is None or not isinstance(quantization, str):
        return quantization
    if quantization != "int8":
        raise ValueError(f"quantization: {nearest(quantization, ('int8',))}; or pass a transformers quantisation configuration")
    try:
        from torchao.quantization import Int8WeightOnlyConfig  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError("quantization 'int8' needs torchao; install it: pip install torchao") from error
    from transformers import TorchAoConfig

    return TorchAoConfig(
        Int8WeightOnlyConfig(), modules_to_not_convert=["model.vision_tower", "model.multi_modal_projector", "lm_head"]
    )


def describe(model: str | Path | None = None) -> dict[str, Any]:
    """What a model directory holds, from its configuration alone: parts, encoder, tokens per picture, size, origin."""
    path = _locate(model)
    config = DragonflyConfig.from_pretrained(path)
    with torch.device("meta"):
        built = DragonflyForConditionalGeneration(config)
    parts = {
        "vision_tower": built.model.vision_tower,
        "projector": built.model.multi_modal_projector,
        "language_model": built.model.language_model,
    }
    layout = make_layout((1000, 1000), config.spec)
    weights = [file for file in Path(path).glob("*") if file.suffix in (".safetensors", ".bin")]
    origin = Path(path) / "dragonfly.json"
    return {
        "model": str(model or "nano (bundled)"),
        "preset": config.preset or "its own encoder",
        "vision_tower": config.vision_config.model_type,
        "language_model": config.get_text_config().model_type,
        "parameters": {name: _count(part) for name, part in parts.items()} | {"total": _count(built)},
        "sub_images": {"resolution": config.spec.resolution, "encoded": layout.num_sub_images, "kept": layout.num_kept},
        "tokens_per_picture": layout.num_image_tokens,
        "selection": config.spec.to_dict()["selection"],
        "weights_mib": round(sum(file.stat().st_size for file in weights) / 2**20, 1),
        "dtype": str(config.dtype or "float32").removeprefix("torch."),
        "origin": json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else None,
    }


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
