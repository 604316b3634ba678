"""One job of a study, a variant under one seed: train it (or take the checkpoint as it is), evaluate it, record its cost.

A job's folder holds `model/` (of trained variants), `eval/` (a run of `evaluation`) and, written last, `job.json`. A finished job
is not done again, and an equal one of a study in a folder beside this one is copied. An interrupted job resumes from its training
checkpoint and its answered questions.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import SoftFileLock, Timeout

from dragonfly.data import Manifest
from dragonfly.evaluation import TASKS, Judge, Question, Settings, describe_model, evaluate, load_questions
from dragonfly.evaluation.cost import summarize
from dragonfly.evaluation.run import Progress, folder_name, predictions_of
from dragonfly.files import ORIGIN, sha256, write_json
from dragonfly.inference import Engine, load
from dragonfly.inference.loading import locate
from dragonfly.models import DragonflyConfig
from dragonfly.training import Recipe, run
from dragonfly.training.calibration import mean_embedding_of
from dragonfly.training.lora import base_hash
from dragonfly.vision.spec import EncoderSpec

from .deadline import Deadline, OutOfTime
from .evidence_recall import encoder
from .measures import check_metrics, check_questions
from .recipes import JOB, job_folder, stage_recipe, subsets_of
from .study import Study
from .variants import Training, encoders, sources, steps_for

OF_A_CLONE = ("checkpoints/nano/", "data/lab/")  # paths in shipped studies that the repository holds or scripts/lab.sh makes
Say = Callable[[str], None]
SILENCE = 20.0  # seconds after which an evaluation says how far it is


@dataclass(frozen=True)
class StudyRun:
    """A study and what all its jobs share.

    Args:
        study: the study.
        out: the study's folder.
        checkpoint: the model directory from which every variant starts.
        config: the checkpoint's configuration.
        fingerprint: SHA-256 of the checkpoint.
        specs: every variant's encoder.
        judge: grades the replies to judged test sets.
    """

    study: Study
    out: Path
    checkpoint: Path
    config: DragonflyConfig
    fingerprint: str
    specs: dict[str, EncoderSpec]
    judge: Judge | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The test sets as `evaluation` names them."""
        return tuple(name if name in TASKS else f"manifest:{name}" for name in self.study.test)

    def questions(self) -> list[Question]:
        return [question for one in load_questions(self.settings()) for question in one.questions]

    def folder(self, variant: str, seed: int) -> Path:
        return job_folder(self.out, variant, seed)

    def finished(self, variant: str, seed: int) -> bool:
        return (self.folder(variant, seed) / JOB).is_file()

    def settings(self) -> Settings:
        study = self.study
        options: dict[str, Any] = {"limit": study.limit, "max_new_tokens": study.max_new_tokens, "batch_size": study.batch_size}
        return Settings(tasks=self.tasks, data=study.benchmarks, with_baselines=False, **options)


def prepare(study: Study, out: Path, judge: Judge | None = None) -> StudyRun:
    """Check a study and locate what its jobs share. ValueError for every fault that shows without training: of variants, rows,
    test sets and measures, and a judged test set without a judge.
    """
    check_metrics(study)
    rows = list(dict.fromkeys(one.path for variant in study.variants for one in subsets_of(study, variant)))
    named = dict.fromkeys([study.checkpoint, *rows, *study.test])
    if missing := [name for name in named if name.startswith(OF_A_CLONE) and not Path(name).exists()]:
        raise ValueError(
            f"study '{study.name}' needs {', '.join(missing)}, not found here; run it in a clone of the repository, where "
            "`scripts/lab.sh data` makes its data, or name your own: checkpoint=DIR data='[{path: DIR}]' test=DIR"
        )
    judge = _judge_of(study, judge)
    checkpoint = locate(study.checkpoint)
    config = DragonflyConfig.from_pretrained(checkpoint)
    known = StudyRun(study, out, checkpoint, config, base_hash(checkpoint), encoders(study, config.spec), judge)
    check_questions(study, [one.questions for one in load_questions(known.settings())])
    for path in rows:
        Manifest.open(path)
    if study.recipe is not None:
        for variant in study.variants:
            recipe_of(known, variant, study.seeds_of(variant)[0], write=False)
    return known


def _judge_of(study: Study, judge: Judge | None) -> Judge | None:
    """The judge, where a test set needs one."""
    judged = [name for name in study.test if name in TASKS and TASKS[name].rubric is not None]
    if judged and judge is None:
        kept = [name for name in study.test if name not in judged]
        measures = [name for name, one in study.measures.items() if one.where.get("task") in judged]
        without = " ".join([f"test='[{', '.join(kept)}]'", *(f"measures.{name}=null" for name in measures)])
        raise ValueError(
            f"study '{study.name}' has test sets that a judge scores ({', '.join(judged)}); name one: --judge URL --judge-model "
            f"NAME, or leave them out: {without}"
        )
    return judge if judged else None


def recipe_of(setup: StudyRun, variant: str, seed: int, *, write: bool = True) -> Recipe:
    """The training recipe of a job. Without `write` its training rows are not written, and it serves for checking only."""
    study, spec, subsets = setup.study, setup.specs[variant], subsets_of(setup.study, variant)
    rows = sources(subsets, setup.out / "data") if write else [{"name": "rows", "path": one.path} for one in subsets[:1]]
    before = study.variants[variant].after
    start = setup.checkpoint if before is None else setup.folder(before, seed) / "model"
    where: dict[str, Any] = {"checkpoint": str(start), "output": setup.folder(variant, seed) / "model"}
    recipe = stage_recipe(study, variant, seed, spec=spec, rows=rows, **where)
    if study.same == "steps":
        return recipe
    reference = (
        recipe if variant == study.reference else stage_recipe(study, study.reference, seed, spec=spec, rows=rows, **where)
    )
    sides = (_training_of(setup, study.reference, reference), _training_of(setup, variant, recipe))
    return recipe.model_copy(update={"steps": steps_for(setup.config, *sides, study.variants[variant].share)})


def _training_of(setup: StudyRun, variant: str, recipe: Recipe) -> Training:
    row_tokens = setup.study.variants[variant].row_tokens or setup.study.text_tokens
    return Training(setup.specs[variant], recipe.model_dump(mode="json"), row_tokens)


def do(setup: StudyRun, variant: str, seed: int, deadline: Deadline, say: Say = lambda _: None) -> bool:
    """Run or resume one job.

    The job's lock is a file beside its folder that names the worker's process and host. The lock of a dead process on this
    machine is taken over; one from another machine is respected, because from here its process cannot be seen to have died.

    Returns:
        True once the job is finished; False, at once, where another worker holds it, or the job that it is after.

    Raises:
        ValueError: if the folder holds a job of another study.
        OutOfTime: at the deadline.
    """
    before = setup.study.variants[variant].after
    if before is not None and not setup.finished(before, seed):
        return False
    lock = _lock_of(setup, variant, seed)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    try:
        _run(setup, variant, seed, deadline, say)
    finally:
        lock.release()
    return True


def _lock_of(setup: StudyRun, variant: str, seed: int) -> SoftFileLock:
    folder = setup.folder(variant, seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return SoftFileLock(folder.with_name(f"{folder.name}.lock"))


def holder(setup: StudyRun, variant: str, seed: int) -> str:
    """The worker that holds a job's lock, or that of the job that it is after, for a message: `process 12 on host, file`."""
    before = setup.study.variants[variant].after
    if before is not None and not setup.finished(before, seed):
        return holder(setup, before, seed)
    path = Path(_lock_of(setup, variant, seed).lock_file)
    try:
        pid, host, *_ = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):  # released meanwhile, or not written yet
        return f"an unknown worker ({path})"
    return f"process {pid} on {host} (if it no longer runs, remove {path})"


def _run(setup: StudyRun, variant: str, seed: int, deadline: Deadline, say: Say) -> None:
    folder = setup.folder(variant, seed)
    recipe = recipe_of(setup, variant, seed) if setup.study.recipe is not None else None
    key = _key(setup, variant, seed, recipe)
    if setup.finished(variant, seed):
        _check(folder, key)
        return
    deadline.check()
    trained = (folder / "model" / ORIGIN).is_file()
    begins_others = variant in [one.after for one in setup.study.variants.values()]  # a copy would come without its model
    if not trained and not begins_others and (twin := _twin(setup, key)):
        say(f"{variant}, seed {seed}: copied from {twin.relative_to(setup.out.parent)}")
        _copy(twin, folder)
        return
    if recipe is not None and not trained:
        say(f"{variant}, seed {seed}: training")
        with deadline.terminating():
            run(recipe)
        if not (folder / "model" / ORIGIN).is_file():
            raise OutOfTime
    say(f"{variant}, seed {seed}: evaluating")
    told = time.monotonic()

    def asked(task: str, done: int, total: int) -> None:
        nonlocal told
        deadline.check()
        if time.monotonic() - told > SILENCE:
            told = time.monotonic()
            say(f"{variant}, seed {seed}: {done:,} of {total:,} questions of {task}")

    _evaluate(setup, variant, folder, asked)
    training = _training(folder / "model") if recipe is not None else None
    costs = [summarize(folder / "eval" / folder_name(task))["model"] for task in setup.tasks]
    write_json(folder / JOB, {"key": key, "training": training, "costs": dict(zip(setup.study.test, costs, strict=True))})
    for checkpoint in (folder / "model").glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def _twin(setup: StudyRun, key: dict[str, Any]) -> Path | None:
    """A finished job with the same key, hence the same numbers, of a study in a folder beside this one."""
    for path in sorted(setup.out.parent.glob(f"*/variants/*/{JOB}")):
        if path.parents[2] != setup.out and json.loads(path.read_text(encoding="utf-8"))["key"] == key:
            return path.parent
    return None


def _copy(twin: Path, folder: Path) -> None:
    """Copy the predictions and the record of a finished job; its model stays where it is."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(twin / "eval", folder / "eval")
    job = json.loads((twin / JOB).read_text(encoding="utf-8"))
    write_json(folder / JOB, {**job, "as_in": f"{twin.parents[1].name}/{twin.name}"})


def _key(setup: StudyRun, variant: str, seed: int, recipe: Recipe | None) -> dict[str, Any]:
    """All that determines a job's numbers."""
    values = None if recipe is None else recipe.model_dump(mode="json", exclude={"name", "output", "init_from", "log", "save"})
    if values is not None:  # rows are identified by content, not by path
        rows = [sha256(Manifest.open(source["path"]).path) for source in values["data"]["train"]]
        values["data"]["train"] = [
            {"rows": hash_of_rows, "group_questions": source["group_questions"]}
            for hash_of_rows, source in zip(rows, values["data"]["train"], strict=True)
        ]
    before = setup.study.variants[variant].after
    begun = None if before is None else _key(setup, before, seed, recipe_of(setup, before, seed))
    return {
        "checkpoint": setup.fingerprint,
        **({} if begun is None else {"after": begun}),
        "encoder": setup.specs[variant].to_dict(),
        "recipe": values,
        "seed": seed,
        "test": hashes_of_tests(setup.study),
        "asked": {
            "limit": setup.study.limit,
            "max_new_tokens": setup.study.max_new_tokens,
            "batch_size": setup.study.batch_size,
            **({"judge": setup.judge.model} if setup.judge else {}),
        },
    }


def hashes_of_tests(study: Study) -> list[str]:
    """The identity of each test set: a manifest's hash, which covers all its rows, or a task's name."""
    return [name if name in TASKS else sha256(Manifest.open(name).path) for name in study.test]


def _check(folder: Path, key: dict[str, Any]) -> None:
    before = json.loads((folder / JOB).read_text(encoding="utf-8"))["key"]
    if other := [name for name in key if before.get(name) != key[name]]:
        raise ValueError(f"{folder} holds a finished variant of another study (different: {', '.join(other)}); choose another -o")


def _evaluate(setup: StudyRun, variant: str, folder: Path, progress: Progress) -> None:
    settings = setup.settings()
    work = load_questions(settings)
    with ExitStack() as stack:
        if setup.study.recipe is not None:
            engine = load(folder / "model")
        else:
            engine = load(setup.checkpoint)
            stack.enter_context(
                _as_variant(engine, setup.specs[variant], [image for q in setup.questions() for image in q.images])
            )
        evaluate(engine, describe_model(engine), settings, work, folder / "eval", progress, setup.judge)


def _as_variant(engine: Engine, spec: EncoderSpec, images: list[str | bytes]) -> ExitStack:
    """The untrained checkpoint under a variant's encoder. Where `centred` lacks a mean embedding, the test images give one."""
    stack = ExitStack()
    stack.enter_context(mean_embedding_of(engine, images, spec.selects and spec.selection.policy == "centred"))
    stack.enter_context(encoder(engine, spec))
    return stack


def _training(model: Path) -> dict[str, Any]:
    """A finished training's steps, last loss, seconds, and FLOPs where `planning` can count them."""
    about = json.loads((model / "run.json").read_text(encoding="utf-8"))
    losses = [json.loads(line) for line in (model / "loss.jsonl").read_text(encoding="utf-8").splitlines()]
    last = next((entry["loss"] for entry in reversed(losses) if "loss" in entry), None)
    return {"steps": about["steps"], "last_loss": last, "seconds": about["speed"]["seconds"], "flops": about.get("flops")}


def records(setup: StudyRun, variant: str, seed: int) -> list[dict[str, Any]]:
    """A finished job's predictions, one test set after another, each with its `task`."""
    run = setup.folder(variant, seed) / "eval"
    pairs = zip(setup.study.test, setup.tasks, strict=True)
    return [{**record, "task": name} for name, task in pairs for record in predictions_of(run, task)]
