"""Measure the bundled model on pictures of seeds it was never trained on, with and without the picture.

    python scripts/measure_nano.py --model src/dragonfly/assets/nano --result benchmarks/results/first_nano.json

Every question is asked alone, as `dragonfly ask` would: one question of each kind per picture, greedy, exact match.
Promises: the same questions on every machine. Does not know how the model was made.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nano_scenes import COLOURS, KINDS, SHAPES, Question, Scene, ask_about, make_scene
from PIL import Image

import dragonfly
from dragonfly.files import result_header, write_json, write_text
from dragonfly.inference import Engine, Row
from dragonfly.inference.locate import bundled_model

HELD_OUT = 10_000_000  # `first_nano.py` trains on lower seeds only
ANSWERS = {  # what a guesser who knows the kind of question would draw from
    "number": 90,
    "number absent": 91,
    "colour": len(COLOURS),
    "colour absent": len(COLOURS) + 1,
    "shape": len(SHAPES),
    "exists": 2,
    "count": 6,
    "side": 2,
}


def held_out(count: int, first: int = HELD_OUT) -> list[tuple[Scene, Question]]:
    """One question of each kind that the scene allows, for `count` scenes."""
    rows = []
    for seed in range(first, first + count):
        scene = make_scene(seed)
        by_kind = {question.kind: question for question in ask_about(scene, seed)}
        rows += [(scene, by_kind[kind]) for kind in KINDS if kind in by_kind]
    return rows


def conditions(rows: Sequence[tuple[Scene, Question]]) -> dict[str, list[Row]]:
    """The same questions with their picture, with none, with an empty page, and with the next row's scene of another seed."""
    scenes = list({id(scene): scene for scene, _ in rows}.values())
    other = {id(scene): scenes[index - 1].picture for index, scene in enumerate(scenes)}
    blank = {id(scene): Image.new("RGB", scene.picture.size, (220, 220, 220)) for scene in scenes}
    return {
        "picture": [Row(scene.picture, question.text) for scene, question in rows],
        "no picture": [Row(None, question.text) for _, question in rows],
        "empty picture": [Row(blank[id(scene)], question.text) for scene, question in rows],
        "another picture": [Row(other[id(scene)], question.text) for scene, question in rows],
    }


def usual_answers(count: int = 500) -> dict[str, str]:
    """The most frequent answer to every wording of a question, on training seeds; shapes and colours are struck out of it."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(2_000_000, 2_000_000 + count):
        for question in ask_about(make_scene(seed), seed):
            seen[wording(question.text)][question.answer] += 1
    return {text: answers.most_common(1)[0][0] for text, answers in seen.items()}


def wording(text: str) -> str:
    """A question without its shape and colour: all that a guesser may use."""
    for word in (*COLOURS, *SHAPES):
        text = text.replace(f" {word}", " _")
    return text.replace(" an ", " a ")


def wilson(right: int, asked: int) -> list[float]:
    """95 % Wilson interval of a share."""
    z, share = 1.96, right / asked
    middle = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    half = z * np.sqrt(share * (1 - share) / asked + z * z / (4 * asked**2)) / (1 + z * z / asked)
    return [round(middle - half, 4), round(middle + half, 4)]


def bootstrap(values: np.ndarray, groups: np.ndarray) -> list[float]:
    """95 % interval of the mean; whole pictures are redrawn, since questions about one picture are not independent."""
    rng = np.random.default_rng(0)
    sums, sizes = np.bincount(groups, values), np.bincount(groups)
    picks = rng.integers(len(sizes), size=(2000, len(sizes)))
    means = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    return [round(float(x), 4) for x in np.quantile(means, [0.025, 0.975])]


def kept_share(rows: Sequence[tuple[Scene, Question]], answers: Sequence[Any]) -> float:
    """Share of the things in all pictures whose high sub-image the selection kept (half would be chance)."""
    kept = []
    for (scene, _), answer in zip(rows, answers, strict=True):
        boxes = [item.box for item in answer.selections[0] if item.kept]
        for thing in scene.things:
            x, y = (thing.box[0] + thing.box[2]) / 2, (thing.box[1] + thing.box[3]) / 2
            kept.append(any(left <= x < right and top <= y < bottom for left, top, right, bottom in boxes))
    return round(float(np.mean(kept)), 4)


def measure(engine: Engine, count: int) -> dict[str, Any]:
    """All numbers of the result file."""
    rows = held_out(count)
    kinds = [question.kind for _, question in rows]
    groups = np.unique([id(scene) for scene, _ in rows], return_inverse=True)[1]
    right: dict[str, np.ndarray] = {}
    result: dict[str, Any] = {"pictures": count, "questions": len(rows), "seeds": [HELD_OUT, HELD_OUT + count], "accuracy": {}}
    for name, asked in conditions(rows).items():
        answers = engine.ask_batch(asked, batch_size=16, max_new_tokens=8)
        if name == "picture":
            result["things_kept_by_selection"] = kept_share(rows, answers)
        right[name] = np.array([a.text == q.answer for a, (_, q) in zip(answers, rows, strict=True)], dtype=float)
        result["accuracy"][name] = table(right[name], kinds, groups)
    usual = usual_answers()
    usual_right = np.array([usual[wording(q.text)] == q.answer for _, q in rows], dtype=float)
    result["accuracy"]["usual answer"] = table(usual_right, kinds, groups)
    result["accuracy"]["random answer"] = round(float(np.mean([1 / ANSWERS[kind] for kind in kinds])), 4)
    blind = max(("no picture", "empty picture", "another picture"), key=lambda name: right[name].mean())
    gain = right["picture"] - right[blind]
    result["margin"] = {"over": blind, "points": round(float(gain.mean()), 4), "interval": bootstrap(gain, groups)}
    return result


def table(right: np.ndarray, kinds: Sequence[str], groups: np.ndarray) -> dict[str, Any]:
    """Exact match overall and per kind, each with its 95 % interval."""
    report: dict[str, Any] = {"all": {"exact": round(float(right.mean()), 4), "interval": bootstrap(right, groups)}}
    for kind in KINDS:
        own = right[[one == kind for one in kinds]]
        if len(own):
            entry = {"exact": round(float(own.mean()), 4), "interval": wilson(int(own.sum()), len(own)), "asked": len(own)}
            report[kind] = entry
    return report


def card(result: dict[str, Any]) -> str:
    """The model card: what the model can and cannot do, with the numbers of the result file."""
    accuracy, margin = result["accuracy"], result["margin"]
    names = [name for name in accuracy if isinstance(accuracy[name], dict)]
    lines = [
        "| question | " + " | ".join(names) + " |",
        "| --- |" + " --- |" * len(names),
        *(
            f"| {kind} | " + " | ".join(f"{accuracy[name][kind]['exact']:.1%}" for name in names) + " |"
            for kind in ("all", *KINDS)
            if kind in accuracy["picture"]
        ),
    ]
    low, high = margin["interval"]
    return CARD.format(
        table="\n".join(lines),
        pictures=result["pictures"],
        questions=result["questions"],
        date=result["date"][:10],
        margin=f"{margin['points']:.1%}",
        interval=f"{low:.1%} to {high:.1%}",
        over=margin["over"],
        random=f"{accuracy['random answer']:.1%}",
        kept=f"{result['things_kept_by_selection']:.1%}",
    )


CARD = """\
---
license: mit
language: en
pipeline_tag: image-text-to-text
library_name: transformers
---

# Dragonfly nano

The small model that comes with the package, so that `dragonfly ask` answers without a download. It was trained from nothing
on drawn scenes: three to eight coloured shapes on a light page, each with a two-digit number about 13 pixels high.

**It can** tell, in such scenes, a shape's colour, which shape has a colour, whether something is there, how many shapes there
are and, about two times in three, the number beside a shape; it says "not in the picture" about shapes that are absent.

**It cannot** tell left from right: it was asked in training and did not learn it.

It can do nothing else. It knows no photographs, no documents, no medical images and no general language; about those
it answers with words of its scenes, and such answers mean nothing. Shapes: circle, square, triangle, star, diamond, cross.
Colours: red, orange, yellow, green, blue, purple, black. It was trained on questions worded as in `scripts/nano_scenes.py`,
on pictures whose shapes do not straddle two sub-images, and with one font.

## Measured

Exact match on {questions} questions about {pictures} held-out pictures, each asked alone, {date}
(`benchmarks/results/first_nano.json`, with 95 % intervals). The other columns are the same model and questions without the
picture, with an empty page, with the picture of another question, and a guesser that always gives the usual answer to the
wording.

{table}

A random answer of the right kind would score {random}. The picture adds {margin} (95 % interval {interval}) over the best of
the three runs without it ("{over}"). The selection keeps the sub-image of {kept} of the shapes; chance would keep half.

## Made by

`python scripts/first_nano.py --out DIR`, then `python scripts/measure_nano.py`. Vision tower: CLIP architecture, 64 pixels,
patches of 16, 4 layers of 128, last hidden state. Language model: Llama architecture, 4 layers of 128, byte-level vocabulary
of 398 tokens. One low, four mid and 24 high sub-images, of which policy `detail` keeps 12; mid and high pooled 2 x 2.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=None, help="model folder; the bundled model if absent")
    parser.add_argument("--result", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--pictures", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    result = measure(dragonfly.load(options.model, device="cpu"), options.pictures)
    result = {**result_header(), **result, "processor_seconds": round(time.process_time() - start)}
    write_json(options.result, result)
    write_text((options.model or bundled_model()) / "MODEL_CARD.md", card(result))


if __name__ == "__main__":
    main()
