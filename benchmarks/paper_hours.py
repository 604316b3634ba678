"""The paper's training time held against `plan`: what its figures imply, what dominates, and what would change it.

Run: python benchmarks/paper_hours.py

Nothing is trained. The paper (arXiv 2406.00977, 4.1 and 4.3) says in how many hours 8 NVIDIA H100 went through how many rows, and
of general stage 2 in what batch. It does not say how long its texts are, whether layers were computed again, or whether 73 hours
are of both general stages. So figures are given for several lengths of text, and FLOPs are the model's, nothing computed twice
counted unless said. The peaks are NVIDIA's: dense bfloat16, memory, and 900 GB/s of NVLink, half of it each way.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.planning import ModelSize, Training, get_device, plan_training, training_flops  # noqa: E402
from dragonfly.planning.language_models import KNOWN_LANGUAGE_MODELS  # noqa: E402
from dragonfly.vision.presets import get_preset  # noqa: E402
from dragonfly.vision.spec import EncoderSpec  # noqa: E402
from dragonfly.vision.towers import CLIP_BASE, KNOWN_TOWERS  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "paper_hours.json"
LANGUAGE_MODEL = "meta-llama/Meta-Llama-3-8B-Instruct"
GPUS, SIZE, TEXTS, TEXT = 8, (768, 1024), (64, 128, 256, 512), 128
BATCH = 16  # rows in a step of general stage 2
LINK = 450e9  # bytes per second
H100 = get_device("H100")
PEAK, BANDWIDTH = H100.flops or 0.0, H100.bandwidth or 0.0
ALL = ("vision_tower", "multi_modal_projector", "language_model", "lm_head")
GENERAL = "general, stage 2"
STAGES: dict[str, tuple[float, float, tuple[str, ...]]] = {  # hours, rows, what is trained
    GENERAL: (73, 5_580_560, ALL),
    "Med, stage 1": (12, 1.16e6, ("vision_tower",)),
    "Med, stage 2": (9, 723e3 + 70e3, ALL),
}


def model_of(spec: EncoderSpec) -> ModelSize:
    return ModelSize.from_configs(KNOWN_TOWERS[CLIP_BASE], KNOWN_LANGUAGE_MODELS[LANGUAGE_MODEL], encoder=spec.to_dict())


def row_flops(spec: EncoderSpec, text: int = TEXT, *, tower: bool = True, **work: Any) -> float:
    """FLOPs of a row in training; without the tower's where a cache stands in for it."""
    model, work = model_of(spec), {"trainable": ALL, **work}
    asked = Training(SIZE, text_tokens=text, **work)
    cost = plan_training(model, asked).cost
    return training_flops(model, cost, asked) - (0 if tower else cost.tower_flops or 0)


def stage_row(name: str) -> dict[str, Any]:
    """What a stage's hours imply, by length of text."""
    hours, rows, trained = STAGES[name]
    seconds = hours * 3600 * GPUS / rows
    found: dict[str, Any] = {"hours": hours, "rows": rows, "trained": list(trained), "gpu_seconds_per_row": seconds, "texts": {}}
    for text in TEXTS:
        once, again = (
            row_flops(get_preset("v1").spec, text, trainable=trained, gradient_checkpointing=more) for more in (False, True)
        )
        found["texts"][str(text)] = {
            "tflop_per_row": once / 1e12,
            "mfu": once / seconds / PEAK,
            "utilisation_if_layers_are_computed_again": again / seconds / PEAK,
            "hours_at_40_percent": hours * once / seconds / PEAK / 0.4,
        }
    return found


def parts() -> dict[str, float]:
    """Shares of a row's FLOPs in general stage 2: image and text tokens pass the language model alike."""
    model = model_of(get_preset("v1").spec)
    asked = Training(SIZE, text_tokens=TEXT, trainable=ALL)
    cost = plan_training(model, asked).cost
    whole, tower, projector = training_flops(model, cost, asked), 3 * (cost.tower_flops or 0), 3 * (cost.projector_flops or 0)
    language, image = whole - tower - projector, cost.num_image_tokens / cost.prompt_tokens
    return {
        "vision tower": tower / whole,
        "projector": projector / whole,
        "language model, image tokens": image * language / whole,
        "language model, text tokens": (1 - image) * language / whole,
    }


def step() -> dict[str, float]:
    """Seconds of a step of general stage 2: as it took, and what arithmetic, links and memory need at their published best."""
    hours, rows, _ = STAGES[GENERAL]
    weights = sum(model_of(get_preset("v1").spec).elements.values())
    ring = 2 * weights * (GPUS - 1) / GPUS / LINK  # bfloat16, once around
    return {
        "steps": rows / BATCH,
        "seconds": hours * 3600 * BATCH / rows,
        "arithmetic at the peak": row_flops(get_preset("v1").spec) * BATCH / GPUS / PEAK,
        "arithmetic at 40 %": row_flops(get_preset("v1").spec) * BATCH / GPUS / PEAK / 0.4,
        "gradients reduced, weights gathered": 3 * ring,  # all-reduce is two rounds, gathering one
        "optimiser's state read and written": 2 * 12 * weights / GPUS / BANDWIDTH,
    }


def marginal() -> dict[str, float]:
    """Med's two stages as a constant per row and a rate of FLOPs: two equations, two unknowns."""
    (short, long), spec = (STAGES["Med, stage 1"], STAGES["Med, stage 2"]), get_preset("v1").spec
    seconds = [hours * 3600 * GPUS / rows for hours, rows, _ in (short, long)]
    flops = [row_flops(spec, trainable=trained) for _, _, trained in (short, long)]
    rate = (flops[1] - flops[0]) / (seconds[1] - seconds[0])
    return {"mfu_of_what_is_added": rate / PEAK, "constant_seconds_per_row": seconds[1] - flops[1] / rate}


def changes() -> dict[str, dict[str, float]]:
    """FLOPs of a row against the paper's, by what is changed."""
    v1 = get_preset("v1").spec
    frozen = ("multi_modal_projector", "language_model", "lm_head")
    adapter = {"trainable": ("vision_tower", "multi_modal_projector"), "lora_rank": 16}
    ways: dict[str, float] = {"as the paper: 12 of 24 kept": row_flops(v1)}
    for keep in (1, 2, 4, 6):
        ways[f"{4 * keep} of 24 kept"] = row_flops(v1.with_selection(keep=keep))
    ways["3 of 24 kept, of the whole image"] = row_flops(v1.with_selection(scope="image", keep=3))
    ways["12 kept by `residual`, before the tower"] = row_flops(v1.with_selection(policy="residual"))
    ways["tower frozen"] = row_flops(v1, trainable=frozen)
    ways["tower frozen, `data.tower_cache`"] = row_flops(v1, trainable=frozen, tower=False)
    ways["LoRA beside tower and projector"] = row_flops(v1, **adapter)
    ways["LoRA, 4 of 24 kept"] = row_flops(v1.with_selection(keep=1), **adapter)
    ways["layers computed again (`gradient_checkpointing`)"] = row_flops(v1, gradient_checkpointing=True)
    for name in ("low-only", "baseline-1", "baseline-3"):
        ways[f"`{name}`"] = row_flops(get_preset(name).spec)
    base = row_flops(v1)
    hours = STAGES[GENERAL][0]
    return {
        name: {"tflop_per_row": flops / 1e12, "to_the_paper": flops / base, "hours_at_its_rate": hours * flops / base}
        for name, flops in ways.items()
    }


def main() -> None:
    result = {
        **result_header(),
        "benchmark": "paper_hours",
        "estimate": True,
        "text": TEXT,
        "stages": {name: stage_row(name) for name in STAGES},
        "parts": parts(),
        "step": step(),
        "marginal": marginal(),
        "changes": changes(),
    }
    write_json(RESULT, result)


if __name__ == "__main__":
    main()
