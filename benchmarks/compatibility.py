"""Which vision towers and language models can be joined, and what was checked of each.

Run: python benchmarks/compatibility.py [--output benchmarks/results/compatibility.json] [--page docs/compatibility.md]

Every tower and language model is built by transformers from a tiny configuration with random weights, joined as a recipe or
`dragonfly new` joins them, and put to the checks of `CHECKS`. The page is written from the result file alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import torch  # noqa: E402
from tests import tiny, towers  # noqa: E402
from tests.models import families  # noqa: E402
from tests.models.test_families import FAST, answers_agree, loss_falls, save, text  # noqa: E402
from transformers.utils import logging  # noqa: E402

from dragonfly.files import result_header, write_json, write_text  # noqa: E402
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration  # noqa: E402
from dragonfly.models.joining import Parts, joined_model, joined_processor, read_tower_config  # noqa: E402

CHECKS = [
    "logits on text are the original's (largest difference in the table), and so is the loss, an auxiliary loss included",
    "greedy answers are the original's: in a batch padded on the left, from the cache and without it, up to the end of the turn",
    "saved and loaded again, logits are equal bit for bit",
    "the loss falls in a few steps on an image, every weight trained",
]
UNCHECKED = [
    "real weights: every model here is random and a few thousand parameters small",
    "a GPU, half precision, flash attention: all of it ran on a CPU in float32",
    "whether a joined model of these parts learns well: nothing was trained beyond a few steps",
    "vLLM beyond Llama (`make vllm`); it refuses a language model whose logits it would not finish",
    "Phi-3's change between its short and long rotary factors within one answer",
]
"""Said on the page as it stands here."""


def reason(error: Exception) -> str:
    """One line, without the temporary folder's name."""
    return " ".join(str(error).split()).partition("cannot be joined: ")[2].removesuffix("; choose another") or (
        f"{type(error).__name__}: {' '.join(str(error).split()):.160}"
    )


def join(tower: Path, language_model: Path) -> tuple[DragonflyForConditionalGeneration, Any]:
    """As a recipe joins them, under preset `low-only`."""
    parts = Parts(str(tower), str(language_model))
    encoder = DragonflyConfig(vision_config=read_tower_config(parts), preset="low-only").encoder
    processor = joined_processor(parts, encoder or {}, "low-only")
    return joined_model(parts, processor, preset="low-only").eval(), processor


def check_language_model(name: str, tower: Path, folder: Path) -> dict[str, Any]:
    """A family put to every check of `CHECKS`, or why it is refused."""
    original = families.model(name)
    try:
        model, processor = join(tower, save(original, folder))
    except ValueError as error:
        return {"refused": reason(error)}
    ids = text()
    with torch.no_grad():
        theirs, ours = original(ids, labels=ids), model(ids, labels=ids)
        model.save_pretrained(folder / "joined")
        again = DragonflyForConditionalGeneration.from_pretrained(folder / "joined").eval()
        assert torch.equal(again(ids).logits, ours.logits), f"{name}: loaded again, logits differ"
    answers_agree(original, again, ids)
    loss_falls(again, processor)
    return {
        "logits": float((ours.logits - theirs.logits).abs().max()),
        "loss": float((ours.loss - theirs.loss).abs()),
        "auxiliary_loss": ours.aux_loss is not None,
        "tied": bool(model.config.tie_word_embeddings),
        "head_bias": bool(model.config.head_bias),
    }


def check_pair(tower: Path, language_model: Path) -> str:
    """`joined` if an image has a loss whose gradient reaches projector and tower, else why not."""
    try:
        model, processor = join(tower, language_model)
        batch = processor(text=["<image>what is it?"], images=[tiny.image()], return_tensors="pt")
        model(**batch, labels=batch["input_ids"]).loss.backward()
        for part in (model.model.multi_modal_projector, model.model.vision_tower):
            total = sum(float(weight.grad.abs().sum()) for weight in part.parameters() if weight.grad is not None)
            if not 0 < total < float("inf"):
                return f"its gradients add up to {total}"
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:  # the page says so, and the next pair is tried
        return reason(error)
    return "joined"


def make_towers(folder: Path) -> dict[str, Path | str]:
    """Directories of tiny towers; of one that this transformers does not have, so."""
    made: dict[str, Path | str] = {}
    for index, name in enumerate(towers.TOWERS):
        if towers.known(name):
            towers.whole(towers.config(name)).save_pretrained(folder / str(index))
            made[name] = folder / str(index)
        else:
            made[name] = "not in this transformers"
    return made


def measure(folder: Path) -> dict[str, Any]:
    """The whole result, without its header."""
    places = make_towers(folder)
    first = next(iter(places.values()))
    assert isinstance(first, Path), first
    models: dict[str, Any] = {}
    pairs: dict[str, dict[str, str]] = {}
    for index, name in enumerate((*families.FAMILIES, *families.MORE)):
        place = folder / f"language-model-{index}"
        models[name] = check_language_model(name, first, place)
        print(name, models[name], flush=True)
        if name in FAST:
            pairs[name] = {
                label: check_pair(tower, place) if isinstance(tower, Path) else tower for label, tower in places.items()
            }
            print("  ", {key: value for key, value in pairs[name].items() if value != "joined"}, flush=True)
    return {"checks": CHECKS, "unchecked": UNCHECKED, "language_models": models, "pairs": pairs}


def render(result: dict[str, Any]) -> str:
    """The page docs/compatibility.md."""
    models, pairs = result["language_models"], result["pairs"]
    kept = {name: facts for name, facts in models.items() if "refused" not in facts}
    refused = {name: facts["refused"] for name, facts in models.items() if "refused" in facts}
    columns = list(next(iter(pairs.values())))
    failed = {
        tower: {reason for row in pairs.values() if (reason := row[tower]) != "joined"}
        for tower in columns
        if any(row[tower] != "joined" for row in pairs.values())
    }
    lines = [
        "# Compatibility",
        "",
        "A vision tower and a causal language model of these families can be joined (`dragonfly new`, or a recipe's `tower`",
        "and `language_model`). `make compatibility` writes this page from",
        "[its result file](../benchmarks/results/compatibility.json).",
        "",
        f"Checked with transformers {result['versions']['transformers']} and torch {result['versions']['torch']}, tiny random "
        "weights, on a CPU. Each language model:",
        "",
        *(f"- {line}" for line in result["checks"]),
        "",
        "Never checked here:",
        "",
        *(f"- {line}" for line in result["unchecked"]),
        "",
        "Joining repeats the first check on your own weights, and refuses in one line what it cannot keep.",
        "",
        "## Language models",
        "",
        f"{len(kept)} are kept:",
        "",
        "| `model_type` | largest difference of logits | head | auxiliary loss |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{name}` | {facts['logits']:.2g} | {_head(facts)} | {'the same' if facts['auxiliary_loss'] else '-'} |"
            for name, facts in kept.items()
        ),
        "",
        f"{len(refused)} are refused:",
        "",
        "| `model_type` | why |",
        "| --- | --- |",
        *(f"| `{name}` | {why} |" for name, why in refused.items()),
        "",
        "## Pairs",
        "",
        "Every tower with one language model of each kind. `+`: joined, and the gradient of an image's loss reaches projector",
        "and tower; `-`: refused.",
        "",
        f"| | {' | '.join(columns)} |",
        f"| --- |{' --- |' * len(columns)}",
        *(
            f"| `{name}` | {' | '.join('+' if row[tower] == 'joined' else '-' for tower in columns)} |"
            for name, row in pairs.items()
        ),
        "",
    ]
    if failed:
        lines += ["Towers refused in some pair:", ""]
        lines += [f"- {tower}: {'; '.join(sorted(reasons))}" for tower, reasons in failed.items()]
        lines += [""]
    return "\n".join(lines)


def _head(facts: dict[str, Any]) -> str:
    return ", ".join(["tied" if facts["tied"] else "its own", *(["with bias"] if facts["head_bias"] else [])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "compatibility.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "compatibility.md")
    parser.add_argument("--render", action="store_true", help="write the page from the result file that is there")
    options = parser.parse_args()
    if not options.render:
        warnings.simplefilter("ignore")
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        with tempfile.TemporaryDirectory() as folder:
            write_json(options.output, {**result_header(), **measure(Path(folder))})
    write_text(options.page, render(json.loads(options.output.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
