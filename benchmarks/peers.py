"""Dragonfly beside LLaVA-NeXT, Idefics3 (SmolVLM) and Qwen2.5-VL as transformers has them: random weights, the same images.

Run: python benchmarks/peers.py [--rounds N] [--quick] [--only NAME ...] [--output benchmarks/results/peers.json]

Every system has a vision tower of ViT-B shape (12 layers, 768 wide, patches of 32 px; Qwen2.5-VL's own tower, 16 px merged 2 x 2)
and a language model of 12 layers, 1024 wide, on one thread, in bfloat16 where the processor multiplies it. LLaVA-NeXT gets 24
crops and the whole image, as many as v1's high level. Systems run in turns in one process; a ratio is the median over rounds
(fewer with more images) of (system / LLaVA-NeXT), of processor seconds, which a machine that others use changes little. Model
time depends on how an image is cut, not on its size: the larger images have the first one's shape, so their time to first token
is their own preprocessing and the model time of the first. Memory is the most that preprocessing adds to a process that has
imported everything and holds the image.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import (  # noqa: E402
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil  # noqa: E402
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil  # noqa: E402
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil  # noqa: E402

from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration, DragonflyImageProcessor  # noqa: E402
from dragonfly.vision.presets import get_preset  # noqa: E402

SIZES = ((480, 640), (768, 1024), (3024, 4032), (4992, 6656))  # (height, width): 0.3, 0.8, 12 and 33 megapixels, all 3:4
COUNTS = (1, 4, 16)
IMAGE, SEPARATOR, VISION_START, VOCABULARY = 31_990, 31_991, 31_992, 32_000
QUESTION = list(range(100, 132))  # token ids
TEXT: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 65_536,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
TOWER: dict[str, Any] = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP: dict[str, Any] = {"model_type": "clip_vision_model", "image_size": 224, "patch_size": 32}


@dataclass(frozen=True)
class Sizes:
    """Tower and language model that every system gets, where the models lie, and in which numbers."""

    text: dict[str, Any]
    tower: dict[str, Any]
    device: str = "cpu"
    dtype: torch.dtype = torch.float32


PRECISION = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
SMALL = Sizes(TEXT, TOWER, dtype=PRECISION)
CROPS = [[224 * rows, 224 * columns] for rows, columns in ((4, 6), (6, 4), (3, 8), (8, 3))]
ANSWER = 16  # tokens
PARTS = ("preprocessing", "answering")

Prepare = Callable[[list[Image.Image]], dict[str, Any]]  # from images to the arguments of `generate`


class System:
    """A model, and what makes its inputs: image tensors by its own image processor, ids around as many placeholders as it has."""

    def __init__(self, model: Any, processor: Any, ids: Callable[[Any], list[int]], spec: Any = None) -> None:
        self.model, self.processor, self.ids, self.spec = model, processor, ids, spec

    def prepare(self, images: list[Image.Image]) -> dict[str, Any]:
        return dict(self.processor(images, return_tensors="pt"))

    def placed(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The tensors on the model's device, real numbers in its format."""
        model = self.model
        return {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None) if torch.is_tensor(value) else value
            for name, value in inputs.items()
        }

    def generate(self, inputs: dict[str, Any], tokens: int) -> None:
        inputs = self.placed(inputs)
        ids = torch.tensor([[1, *self.ids(inputs), *QUESTION]], device=self.model.device)
        inputs.pop("layouts", None)
        if self.spec is not None:
            self.model.model.spec = self.spec
            if self.spec.selection.policy == "question":
                asked = torch.tensor([QUESTION] * len(inputs["pixel_values"]), device=ids.device)
                inputs |= {"question_ids": asked, "question_mask": torch.ones_like(asked)}
        with torch.inference_mode():
            self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                **inputs,
            )


def systems(only: list[str], build: bool = True, sizes: Sizes = SMALL) -> dict[str, System]:
    """All systems, or those named and LLaVA-NeXT; without models where only image processors are wanted."""
    torch.manual_seed(0)
    text, clip = sizes.text, {**CLIP, **sizes.tower}

    def made(kind: Any, config: Any, *names: str) -> Any:
        if not build or (only and not set(names) & {*only, "LLaVA-NeXT"}):
            return None
        with torch.device(sizes.device):
            return kind._from_config(config, dtype=sizes.dtype).eval()

    question = {"policy": "question", "scope": "image", "keep": 3}
    v1 = get_preset("v1").spec
    specs = {
        "v1": v1,
        "residual": v1.with_selection(policy="residual"),
        "question, 3 of 24": v1.with_selection(**question),
    }
    encoder = specs["question, 3 of 24"].to_dict()  # has the parts of all of them
    own = DragonflyConfig(
        vision_config=clip, text_config=text, encoder=encoder, image_token_id=IMAGE, separator_token_id=SEPARATOR
    )
    dragonfly = made(DragonflyForConditionalGeneration, own, *specs)

    def blocks(inputs: Any) -> list[int]:
        return [one for layout in inputs["layouts"] for count in layout.token_counts for one in (*[IMAGE] * count, SEPARATOR)]

    found = {
        name: System(dragonfly, DragonflyImageProcessor(encoder=spec.to_dict()), blocks, spec) for name, spec in specs.items()
    }
    llava = made(
        LlavaNextForConditionalGeneration,
        LlavaNextConfig(
            vision_config=clip,
            text_config=text,
            image_grid_pinpoints=CROPS,
            image_token_index=IMAGE,
            tie_word_embeddings=True,
        ),
        "LLaVA-NeXT",
    )
    found["LLaVA-NeXT"] = System(
        llava,
        LlavaNextImageProcessorPil(
            image_grid_pinpoints=CROPS, size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}
        ),
        lambda inputs: [IMAGE] * _features(llava, inputs, "image_sizes"),
    )
    idefics = made(
        Idefics3ForConditionalGeneration,
        Idefics3Config(
            vision_config={**sizes.tower, "image_size": 256, "patch_size": 32},
            text_config=text,
            scale_factor=2,
            image_token_id=IMAGE,
            tie_word_embeddings=True,
        ),
        "Idefics3",
    )
    found["Idefics3"] = System(
        idefics,
        Idefics3ImageProcessorPil(size={"longest_edge": 6 * 256}, max_image_size={"longest_edge": 256}),
        lambda inputs: [IMAGE] * (inputs["pixel_values"].shape[0] * inputs["pixel_values"].shape[1] * 16),
    )
    half = text["hidden_size"] // text["num_attention_heads"] // 2
    sections = [half // 4, (half - half // 4) // 2, half - half // 4 - (half - half // 4) // 2]
    qwen = made(
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLConfig(
            vision_config={
                "depth": sizes.tower["num_hidden_layers"],
                "hidden_size": sizes.tower["hidden_size"],
                "intermediate_size": sizes.tower["intermediate_size"],
                "num_heads": sizes.tower["num_attention_heads"],
                "patch_size": 16,
                "window_size": 128,
                "fullatt_block_indexes": [2, 5, 8, 11],
                "out_hidden_size": text["hidden_size"],
            },
            text_config={
                **text,
                "model_type": "qwen2_5_vl_text",
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections},
            },
            image_token_id=IMAGE,
            vision_start_token_id=VISION_START,
            tie_word_embeddings=True,
        ),
    )
    pixels = {"shortest_edge": 56 * 56, "longest_edge": 896 * 1344}
    found["Qwen2.5-VL"] = System(
        qwen,
        Qwen2VLImageProcessorPil(patch_size=16, size=pixels),
        lambda inputs: [
            token for grid in inputs["image_grid_thw"] for token in (VISION_START, *[IMAGE] * (int(grid.prod()) // 4))
        ],
    )
    return {name: system for name, system in found.items() if not only or name in only or name == "LLaVA-NeXT"}


_COUNTED: dict[tuple[int, ...], int] = {}


def _features(model: Any, inputs: dict[str, Any], sizes: str) -> int:
    """Rows that LLaVA-NeXT makes of images, which its unpadding decides; counted once, outside of what is timed."""
    key = tuple(inputs[sizes].flatten().tolist())
    if key not in _COUNTED:
        with torch.inference_mode():
            out = model.get_image_features(inputs["pixel_values"], inputs[sizes])
        features = getattr(out, "pooler_output", out)
        _COUNTED[key] = sum(len(one) for one in features)
    return _COUNTED[key]


def image(size: tuple[int, int]) -> Image.Image:
    """A smooth random image, so that sub-images differ."""
    height, width = size
    noise = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turns(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of every work, run in turns."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return taken


def peak_mib(work: Callable[[], Any]) -> float:
    """The most memory that a process of its own, which has imported everything, needs beyond what it began with."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        Path("/proc/self/clear_refs").write_text("5")  # forget the parent's peak
        before = _status("VmRSS")
        work()
        os.write(send, str(_status("VmHWM") - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        return round(int(pipe.read()) / 1024, 1)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def prepares(found: dict[str, System], images: list[Image.Image]) -> dict[str, Callable[[], Any]]:
    return {name: partial(system.prepare, images) for name, system in found.items()}


def answers(found: dict[str, System], images: list[Image.Image], tokens: int) -> dict[str, Callable[[], Any]]:
    """From images to so many tokens."""

    def work(system: System) -> None:
        system.generate(system.prepare(images), tokens)

    return {name: partial(work, system) for name, system in found.items()}


def preprocessing(rounds: int, counts: tuple[int, ...], only: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    found = systems(only, build=False)
    for size in SIZES:
        one = image(size)
        one.load()
        for count in counts:
            if size[0] * size[1] * count > 60e6:
                continue
            taken = in_turns(prepares(found, [one] * count), rounds)
            rows.append({"megapixels": round(size[0] * size[1] / 1e6, 1), "images": count, **table(taken)})
            if count == 1:
                rows[-1]["peak_mib"] = {name: peak_mib(work) for name, work in prepares(found, [one]).items()}
            print(rows[-1], flush=True)
    return rows


def table(taken: dict[str, list[float]]) -> dict[str, Any]:
    """Median seconds, and ratios to LLaVA-NeXT in the same round."""
    base = taken["LLaVA-NeXT"]
    return {
        "seconds": {name: round(statistics.median(times), 4) for name, times in taken.items()},
        "to_llava_next": {
            name: round(statistics.median(a / b for a, b in zip(times, base, strict=True)), 3) for name, times in taken.items()
        },
    }


def answering(rounds: int, counts: tuple[int, ...], only: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    found = systems(only)
    for count in counts:
        images = [image(SIZES[1])] * count
        visual = {name: len(system.ids(system.placed(system.prepare(images)))) for name, system in found.items()}
        taken = in_turns(answers(found, images, 1), max(1, rounds // count))
        row: dict[str, Any] = {
            "images": count,
            "rounds": max(1, rounds // count),
            "visual_tokens": visual,
            "first_token": table(taken),
        }
        if count == 1 and len(counts) > 1:
            longer = {name: seconds(work) for name, work in answers(found, images, ANSWER).items()}
            row["tokens_per_s"] = {
                name: round((ANSWER - 1) / (longer[name] - min(taken[name])), 1)
                for name in found
                if longer[name] > min(taken[name])
            }
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one image alone, no rate of tokens")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="the others stay as the file has them")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these systems beside LLaVA-NeXT")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "peers.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts, only = (1,) if options.quick else COUNTS, options.only
    result: dict[str, Any] = json.loads(options.output.read_text()) if options.output.exists() else {"benchmark": "peers"}
    for part in options.parts:
        rows = (
            preprocessing(max(options.rounds, 3), counts, only)
            if part == "preprocessing"
            else answering(options.rounds, counts, only)
        )
        result[part] = {
            **result_header(),
            "rounds": max(options.rounds, 3) if part == "preprocessing" else options.rounds,
            "seconds_are": f"of the processor, one thread, {str(PRECISION).removeprefix('torch.')}",
            "load_average": [round(value, 2) for value in os.getloadavg()],
            "rows": rows,
        }
    write_json(options.output, result)


if __name__ == "__main__":
    main()
