"""Write a finished stage in bfloat16, with the record of every stage behind it.

    python scripts/export_nano.py build/nano/full src/dragonfly/assets/nano [NOTE]

NOTE says what the record cannot: for instance a stage that was stopped and gone on with otherwise.

Promises that the weights are the stage's, rounded; what lies in the target besides the model (its card) stays.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor

from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.models.origin import write_origin
from dragonfly.research.curriculum.patch_ocr_head import CLASSES, WEIGHTS

ASSETS = Path(__file__).parents[1] / "src" / "dragonfly" / "assets" / "nano"
KEPT = ("recipe", "data", "commit", "dirty", "date", "versions", "hardware")


def history(stage: Path) -> list[dict[str, Any]]:
    """What is known of a stage and of those before it, the first one first: origin, steps, time, the last numbers."""
    about = json.loads((stage / "dragonfly.json").read_text(encoding="utf-8"))
    if "stages" in about:  # exported before, and put back; perhaps calibrated since
        done = [{"recipe": "lab calibrate", **about["calibration"]}] if "calibration" in about else []
        return [*about["stages"], *(one for one in done if one not in about["stages"])]
    if "tempered" in about:
        done = about["tempered"]
        return [*history(Path(done["model"])), {"recipe": f"temperature {done['temperature']}"}]
    if "averaged" in about:  # the second resumes from the first
        names = [Path(name).name for name in about["averaged"]]
        return [*history(Path(about["averaged"][1])), {"recipe": f"mean of the weights of {' and '.join(names)}"}]
    if not (stage / "run.json").is_file():  # begun or calibrated, not trained
        if "calibration" in about:
            return [*history(Path(about["calibration"]["model"])), {"recipe": "lab calibrate", **about["calibration"]}]
        before = history(Path(about["begun_from"]))
        if "tower" in about:
            before += [own for own in history(Path(about["tower"])) if own not in before]
        return [*before, *_changed(about)]
    about = json.loads((stage / "run.json").read_text(encoding="utf-8"))
    curve = [json.loads(line) for line in (stage / "loss.jsonl").read_text(encoding="utf-8").splitlines()]
    last = next((row for row in reversed(curve) if "eval_loss" in row), {})
    entry = {key: about[key] for key in KEPT} | {"steps": about["steps"], "seconds": about["speed"]["seconds"], "held_out": last}
    behind: list[dict[str, Any]] = []
    start = about["init_from"]
    scratch = start.get("scratch") or {}
    learned = scratch.get("language_model")  # a description of a new one, or the name of one that has learned
    learned = ASSETS if learned == "nano" else learned if isinstance(learned, str) else None
    for before in (learned, scratch.get("projector"), start.get("checkpoint")):
        if before and Path(before, "dragonfly.json").is_file():
            behind += [own for own in history(Path(before)) if own not in behind]
    return [*behind, entry]


def _changed(about: dict[str, Any]) -> list[dict[str, Any]]:
    """What was done to a model between two runs, besides beginning."""
    said = {"more_words": "{} more words", "layers": "{} layers", "tower": "the tower of {}"}
    return [{"recipe": text.format(Path(str(about[name])).name)} for name, text in said.items() if name in about]


def export(stage: Path, target: Path, note: str = "") -> None:
    """Weights in bfloat16, processor, tokenizer, `dragonfly.json`; an OCR head goes with its stage."""
    model: Any = DragonflyForConditionalGeneration.from_pretrained(stage, dtype=torch.bfloat16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder)
        AutoProcessor.from_pretrained(stage).save_pretrained(folder)
        for extra in (WEIGHTS, CLASSES, "loss.jsonl", "run.json", "recipe.yaml"):
            if (stage / extra).is_file():
                shutil.copy(stage / extra, folder / extra)
        origin = json.loads((stage / "dragonfly.json").read_text(encoding="utf-8"))
        maker = "scripts/nano_scans.sh" if stage.name.startswith("scan-") else "make nano"
        record = {**origin, "made_by": maker, **({"note": note} if note else {}), "stages": history(stage)}
        write_origin(folder, record)
        target.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            shutil.move(str(file), str(target / file.name))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    export(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
