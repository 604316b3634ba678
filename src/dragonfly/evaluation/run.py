"""Engine x task -> predictions.jsonl, and from these files the scores.

A run folder holds run.json (settings, model, header of every result file), scores.json (the same bytes however often the run was
interrupted), cost.json, and one folder per task with predictions.jsonl of the model and of each baseline. Questions are asked in
fixed blocks; a block is written whole and never asked again. predictions.jsonl holds everything that scoring needs, so `rescore`
needs neither model nor data. Several workers may share a run (`Shard`); a judged task keeps its verdicts in judge.jsonl.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dragonfly.data import BadRow
from dragonfly.files import lock, one_line, result_header, sha256, write_json
from dragonfly.inference import Answer
from dragonfly.inference.batch import Asker

from . import controls
from .cost import block_cost, keep_costs, summarize
from .judge import Judge, judge_name, judge_replies, with_verdicts
from .predictions import (
    BLOCK,
    MAJORITY,
    PREDICTIONS,
    Shard,
    append,
    join_shards,
    keep_whole_blocks,
    read_predictions,
    record_of,
)
from .question import Asked, Question
from .scoring import score_task
from .tasks import OWN_DATA, TASKS, TaskSpec, find_task, folder_of, read_questions, read_train, render

VARIANTS = ("model", "blind", "shuffled_image")


@dataclass(frozen=True)
class TaskQuestions:
    """A task with its questions, those of its train split where there is one, and the rows that no question could be made of."""

    task: TaskSpec
    questions: list[Question]
    train: list[Question] | None = None
    unreadable: tuple[BadRow, ...] = ()


Work = list[TaskQuestions]

Progress = Callable[[str, int, int], None]
"""(what is asked, done, of how many)"""


@dataclass(frozen=True)
class Settings:
    """Together with the model, everything that determines replies and scores. A run folder holds one set of settings.

    `prompt` and `max_new_tokens` replace the tasks' own, `by` their breakdown keys. `columns` and `image_root` say how to read a
    person's own data. `lens` is the method of a lens that asks in the model's place, of at most `max_tokens` visual tokens and
    `max_calls` calls a question.
    """

    tasks: tuple[str, ...]
    data: str | None = None
    limit: int | None = None
    prompt: str | None = None
    max_new_tokens: int | None = None
    by: tuple[str, ...] = ()
    batch_size: int = 8
    with_baselines: bool = True
    columns: dict[str, str] | None = None
    image_root: str | None = None
    lens: str | None = None
    max_tokens: int | None = None
    max_calls: int | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("no task to run; name one or more: --tasks vqa_rad,manifest:PATH")
        if len(set(map(folder_name, self.tasks))) < len(self.tasks):
            raise ValueError(f"a task is named twice in {','.join(self.tasks)}; name each once")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}; give at least 1 question, or none for all")


def folder_name(task: str) -> str:
    """The folder of a task within a run: its name, or `manifest-dev-1a2b3c4d` for `manifest:data/dev`."""
    kind, colon, path = task.partition(":")
    if task in TASKS:
        return task
    if not (colon and kind in OWN_DATA):
        kind, path = "data", task
    stem = re.sub(r"[^\w-]+", "_", Path(path).stem)[:40]
    return f"{kind}-{stem}-{sha256(task.encode())[:8]}"


def evaluate(
    engine: Asker,
    model: dict[str, Any],
    settings: Settings,
    work: Work,
    out: Path,
    progress: Progress = lambda *_: None,
    judge: Judge | None = None,
) -> dict[str, Any]:
    """Run or finish the run in `out` and return what scores.json holds.

    `model` describes the engine (JSON-able, equal only for an equal model); `work` is `load_questions(settings)`.
    ValueError where `out` holds a run of another model or with other settings, or a task needs a judge and none is given.
    """
    check_judge(settings, judge)
    ask(engine, model, settings, work, out, progress)
    return rescore(out, judge, progress)


def ask(
    engine: Asker,
    model: dict[str, Any],
    settings: Settings,
    work: Work,
    out: Path,
    progress: Progress = lambda *_: None,
    shard: Shard | None = None,
) -> None:
    """Ask the questions that `out` has no answer to yet, or one worker's part of them; score nothing. Errors as in `evaluate`."""
    with lock(out.with_name(f"{out.name}.{shard.folder}") if shard else out):
        _open_run(out, json.loads(json.dumps({"model": model, **asdict(settings)})), work, shard.count if shard else None)
        for one in work:
            task, questions = one.task, one.questions
            folder = out / folder_name(task.name) / (shard.folder if shard else "")
            for variant in VARIANTS if settings.with_baselines else VARIANTS[:1]:
                asked = _variant(questions, variant)
                if asked is not None:
                    part = shard.part(asked) if shard else asked
                    _ask_all(engine, task, settings, part, folder / _file(variant), progress)
            if settings.with_baselines:
                write_json(folder / MAJORITY, asdict(controls.majority(questions, one.train)))
        if shard is None:
            _write_costs(out, settings.tasks)


def check_judge(settings: Settings, judge: Judge | None) -> None:
    """ValueError where a task is scored by a judge and there is none."""
    for name in settings.tasks:
        if judge is None and find_task(name).rubric is not None:
            raise ValueError(
                f"task {name!r} is scored by a judge; name one: --judge URL --judge-model NAME, or only ask with --shard 1/1 and "
                "let `dragonfly rescore` judge later"
            )


def _write_costs(out: Path, tasks: Sequence[str]) -> None:
    write_json(out / "cost.json", {name: summarize(out / folder_name(name)) for name in tasks})


def load_questions(settings: Settings) -> Work:
    """The questions of every task, and the rows that are none. ValueError, before a model is loaded, where all rows are."""
    work: Work = []
    for name in settings.tasks:
        task = find_task(name, settings.columns, settings.image_root)
        task.check()
        folder = folder_of(task, settings.data) if name in TASKS else None
        found = task.read(Path()) if folder is None else read_questions(task, folder)
        rows = list(islice(found, settings.limit))
        questions = [row for row in rows if isinstance(row, Question)]
        unreadable = tuple(row for row in rows if isinstance(row, BadRow))
        if not questions:
            first = f"; {unreadable[0]}; repair the row" if unreadable else ""
            raise ValueError(f"task {name!r} has no questions in {task.source}{first}")
        _check(name, task, questions, settings)
        train = read_train(task, folder) if folder and settings.with_baselines else None
        work.append(TaskQuestions(task, questions, train, unreadable))
    return work


def _check(name: str, task: TaskSpec, questions: list[Question], settings: Settings) -> None:
    ids = {question.id for question in questions}
    if len(ids) < len(questions):
        raise ValueError(f"task {name!r}: {len(questions) - len(ids)} questions share an id with another; ids must differ")
    render(settings.prompt or task.prompt, questions[0])
    for key in settings.by:
        if not any(key in question.meta for question in questions):
            known = sorted({key for question in questions for key in question.meta})
            raise ValueError(f"task {name!r} has no meta key {key!r} to break down by; known: {', '.join(known) or 'none'}")


def _open_run(out: Path, settings: dict[str, Any], work: Work, workers: int | None) -> None:
    """Write run.json, or check that the one that is there belongs to the same run."""
    path, counts = out / "run.json", {one.task.name: len(one.questions) for one in work}
    if path.is_file():
        run = read_run(out)
        recorded = run["settings"]
        if run.get("workers") != workers:
            asked = f"--shard I/{run['workers']}" if run.get("workers") else "no --shard"
            raise ValueError(
                f"{out} holds a run that was begun with {asked}; continue with that, or choose another folder with --out"
            )
        if different := [key for key in settings if recorded.get(key) != settings[key]]:
            raise ValueError(f"{out} holds a run with another {' and '.join(different)}; choose another folder with --out")
        if changed := [
            f"{name}: {run['questions'].get(name)}, now {count}"
            for name, count in counts.items()
            if run["questions"].get(name) != count
        ]:
            raise ValueError(
                f"{out} holds a run of other questions ({'; '.join(changed)}); the data changed: choose another --out"
            )
    elif out.is_dir() and any(not file.name.startswith(".run.json.") for file in out.iterdir()):  # another worker's, half written
        raise ValueError(f"{out} is not empty and holds no run; choose another folder with --out")
    else:
        unreadable = {one.task.name: list(map(str, one.unreadable)) for one in work if one.unreadable}
        about = {"settings": settings, "questions": counts, "unreadable": unreadable, "workers": workers}
        write_json(path, {**result_header(), **about})


def read_run(out: Path) -> dict[str, Any]:
    """run.json of a run folder. ValueError where there is none."""
    path = out / "run.json"
    if not path.is_file():
        raise ValueError(f"no run.json in {out}; give the folder that `dragonfly eval` wrote")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        _ = [document["questions"][name] for name in document["settings"]["tasks"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe a run ({error!r}); run the evaluation again") from None
    return document


def _variant(questions: list[Question], variant: str) -> list[Question] | None:
    if variant == "model":
        return questions
    if not any(question.images for question in questions):
        return None  # without images there is nothing to take away
    return controls.without_images(questions) if variant == "blind" else controls.with_shuffled_images(questions)


def _file(variant: str) -> str:
    return PREDICTIONS if variant == "model" else f"predictions-{variant}.jsonl"


def _ask_all(
    engine: Asker, task: TaskSpec, settings: Settings, questions: list[Question], path: Path, progress: Progress
) -> None:
    """Append the blocks that are not there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    template = settings.prompt or task.prompt
    done = keep_whole_blocks(path, questions, template)
    costs = path.with_name(f"cost{path.stem.removeprefix('predictions')}.jsonl")
    keep_costs(costs, done)
    label = f"{task.name} {path.stem.partition('-')[2].replace('_', ' ')}".strip()
    for start in range(done, len(questions), BLOCK):
        progress(label, start, len(questions))
        block = questions[start : start + BLOCK]
        rows = [
            Asked(list(question.images), render(template, question), question.system, question.evidence) for question in block
        ]
        answers = _ask_block(engine, rows, settings.batch_size, settings.max_new_tokens or task.max_new_tokens)
        records = [record_of(question, row.question, answer) for question, row, answer in zip(block, rows, answers, strict=True)]
        append(costs, [block_cost(start, answers)])
        append(path, records)
    progress(label, len(questions), len(questions))


def _ask_block(engine: Asker, rows: list[Asked], batch_size: int, max_new_tokens: int) -> list[Answer | str]:
    """An answer or an error message per row; if the block fails, its rows are asked one by one, so that only bad rows fail."""
    try:
        return [*engine.ask_batch(rows, batch_size=batch_size, max_new_tokens=max_new_tokens)]
    except Exception as error:
        if len(rows) == 1:
            return [one_line(error)]
    return [answer for row in rows for answer in _ask_block(engine, [row], 1, max_new_tokens)]


def rescore(out: Path, judge: Judge | None = None, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Score the predictions of a finished run, write scores.json and return it. Needs neither model nor data.

    The parts of several workers are joined first. A `judge` grades the replies that have no verdict yet. ValueError where the run
    is not finished or a verdict is missing.
    """
    run = read_run(out)
    settings = run["settings"]
    scores: dict[str, Any] = {"version": 1, "tasks": {}}
    for name in settings["tasks"]:
        task, folder = find_task(name), out / folder_name(name)
        task.check()
        variants = {"model": _answers(out, name, "model")}
        variants |= {variant: _answers(out, name, variant) for variant in VARIANTS[1:] if (folder / _file(variant)).is_file()}
        chosen = _majority(folder / MAJORITY) if settings["with_baselines"] else None
        if task.rubric is not None and chosen:
            variants["majority"] = [{**record, "reply": chosen["answer"]} for record in variants["model"]]
        if task.rubric is not None and judge is not None:
            judge_replies(task, variants, folder, judge, progress)
        read = {variant: with_verdicts(task, records, folder) for variant, records in variants.items()}
        unreadable = {"unreadable": rows} if (rows := run.get("unreadable", {}).get(name)) else {}
        scored = score_task(task, read, chosen, tuple(settings["by"]))
        scores["tasks"][name] = {**scored, **unreadable, **judge_name(task, folder)}
    if run.get("workers"):
        _write_costs(out, settings["tasks"])
    write_json(out / "scores.json", scores)
    return scores


def _majority(path: Path) -> dict[str, str]:
    """majority.json, which is written when all baselines are asked."""
    if not path.is_file():
        raise ValueError(f"the baselines of {path.parent} are not all asked; finish them with `dragonfly eval`")
    return json.loads(path.read_text(encoding="utf-8"))


def predictions_of(out: Path, task: str, variant: str = "model") -> list[dict[str, Any]]:
    """The records of a finished run, each with its judge's `verdict` where there is one. ValueError where it is not finished."""
    return with_verdicts(find_task(task), _answers(out, task, variant), out / folder_name(task))


def _answers(out: Path, task: str, variant: str) -> list[dict[str, Any]]:
    run, folder = read_run(out), out / folder_name(task)
    path, total = folder / _file(variant), run["questions"][task]
    if run.get("workers") and not (folder / PREDICTIONS).is_file():
        join_shards(folder, total, run["workers"], with_baselines=run["settings"]["with_baselines"])
    records = read_predictions(path)
    if len(records) != total:
        raise ValueError(f"{path} answers {len(records)} of {total} questions; finish it with `dragonfly eval`")
    return records
