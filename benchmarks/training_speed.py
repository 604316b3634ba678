"""What a training step is made of, and what a frozen tower's cache saves of it.

Run: python benchmarks/training_speed.py [--rounds N] [--case NAME] [--output benchmarks/results/training_speed.json]

Whole runs of `dragonfly.training.run`, with `data.tower_cache` and without, in turns in one process, on one thread, in processor
seconds, data read in the process; each part's own time, without that of what it calls. A run's first step is warming up. Ratios
are medians over rounds. The cache is filled before, by a run of one step, whose seconds (loading of the model included) are said
beside. `waiting` is the share of the time by the clock in which a run without the cache waited for data, by number of workers.
`shares` are FLOPs from `planning`'s formulas: what the tower can be of a stage-1 step of larger language models, which no machine
here has trained.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import torch  # noqa: E402
from accelerate import Accelerator  # noqa: E402
from accelerate.optimizer import AcceleratedOptimizer  # noqa: E402
from tests import tiny  # noqa: E402
from tests.training import small  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

from dragonfly.data import Collator, EncodedDataset, dataset  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.inference.loading import bundled_model  # noqa: E402
from dragonfly.models import DragonflyForConditionalGeneration, DragonflyImageProcessor  # noqa: E402
from dragonfly.models.modeling_dragonfly import DragonflyModel  # noqa: E402
from dragonfly.planning import TowerSize, language_model_size  # noqa: E402
from dragonfly.training import Recipe, run  # noqa: E402
from dragonfly.training.callbacks import RUN, Progress  # noqa: E402
from dragonfly.training.tower_cache import TowerCache  # noqa: E402
from dragonfly.training.trainer import Flops  # noqa: E402
from dragonfly.vision.presets import get_preset  # noqa: E402

ROWS, BATCH, STEPS = 2, 2, 1  # steps that are timed, after one that is not
WAITING_STEPS = 40
PARTS: list[tuple[str, Any, str]] = [
    ("loading images", dataset, "load_image"),
    ("preprocessing", DragonflyImageProcessor, "preprocess"),
    ("reading the cache", TowerCache, "opened"),
    ("text and labels", EncodedDataset, "__getitem__"),
    ("collation", Collator, "__call__"),
    ("tower", DragonflyModel, "run_tower"),
    ("connector", DragonflyModel, "connect"),
    ("language model, forward", DragonflyForConditionalGeneration, "forward"),
    ("backward", Accelerator, "backward"),
    ("optimiser", AcceleratedOptimizer, "step"),
]
LOADING = ("loading images", "preprocessing", "reading the cache", "text and labels", "collation")
HALF_BILLION: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
LANGUAGE_MODELS: dict[str, Any] = {"Qwen2.5 0.5B": HALF_BILLION, "Llama-3 8B": "meta-llama/Meta-Llama-3-8B-Instruct"}


class Clock:
    """Processor seconds of every part, each without those that it calls; and of the whole steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.within: list[float] = []
        self.begun, self.total = 0.0, 0.0

    def timed(self, part: str, work: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.within.append(0.0)
            start = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                took = time.process_time() - start
                self.seconds[part] += took - self.within.pop()
                if self.within:
                    self.within[-1] += took

        return wrapped

    def step(self, state: Any, control: Any) -> None:
        """After a step: begin behind the first, end where one is still to come, whose batch is read ahead as in any other."""
        if state.global_step == 1:
            self.seconds.clear()
            self.begun = time.process_time()
        self.total = time.process_time() - self.begun
        control.should_training_stop = state.global_step == STEPS + 1


@contextmanager
def clocked() -> Generator[Clock]:
    """A clock over the runs within the block."""
    clock = Clock()
    patches = [patch.object(owner, name, _method(clock, part, owner, name)) for part, owner, name in PARTS]
    ended = Progress.on_step_end

    def on_step_end(self: Progress, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        clock.step(state, control)
        ended(self, args, state, control, **kwargs)

    for one in patches:
        one.start()
    try:
        with patch.object(Progress, "on_step_end", on_step_end):
            yield clock
    finally:
        for one in patches:
            one.stop()


def _method(clock: Clock, part: str, owner: Any, name: str) -> Any:
    return clock.timed(part, getattr(owner, name))


def stage_1(folder: Path) -> dict[str, Any]:
    """CLIP ViT-B/32's shape under `v1`, and a small language model; the projector is trained."""
    wide: dict[str, Any] = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
    settings = tiny.config("v1")
    values = settings.to_dict()
    vision = {**values["vision_config"], **wide, "image_size": 224, "patch_size": 32}
    text = {**values["text_config"], "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 6}
    text |= {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64}
    settings = type(settings)(
        vision_config=vision,
        text_config=text,
        preset="v1",
        image_token_id=settings.image_token_id,
        separator_token_id=settings.separator_token_id,
    )
    DragonflyForConditionalGeneration(settings).save_pretrained(folder)
    tiny.processor(settings).save_pretrained(folder)
    return {"init_from": {"checkpoint": str(folder)}, "trainable": ["multi_modal_projector"]}


def nano(folder: Path) -> dict[str, Any]:
    """The bundled model as its recipe `nano/full` trains it: the language model's layers."""
    return {
        "init_from": {"checkpoint": str(bundled_model())},
        "trainable": ["language_model.layers", "language_model.norm"],
    }


CASES = {
    "stage 1: CLIP ViT-B/32 shape, v1, language model of 6 layers, 512 wide": (stage_1, "float32"),
    "stage 1, bfloat16: the same": (stage_1, "bfloat16"),
    "nano's stage `full`": (nano, "float32"),
}


def rows(folder: Path) -> Path:
    """As many rows, each about a JPEG of 1024x768 of its own."""
    folder.mkdir()
    data: list[dict[str, Any]] = []
    for index in range(ROWS):
        tiny.image(1024, 768, seed=index).save(folder / f"{index}.jpg", quality=90)
        said = [{"from": "human", "value": "<image>\nwhat is the number?"}, {"from": "gpt", "value": f"the number is {index}"}]
        data.append({"id": str(index), "image": f"{index}.jpg", "conversations": said})
    path = folder / "rows.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def case_row(make: Any, precision: str, folder: Path, rounds: int) -> dict[str, Any]:
    folder.mkdir()
    changes, path = make(folder / "base"), rows(folder / "data")

    def trained(name: str, cached: bool, steps: int = STEPS + 2) -> Clock:
        data: dict[str, Any] = {"train": [{"name": "rows", "path": str(path)}], "audit": 1, "workers": 0}
        data |= {"tower_cache": str(folder / "tower")} if cached else {}
        values = small.values(folder, **changes, data=data, steps=steps, precision=precision, output=str(folder / name))
        values["batch"] = {"global_size": BATCH, "per_device": BATCH}
        with clocked() as clock, patch("dragonfly.training.run._export"):  # the model that comes of it is of no interest
            run(Recipe.model_validate(values))
        return clock

    start = time.process_time()
    trained("filling", True, steps=1)
    filled = time.process_time() - start
    plain: list[Clock] = []
    cached: list[Clock] = []
    for index in range(rounds):
        plain.append(trained(f"plain-{index}", False))
        cached.append(trained(f"cached-{index}", True))
    losses = [small.losses(folder / f"{name}-0") for name in ("plain", "cached")]
    kept = list((folder / "tower").rglob("*.safetensors"))
    return {
        "seconds a step": {"without": seconds(plain), "with": seconds(cached)},
        "times faster": round(statistics.median(a.total / b.total for a, b in zip(plain, cached, strict=True)), 2),
        "rounds": [round(a.total / b.total, 2) for a, b in zip(plain, cached, strict=True)],
        "parts": {"without": parts(plain), "with": parts(cached)},
        "loading, share of a step": {"without": loading(plain), "with": loading(cached)},
        "largest relative difference of losses": max(abs(a - b) / abs(b) for a, b in zip(*losses, strict=True)),
        "MB an image": round(statistics.mean(file.stat().st_size for file in kept) / 1e6, 2),
        "seconds of a run of one step that fills the cache": round(filled, 1),
    }


def seconds(clocks: list[Clock]) -> float:
    return round(statistics.median(clock.total / STEPS for clock in clocks), 3)


def parts(clocks: list[Clock]) -> dict[str, float]:
    """Each part's share of a step; what none of them names is the trainer itself."""
    shares = {part: statistics.median(clock.seconds[part] / clock.total for clock in clocks) for part, _, _ in PARTS}
    shares["everything else"] = max(0.0, 1 - sum(shares.values()))
    return {part: round(share, 3) for part, share in shares.items()}


def loading(clocks: list[Clock]) -> float:
    return round(statistics.median(sum(clock.seconds[part] for part in LOADING) / clock.total for clock in clocks), 3)


def waiting(folder: Path) -> dict[str, float]:
    """Share of the time of a run of nano's stage without a cache that it waits for data: read in the process, and ahead."""
    folder.mkdir()
    changes, path = nano(folder / "base"), rows(folder / "data")
    found: dict[str, float] = {}
    for name, workers in (("none", 0), ("the default", None)):
        data = {"train": [{"name": "rows", "path": str(path)}], "audit": 1, "workers": workers}
        values = small.values(folder, **changes, data=data, steps=WAITING_STEPS, output=str(folder / name))
        values["batch"] = {"global_size": BATCH, "per_device": BATCH}
        with patch("dragonfly.training.run._export"):
            run(Recipe.model_validate(values))
        about = json.loads((folder / name / RUN).read_text(encoding="utf-8"))
        found[name] = round(about["speed"]["waiting_for_data"], 3)
    return found


def shares() -> dict[str, float]:
    """What of a stage-1 step's FLOPs the tower takes under `v1`, one image and 64 tokens of text."""
    spec = get_preset("v1").spec
    config = tiny.config("v1").vision_config
    config.update({"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12})
    config.update({"image_size": 224, "patch_size": 32})
    found: dict[str, float] = {}
    for name, model in LANGUAGE_MODELS.items():
        flops = Flops(TowerSize.from_config(config, 11).flops(spec), language_model_size(model), 1, 2)
        text = {"attention_mask": torch.ones(1, 867 + 64)}
        whole = flops.of_batch({**text, "pixel_values": torch.zeros(1, 29, 1, 1, 1)})
        found[name] = round(1 - flops.of_batch(text) / whole, 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", help="one alone, by the beginning of its name; the others stay as they are in the file")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "training_speed.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    before = json.loads(options.output.read_text(encoding="utf-8"))["cases"] if options.case else {}
    with tempfile.TemporaryDirectory() as folder:
        cases = {name: row for name, row in before.items() if name in CASES} | {
            name: case_row(make, precision, Path(folder) / str(at), options.rounds)
            for at, (name, (make, precision)) in enumerate(CASES.items())
            if name.startswith(options.case or "")
        }
        waited = waiting(Path(folder) / "waiting")
    result = {
        **result_header(),
        "benchmark": "training_speed",
        "precision": f"float32 unless said otherwise, one thread, {BATCH} rows a step, {STEPS} step timed in each run",
        "cases": {name: cases[name] for name in CASES if name in cases},
        "waiting for data, share of the time by the clock": waited,
        "tower's share of a stage-1 step's FLOPs": shares(),
    }
    write_json(options.output, result)
    for name, row in cases.items():
        print(f"{name}: {row['times faster']} x, rounds {row['rounds']}")


if __name__ == "__main__":
    main()
