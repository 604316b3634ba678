"""What an evaluation took: sub-images, tokens, seconds, memory.

One line per block is written beside the predictions, so an interrupted run keeps its costs. Seconds and memory differ from run to
run, so none of this goes into scores.json.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dragonfly.files import write_text
from dragonfly.inference import Answer


def block_cost(start: int, answers: Sequence[Answer | str]) -> dict[str, Any]:
    """The cost of one block, summed over its answered questions; timings are shared by the rows of a batch and counted once."""
    answered = [answer for answer in answers if isinstance(answer, Answer)]
    batches = {id(answer.timings): answer.timings.get("total", 0.0) for answer in answered}
    taken = [_taken(answer) for answer in answered]
    return {
        "start": start,
        "questions": len(answered),
        "calls": sum(calls for calls, _, _ in taken),
        "sub_images": sum(sub_images for _, sub_images, _ in taken),
        "visual_tokens": sum(tokens for _, _, tokens in taken),
        "prompt_tokens": sum(answer.prompt_tokens for answer in answered),
        "new_tokens": sum(len(answer.token_ids) for answer in answered),
        "seconds": round(sum(batches.values()), 4),
        "peak_memory_mib": _peak_memory_mib(),
    }


def _taken(answer: Answer) -> tuple[int, int, int]:
    """(calls, encoded sub-images or views, visual tokens). A lens's answer says what all its calls took; another's layouts do."""
    calls: int | None = getattr(answer, "calls", None)  # a `LensAnswer`, without its package
    if calls is not None:
        return calls, len(getattr(answer, "views", ())), getattr(answer, "image_tokens", 0)
    # What a policy drops before the tower has no score: it was not encoded.
    dropped = sum(not one.kept and one.score is None for selection in answer.selections for one in selection)
    encoded = sum(layout.num_sub_images for layout in answer.layouts) - dropped
    return 1, encoded, sum(layout.num_image_tokens for layout in answer.layouts)


def keep_costs(path: Path, done: int) -> None:
    """Keep the costs of the blocks before question `done` and drop the rest, a partial line included."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        write_text(path, "".join(f"{line}\n" for line in lines if line.endswith("}") and json.loads(line)["start"] < done))


def summarize(folder: Path) -> dict[str, Any]:
    """{variant: its cost} of a task's folder: means per question, milliseconds, and the peak memory in MiB, over all workers."""
    costs: dict[str, Any] = {}
    variants: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.rglob("cost*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        variants.setdefault(path.stem, []).extend(json.loads(line) for line in lines)
    for stem, blocks in sorted(variants.items()):
        questions = sum(block["questions"] for block in blocks)
        keys = ("calls", "sub_images", "visual_tokens", "prompt_tokens", "new_tokens")
        known = [key for key in keys if all(key in block for block in blocks)]  # runs from before calls were counted have none
        means = {key: round(sum(block[key] for block in blocks) / max(1, questions), 2) for key in known}
        costs[stem.removeprefix("cost").removeprefix("-") or "model"] = {
            "questions": questions,
            **{f"{key}_per_question": value for key, value in means.items()},
            "ms_per_question": round(1000 * sum(block["seconds"] for block in blocks) / max(1, questions), 1),
            "peak_memory_mib": max((block["peak_memory_mib"] for block in blocks), default=0),
        }
    return costs


def _peak_memory_mib() -> int:
    """The accelerator's peak where one is used, else the process's."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)
