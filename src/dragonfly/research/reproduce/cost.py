"""What the steps of a table cost by `planning`, before anything is trained. Every number is an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dragonfly.curation.mix import load_mix
from dragonfly.curation.plan import plan as plan_mix
from dragonfly.data import Manifest
from dragonfly.planning import Answers, ModelSize, get_device, plan_inference
from dragonfly.research.lab.chain import mix_of, paths_of, plan_of, size_of
from dragonfly.research.lab.variants import encoders
from dragonfly.training import Recipe

from .steps import Request, Step

ASSUMED = "images of 1024 x 768, 128 tokens of text a row when training and 64 a question"
BATCH = 8  # questions at once, the default of `dragonfly eval`


@dataclass(frozen=True)
class Cost:
    """Of one step: rows of an epoch, hours of the whole run, bytes of one device; None where not known. `note` says why."""

    rows: int | None = None
    hours: float | None = None
    memory: int | None = None
    note: str = ""


def costs_of(request: Request, steps: list[Step], device: str) -> list[Cost]:
    """The cost of each step on `request.gpus` devices of a kind that `dragonfly plan` knows."""
    try:
        size = size_of(request.chain, request.tower, request.language_model)
    except ValueError as error:
        return [Cost(note=f"not planned: {error}") for _ in steps]
    study = request.study
    variants = encoders(study, size.spec) if study else {}
    return [_cost(request, step, size.with_spec(variants.get(_variant(step), size.spec)), device) for step in steps]


def _variant(step: Step) -> str:
    """The study's variant that a training is of; empty for a stage."""
    return step.outputs[0].parents[1].name.rpartition("-seed")[0]


def _cost(request: Request, step: Step, size: ModelSize, device: str) -> Cost:
    if step.kind == "curate":
        rows = rows_at(str(step.outputs[0].parent))
        return Cost(rows, note="" if rows is None else "rows at most, by the mix's plan")
    if step.kind == "train" and step.recipe is not None:
        rows = rows_of(step.recipe)
        planned = plan_of(step.recipe, size, request.gpus, device, rows)
        hours = planned.time.hours if planned.time else None
        note = "" if hours is not None else "hours not known: rows of a source are not known"
        return Cost(rows, hours, planned.needed, note)
    if step.kind in ("eval", "ablate"):
        planned = plan_inference(size, Answers(batch=BATCH), device=get_device(device))
        speed = f"{planned.time.answers_per_second:.1f} answers a second on one {device}" if planned.time else ""
        return Cost(memory=planned.needed, note=speed)
    return Cost()


def rows_of(recipe: Recipe) -> int | None:
    """Rows of an epoch: those that are there, else those that the mixes should give; None where either is not known."""
    counts = [rows_at(path) for path in paths_of(recipe)]
    return None if None in counts else sum(count for count in counts if count is not None)


def rows_at(path: str) -> int | None:
    """Rows of a manifest, or of the mix that will be there."""
    if (Path(path) / "manifest.json").is_file():
        return len(Manifest.open(path))
    mix = mix_of(path)
    if mix is None:
        return None
    last = plan_mix(load_mix(mix)).steps[-1]
    return None if last.with_images is None or last.text is None else last.with_images + last.text
