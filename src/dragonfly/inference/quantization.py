# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Weights in 8 or 4 bits: which library does it on which device, and the line that says what is missing.

The matrices of the language model's layers alone: the vision tower, what stands between it and the language model, embeddings and
head stay as they are. int8 is torchao's on every device; int4 is torchao's on a CPU and bitsandbytes' (NF4) on CUDA. What was
measured, on a CPU, is in benchmarks/results/quantization.json; on CUDA and MPS nothing was run.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from dragonfly.config import nearest

KINDS = ("int8", "int4")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
LEFT = ["model.vision_tower", "model.multi_modal_projector", "model.query_projection", "lm_head"]
GROUP, ROWS = 32, 16  # int4 on a CPU: weights that share a scale (5 bits each in all), and rows that the kernel takes at once

logger = logging.getLogger(__name__)


def quantization_config(quantization: Any, device: torch.device) -> Any:
    """What transformers is given: None and configurations as they are, `int8` and `int4` as this device needs them.

    Raises:
        ValueError: for another word, a kind that the device has no kernel for, or a package that is not installed.
    """
    if quantization is None or not isinstance(quantization, str):
        return quantization
    if quantization not in KINDS:
        raise ValueError(f"quantization: {nearest(quantization, KINDS)}; or pass a transformers quantisation configuration")
    if quantization == "int4" and device.type == "mps":
        raise ValueError("quantization 'int4' has no kernel on mps; use int8, or the CPU (device cpu)")
    if quantization == "int4" and device.type == "cuda":
        return _nf4()
    return _torchao(quantization)


def check_device_map(device_map: Any) -> None:
    """ValueError for a word that transformers does not know, and where accelerate, which places the parts, is missing."""
    if isinstance(device_map, str) and device_map not in DEVICE_MAPS:
        raise ValueError(f"device_map: {nearest(device_map, DEVICE_MAPS)}")
    if device_map is not None:
        _require("accelerate", "a device map, or a quantised model on a GPU,")


def leave_misfits(quantizer: Any, language_config: Any) -> None:
    """int4 on a CPU: leave the matrices that the kernel cannot take as they are, with a warning that counts them.

    Raises:
        ValueError: if that is all of them.
    """
    with torch.device("meta"):
        language_model = AutoModel.from_config(language_config)
    matrices = [(name, part) for name, part in language_model.named_modules() if isinstance(part, nn.Linear)]
    left = [f"model.language_model.{name}" for name, part in matrices if part.in_features % GROUP or part.out_features % ROWS]
    fits = f"int4 on a CPU takes inputs in {GROUP}s and outputs in {ROWS}s"
    if len(left) == len(matrices):
        raise ValueError(f"none of the language model's {len(left)} matrices can be quantised ({fits}); use int8")
    if left:
        logger.warning("%d of the language model's %d matrices are not quantised (%s)", len(left), len(matrices), fits)
        quantizer.modules_to_not_convert = [*quantizer.modules_to_not_convert, *left]


def _torchao(kind: str) -> Any:
    _require("torchao", f"quantization '{kind}'")
    with _quiet():
        from torchao.quantization import Int8WeightOnlyConfig  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]
        from transformers import TorchAoConfig

        chosen: Any = Int8WeightOnlyConfig() if kind == "int8" else _int4()
        return TorchAoConfig(chosen, modules_to_not_convert=LEFT)


def _int4() -> Any:
    """torch's own CPU kernel; torchao keeps the door to it among its prototypes, whose names change."""
    try:
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]
    except ImportError:
        raise ValueError(
            "quantization 'int4' on a CPU needs another torchao: pip install torchao==0.18.0; int8 takes the one installed"
        ) from None
    return PrototypeInt4WeightOnlyConfig(group_size=GROUP, set_inductor_config=False)


def _nf4() -> Any:
    _require("bitsandbytes", "quantization 'int4' on CUDA")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=LEFT,
    )


def _require(package: str, who: str) -> None:
    if find_spec(package) is None:
        raise ValueError(f"{who} needs {package}; install it: pip install {package}")


@contextmanager
def _quiet() -> Generator[None]:
    """torchao warns at its first import of CUDA kernels that it does not find on a CPU."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
