"""What happens beside the steps of any run: the bar that a person watches, the record, the mean embedding, stopping on a signal.

Promises that a resumed run's record is that of the unbroken one, speeds apart: `loss.jsonl` begins with what the checkpoint
remembers. Knows no data and no objective; counts and rates are handed in.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import TrainerCallback

from dragonfly.files import atomic_write, write_json, write_text
from dragonfly.models.mean_embedding import MeanEmbedding
from dragonfly.visualization.plot_style import plot_style

from .recipe import Recipe

logger = logging.getLogger(__name__)

RUN, LOSS, CURVE = "run.json", "loss.jsonl", "loss.png"
KEPT = ("step", "loss", "learning_rate", "grad_norm")
LONG_WAIT = 0.1
"""Share of a run's time spent waiting for data from which on the run says so, if it is longer than a minute."""

SPEEDS = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")


class Progress(TrainerCallback):
    """A bar over optimiser steps. Steps done before a resume do not count towards the speed, so its remaining time is true."""

    def __init__(self) -> None:
        self.bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", file=sys.stderr, smoothing=0.05)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.update(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if self.bar is not None and logs and "loss" in logs:
            self.bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.close()


class Record(TrainerCallback):
    """Writes the loss curve while training and the speeds at its end, on the first process alone.

    `waited`: seconds in which training stood still because its next batches were not ready; the trainer adds them up.
    Raises ValueError when the loss is no longer a number.
    """

    def __init__(self, recipe: Recipe, about: dict[str, Any], world_size: int) -> None:
        self.recipe, self.about, self.world_size = recipe, about, world_size
        self.begun, self.waited = 0.0, 0.0
        self.before = (0, 0, 0.0)  # step, tokens and FLOPs that an earlier session did

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begun, self.waited = time.perf_counter(), 0.0
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
            speed = self._speed(state)
            done = {"steps": state.global_step, "flops": state.total_flos or None}  # of all sessions
            write_json(output / RUN, {**self.about, **done, "speed": speed})
            if speed["seconds"] > 60 and speed["waiting_for_data"] > LONG_WAIT:
                logger.warning("training waited for data %.0f%% of its time; raise data.workers", 100 * speed["waiting_for_data"])
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
            "waiting_for_data": self.waited / seconds,
            "flops_per_second": flops / seconds if flops else None,
            "flops_utilisation": flops / seconds / (peak * self.world_size) if flops and peak else None,
        }


class MeanEmbeddingUpdate(TrainerCallback):
    """Policy `centred`: the mean embedding follows what the trainer observed in its forward passes (`MeanEmbedding.observing`).

    Commits it when an optimiser step is done, before anything is saved.
    """

    def __init__(self, mean_embedding: MeanEmbedding) -> None:
        self.mean_embedding = mean_embedding

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.mean_embedding.commit()


def trained_mean(model: Any) -> MeanEmbedding | None:
    """A model's mean embedding, where it is to follow the training; an adapter leaves its base as it is."""
    return None if hasattr(model, "get_base_model") else getattr(getattr(model, "model", None), "mean_embedding", None)


class StopOnSignal(TrainerCallback):
    """On SIGTERM or Ctrl-C: finish the optimiser step, save, and stop. A second Ctrl-C stops at once.

    `stopped` tells that it happened, `name` by which signal. Every process asks all others, so that one that was signalled a step
    earlier does not save alone.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.stopped = False
        self._before: dict[int, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            # A command in the background ignores Ctrl-C, and goes on doing so.
            wanted = [one for one in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(one) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._note) for number in wanted}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if _any_process(self.name is not None, args.device) and state.global_step < state.max_steps:
            self.stopped = True
            self.name = self.name or "the signal of another process"
            control.should_save = True
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.give_back()

    def give_back(self) -> None:
        """The signals' handlers as they were before; also to be called where training fails."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, signum: int, frame: Any) -> None:
        if self.name is None and signum == signal.SIGINT:
            print("\nfinishing this step and saving; press Ctrl-C again to stop at once", file=sys.stderr)
            signal.signal(signal.SIGINT, self._before[signal.SIGINT])
        self.name = "Ctrl-C" if signum == signal.SIGINT else "SIGTERM"


def draw_curve(losses: Path, target: Path, title: str) -> None:
    """`loss.jsonl` as an image: training loss, and evaluation loss where there is any. Nothing where there is no loss.

    The plot says beside its name from where to where the loss went; each line bears its own name.
    """
    rows = [json.loads(line) for line in losses.read_text(encoding="utf-8").splitlines()]
    trained = [row["loss"] for row in rows if "loss" in row]
    if not trained:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with plot_style():
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot(xlabel="optimiser step", ylabel="loss")
        axes.set_title(f"{title}: loss {trained[0]:.3g} to {trained[-1]:.3g}".replace("$", r"\$"))
        for key, label, look in (("loss", "training", "-"), ("eval_loss", "evaluation", "o-")):
            if points := [(row["step"], row[key]) for row in rows if key in row]:
                (line,) = axes.plot(*zip(*points, strict=True), look, markersize=4)
                beside = {"textcoords": "offset points", "ha": "right", "color": line.get_color()}
                axes.annotate(label, points[-1], (0, 7 if key == "loss" else -13), **beside)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if min(trained) < 0 else 0.0)
        with atomic_write(target, "wb") as file:
            FigureCanvasAgg(figure).print_png(file)


def _line(entry: dict[str, Any]) -> str:
    kept = {key: value for key, value in entry.items() if key in KEPT or (key.startswith("eval_") and key not in SPEEDS)}
    return json.dumps(kept) + "\n" if "loss" in kept or "eval_loss" in kept else ""


def _any_process(signalled: bool, device: Any) -> bool:
    if not torch.distributed.is_initialized():
        return signalled
    flag = torch.tensor(int(signalled), device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag.item())
