"""What a model's weights need of this machine's memory: plain bytes of the weights, without activations and cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from dragonfly.models import DragonflyConfig
from dragonfly.models.weight_check import matrix_parameters

BITS = {"int8": 8, "int4": 5}  # of a matrix's weight, scales included


def weight_bytes(config: DragonflyConfig) -> dict[str, int]:
    """Bytes of the weights in each form that `dragonfly ask` can load them in."""
    matrices, others = matrix_parameters(config)
    found = {"float32": 4 * (matrices + others), "bfloat16": 2 * (matrices + others)}
    return found | {name: matrices * bits // 8 + 2 * others for name, bits in BITS.items()}


def memory_of(config: DragonflyConfig, on_disk: int, form: str = "bfloat16") -> dict[str, Any]:
    """Weights beside what is free; `fits` is whether those of `form` do in the largest memory, None where that is unknown."""
    forms, room = weight_bytes(config), {**_gpus(), "CPU": available()}
    most = max((free for free in room.values() if free is not None), default=None)
    return {
        "files": _gib(on_disk),
        **{f"weights in {name}": _gib(size) for name, size in forms.items()},
        **{f"free on {name}": "unknown" if free is None else _gib(free) for name, free in room.items()},
        f"fits in {form}": None if most is None else forms[form] <= most,
        "not counted": "activations, the cache of keys and values, and what loading needs for a moment",
    }


def available() -> int | None:
    """Bytes of main memory that new work may take; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _gpus() -> dict[str, int | None]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {f"GPU {index}": torch.cuda.mem_get_info(index)[0] for index in range(count)}


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
