"""Planned and measured memory on a CPU: an answer and a training run, each in a fresh interpreter, on models of three sizes.

Run: nice -n 15 python benchmarks/plan_memory.py [--sizes small medium large] [--output benchmarks/results/plan_memory.json]

Measured is the highest resident memory (VmHWM of /proc/self/status) above what the interpreter held after importing all that the
work takes up. Models are random, of CLIP's and Llama's architecture, in float32; they are saved and then loaded as a user's
would be. Training is two steps of `dragonfly train`; the second has the optimiser's state. Image and text are always the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

TOWER = {"model_type": "clip_vision_model", "image_size": 224, "patch_size": 32}
SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "tower": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 4},
        "head": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8, "num_attention_heads": 8},
        "vocab": 16_000,
        "preset": "v1",
        "batch": 2,
    },
    "medium": {
        "tower": {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 6, "num_attention_heads": 8},
        "head": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 10, "num_attention_heads": 12},
        "vocab": 24_000,
        "preset": "baseline-1",
        "batch": 2,
    },
    "large": {
        "tower": {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8},
        "head": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 12, "num_attention_heads": 16},
        "vocab": 32_000,
        "preset": "baseline-1",
        "batch": 1,
    },
}
SIZE, NEW_TOKENS, QUESTION = (768, 1024), 16, "What is written in the third line of this page? "


def config_of(name: str) -> Any:
    """The configuration of a model of this size."""
    from tests import tiny

    chosen = SIZES[name]
    head = {**tiny.config().text_config.to_dict(), "num_key_value_heads": 4, "head_dim": 64, "vocab_size": chosen["vocab"]}
    return tiny.config(chosen["preset"], vision_config={**TOWER, **chosen["tower"]}, text_config={**head, **chosen["head"]})


def make(name: str, folder: Path) -> None:
    """Save a random model of this size, an image, and rows to train on."""
    from tests import tiny

    from dragonfly.models import DragonflyForConditionalGeneration

    config = config_of(name)
    DragonflyForConditionalGeneration(config).save_pretrained(folder / "model")
    tiny.processor(config).save_pretrained(folder / "model")
    tiny.image(SIZE[1], SIZE[0]).save(folder / "image.png")
    turns = [{"from": "human", "value": f"<image>\n{QUESTION}"}, {"from": "gpt", "value": "The third line is empty."}]
    rows = [{"id": str(index), "image": "image.png", "conversations": turns} for index in range(8)]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")


def answer(folder: Path) -> dict[str, Any]:
    """Ask once; (resident bytes before, highest, length of the prompt)."""
    import transformers.models.clip.modeling_clip
    import transformers.models.llama.modeling_llama  # noqa: F401

    from dragonfly.inference import load

    before = status("VmRSS")
    engine = load(folder / "model")
    lengths = watched(engine.model)
    engine.ask(str(folder / "image.png"), QUESTION, max_new_tokens=NEW_TOKENS)
    return {"before": before, "peak": status("VmHWM"), "tokens": max(lengths)}


def train(folder: Path, batch: int) -> dict[str, Any]:
    """Two steps of `dragonfly train`; as `answer`."""
    import matplotlib.pyplot  # noqa: F401
    import transformers.models.clip.modeling_clip
    import transformers.models.llama.modeling_llama  # noqa: F401

    from dragonfly.models import DragonflyForConditionalGeneration
    from dragonfly.training import Recipe, run

    recipe = Recipe.model_validate(
        {
            "name": "plan",
            "init_from": {"checkpoint": str(folder / "model")},
            "trainable": ["vision_tower", "multi_modal_projector", "language_model", "lm_head"],
            "data": {"train": [{"name": "rows", "path": str(folder / "rows.json"), "image_root": str(folder)}]},
            "optim": {"learning_rate": 1e-5},
            "batch": {"global_size": batch, "per_device": batch},
            "steps": 2,
            "log": {"tensorboard": False},
            "output": str(folder / "run"),
        }
    )
    lengths: list[int] = []
    forward = DragonflyForConditionalGeneration.forward

    def watching(self: Any, *args: Any, **kwargs: Any) -> Any:
        lengths.append(kwargs["input_ids"].shape[1])
        return forward(self, *args, **kwargs)

    watching.__signature__ = __import__("inspect").signature(forward)  # the Trainer reads it  # type: ignore[attr-defined]
    DragonflyForConditionalGeneration.forward = watching
    before = status("VmRSS")
    run(recipe)
    return {"before": before, "peak": status("VmHWM"), "tokens": max(lengths)}


def watched(model: Any) -> list[int]:
    """Filled with the number of positions of every call of the language model."""
    lengths: list[int] = []

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        lengths.append(kwargs["inputs_embeds"].shape[1])

    model.model.language_model.register_forward_pre_hook(note, with_kwargs=True)
    return lengths


def status(name: str) -> int:
    """Bytes of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def child(*arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def plan_of(model: Any, work: str, batch: int, tokens: int) -> Any:
    """The plan of what was measured: `tokens` positions, the image's among them."""
    from dragonfly.planning import Answers, Training, plan_inference, plan_training

    text = tokens - plan_inference(model, Answers(SIZE)).cost.num_image_tokens
    if work == "answer":
        return plan_inference(model, Answers(SIZE, text_tokens=text, new_tokens=NEW_TOKENS, dtype="float32"))
    return plan_training(model, Training(SIZE, batch=batch, text_tokens=text, precision="float32"))


def compare(name: str, folder: Path) -> list[dict[str, Any]]:
    """One row each of an answer and of training: planned, measured, and planned over measured."""
    from dragonfly.planning import ModelSize

    child("make", name, str(folder))
    model, batch = ModelSize.of_checkpoint(folder / "model"), SIZES[name]["batch"]
    rows: list[dict[str, Any]] = []
    for work in ("answer", "train"):
        found = child(work, str(folder), str(batch))
        planned = plan_of(model, work, batch, found["tokens"])
        measured = found["peak"] - found["before"]
        rows.append(
            {
                "size": name,
                "preset": SIZES[name]["preset"],
                "work": work,
                "batch": batch if work == "train" else 1,
                "parameters": sum(planned.parameters.values()),
                "tokens": found["tokens"],
                "imports_bytes": found["before"],
                "measured_bytes": measured,
                "planned_bytes": planned.memory.peak,
                "planned_over_measured": round(planned.memory.peak / measured, 3),
                "peak_moment": planned.memory.peak_moment,
                "moments": {key: sum(held.values()) for key, held in planned.memory.moments.items()},
            }
        )
        print(table_row(rows[-1]), flush=True)
    return rows


def table_row(row: dict[str, Any]) -> str:
    """A row of docs/planning.md's table."""
    numbers = [f"{row[key] / 1e6:,.0f} MB" for key in ("planned_bytes", "measured_bytes")]
    what = f"{row['parameters'] / 1e6:.0f}M parameters, {row['tokens']} tokens, batch {row['batch']}"
    return f"| {row['size']} | {row['work']} | {what} | {' | '.join(numbers)} | {row['planned_over_measured']:.2f} |"


def main() -> None:
    if sys.argv[1:2] in (["make"], ["answer"], ["train"]):
        work, *rest = sys.argv[1:]
        found = {"make": lambda: make(rest[0], Path(rest[1])), "answer": lambda: answer(Path(rest[0]))}.get(
            work, lambda: train(Path(rest[0]), int(rest[1]))
        )()
        print(json.dumps(found))
        return
    from dragonfly.files import result_header, write_json

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "plan_memory.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            rows += compare(name, Path(folder))
    write_json(options.output, {**result_header(), "benchmark": "plan_memory", "image": list(SIZE), "rows": rows})
    print(f"result: {options.output}")


if __name__ == "__main__":
    main()
