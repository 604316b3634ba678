# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The tensors of a model directory held against its configuration, one at a time: no model is built in memory.

Names, shapes and number formats come from the files' headers; values are read tensor by tensor where they are looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.connector import OPTIONAL
from dragonfly.models.modeling_dragonfly import DragonflyForConditionalGeneration
from dragonfly.models.released import WEIGHT_RENAMES


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its shape and number format, and how to read its values."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]

    @property
    def bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


@dataclass
class WeightCheck:
    """What was found. Names are those of the model; `values` is False where only headers were read."""

    tensors: int = 0
    bytes: int = 0
    dtypes: Counter[str] = field(default_factory=Counter[str])
    missing: list[str] = field(default_factory=list[str])
    unexpected: list[str] = field(default_factory=list[str])
    mis_shaped: list[str] = field(default_factory=list[str])
    not_float: list[str] = field(default_factory=list[str])
    non_finite: list[str] = field(default_factory=list[str])
    all_zero: list[str] = field(default_factory=list[str])
    values: bool = True


def check_weights(files: list[Path], config: DragonflyConfig, *, values: bool = True) -> WeightCheck:
    """Hold the tensors of weight files against what a model of `config` has.

    `all_zero` names matrices alone: biases and some norms begin at zero, and so do modules that learn beside a model.
    Raises whatever safetensors or torch raise for a damaged file.
    """
    expected, ignored, tied = _expected(config)
    found = WeightCheck(values=values)
    seen: set[str] = set()
    for stored_name, tensor in _tensors(files):
        name = _renamed(stored_name)
        found.tensors += 1
        found.bytes += tensor.bytes
        found.dtypes[str(tensor.dtype).removeprefix("torch.")] += 1
        if name not in expected:
            if not any(re.search(pattern, name) for pattern in ignored):
                found.unexpected.append(stored_name)
            continue
        seen.add(name)
        if tensor.shape != expected[name]:
            found.mis_shaped.append(f"{name} {list(tensor.shape)}, expected {list(expected[name])}")
        if not tensor.dtype.is_floating_point and not name.endswith("count"):  # the mean embedding counts what it saw
            found.not_float.append(f"{name} ({str(tensor.dtype).removeprefix('torch.')})")
        elif values:
            _look_at(name, tensor.read(), found)
    found.missing = [name for name in expected if name not in seen and name not in tied]
    return found


def matrix_parameters(config: DragonflyConfig) -> tuple[int, int]:
    """(parameters of the language model's matrices, which int8 and int4 shrink; all others)."""
    model = _on_meta(config)
    matrices = sum(part.weight.numel() for part in model.model.language_model.modules() if isinstance(part, nn.Linear))
    return matrices, sum(parameter.numel() for parameter in model.parameters()) - matrices


def _look_at(name: str, values: Tensor, found: WeightCheck) -> None:
    if not bool(torch.isfinite(values).all()):
        found.non_finite.append(name)
    elif values.ndim > 1 and not bool(values.any()) and not any(f".{part}." in name for part in OPTIONAL):
        found.all_zero.append(name)


def _expected(config: DragonflyConfig) -> tuple[dict[str, tuple[int, ...]], list[str], set[str]]:
    """Shapes by name, patterns of what may lie beside, and names that need not be stored because they are another tensor."""
    model = _on_meta(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return shapes, list(model._keys_to_ignore_on_load_unexpected or ()), set(model.all_tied_weights_keys)


def _on_meta(config: DragonflyConfig) -> Any:
    with torch.device("meta"):
        return DragonflyForConditionalGeneration(config)


def _renamed(name: str) -> str:
    """A released tensor's name in ours."""
    for rename in WEIGHT_RENAMES:
        renamed, matched = rename.rename_source_key(name)
        if matched is not None:
            return renamed
    return name


def _tensors(files: list[Path]) -> Iterator[tuple[str, Stored]]:
    for file in files:
        yield from _of_safetensors(file) if file.suffix == ".safetensors" else _of_pickle(file)


def _of_safetensors(file: Path) -> Iterator[tuple[str, Stored]]:
    with safe_open(file, "pt") as opened:  # pyright: ignore[reportPrivateImportUsage]
        for name in opened.keys():  # noqa: SIM118 - it is no mapping
            part: Any = opened.get_slice(name)
            dtype = _DTYPES.get(part.get_dtype(), torch.uint8)
            yield name, Stored(tuple(part.get_shape()), dtype, partial(opened.get_tensor, name))


def _of_pickle(file: Path) -> Iterator[tuple[str, Stored]]:
    """`weights_only` runs no code of the file's; `mmap` reads a tensor's values when they are looked at."""
    for name, tensor in torch.load(file, map_location="cpu", weights_only=True, mmap=True).items():
        yield name, Stored(tuple(tensor.shape), tensor.dtype, lambda tensor=tensor: tensor)


_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "BOOL": torch.bool,
}
