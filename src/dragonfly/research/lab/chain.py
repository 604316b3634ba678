"""Which recipe follows which, and what a model will be before it is trained: read from the shipped recipes themselves.

A recipe begins with the checkpoint that another one writes; a path of its rows that is `data/MIX` is what `dragonfly curate MIX`
writes. No list of stages stands anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dragonfly.config import shipped_files
from dragonfly.curation.mix import MIXES
from dragonfly.planning import ModelSize, Plan, get_device, plan_training
from dragonfly.planning.configs import read_config
from dragonfly.planning.language_models import KNOWN_LANGUAGE_MODELS
from dragonfly.planning.towers import read_tower
from dragonfly.research.curriculum import HOOKS
from dragonfly.training import Recipe
from dragonfly.training.build import encoder_for
from dragonfly.training.dry_run import planned_work
from dragonfly.training.recipe import shipped_recipes
from dragonfly.vision.spec import spec_of

DATA = Path("data")
PER_NODE = 8  # devices of one machine


@dataclass(frozen=True)
class Stage:
    """A shipped recipe under its name."""

    name: str
    recipe: Recipe


@cache
def producers() -> dict[Path, str]:
    """The recipe that writes each path."""
    return {Path(Recipe.load(name, hooks=HOOKS).output): name for name in shipped_recipes()}


def stages(name: str) -> list[Stage]:
    """The recipes that lead to this one, from the first to it."""
    found = [Stage(name, Recipe.load(name, hooks=HOOKS))]
    while (start := found[0].recipe.init_from.checkpoint) is not None and Path(start) in producers():
        before = producers()[Path(start)]
        found.insert(0, Stage(before, Recipe.load(before, hooks=HOOKS)))
    return found


def leading_to(checkpoint: str) -> list[Stage]:
    """The recipes that lead to a checkpoint; ValueError where no shipped recipe writes it."""
    name = producers().get(Path(checkpoint))
    if name is None:
        raise ValueError(f"there is no checkpoint {checkpoint}, and no shipped recipe writes it; train it first, or name another")
    return stages(name)


def mix_of(path: str | None) -> str | None:
    """The shipped mix that is written to this path; None for data of one's own."""
    place = Path(path or "")
    return place.name if place.parent == DATA and place.name in shipped_files(MIXES) else None


def paths_of(recipe: Recipe) -> list[str]:
    """Where the rows of a recipe are: folders, or hub data sets."""
    return [str(source.path or source.dataset) for source in recipe.data.train]


def size_of(chain: list[Stage], tower: str | None = None, language_model: str | None = None) -> ModelSize:
    """The model that a chain of recipes trains, without any weights: the first one's parts, or others, under its encoder."""
    start, model = chain[0].recipe.init_from, chain[0].recipe.model
    if start.checkpoint is not None:
        return ModelSize.of_checkpoint(start.checkpoint)
    named = read_tower(tower or str(start.tower))
    config = read_config(language_model or str(start.language_model), KNOWN_LANGUAGE_MODELS, "language model")
    found = ModelSize.from_configs(named, config, preset=model.preset or "v1")
    options = model.model_copy(update={"preset": None})  # which is in it already
    return found.with_spec(spec_of(encoder_for(options, found.spec.to_dict())))


def plan_of(recipe: Recipe, size: ModelSize, devices: int, device: str, rows: float | None) -> Plan[Any]:
    """Memory and hours of a recipe's training on so many devices, by `planning`; rows of an epoch, None where not known."""
    work = planned_work(recipe, devices)
    if recipe.steps is not None:
        rows = recipe.steps * recipe.batch.global_size
    return plan_training(size, work, device=get_device(device), samples=rows, epochs=recipe.epochs or 1.0)


def launch(arguments: list[str], recipe: Recipe, devices: int) -> list[str]:
    """The words of the command that trains a recipe on so many devices; ValueError where its batch cannot be divided so."""
    recipe.batch.accumulation_for(devices)
    if devices == 1:
        return ["dragonfly", "train", *arguments]
    nodes, rest = divmod(devices, PER_NODE)
    if nodes < 1 or (nodes == 1 and not rest):
        return ["torchrun", "--nproc-per-node", str(devices), "-m", "dragonfly", "train", *arguments]
    if rest:
        raise ValueError(
            f"{devices} devices are no whole number of machines of {PER_NODE}; give a multiple, or at most {PER_NODE}"
        )
    several = [
        "--nnodes",
        str(nodes),
        "--nproc-per-node",
        str(PER_NODE),
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "HOST:29500",
    ]
    return ["torchrun", *several, "-m", "dragonfly", "train", *arguments]
