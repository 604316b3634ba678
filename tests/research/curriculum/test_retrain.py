"""A retrain of minutes: nano's stage `close`, from the committed patch_ocr and freshly synthetic documents, must learn
to answer.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from dragonfly.data import Manifest
from dragonfly.research.curriculum import HOOKS
from dragonfly.research.synthetic import DatasetOptions, write_dataset
from dragonfly.training import Recipe, run

pytestmark = pytest.mark.slow

PATCH_OCR = Path(__file__).parents[3] / "checkpoints" / "nano" / "bind"
STEPS, MARGIN = 400, 0.05
"""Steps of 24 close-ups; and what has to be gained over a guesser who knows every question's kind and its commonest answer."""


def usual(manifest: Path) -> float:
    """The share of questions that the commonest answer of their kind answers."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    rows = list(Manifest.open(manifest))
    for row in rows:
        kinds[row.meta["kind"]][row.messages[-1].text] += 1
    return sum(answers.most_common(1)[0][1] for answers in kinds.values()) / len(rows)


def test_a_small_retrain_beats_the_commonest_answers(tmp_path: Path) -> None:
    train = write_dataset(DatasetOptions("nano-close-1", "train", 300, 4), tmp_path / "train", workers=2)
    held_out = write_dataset(DatasetOptions("nano-close-1", "dev", 8, 5), tmp_path / "dev")
    changes = [
        f"init_from.scratch.projector={PATCH_OCR}",
        f"init_from.scratch.texts={train}",
        f"data.train=[{{name: one, path: {train}, group_questions: 32}}]",
        f"data.eval={{name: held-out, path: {held_out}, group_questions: 32}}",
        f"steps={STEPS}",
        "objective.thresholds=[]",
        "save.every=null",
        f"log.eval_every={STEPS}",
        f"output={tmp_path / 'out'}",
    ]
    cpu = Path("/proc/cpuinfo")
    if not cpu.is_file() or "bf16" not in cpu.read_text():  # bfloat16 is then emulated, many times slower
        changes.append("precision=float32")
    output = run(Recipe.load("nano/close", changes, hooks=HOOKS))
    curve = [json.loads(line) for line in (output / "loss.jsonl").read_text().splitlines()]
    reached = [row["eval_turns"] for row in curve if "eval_turns" in row][-1]
    assert reached >= usual(held_out) + MARGIN
