# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A model for inference: found (bundled, a directory, or downloaded from the hub), checked, loaded, and changed by `--set`."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from pydantic import PositiveInt, create_model
from safetensors import SafetensorError
from transformers import AutoProcessor
from transformers.utils import logging as transformers_logging

from dragonfly.config import Config, nearest
from dragonfly.inference.adapter import ADAPTER, base_places, check_base, is_adapter, with_adapter
from dragonfly.inference.engine import Engine
from dragonfly.inference.integrity import (
    bounded_generation,
    check_directory,
    check_formats,
    check_record,
    check_tokens,
    weight_files,
)
from dragonfly.inference.quantization import check_device_map, leave_misfits, quantization_config
from dragonfly.installation import BUNDLED, bundled_model, bundled_name
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration, DragonflyProcessor
from dragonfly.models.origin import DESCRIPTIONS, ORIGIN, WEIGHTS, read_origin
from dragonfly.models.remote_code import SHIM
from dragonfly.vision.layout import make_layout
from dragonfly.vision.presets import get_preset
from dragonfly.vision.spec import EncoderChanges

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LONG = 600  # letters of a message that is passed on
FLOAT32_BELOW = 4 * 2**30  # bytes of weights; on a CPU bfloat16 is slow, and a larger model may not fit in float32

ModelOverrides = create_model(
    "ModelOverrides", __base__=EncoderChanges, preset=(str | None, None), encoder_batch=(PositiveInt | None, None)
)
Overrides = create_model("Overrides", __base__=Config, model=(ModelOverrides, ModelOverrides()))
"""What `--set model.KEY=VALUE` may change of a loaded model: the encoder's options, its preset, and batches of the tower."""


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
        model: a directory (ours, in the released format, or a LoRA adapter that `dragonfly train` wrote) or a name on the
            Hugging Face hub; None or `nano` for the bundled model, `nano-scans` for the one that reads scanned pages.
        device: `auto` (CUDA, then MPS, then CPU) or a torch device.
        dtype: `auto`, `float32`, `bfloat16` or `float16`. `auto` is the checkpoint's own on an accelerator; on a CPU float32
            for checkpoints below 4 GiB, the checkpoint's own above; bfloat16 under int4, whose kernel is slow in float32.
        quantization: None, `int8` or `int4` (the language model's weights; `inference/quantization.py`), or a transformers
            quantisation configuration.
        device_map: as in transformers (`auto` spreads the model over all GPUs, then the CPU); overrules `device`.
        overrides: `key=value` strings such as `model.selection.policy=detail`.

    Raises:
        ValueError: for anything the user can mend; one line.
    """
    changes = read_overrides(overrides)
    target, number = model_device(device), model_dtype(dtype)
    if quantization is not None and model is not None and is_adapter(Path(model)):
        raise ValueError(
            f"an adapter is not loaded into 8 or 4 bits; first write it as one model: dragonfly merge {model} DIRECTORY"
        )
    quantizer = quantization_config(quantization, target)
    if quantizer is not None and device_map is None and target.type != "cpu":
        device_map = {"": target}  # quantised there: in full the model may not fit into this machine's memory
    check_device_map(device_map)
    path, adapter = resolve(model)
    check_record(path)
    settings = {"preset": changes["preset"]} if "preset" in changes else {}
    with one_line_errors(path), no_progress_bars():
        config = DragonflyConfig.from_pretrained(path, **settings)
        processor = cast(DragonflyProcessor, AutoProcessor.from_pretrained(adapter or path, **settings))
    if adapter is not None:  # it was trained under its own encoder, which may be another than its base's
        config.encoder = processor.image_processor.encoder
    apply_overrides(config, processor, changes)
    with one_line_errors(path), no_progress_bars():
        if config.spec != processor.image_processor.spec:
            raise ValueError(f"'{path}' has a processor made for another encoder than its model; save both together")
        check_tokens(path, config, processor)
        if getattr(config, "quantization_config", None) is None:
            check_formats(path)
        if quantization == "int4" and target.type == "cpu":
            leave_misfits(quantizer, config.text_config)
        built: Any = DragonflyForConditionalGeneration.from_pretrained(
            path,
            config=config,
            dtype=auto_dtype(path, target, quantization) if number is None else number,
            device_map=device_map,
            quantization_config=quantizer,
        )
        if adapter is not None:
            built = with_adapter(built, adapter)
        built.generation_config = bounded_generation(built.generation_config)
        if device_map is None and quantization is None:
            built.to(target)
        engine = Engine(built.eval(), processor, name=str(model or BUNDLED[0]))
    if processor.asks and not built.model.query_projection.learned():
        logger.warning(
            "this model never learned to choose by questions (its query_projection is new), so what it keeps means little"
        )
    return engine


def read_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`["model.selection.keep=2"]` -> `{"selection": {"keep": 2}}`.

    Raises:
        ValueError: for an unknown key, with the nearest legal one, or a value of another kind.
    """
    if not overrides:
        return {}
    chosen: Any = Overrides.load(None, overrides)
    changes = chosen.model.model_dump(exclude_unset=True)
    if "preset" in changes:
        get_preset(str(changes["preset"]))
    return changes


def apply_overrides(config: DragonflyConfig, processor: DragonflyProcessor, changes: dict[str, Any]) -> None:
    """Change a model's configuration and its processor alike. `preset` is in both already, and needs its tower's geometry."""
    if "encoder_batch" in changes:
        config.encoder_batch = changes["encoder_batch"]
    if changes:
        parts = {key: value for key, value in changes.items() if key not in ("encoder_batch", "preset")}
        config.encoder = processor.image_processor.encoder = config.spec.changed(parts).to_dict()


@contextmanager
def one_line_errors(path: Path) -> Generator[None]:
    """Faults of files come out as one ValueError that names the model."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ValueError(
            f"'{path}' does not fit into memory; try --quantize int8, another --dtype or --device-map auto "
            f"(`dragonfly plan {path}` says what it takes)"
        ) from error
    except Exception as error:  # a damaged file may break any library in any way
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, SafetensorError | UnpicklingError) or "PytorchStreamReader" in reason:
            raise ValueError(f"'{path}' has a damaged weights file ({reason:.200}); copy the model again") from error
        if isinstance(error, ValueError) and str(path) in reason and "\n" not in str(error) and len(reason) < LONG:
            raise
        raise ValueError(f"'{path}' cannot be loaded: {reason:.{LONG}}") from error


@contextmanager
def no_progress_bars() -> Generator[None]:
    """An answer's terminal is no place for the bars of transformers; they come back afterwards."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def model_device(device: str) -> torch.device:
    """The device asked for. ValueError where it is not there."""
    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if usable[kind]))
    kind, _, index = str(device).partition(":")
    if kind not in usable or (index and not index.isdecimal()):
        raise ValueError(f"device: {nearest(device, ('auto', *usable))}")
    if not usable[kind] or (kind == "cuda" and int(index or 0) >= torch.cuda.device_count()):
        raise ValueError(f"device '{device}' is not there on this machine; use 'auto' or 'cpu'")
    return torch.device(device)


def model_dtype(dtype: str | torch.dtype) -> torch.dtype | None:
    """The number format asked for; None for `auto`."""
    if isinstance(dtype, torch.dtype) or dtype == "auto":
        return None if dtype == "auto" else dtype
    if dtype not in DTYPES:
        raise ValueError(f"dtype: {nearest(dtype, ('auto', *DTYPES))}")
    return DTYPES[dtype]


def auto_dtype(path: Path, device: torch.device, quantization: Any) -> torch.dtype | str:
    """What `auto` means for a directory's weights on a device."""
    if device.type == "cpu" and quantization == "int4":
        return torch.bfloat16
    small = sum(file.stat().st_size for file in weight_files(path)) < FLOAT32_BELOW
    return torch.float32 if device.type == "cpu" and small else "auto"


def describe(model: str | Path | None = None, setting: str = "--model") -> dict[str, Any]:
    """What a model directory holds, from its configuration alone: parts, encoder, tokens per image, size, origin."""
    path, adapter = resolve(model, weights=False, setting=setting)
    with one_line_errors(path):
        config = DragonflyConfig.from_pretrained(path)
    return {
        "model": f"{adapter} (an adapter of {path})" if adapter else _named(path, model),
        **describe_config(config),
        "weights_mib": round(sum(file.stat().st_size for file in weight_files(path)) / 2**20, 1),
        "dtype": str(config.dtype or "float32").removeprefix("torch."),
        "origin": read_origin(adapter or path),
    }


def _named(path: Path, model: str | Path | None) -> str:
    own = next((name for name in BUNDLED if path == bundled_model(name)), None)
    return f"{own} (bundled)" if own else str(model)


def describe_config(config: DragonflyConfig) -> dict[str, Any]:
    """What a configuration alone says: parts and their parameters, encoder, tokens of a square image."""
    with torch.device("meta"):
        built = DragonflyForConditionalGeneration(config)
    parts = {
        "vision_tower": built.model.vision_tower,
        "projector": built.model.multi_modal_projector,
        "language_model": built.model.language_model,
    }
    layout = make_layout((1000, 1000), config.spec)
    encoded = layout.num_kept if config.spec.selection.early else layout.num_sub_images
    return {
        "preset": config.preset or "its own encoder",
        "vision_tower": config.vision_config.model_type,
        "language_model": config.get_text_config().model_type,
        "parameters": {name: _count(part) for name, part in parts.items()} | {"total": _count(built)},
        "sub_images": {"resolution": config.spec.resolution, "encoded": encoded, "kept": layout.num_kept},
        "tokens_per_image": layout.num_image_tokens,
        "selection": config.spec.to_dict()["selection"],
    }


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def locate(model: str | Path | None, *, weights: bool = True) -> Path:
    """The directory of a model, checked to hold one.

    Args:
        model: a directory or a hub name; None for the bundled model.
        weights: whether the tensors are wanted too.

    Raises:
        ValueError: one line that says what is missing.
    """
    return resolve(model, weights=weights)[0]


def resolve(model: str | Path | None, *, weights: bool = True, setting: str = "--model") -> tuple[Path, Path | None]:
    """The directory of a model, and the adapter's where one was named: then the model is its base. Errors as `locate`."""
    path = find_directory(model, weights=weights, setting=setting)
    if not is_adapter(path):
        check_directory(path, weights)
        return path, None
    base = _base_directory(path, weights)
    check_directory(base, weights)
    if weights:
        check_base(path, base)
    return base, path


def _base_directory(adapter: Path, weights: bool) -> Path:
    faults: list[ValueError] = []
    for place in base_places(adapter):
        try:
            return find_directory(place, weights=weights, setting=f"{adapter / ORIGIN}, the base of the adapter")
        except ValueError as error:
            faults.append(error)
    raise ValueError(
        f"the base of adapter '{adapter}' is not found: {faults[0]}; or write both as one model: dragonfly merge {adapter} "
        "DIRECTORY --base DIRECTORY"
    )


def find_directory(model: str | Path | None, *, weights: bool = True, setting: str = "--model") -> Path:
    """The directory of a model or an adapter, whatever else it holds.

    Args:
        model: a directory, a model in the package (`nano`, `nano-scans`), or a hub name; None for `nano`.
        weights: whether the tensors are wanted too.
        setting: what named it, for messages.

    Raises:
        ValueError: one line that says what was looked for, and what named it.
    """
    name = bundled_name(model)
    path = bundled_model(name) if name is not None else Path(str(model))
    if any(os.path.isfile(path / name) for name in ("config.json", ADAPTER)):  # noqa: PTH113 - Path.is_file raises on long names
        return path
    if name is not None:
        raise ValueError(f"this installation has no bundled model '{name}'; name another: --model DIRECTORY")
    if os.path.exists(path):  # noqa: PTH110
        raise ValueError(f"'{model}' is no model directory: it has no config.json ({setting} names it)")
    return _download(str(model), weights, setting)


def _download(name: str, weights: bool, setting: str) -> Path:
    """The local copy of a model on the hub; transformers' own search would leave files of the released format out."""
    from huggingface_hub import snapshot_download

    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ValueError(
            f"no model directory '{name}' ({setting} names it); give a directory with a config.json, a hub name such as "
            f"'owner/model', or a model in the package: {', '.join(BUNDLED)}"
        )
    try:
        return Path(
            snapshot_download(
                name, allow_patterns=[SHIM.name, *(f"*{end}" for end in (*DESCRIPTIONS, *(WEIGHTS if weights else ())))]
            )
        )
    except (OSError, ValueError, RuntimeError) as error:  # offline, unknown, gated, ill-formed: the hub's own classes
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"no model directory '{name}' ({setting} names it), and the Hugging Face hub does not give it ({reason:.120}); "
            "download it elsewhere and name its directory"
        ) from None
