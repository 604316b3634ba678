"""What nano loses when its language model's weights are kept in 8 or 4 bits, on a CPU.

    python benchmarks/quantization.py [--pages 30]

The questions are the first of those that benchmarks/results/nano.json is measured on: greedy, exact match, intervals over pages.
Needs torchao. Says nothing of CUDA, of MPS, or of a model of another size.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import dragonfly
from dragonfly.files import result_header, write_json

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import measure_pages  # pyright: ignore[reportMissingImports]

RESULT = Path(__file__).parent / "results" / "quantization.json"
FORMS: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8, float32": {"dtype": "float32", "quantization": "int8"},
    "int8, bfloat16": {"dtype": "bfloat16", "quantization": "int8"},
    "int4, bfloat16": {"dtype": "bfloat16", "quantization": "int4"},
}


def matrix_bytes(model: Any) -> int:
    """Bytes that the matrices of the language model's layers take, scales included."""
    matrices = [module.weight for module in model.model.language_model.modules() if isinstance(module, nn.Linear)]
    return sum(part.numel() * part.element_size() for matrix in matrices for part in _stored(matrix))


def _stored(matrix: Any) -> list[torch.Tensor]:
    if not hasattr(matrix, "__tensor_flatten__"):
        return [matrix]
    return [getattr(matrix, name) for name in matrix.__tensor_flatten__()[0]]


def measure(pages: int) -> dict[str, Any]:
    rows = measure_pages.held_out(pages)
    asked = measure_pages.conditions(rows)["image"]
    found: dict[str, Any] = {}
    reference: list[str] = []
    for name, options in FORMS.items():
        engine = dragonfly.load(device="cpu", **options)
        started = time.process_time()
        texts = [answer.text for answer in engine.ask_batch(asked, batch_size=16, max_new_tokens=16)]
        seconds = time.process_time() - started
        reference = reference or texts
        right = np.array([text == row.question.answer for text, row in zip(texts, rows, strict=True)], dtype=float)
        found[name] = {
            **measure_pages.score(right, rows),
            "same_as_float32": round(float(np.mean([one == other for one, other in zip(texts, reference, strict=True)])), 4),
            "matrix_bytes": matrix_bytes(engine.model),
            "cpu_seconds": round(seconds, 1),
        }
    return {"pages": pages, "questions": len(rows), "seed": measure_pages.SEED, "torchao": version("torchao"), "weights": found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=30)
    parser.add_argument("--result", type=Path, default=RESULT)
    chosen = parser.parse_args()
    write_json(chosen.result, {**result_header(), **measure(chosen.pages)})
