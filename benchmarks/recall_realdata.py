"""Evidence recall on real images: which sub-images of receipts a model's policies keep, beside chance.

Run: python benchmarks/recall_realdata.py [DATA] [--model M] [--tower SHAPE_OR_DIR] [--seeds N] [--limit N] [--output FILE]

DATA (or the environment's DRAGONFLY_REALDATA) holds sroie_receipts_sample/, as `dragonfly tasks sroie` says; it does not come
with the project, and without it nothing is done. Evidence is where the words of an answer are printed:

- `box/NNN.csv` beside the images, if it is there: the competition's own lines (eight corner coordinates, then the text). An
  answer's evidence is the lines that hold it, if one place alone does; a sum that is printed several times is left out.
- else `benchmarks/text_annotations/receipts.json`: boxes drawn by eye on the 21 different scans of the sample.

ChartQA's rows, VQA-RAD's and the chest X-rays' say nowhere where an answer stands, so nothing can be derived from them.

`--tower` measures another tower than the model's: `clip-b32` or `clip-l14-336` in CLIP's published shape with random weights,
once per seed, or a directory with a CLIP vision tower. Its projector is the identity, so that policies see the tower's own
tokens. Promises that the result file names no folder of this machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

import torch  # noqa: E402

from dragonfly.data import ImageRef, Message, Part, Sample, write_manifest  # noqa: E402
from dragonfly.files import result_header, sha256, write_json  # noqa: E402
from dragonfly.inference import Engine, load  # noqa: E402
from dragonfly.models import (  # noqa: E402
    DragonflyConfig,
    DragonflyForConditionalGeneration,
    DragonflyImageProcessor,
    DragonflyProcessor,
)
from dragonfly.models.tower import num_prefix_tokens, tower_config  # noqa: E402
from dragonfly.research.lab.evidence_recall import recall  # noqa: E402
from dragonfly.vision.layout import Box  # noqa: E402
from dragonfly.vision.presets import get_preset  # noqa: E402
from dragonfly.vision.towers import CLIP_BASE, CLIP_LARGE, KNOWN_TOWERS  # noqa: E402

FOLDER = Path("sroie_receipts_sample") / "dev"
TEXT_ANNOTATIONS = ROOT / "benchmarks" / "text_annotations" / "receipts.json"
RESULTS = ROOT / "benchmarks" / "results" / "lab"
SHAPES = {"clip-b32": CLIP_BASE, "clip-l14-336": CLIP_LARGE}


def receipts(folder: Path) -> tuple[list[Sample], str]:
    """One sample per question whose evidence is known, the questions of a scan together; and where the evidence is from."""
    rows = [json.loads(line) for line in (folder / "qa.jsonl").read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: row["image"])
    text_annotations = json.loads(TEXT_ANNOTATIONS.read_text(encoding="utf-8"))["evidence"]
    lines = folder / "box"
    samples: list[Sample] = []
    for row in rows:
        name = Path(row["image"]).stem
        boxes = (
            printed(row["answer"], read_lines(lines / f"{name}.csv")) if lines.is_dir() else text_annotations.get(row["id"], ())
        )
        if boxes:
            asked = Message("user", (Part("image"), Part("text", row["question"])))
            messages = asked, Message("assistant", (Part("text", row["answer"]),))
            image = ImageRef(path=str((folder / row["image"]).resolve()), group=name)
            evidence = (tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in boxes),)
            samples.append(Sample(row["id"], "sroie", (image,), messages, evidence, {"field": row["field"]}))
    return samples, "the competition's line boxes" if lines.is_dir() else "boxes drawn by eye"


def read_lines(path: Path) -> list[tuple[Box, str]]:
    """The lines of a scan in their order: box and text. No lines for a scan without a file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, quoting=csv.QUOTE_NONE) if len(row) > 8]
    return [(_around([float(value) for value in row[:8]]), ",".join(row[8:])) for row in rows]


def _around(corners: list[float]) -> Box:
    xs, ys = corners[::2], corners[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def printed(answer: str, lines: list[tuple[Box, str]]) -> list[Box]:
    """The boxes of the lines that hold the answer: one line that contains it, or lines in a row that make it up.

    Case, blanks and punctuation do not count. Nothing where it is printed in several places, or nowhere.
    """
    wanted, said = _bare(answer), [_bare(text) for _, text in lines]
    found = [[index] for index, text in enumerate(said) if wanted and wanted in text]
    for start in range(len(said)):
        for end in range(start + 2, len(said) + 1):
            if "".join(said[start:end]) == wanted and all(said[start:end]):
                found.append(list(range(start, end)))
    return [lines[index][0] for index in found[0]] if len(found) == 1 else []


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def tower_engine(tower: str, seed: int) -> Engine:
    """Preset `v1`'s encoder in the tower's size on another tower, its tokens unchanged by the projector, no language model."""
    if tower not in SHAPES and not Path(tower).is_dir():
        raise ValueError(f"no tower '{tower}'; accepted: {', '.join(SHAPES)}, or a directory with a CLIP vision tower")
    if tower in SHAPES:
        config, weights = tower_config(KNOWN_TOWERS[SHAPES[tower]]), None
    else:
        from transformers import AutoConfig, AutoModel

        config = tower_config(AutoConfig.from_pretrained(tower, local_files_only=True))
        weights = AutoModel.from_pretrained(tower, local_files_only=True)
    spec = get_preset("v1").spec.to_dict()
    geometry = {"resolution": config.image_size, "patch_size": config.patch_size, "num_prefix_tokens": num_prefix_tokens(config)}
    encoder = {**spec, **geometry}
    tokenizer: Any = load(None, device="cpu").processor.tokenizer
    processor = DragonflyProcessor(DragonflyImageProcessor(encoder=encoder), tokenizer)
    language = {"model_type": "llama", "hidden_size": config.hidden_size, "intermediate_size": 8, "num_hidden_layers": 1}
    torch.manual_seed(seed)
    model = DragonflyForConditionalGeneration(
        DragonflyConfig(
            vision_config=config,
            text_config={**language, "num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": len(tokenizer)},
            encoder=encoder,
            image_token_id=processor.image_token_id,
            separator_token_id=processor.separator_token_id,
        )
    )
    if weights is not None:
        vision = getattr(weights, "vision_model", weights)
        given = {name.removeprefix("vision_model."): value for name, value in vision.state_dict().items()}
        empty = model.model.vision_tower  # of fewer layers: what lies above its output is not built
        empty.load_state_dict({name: given[name.removeprefix("vision_model.")] for name in empty.state_dict()})
    torch.nn.init.eye_(model.model.multi_modal_projector.weight)
    torch.nn.init.zeros_(model.model.multi_modal_projector.bias)
    return Engine(model.eval(), processor, name=Path(tower).name)


def measure(engines: Iterator[Engine], samples: list[Sample], limit: int | None) -> list[dict[str, Any]]:
    """The recall of every engine."""
    found: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        manifest = write_manifest(samples, Path(folder) / "manifest").parent
        for engine in engines:
            one = recall(engine, manifest, by=("field",), limit=limit, progress=partial(_tell, engine.name))
            found.append({**one, "model": {**one["model"], "name": Path(engine.name).name}})
    return found


def together(found: list[dict[str, Any]], tower: str) -> dict[str, Any]:
    """The recalls of one tower, seed after seed, as one result."""
    shared = {key: found[0][key] for key in ("data", "scope", "high", "mean_embedding", "without_high_level")}
    seeds = [{"seed": seed, "recall": one["recall"], "by": one["by"]} for seed, one in enumerate(found)]
    return {"kind": "towers", **result_header(), **shared, "tower": Path(tower).name, "random": tower in SHAPES, "seeds": seeds}


def _tell(name: str, done: int, total: int) -> None:
    if done % 20 == 0 or done == total:
        print(f"{name}: {done} of {total}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default=os.environ.get("DRAGONFLY_REALDATA"), help="folder with the samples")
    parser.add_argument("--model", help="model folder; the bundled model if absent")
    parser.add_argument("--tower", help=f"measure another tower alone: {', '.join(SHAPES)} (random weights), or a directory")
    parser.add_argument("--seeds", type=int, default=3, help="of random weights")
    parser.add_argument("--limit", type=int, help="only the first questions")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    folder = Path(options.data or ".") / FOLDER
    if not (folder / "qa.jsonl").is_file():
        print(f"skipped: no receipts at {FOLDER} in {options.data or 'DATA'}; name the folder, or set DRAGONFLY_REALDATA")
        return
    try:
        samples, source = receipts(folder)
        if options.tower is None:
            found = measure(iter([load(options.model, device="cpu")]), samples, options.limit)
        else:
            seeds = range(options.seeds if options.tower in SHAPES else 1)
            found = measure((tower_engine(options.tower, seed) for seed in seeds), samples, options.limit)
    except ValueError as error:
        sys.exit(f"error: {error}")
    hashes = {"qa": sha256(folder / "qa.jsonl"), "text_annotations": sha256(TEXT_ANNOTATIONS)}
    what = f"Scanned receipts; the evidence is {source}."
    for one in found:
        one["data"] = {**one["data"], "sha256": hashes}
    document = {**(found[0] if options.tower is None else together(found, options.tower)), "note": what}
    target = options.output or RESULTS / f"recall-receipts{'' if options.tower is None else '-' + Path(options.tower).name}.json"
    write_json(target, document)
    print(f"result: {target}")


if __name__ == "__main__":
    main()
