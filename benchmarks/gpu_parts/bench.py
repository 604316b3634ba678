"""Sizes, the device, clocks and shares: what every part of `benchmarks/gpu.py` measures with."""

from __future__ import annotations

import gc
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import peers  # pyright: ignore[reportMissingImports]
import torch
from scaling import SIZE, Point  # pyright: ignore[reportMissingImports]
from tests import tiny

from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.planning import DEVICES, Answers, ModelSize, plan_inference

Row = dict[str, Any]
Cases = Iterator[tuple[str, Callable[[], Row]]]

LLAMA: Row = {"model_type": "llama", "vocab_size": 128_256, "max_position_embeddings": 65_536, "num_key_value_heads": 8}
LLAMA |= {"bos_token_id": 0, "eos_token_id": 4, "pad_token_id": 4}  # of the tests' tokenizer
CLIP: Row = {"model_type": "clip_vision_model"}


@dataclass(frozen=True)
class Scale:
    """Sizes of everything: language models by name, towers by the preset that they serve."""

    language: dict[str, Row]
    towers: dict[str, Row]
    sides: tuple[int, ...]
    batches: tuple[int, ...]
    new_tokens: int
    rounds: int
    steps: int
    workers: int
    rows: dict[str, int]

    def model_size(self, preset: str, language: str) -> ModelSize:
        return ModelSize.from_configs(self.towers[preset], self.language[language], preset=preset)


BASE = {"image_size": 224, "patch_size": 32}
LARGE = {"image_size": 336, "patch_size": 14}
FULL = Scale(
    language={
        "8B": LLAMA | {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32},
        "3B": LLAMA
        | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24}
        | {"head_dim": 128, "tie_word_embeddings": True},
    },
    towers={
        "v1": CLIP | BASE | peers.TOWER,
        "v2": CLIP | LARGE | {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    },
    sides=(4096, 8192, 16_384),
    batches=(1, 8, 32),
    new_tokens=128,
    rounds=5,
    steps=6,
    workers=8,
    rows={"few": 4, "many": 8},
)
NARROW: Row = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY = Scale(
    language={name: LLAMA | NARROW | {"vocab_size": 33_000, "num_key_value_heads": 2, "head_dim": 16} for name in ("8B", "3B")},
    towers={"v1": CLIP | BASE | NARROW, "v2": CLIP | LARGE | NARROW},
    sides=(256,),
    batches=(1, 2),
    new_tokens=6,
    rounds=1,
    steps=3,
    workers=0,
    rows={"few": 1, "many": 1},
)


class Bench:
    """Scale, device, and the rates that shares are of."""

    def __init__(self, scale: Scale, matmul: float | None = None) -> None:
        self.scale, self.matmul = scale, matmul
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.peak = published_peak(torch.cuda.get_device_name()) if self.on_gpu else None

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any]) -> float:
        """Median over rounds, the device waited for; after two calls that warm up."""
        for _ in range(2):
            work()
        taken: list[float] = []
        for _ in range(self.scale.rounds):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)

    def share(self, flops: float, seconds: float) -> Row:
        rate = flops / seconds
        return {
            "seconds": seconds,
            "tflop_per_s": rate / 1e12,
            "mfu": rate / self.peak if self.peak else None,
            "of_matmul": rate / self.matmul if self.matmul else None,
        }

    def forget_peak(self) -> None:
        free()
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()

    def beyond(self, work: Callable[[], Any]) -> int | None:
        """Bytes that `work` needs at most beyond what is there, None on a CPU."""
        self.forget_peak()
        before = torch.cuda.memory_allocated() if self.on_gpu else 0
        work()
        return torch.cuda.max_memory_allocated() - before if self.on_gpu else None

    def held(self, planned: int) -> Row:
        """The most bytes held since `forget_peak`, None on a CPU, beside those planned."""
        most = torch.cuda.max_memory_allocated() if self.on_gpu else None
        return {"peak_bytes": most, "planned_bytes": planned, "planned_over_measured": planned / most if most else None}

    def model(self, preset: str, language: str, dtype: torch.dtype) -> Any:
        """Random weights, made where they are used."""
        config = tiny.config(preset, vision_config=self.scale.towers[preset], text_config=self.scale.language[language])
        torch.manual_seed(0)
        with torch.device(self.device):
            return DragonflyForConditionalGeneration._from_config(config, dtype=dtype).eval()


def published_peak(name: str) -> float | None:
    """FLOPs per second of a device by the name that its driver gives (`NVIDIA A100-SXM4-80GB` is our A100-80GB)."""
    words = set(re.split(r"[\s-]+", name))
    return next((DEVICES[key].flops for key in DEVICES if set(key.split("-")) <= words), None)


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def planned(size: ModelSize, batch: int) -> Any:
    """The plan of as many prompts, each with an image of `SIZE` and a `Point`'s text."""
    return plan_inference(size, Answers(SIZE, batch, Point.text, new_tokens=1))
