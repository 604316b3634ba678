"""A stage of ours beside the plain Trainer loop at equal loss, and what packing and grouping by length save of a step.

Run: python benchmarks/training_loop.py [--rounds N] [--case plain|packing] [--output benchmarks/results/training_loop.json]

`plain`: the bundled model trained as its last stage `nano/natural` trains it, 12 questions on each of 4 pages a step, and by
transformers' own Trainer: the same weights, order, optimiser and step, one question a row, rows padded on the right, 16 at once,
each row's page decoded and encoded for it. `packing`: rows of text, and every so many-th with an image, through a small language
model, the same rows under each way of making batches. All in turns in one process, float32 on one thread, data read in the
process, processor seconds; the first step of a stage is warming up. Ratios are medians over rounds.
One `--case` leaves the other as it is in the file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import torch  # noqa: E402
from tests import tiny  # noqa: E402
from tests.training import small  # noqa: E402
from torch.utils.data import SequentialSampler  # noqa: E402
from transformers import Trainer, TrainerCallback  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

from dragonfly.data import IGNORE_INDEX, Collator, EncodedDataset, ImageRef, Message, Part, Sample, write_manifest  # noqa: E402
from dragonfly.data.batch import row_lengths  # noqa: E402
from dragonfly.data.manifest import Manifest  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.models import DragonflyForConditionalGeneration  # noqa: E402
from dragonfly.research.curriculum import HOOKS  # noqa: E402
from dragonfly.research.synthetic import DatasetOptions, write_dataset  # noqa: E402
from dragonfly.training import Recipe, run  # noqa: E402
from dragonfly.training.arguments import training_arguments  # noqa: E402
from dragonfly.training.build import build_model, build_processor  # noqa: E402
from dragonfly.training.callbacks import Progress  # noqa: E402
from dragonfly.training.modules import freeze  # noqa: E402
from dragonfly.training.sources import mixture  # noqa: E402
from dragonfly.training.trainer import StageTrainer  # noqa: E402

PAGES, QUESTIONS, STEPS = 4, 12, 1  # of a step; steps that are timed, after one that is not
AT_ONCE = 16  # rows of the plain loop

MIXED_ROWS, MIXED_STEPS = 8, 2  # rows of a step, all of whose steps are timed
WAYS: dict[str, dict[str, Any]] = {
    "padded": {},
    "grouped by length": {"group_by_length": True},
    "packed, 512 tokens": {"packing": 512},
    "packed, 1024 tokens": {"packing": 1024},
    "packed, 512 tokens, and grouped": {"packing": 512, "group_by_length": True},
}
MIXES = {"every fourth row has an image": 4, "every eighth row has an image": 8}


class Watch(TrainerCallback):
    """Processor seconds of the steps behind the first `skipped` ones."""

    def __init__(self, skipped: int) -> None:
        self.skipped, self.begun, self.seconds = skipped, 0.0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begun = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.skipped:
            self.begun = time.process_time()
        self.seconds = time.process_time() - self.begun


class InOrder(Trainer):
    """The plain loop: transformers' Trainer over rows in their order, so that both loops take the same steps."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(self.train_dataset)  # pyright: ignore[reportArgumentType]


@contextmanager
def watched(skipped: int) -> Iterator[Watch]:
    """A watch over a run of ours, whose model is thrown away."""
    watch = Watch(skipped)
    begun, ended = Progress.on_train_begin, Progress.on_step_end

    def on_train_begin(self: Progress, *args: Any, **kwargs: Any) -> None:
        begun(self, *args, **kwargs)
        watch.on_train_begin(*args, **kwargs)

    def on_step_end(self: Progress, *args: Any, **kwargs: Any) -> None:
        watch.on_step_end(*args, **kwargs)
        ended(self, *args, **kwargs)

    with (
        patch.object(Progress, "on_train_begin", on_train_begin),
        patch.object(Progress, "on_step_end", on_step_end),
        patch("dragonfly.training.run._export"),
    ):
        yield watch


def pages(folder: Path) -> Path:
    """A manifest of as many pages as all steps take, each with as many questions as a step asks about it."""
    number = PAGES * (STEPS + 2)  # one step is read ahead
    drawn = Manifest.open(str(write_dataset(DatasetOptions("nano", "train", 2 * number, 5, language="natural"), folder / "all")))
    kept: dict[Any, list[Sample]] = {}
    for row in drawn:
        kept.setdefault(row.images, []).append(row)
    full = [rows[:QUESTIONS] for rows in kept.values() if len(rows) >= QUESTIONS][:number]
    return write_manifest((row for rows in full for row in rows), folder / "pages").parent


def stage(folder: Path, data: Path, name: str) -> Recipe:
    """The shipped recipe on these pages; no question is left out for its length, so that both loops train the same."""
    source = f"{{name: pages, path: {data}, group_questions: {QUESTIONS}}}"
    changes = ["init_from.checkpoint=nano", f"data.train=[{source}]", "data.audit=1", "objective.longest=null", "log.every=1"]
    changes += [f"steps={STEPS + 2}", "save.every=null", f"output={folder / name}"]
    return Recipe.load("nano/natural", changes, hooks=HOOKS)


def single(sample: Sample) -> list[Sample]:
    """The questions of a row as rows of their own."""
    images = tuple(Part("image") for _ in sample.images)
    asked, answers = sample.messages[::2], sample.messages[1::2]
    texts = [tuple(part for part in one.content if part.type == "text") for one in asked]
    return [
        replace(sample, messages=(Message("user", images + text), answer), evidence=())
        for text, answer in zip(texts, answers, strict=True)
    ]


def plain_loop(recipe: Recipe, rows: list[Sample]) -> tuple[Watch, list[float]]:
    """The steps of the recipe by transformers' Trainer over `rows`; its watch and losses."""
    processor = build_processor(recipe)
    torch.manual_seed(recipe.seed)
    model = build_model(recipe, processor)
    model.config.use_cache = model.config.get_text_config().use_cache = False
    freeze(model, recipe.trainable)
    batch = {"per_device_train_batch_size": AT_ONCE, "gradient_accumulation_steps": PAGES * QUESTIONS // AT_ONCE}
    arguments = replace(training_arguments(recipe, STEPS + 2), **batch)
    watch = Watch(1)
    trainer = InOrder(
        model=model,
        args=arguments,
        train_dataset=EncodedDataset(rows, processor),
        data_collator=Collator(processor.tokenizer.pad_token_id),
        callbacks=[watch, Stop(STEPS + 1)],
    )
    trainer.train()
    return watch, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


class Stop(TrainerCallback):
    """Ends a run where one more step's batches have been read ahead, as before any other step."""

    def __init__(self, last: int) -> None:
        self.last = last

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step == self.last


def beside_the_plain_loop(folder: Path, rounds: int) -> dict[str, Any]:
    folder.mkdir()
    data = pages(folder)
    recipe = stage(folder, data, "order")
    order = mixture(recipe)
    rows = [row for position in range(PAGES * (STEPS + 2)) for row in single(order[position])]
    examples = EncodedDataset(rows, build_processor(recipe))
    of_steps = range(PAGES * QUESTIONS, PAGES * QUESTIONS * (STEPS + 1))
    tokens = sum(int((examples[row]["labels"] != IGNORE_INDEX).sum()) for row in of_steps)
    ours: list[float] = []
    plain: list[float] = []
    differences: list[float] = []
    for index in range(rounds):
        watch, losses = plain_loop(recipe, rows)
        plain.append(watch.seconds)
        mine = stage(folder, data, f"ours-{index}")
        with watched(1) as watch, patch("dragonfly.training.run.StopOnSignal", stopping):
            run(mine)
        ours.append(watch.seconds)
        differences += [abs(a - b) / b for a, b in zip(small.losses(Path(mine.output)), losses, strict=True)]
    ratios = [theirs / own for theirs, own in zip(plain, ours, strict=True)]
    return {
        "questions a step": PAGES * QUESTIONS,
        "supervised tokens a step": tokens / STEPS,
        "milliseconds a supervised token": {
            name: median([1000 * one / tokens for one in of]) for name, of in (("plain", plain), ("ours", ours))
        },
        "times faster": median(ratios),
        "rounds": [round(ratio, 2) for ratio in ratios],
        "losses": losses,
        "largest relative difference of losses": max(differences),
    }


def stopping() -> Any:
    """In the place of what stops a run on a signal: stops where the plain loop does."""
    stop: Any = Stop(STEPS + 1)
    stop.stopped, stop.give_back = False, lambda: None
    return stop


def mixed(folder: Path, every: int) -> Path:
    """A small language model, and rows of which every so many-th has an image; texts are short for the most part."""
    settings = tiny.config("v1")
    text = settings.to_dict()["text_config"] | {"hidden_size": 384, "intermediate_size": 1152, "num_hidden_layers": 4}
    text |= {"num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 64}
    settings = tiny.config("v1", text_config=text)
    DragonflyForConditionalGeneration(settings).save_pretrained(folder / "base")
    tiny.processor(settings).save_pretrained(folder / "base")
    data = folder / "data"
    data.mkdir()
    chance = torch.Generator().manual_seed(0)
    rows: list[Sample] = []
    for index in range(MIXED_ROWS * MIXED_STEPS):
        asked = int(400 * torch.rand((), generator=chance) ** 2)
        said = int(5 + 40 * torch.rand((), generator=chance))
        image: tuple[Part, ...] = ()
        if index % every == 0:
            tiny.image(320, 240, seed=index).save(data / f"{index}.png")
            image = (Part("image"),)
        words = (Message("user", (*image, Part("text", "a" * asked + "?"))), Message("assistant", (Part("text", "b" * said),)))
        place = (ImageRef(path=str(data / f"{index}.png")),) if image else ()
        rows.append(Sample(str(index), "mixed", place, words))
    return write_manifest(rows, data / "manifest").parent


def ways_of_batching(folder: Path, every: int, rounds: int) -> dict[str, Any]:
    folder.mkdir()
    data = mixed(folder, every)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    losses: dict[str, list[float]] = {}
    padding: dict[str, float] = {}
    supervised: dict[str, int] = {}

    def trained(way: str, name: str, steps: int = MIXED_STEPS) -> float:
        real, all_tokens, labels = [], [], []
        whole = StageTrainer.training_step

        def step(self: StageTrainer, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
            real.append(sum(row_lengths(inputs)))
            all_tokens.append(inputs["input_ids"].numel())
            labels.append(int((inputs["labels"][:, 1:] != IGNORE_INDEX).sum()))
            return whole(self, model, inputs, *rest, **more)

        options = {"train": [{"name": "rows", "path": str(data)}], "audit": 1, "workers": 0, **WAYS[way]}
        values = small.values(folder, data=options, steps=steps, trainable=["language_model"], output=str(folder / name))
        values["batch"] = {"global_size": MIXED_ROWS, "per_device": MIXED_ROWS}
        with watched(0) as watch, patch.object(StageTrainer, "training_step", step):
            run(Recipe.model_validate(values))
        losses[way], padding[way] = small.losses(folder / name), 1 - sum(real) / sum(all_tokens)
        supervised[way] = sum(labels)
        return watch.seconds

    trained("padded", "warming", steps=1)
    for index in range(rounds):
        for way in WAYS:
            seconds[way].append(trained(way, f"{way}-{index}"))
    assert len(set(supervised.values())) == 1
    tokens = supervised["padded"]
    others = {way: "grouped by length" if "group_by_length" in WAYS[way] else "padded" for way in WAYS}
    return {
        "rows": MIXED_ROWS * MIXED_STEPS,
        "supervised tokens": tokens,
        "ways": {
            way: {
                "milliseconds a supervised token": median([1000 * one / tokens for one in seconds[way]]),
                "times faster than padded": median(
                    [base / one for base, one in zip(seconds["padded"], seconds[way], strict=True)]
                ),
                "padding, share of tokens": round(padding[way], 3),
            }
            for way in WAYS
        },
        "largest relative difference of losses": max(
            abs(a - b) / b for one, other in others.items() for a, b in zip(losses[one], losses[other], strict=True)
        ),
    }


def median(values: list[float]) -> float:
    return round(statistics.median(values), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=("plain", "packing"))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "training_loop.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    before = json.loads(options.output.read_text(encoding="utf-8")) if options.case else {}
    result = {**before, **result_header(), "benchmark": "training_loop", "precision": "float32, one thread"}
    with tempfile.TemporaryDirectory() as folder:
        if options.case != "packing":
            found = result["plain"] = beside_the_plain_loop(Path(folder) / "plain", options.rounds)
            print(f"plain loop / ours: {found['times faster']}, rounds {found['rounds']}")
        if options.case != "plain":
            result["packing"] = {}
            for mix, every in MIXES.items():
                found = result["packing"][mix] = ways_of_batching(Path(folder) / str(every), every, options.rounds)
                print(mix, {way: row["times faster than padded"] for way, row in found["ways"].items()})
    write_json(options.output, result)


if __name__ == "__main__":
    main()
