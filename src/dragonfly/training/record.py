"""What a run leaves beside its weights: its recipe, origin, loss curve and speed.

Promises that a resumed run's record is that of the unbroken one, speeds apart: `loss.jsonl` begins with what the checkpoint
remembers. Knows nothing of models; counts and rates are handed in.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from dragonfly.config import dump
from dragonfly.files import atomic_write, result_header, write_json, write_text

from .build import ModuleCount
from .recipe import Recipe

RECIPE, RUN, LOSS, CURVE = "recipe.yaml", "run.json", "loss.jsonl", "loss.png"
KEPT = ("step", "loss", "learning_rate", "grad_norm")
SPEEDS = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")


def origin(recipe: Recipe, hashes: dict[str, str | None], counts: list[ModuleCount]) -> dict[str, Any]:
    """What is known of a run before it starts; `dragonfly.json` of its model."""
    header = result_header()
    return {
        "version": header["versions"]["dragonfly"],
        "recipe": recipe.name,
        "init_from": recipe.init_from.model_dump(exclude_none=True),
        "data": hashes,
        "commit": header["commit"],
        "dirty": header["dirty"],
        "date": header["date"],
        "versions": header["versions"],
        "hardware": header["hardware"],
        "parameters": {count.name: {"total": count.parameters, "trained": count.trained} for count in counts},
    }


def write_recipe(recipe: Recipe, output: Path) -> None:
    write_text(output / RECIPE, dump(recipe))


class Record(TrainerCallback):
    """Writes the loss curve while training and the speeds at its end, on the first process alone.

    Raises ValueError when the loss is no longer a number.
    """

    def __init__(self, recipe: Recipe, about: dict[str, Any], world_size: int) -> None:
        self.recipe, self.about, self.world_size = recipe, about, world_size
        self.begun = 0.0
        self.before = (0, 0, 0.0)  # step, tokens and FLOPs that an earlier session did

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begun = time.perf_counter()
        self.before = (state.global_step, state.num_input_tokens_seen, state.total_flos)
        if state.is_world_process_zero:
            write_text(Path(args.output_dir) / LOSS, "".join(_line(entry) for entry in state.log_history))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        entry = state.log_history[-1]
        if "loss" in entry and not math.isfinite(entry["loss"]):
            raise ValueError(
                f"the loss is {entry['loss']} at step {state.global_step}; look at the data (dragonfly inspect data), "
                "or lower optim.learning_rate and start anew with another output"
            )
        if state.is_world_process_zero and (line := _line(entry)):
            with (Path(args.output_dir) / LOSS).open("a", encoding="utf-8") as file:
                file.write(line)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            output = Path(args.output_dir)
            write_json(output / RUN, {**self.about, "steps": state.global_step, "speed": self._speed(state)})
            draw_curve(output / LOSS, output / CURVE, self.recipe.name)

    def _speed(self, state: Any) -> dict[str, Any]:
        """Since this start of the run: loading, checkpoints and compilation included."""
        seconds = time.perf_counter() - self.begun
        steps, tokens, flops = (
            state.global_step - self.before[0],
            state.num_input_tokens_seen - self.before[1],
            state.total_flos - self.before[2],
        )
        peak = self.recipe.peak_flops
        return {
            "processes": self.world_size,
            "seconds": round(seconds, 3),
            "samples_per_second": steps * self.recipe.batch.global_size / seconds,
            "tokens_per_second": tokens / seconds if tokens else None,
            "flops_per_second": flops / seconds if flops else None,
            "flops_utilisation": flops / seconds / (peak * self.world_size) if flops and peak else None,
        }


def draw_curve(losses: Path, target: Path, title: str) -> None:
    """`loss.jsonl` as an image: training loss, and evaluation loss where there is any. Nothing where there is no loss."""
    rows = [json.loads(line) for line in losses.read_text(encoding="utf-8").splitlines()]
    if not any("loss" in row for row in rows):
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="optimiser step", ylabel="loss", title=title)
    for key, label, marker in (("loss", "training", ""), ("eval_loss", "evaluation", "o")):
        if points := [(row["step"], row[key]) for row in rows if key in row]:
            axes.plot(*zip(*points, strict=True), label=label, marker=marker)
    axes.legend()
    with atomic_write(target, "wb") as file:
        FigureCanvasAgg(figure).print_png(file)


def _line(entry: dict[str, Any]) -> str:
    kept = {key: value for key, value in entry.items() if key in KEPT or (key.startswith("eval_") and key not in SPEEDS)}
    return json.dumps(kept) + "\n" if "loss" in kept or "eval_loss" in kept else ""
