"""The training recipe of every variant: the study's values over those of its `base`, and the variant's own over both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragonfly.config import dump
from dragonfly.files import ORIGIN, write_text
from dragonfly.inference.loading import locate
from dragonfly.installation import bundled_name
from dragonfly.models import DragonflyConfig
from dragonfly.research.curriculum import HOOKS
from dragonfly.training import Recipe
from dragonfly.training.recipe import with_hooks
from dragonfly.vision.spec import EncoderSpec

from .chain import leading_to, size_of
from .study import Study, Subset
from .variants import encoders, sources

JOB = "job.json"  # of a job's folder: it is finished


def base_of(study: Study) -> Recipe | None:
    """The shipped recipe that the study's begins with."""
    name = (study.recipe or {}).get("base")
    return None if name is None else Recipe.load(name, hooks=HOOKS)


def subsets_of(study: Study, variant: str) -> list[Subset]:
    """The rows of a variant: its own, else the study's, else those of the base. ValueError where the base reads the hub."""
    given = study.variants[variant].data or study.data
    base = base_of(study)
    if given or base is None:
        return given
    if hub := [source.name for source in base.data.train if source.path is None]:
        raise ValueError(
            f"recipe {base.name} reads {', '.join(hub)} from the hub; give the study manifests: data='[{{path: DIR}}]'"
        )
    return [Subset(path=str(source.path), group_questions=source.group_questions) for source in base.data.train]


def stage_recipe(
    study: Study, variant: str, seed: int, *, spec: EncoderSpec, checkpoint: str, output: Path, rows: list[dict[str, Any]]
) -> Recipe:
    """The recipe that trains a variant under one seed on `rows` (sources of a recipe) into `output`."""
    shared = dict(study.recipe or {})
    shared.pop("base", None)
    base = base_of(study)
    values: dict[str, Any] = {} if base is None else base.model_dump(mode="json")
    for name in ("data", "init_from", "model", "name", "output", "seed"):
        extra = values.pop(name, None)
        if name == "data" and extra:
            values["data"] = {key: value for key, value in extra.items() if key != "train"}
    for changes in (shared, study.variants[variant].recipe):
        values = merged(values, changes)
    return with_hooks(HOOKS).model_validate(
        {
            **values,
            "data": {**values.get("data", {}), "train": rows},
            "name": f"{study.name}/{variant}",
            "init_from": {"checkpoint": checkpoint},
            "model": {"encoder": spec.to_dict()},
            "seed": seed,
            "output": str(output),
        }
    )


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Sections merge key by key; anything else in `over` replaces what `under` has."""
    result = dict(under)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def write_recipes(study: Study, out: Path) -> list[tuple[Path, Recipe]]:
    """Write the recipe of every variant and seed that is not trained, to be trained elsewhere with `dragonfly train`.

    Needs no benchmark and no weights: where the checkpoint is not there yet, its encoder follows from the shipped recipes that
    lead to it. Rows that are a part of a manifest are written below `out`, and so must be there. `run_ablation` takes a model
    that lies in a job's folder as trained.

    Raises:
        ValueError: for a study that trains nothing, or whose steps follow from the sizes of a checkpoint that is not there.
    """
    if study.recipe is None:
        raise ValueError(f"study '{study.name}' trains nothing, so there is no recipe to write")
    here = bundled_name(study.checkpoint) is not None or Path(study.checkpoint).exists()
    checkpoint = str(locate(study.checkpoint)) if here else study.checkpoint
    if study.same == "flops":
        raise ValueError(
            "same=flops counts steps from the checkpoint's sizes and the test images; run the study without --recipes"
        )
    spec = DragonflyConfig.from_pretrained(checkpoint).spec if here else size_of(leading_to(checkpoint)).spec
    specs = encoders(study, spec)
    written: list[tuple[Path, Recipe]] = []
    for variant, seed in study.jobs():
        folder = job_folder(out, variant, seed)
        if not (folder / "model" / ORIGIN).is_file() and not (folder / JOB).is_file():
            rows = sources(subsets_of(study, variant), out / "data")
            where: dict[str, Any] = {"spec": specs[variant], "checkpoint": checkpoint, "output": folder / "model"}
            recipe = stage_recipe(study, variant, seed, **where, rows=rows)
            write_text(folder / "recipe.yaml", dump(recipe))
            written.append((folder / "recipe.yaml", recipe))
    return written


def job_folder(out: Path, variant: str, seed: int) -> Path:
    """Where a study keeps one job."""
    return out / "variants" / f"{variant}-seed{seed}"
