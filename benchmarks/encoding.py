"""How near the vision tower comes to the machine's matrix products: one thread, CLIP ViT-B/32 and ViT-L/14-336 shapes.

Run: python benchmarks/encoding.py [--rounds N] [--output benchmarks/results/encoding.json]

A tower's work is what torch counts (matrix products, convolution and attention). Two of its layers are run, over the
sub-images that `v1` encodes, or some of `v2`'s, in float32 and, where the processor multiplies it, in bfloat16. The rate of a
product of two square matrices of 2048 in the same precision is measured in turns with it, in processor seconds; the ratio is the
median over rounds. `kept` says how many sub-images enter the tower under each policy.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from transformers import CLIPVisionConfig  # noqa: E402

from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.models import DragonflyImageProcessor  # noqa: E402
from dragonfly.models.tower import build_tower  # noqa: E402
from dragonfly.vision.presets import get_preset  # noqa: E402

SIDE = 2048
SHAPES: dict[str, dict[str, Any]] = {
    "CLIP ViT-B/32, 224 px, 29 sub-images": {
        "sub_images": 29,
        "config": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "image_size": 224,
            "patch_size": 32,
        },
    },
    "CLIP ViT-L/14, 336 px, 3 sub-images": {
        "sub_images": 3,
        "config": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
            "image_size": 336,
            "patch_size": 14,
        },
    },
}
POLICIES = ("similarity", "question", "residual", "random", "uniform")


def rate(flops: float, work: Callable[[], Any]) -> float:
    """GFLOP per processor second."""
    start = time.process_time()
    work()
    return flops / (time.process_time() - start) / 1e9


def tower_row(shape: dict[str, Any], dtype: torch.dtype, rounds: int) -> dict[str, Any]:
    tower = build_tower(CLIPVisionConfig(num_hidden_layers=2, **shape["config"]), 2).to(dtype).eval()
    side = shape["config"]["image_size"]
    pixels = torch.randn(shape["sub_images"], 3, side, side, dtype=dtype)
    square = torch.randn(SIDE, SIDE, dtype=dtype)
    with FlopCounterMode(display=False) as counter:
        tower(pixel_values=pixels)
    flops = counter.get_total_flops()
    pairs: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        product = rate(2 * SIDE**3, lambda: square @ square)
        pairs.append((rate(flops, lambda: tower(pixel_values=pixels)), product))
    pairs = pairs[1:]  # the first is warming up
    return {
        "gflop": round(flops / 1e9, 1),
        "tower_gflop_per_s": round(statistics.median(a for a, _ in pairs), 1),
        "product_gflop_per_s": round(statistics.median(b for _, b in pairs), 1),
        "ratio": round(statistics.median(a / b for a, b in pairs), 3),
    }


def kept() -> dict[str, int]:
    """Sub-images of one image that are handed to the tower, by policy of `v1`."""
    image = Image.new("RGB", (1024, 768))
    counts: dict[str, int] = {}
    for policy in POLICIES:
        spec = get_preset("v1").spec.with_selection(policy=policy)
        counts[policy] = DragonflyImageProcessor(encoder=spec.to_dict())(image)["pixel_values"].shape[1]
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "encoding.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    precisions = [torch.float32, *([torch.bfloat16] if torch.cpu._is_avx512_bf16_supported() else [])]
    with torch.inference_mode():
        towers = {
            str(dtype).removeprefix("torch."): {name: tower_row(shape, dtype, options.rounds) for name, shape in SHAPES.items()}
            for dtype in precisions
        }
    result = {
        **result_header(),
        "benchmark": "encoding",
        "rounds": options.rounds,
        "towers": towers,
        "kept": kept(),
    }
    write_json(options.output, result)
    for dtype, rows in towers.items():
        for name, row in rows.items():
            print(
                f"{dtype:<8} {name:<40} {row['tower_gflop_per_s']:>7} of {row['product_gflop_per_s']:>7} GFLOP/s: {row['ratio']}"
            )


if __name__ == "__main__":
    main()
