"""What the declared ways to decode faster save: each on and off in turn in one process, and whether answers stay equal.

Run: python benchmarks/decoding.py [--rounds 3] [--output benchmarks/results/decoding.json]

`nano` is the bundled model, whose answers are a few words. `v1` is a model of random weights with the prompts of preset `v1`
(867 tokens an image), whose tower is small, so that what is timed is the language model. Its answers run on to their limit
and repeat themselves, which is the best that can happen to prompt lookup. Seconds of processor time on one thread; `ratio`
is off over on, so above 1 is faster. Without a GPU transformers does not compile for the static cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.inference import Engine, load  # noqa: E402
from dragonfly.models import (  # noqa: E402
    DragonflyConfig,
    DragonflyForConditionalGeneration,
    DragonflyImageProcessor,
    DragonflyProcessor,
)

QUESTIONS = ["What is it?", "Where is the total?", "Which code stands on the label?", "How many rows are there?", "Is it signed?"]
IMAGES = ROOT / "examples/images"
ANSWER = 32  # tokens, where an answer has no end


def random_v1(nano: Engine) -> Engine:
    """A language model of 8 layers and 512 dimensions behind a small tower, cut as `v1`."""
    known = nano.model.config
    vision = {**known.vision_config.to_dict(), "image_size": 32, "patch_size": 8, "num_hidden_layers": 2}
    text = {
        **known.get_text_config().to_dict(),
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "dtype": "float32",
    }
    ids: dict[str, Any] = {"image_token_id": known.image_token_id, "separator_token_id": known.separator_token_id}
    torch.manual_seed(0)
    config = DragonflyConfig(vision_config=vision, text_config=text, preset="v1", **ids)
    own = nano.processor
    images = DragonflyImageProcessor(encoder=config.encoder, preset="v1")
    template: Any = own.chat_template
    processor = DragonflyProcessor(
        images, own.tokenizer, image_token=own.image_token, separator_token=own.separator_token, chat_template=template
    )
    model = DragonflyForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.model.language_model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.05)
        words: Any = model.get_input_embeddings()
        words.weight[known.image_token_id] = 0  # its head is tied: no answer speaks of an image's place
    return Engine(model, processor, "v1")


def one_by_one(engine: Engine, rows: list[Any], **options: Any) -> list[Any]:
    return [engine.ask(*row, **options).token_ids for row in rows]


def in_a_batch(engine: Engine, rows: list[Any], **options: Any) -> list[Any]:
    return [answer.token_ids for answer in engine.ask_batch(rows, **options)]


def in_a_chat(engine: Engine, rows: list[Any], **options: Any) -> list[Any]:
    chat = engine.chat(rows[0][0])
    return [chat.ask(question, **options).token_ids for _, question in rows]


def compared(
    engine: Engine, way: Callable[..., list[Any]], rows: list[Any], rounds: int, reuse: bool = False, **on: Any
) -> dict[str, Any]:
    """Off and on in turn; images are encoded before. With `reuse`, each round begins knowing no prompt."""
    usual = {"max_new_tokens": ANSWER}
    found: dict[bool, list[Any]] = {}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds + 1):
        for faster in (False, True):
            engine.prefixes.clear()
            engine.reuse_prompts = reuse and faster
            started = time.process_time()
            found[faster] = way(engine, rows, **usual, **(on if faster else {}))
            if number:  # the first warms up
                seconds[faster].append(time.process_time() - started)
    engine.reuse_prompts = False
    off, fast = (statistics.median(seconds[faster]) for faster in (False, True))
    equal = sum(one == other for one, other in zip(found[False], found[True], strict=True))
    return {
        "seconds_off": round(off, 3),
        "seconds_on": round(fast, 3),
        "ratio": round(off / fast, 2),
        "answers_equal": f"{equal} of {len(rows)}",
        "tokens": sum(map(len, found[False])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/decoding.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    nano = load(device="cpu")
    large = random_v1(nano)
    entries = json.loads((IMAGES / "questions.json").read_text(encoding="utf-8"))
    asked = [(IMAGES / entry["image"], row["question"]) for entry in entries for row in entry["questions"]]
    image = Image.open(IMAGES / entries[0]["image"]).convert("RGB")
    shown = [(large.encode([image])[0], question) for question in QUESTIONS]
    cases: dict[str, tuple[Any, ...]] = {
        "reuse_prompts: nano, questions one by one": (nano, one_by_one, asked, True, {}),
        "reuse_prompts: v1, questions one by one": (large, one_by_one, shown, True, {}),
        "reuse_prompts: v1, questions in a batch": (large, in_a_batch, shown, True, {}),
        "reuse_prompts: v1, turns of a chat": (large, in_a_chat, shown, True, {}),
        "prompt_lookup=5: nano": (nano, one_by_one, asked, False, {"prompt_lookup": 5}),
        "prompt_lookup=5: v1, long answers": (large, one_by_one, shown, False, {"prompt_lookup": 5}),
        "static_cache: nano": (nano, one_by_one, asked, False, {"static_cache": True}),
        "static_cache: v1, long answers": (large, one_by_one, shown, False, {"static_cache": True}),
    }
    measured: dict[str, Any] = {}
    for name, (engine, way, rows, reuse, on) in cases.items():
        measured[name] = compared(engine, way, rows, options.rounds, reuse, **on)
        print(name, measured[name], flush=True)
    write_json(options.output, {**result_header(), "threads": 1, "answer_tokens": ANSWER, "cases": measured})


if __name__ == "__main__":
    main()
