"""Write a model whose confidence is as often right as it says: its logits divided by one temperature, found on held-out data.

    python scripts/temper.py build/nano/natural build/nano/tempered build/nano/data/asked-dev build/nano/data/dev

The temperature is folded into the last norm of the language model, whose output the head multiplies, so no answer of greedy
decoding changes and nothing else has to know of it (Guo et al. 2017, "On Calibration of Modern Neural Networks").
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import dragonfly
from dragonfly.data import Collator, Manifest, Sample, encode
from dragonfly.files import ORIGIN, atomic_directory
from dragonfly.imaging import load_image
from dragonfly.inference import Engine, Row
from dragonfly.inference.answer import confidence_of
from dragonfly.models.origin import read_origin, write_origin

from measure_pages import calibration  # isort: skip

NORM = "model.language_model.norm.weight"
TEMPERATURES = np.arange(0.4, 4.01, 0.05)
LIMIT, BATCH = 700, 16  # questions of each data set; rows at once


def said(engine: Engine, rows: Sequence[Sample]) -> tuple[np.ndarray, list[tuple[Tensor, Tensor]]]:
    """Whether each row is answered right; and for each answer its tokens and the logits that they were chosen from."""
    processor: Any = engine.processor
    policy, pad = processor.image_processor.image_policy, processor.tokenizer.pad_token_id
    right, chosen = [], []
    for at in range(0, len(rows), BATCH):
        some = rows[at : at + BATCH]
        answers = engine.ask_batch([Row(row.images[0].source, row.messages[0].text) for row in some], max_new_tokens=16)
        right += [answer.text == row.messages[1].text for answer, row in zip(answers, some, strict=True)]
        turns = [conversation(row.messages[0].text, answer.text) for row, answer in zip(some, answers, strict=True)]
        images = [load_image(row.images[0].source, policy).image for row in some]
        batch = Collator(pad)([encode(processor, turn, [image]) for turn, image in zip(turns, images, strict=True)])
        labels = batch.pop("labels")[:, 1:]
        with torch.inference_mode():
            logits = engine.model(**batch).logits[:, :-1].float()
        chosen += [(labels[row][labels[row] >= 0], logits[row][labels[row] >= 0]) for row in range(len(some))]
    return np.array(right, dtype=float), chosen


def conversation(question: str, answer: str) -> list[dict[str, Any]]:
    asked = [{"type": "image"}, {"type": "text", "text": question}]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]


def confidence(chosen: Sequence[tuple[Tensor, Tensor]], temperature: float) -> np.ndarray:
    """As `Answer.confidence`, at a temperature."""
    return np.array(
        [confidence_of((logits / temperature).log_softmax(-1).gather(1, ids[:, None])[:, 0].tolist()) for ids, logits in chosen]
    )


def best_temperature(engine: Engine, data: Sequence[Path]) -> tuple[float, float, float]:
    """The temperature of the least expected calibration error on each data set's first questions; that error at 1, and at it."""
    rows = [row for path in data for row in islice(Manifest.open(path), LIMIT)]
    right, chosen = said(engine, rows)
    errors = [calibration(right, confidence(chosen, float(value)))["expected_error"] for value in TEMPERATURES]
    best = int(np.argmin(errors))
    return float(TEMPERATURES[best]), calibration(right, confidence(chosen, 1.0))["expected_error"], errors[best]


def temper(source: Path, target: Path, data: Sequence[Path]) -> dict[str, float]:
    """Write `source` to `target` with its last norm divided by the temperature; what was found."""
    torch.set_num_threads(1)
    temperature, before, after = best_temperature(dragonfly.load(source, device="cpu"), data)
    found = {"temperature": round(temperature, 2), "error_before": before, "error_after": after}
    with atomic_directory(target) as folder:
        for file in (file for pattern in ("*.json", "*.jinja", "*.py") for file in source.glob(pattern)):
            if file.name not in (ORIGIN, "run.json"):
                shutil.copy(file, folder / file.name)
        weights = load_file(source / "model.safetensors")
        weights[NORM] = weights[NORM] / temperature
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        origin = read_origin(source) or {}
        origin.pop("stages", None)  # they are told from the source's
        write_origin(folder, {**origin, "tempered": {"model": str(source), **found}})
    return found


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    print(temper(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]]))
