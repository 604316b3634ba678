"""One variant under one seed: train it (or take the checkpoint as it is), ask it the test questions, note what it costs.

A job's folder holds `model/` (trained variants), `eval/` (a run of `evaluation`) and, written last, `job.json`. A finished job is
never done again, nor is one that a study in a folder beside this one has finished; an unfinished one resumes from its training
checkpoint and its answered blocks.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragonfly.data import Manifest
from dragonfly.evaluation import TASKS, Question, Settings, describe_model, load_questions
from dragonfly.evaluation import evaluate as ask_all
from dragonfly.evaluation.cost import summarize
from dragonfly.evaluation.run import folder_name, predictions_of
from dragonfly.files import ORIGIN, sha256, write_json
from dragonfly.inference import Engine, load
from dragonfly.inference.loading import locate
from dragonfly.models import DragonflyConfig
from dragonfly.research.curriculum import HOOKS
from dragonfly.training import Recipe, run
from dragonfly.training.calibration import mean_embedding_of
from dragonfly.training.lora import base_hash
from dragonfly.training.recipe import with_hooks
from dragonfly.vision.spec import EncoderSpec

from .costs import steps_for
from .deadline import Deadline, OutOfTime
from .encoders import encoders
from .evidence_recall import encoder
from .locks import lock
from .study import Study
from .subsets import sources

JOB = "job.json"
OF_A_CLONE = ("checkpoints/nano/", "data/lab/")  # what shipped studies name: in the repository, and made by scripts/lab.sh
Say = Callable[[str], None]


@dataclass(frozen=True)
class StudyRun:
    """A study with all that its jobs share, found once: the checkpoint's folder, configuration and hash, every variant's
    encoder.
    """

    study: Study
    out: Path
    checkpoint: Path
    config: DragonflyConfig
    fingerprint: str
    specs: dict[str, EncoderSpec]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The test sets as `evaluation` names them."""
        return tuple(name if name in TASKS else f"manifest:{name}" for name in self.study.test)

    def questions(self) -> list[Question]:
        return [question for _, questions, _ in load_questions(self.settings()) for question in questions]

    def folder(self, variant: str, seed: int) -> Path:
        return self.out / "variants" / f"{variant}-seed{seed}"

    def finished(self, variant: str, seed: int) -> bool:
        return (self.folder(variant, seed) / JOB).is_file()

    def settings(self) -> Settings:
        study = self.study
        options: dict[str, Any] = {"limit": study.limit, "max_new_tokens": study.max_new_tokens, "batch_size": study.batch_size}
        return Settings(tasks=self.tasks, data=study.benchmarks, with_baselines=False, **options)


def plan(study: Study, out: Path) -> StudyRun:
    """Find what is shared, and every fault that can be found without training. ValueError."""
    rows = [one.path for subsets in (study.data, *(variant.data or [] for variant in study.variants.values())) for one in subsets]
    named = dict.fromkeys([study.checkpoint, *rows, *study.test])
    if missing := [name for name in named if name.startswith(OF_A_CLONE) and not Path(name).exists()]:
        raise ValueError(
            f"study '{study.name}' needs {', '.join(missing)}, not found here; run it in a clone of the repository, where "
            "`scripts/lab.sh data` makes its data, or name your own: checkpoint=DIR data='[{path: DIR}]' test=DIR"
        )
    checkpoint = locate(None if study.checkpoint == "nano" else study.checkpoint)
    config = DragonflyConfig.from_pretrained(checkpoint)
    found = StudyRun(study, out, checkpoint, config, base_hash(checkpoint), encoders(study, config.spec))
    found.questions()
    for path in rows:
        Manifest.open(path)
    if study.recipe is not None:
        for variant in study.variants:
            recipe_of(found, variant, study.seeds_of(variant)[0], write=False)
    return found


def recipe_of(plan: StudyRun, variant: str, seed: int, *, write: bool = True) -> Recipe:
    """The training recipe of a job. Unless `write`, no rows are written, and the recipe is good for checking only."""
    study, own = plan.study, plan.study.variants[variant]
    shared = dict(study.recipe or {})
    base = shared.pop("base", None)
    values: dict[str, Any] = {} if base is None else Recipe.load(base, hooks=HOOKS).model_dump(mode="json")
    for name in ("data", "init_from", "model", "name", "output", "seed"):
        extra = values.pop(name, None)
        if name == "data" and extra:
            values["data"] = {key: value for key, value in extra.items() if key != "train"}
    for changes in (shared, own.recipe):
        values = _merged(values, changes)
    subsets = own.data or study.data
    rows = sources(subsets, plan.out / "data") if write else [{"name": "rows", "path": one.path} for one in subsets[:1]]
    values["data"] = {**values.get("data", {}), "train": rows}
    if study.same == "flops":
        values["steps"] = steps_for(plan.config, plan.specs[study.reference], plan.specs[variant], values, study.text_tokens)
    return with_hooks(HOOKS).model_validate(
        {
            **values,
            "name": f"{study.name}/{variant}",
            "init_from": {"checkpoint": str(plan.checkpoint)},
            "model": {"encoder": plan.specs[variant].to_dict()},
            "seed": seed,
            "output": str(plan.folder(variant, seed) / "model"),
        }
    )


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def do(plan: StudyRun, variant: str, seed: int, deadline: Deadline, say: Say = lambda _: None) -> bool:
    """Do or finish one job; False where another worker has it. `OutOfTime` at the limit.

    ValueError where the folder holds a job of another study.
    """
    folder = plan.folder(variant, seed)
    with lock(folder.with_name(f"{folder.name}.lock")) as mine:
        if not mine:
            return False
        recipe = recipe_of(plan, variant, seed) if plan.study.recipe is not None else None
        key = _key(plan, variant, seed, recipe)
        if plan.finished(variant, seed):
            _check(folder, key)
            return True
        deadline.check()
        if twin := _twin(plan, key):
            say(f"{variant}, seed {seed}: as in {twin.relative_to(plan.out.parent)}")
            _take_over(twin, folder)
            return True
        if recipe is not None and not (folder / "model" / ORIGIN).is_file():
            say(f"{variant}, seed {seed}: training")
            with deadline.terminating():
                run(recipe)
            if not (folder / "model" / ORIGIN).is_file():
                raise OutOfTime
        say(f"{variant}, seed {seed}: asking")
        _ask(plan, variant, folder, deadline)
        training = _training(folder / "model") if recipe is not None else None
        costs = [summarize(folder / "eval" / folder_name(task))["model"] for task in plan.tasks]
        write_json(folder / JOB, {"key": key, "training": training, "costs": dict(zip(plan.study.test, costs, strict=True))})
        for checkpoint in (folder / "model").glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
    return True


def _twin(plan: StudyRun, key: dict[str, Any]) -> Path | None:
    """A finished job in a folder beside this study's whose numbers, having the same key, are this one's."""
    for found in sorted(plan.out.parent.glob(f"*/variants/*/{JOB}")):
        if found.parents[2] != plan.out and json.loads(found.read_text(encoding="utf-8"))["key"] == key:
            return found.parent
    return None


def _take_over(twin: Path, folder: Path) -> None:
    """The answers and the record of a finished job; its model stays where it is."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(twin / "eval", folder / "eval")
    job = json.loads((twin / JOB).read_text(encoding="utf-8"))
    write_json(folder / JOB, {**job, "as_in": f"{twin.parents[1].name}/{twin.name}"})


def _key(plan: StudyRun, variant: str, seed: int, recipe: Recipe | None) -> dict[str, Any]:
    """What decides a job's numbers."""
    values = None if recipe is None else recipe.model_dump(mode="json", exclude={"name", "output", "init_from", "log", "save"})
    if values is not None:  # rows count by what they are, not by where they lie
        rows = [sha256(Manifest.open(source["path"]).path) for source in values["data"]["train"]]
        values["data"]["train"] = [
            {"rows": found, "group_questions": s["group_questions"]}
            for found, s in zip(rows, values["data"]["train"], strict=True)
        ]
    return {
        "checkpoint": plan.fingerprint,
        "encoder": plan.specs[variant].to_dict(),
        "recipe": values,
        "seed": seed,
        "test": hashes_of_tests(plan.study),
        "asked": {"limit": plan.study.limit, "max_new_tokens": plan.study.max_new_tokens, "batch_size": plan.study.batch_size},
    }


def hashes_of_tests(study: Study) -> list[str]:
    """What tells one test set from another: a manifest's hash, which holds those of all rows, or a task's name."""
    return [name if name in TASKS else sha256(Manifest.open(name).path) for name in study.test]


def _check(folder: Path, key: dict[str, Any]) -> None:
    before = json.loads((folder / JOB).read_text(encoding="utf-8"))["key"]
    if other := [name for name in key if before.get(name) != key[name]]:
        raise ValueError(f"{folder} holds a finished variant of another study (different: {', '.join(other)}); choose another -o")


def _ask(plan: StudyRun, variant: str, folder: Path, deadline: Deadline) -> None:
    settings = plan.settings()
    work = load_questions(settings)
    with ExitStack() as stack:
        if plan.study.recipe is not None:
            engine = load(folder / "model")
        else:
            engine = load(plan.checkpoint)
            stack.enter_context(_as_variant(engine, plan.specs[variant], [image for q in plan.questions() for image in q.images]))
        ask_all(engine, describe_model(engine), settings, work, folder / "eval", lambda *_: deadline.check())


def _as_variant(engine: Engine, spec: EncoderSpec, images: list[str | bytes]) -> ExitStack:
    """The checkpoint itself under a variant's encoder; a `centred` variant of a model without mean embedding takes the test
    images'.
    """
    stack = ExitStack()
    stack.enter_context(mean_embedding_of(engine, images, spec.selects and spec.selection.policy == "centred"))
    stack.enter_context(encoder(engine, spec))
    return stack


def _training(model: Path) -> dict[str, Any]:
    """What the training left: steps, last loss and seconds."""
    about = json.loads((model / "run.json").read_text(encoding="utf-8"))
    losses = [json.loads(line) for line in (model / "loss.jsonl").read_text(encoding="utf-8").splitlines()]
    last = next((entry["loss"] for entry in reversed(losses) if "loss" in entry), None)
    return {"steps": about["steps"], "last_loss": last, "seconds": about["speed"]["seconds"]}


def records(plan: StudyRun, variant: str, seed: int) -> list[dict[str, Any]]:
    """The finished job's predictions, test set after test set, each with its `task`."""
    run = plan.folder(variant, seed) / "eval"
    pairs = zip(plan.study.test, plan.tasks, strict=True)
    return [{**record, "task": name} for name, task in pairs for record in predictions_of(run, task)]
