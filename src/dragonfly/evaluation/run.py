"""Engine x task -> predictions.jsonl, and from these files the scores.

A run folder holds run.json (what was run, on what, with the header of every result file), scores.json (the same bytes
however often the run was interrupted), cost.json (what it took) and one folder per task with predictions.jsonl of the
model and of each baseline. Questions are asked in fixed blocks; a block is written whole, and what is written is never asked
again. predictions.jsonl holds all that scoring needs, so `rescore` needs neither the model nor the data.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from dragonfly.files import result_header, sha256, write_json
from dragonfly.inference import Answer, Row

from . import baselines
from .cost import block_cost, keep_costs, summarize
from .predictions import BLOCK, append, keep_whole_blocks, read_predictions, record_of
from .questions import Question
from .scoring import score_task
from .tasks import TASKS, MissingDataError, TaskSpec, find_task, render

VARIANTS = ("model", "no_picture", "shuffled_picture")


class Asker(Protocol):
    """What is asked of a model; `Engine` is one."""

    def ask_batch(self, rows: Sequence[Row], *, batch_size: int, **options: Any) -> list[Answer]: ...


Work = list[tuple[TaskSpec, list[Question], list[Question] | None]]
"""Every task with its questions and those of its train split, where there is one."""

Progress = Callable[[str, int, int], None]
"""(what is asked, done, of how many)"""


@dataclass(frozen=True)
class Settings:
    """What decides, with the model, the replies and the scores. A run folder holds one set of settings.

    `prompt` and `max_new_tokens` replace the tasks' own, `by` their breakdown keys.
    """

    tasks: tuple[str, ...]
    data: str | None = None
    limit: int | None = None
    prompt: str | None = None
    max_new_tokens: int | None = None
    by: tuple[str, ...] = ()
    batch_size: int = 8
    with_baselines: bool = True

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
    if not colon:
        return task
    stem = re.sub(r"[^\w-]+", "_", Path(path).stem)[:40]
    return f"{kind}-{stem}-{sha256(task.encode())[:8]}"


def evaluate(
    engine: Asker, model: dict[str, Any], settings: Settings, work: Work, out: Path, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """Run or finish the run in `out` and return what scores.json holds.

    `model` describes the engine (JSON-able, equal only for an equal model); `work` is `load_questions(settings)`.
    ValueError where `out` holds a run of another model or with other settings.
    """
    counts = {task.name: len(questions) for task, questions, _ in work}
    _open_run(out, json.loads(json.dumps({"model": model, **asdict(settings)})), counts)
    for task, questions, train in work:
        folder = out / folder_name(task.name)
        for variant in VARIANTS if settings.with_baselines else VARIANTS[:1]:
            asked = _variant(questions, variant)
            if asked is not None:
                _ask_all(engine, task, settings, asked, folder / _file(variant), progress)
        if settings.with_baselines:
            write_json(folder / "majority.json", asdict(baselines.majority(questions, train)))
    write_json(out / "cost.json", {task.name: summarize(out / folder_name(task.name)) for task, _, _ in work})
    return rescore(out)


def load_questions(settings: Settings) -> Work:
    """The questions of every task. All faults of the data but broken pictures show here, before a model is loaded."""
    work: Work = []
    for name in settings.tasks:
        task = find_task(name)
        task.check()
        if settings.data is None and name in TASKS:
            raise ValueError(f"task {name!r} reads {task.source}; name the folder that holds it: --data DIR")
        data = Path(settings.data or ".")
        questions = list(islice(task.read(data), settings.limit))
        if not questions:
            raise ValueError(f"task {name!r} has no questions in {task.source}")
        _check(name, task, questions, settings)
        work.append((task, questions, _train(task, data) if settings.with_baselines else None))
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


def _train(task: TaskSpec, data: Path) -> list[Question] | None:
    try:
        return list(task.train(data)) if task.train else None
    except MissingDataError:  # the train split need not lie beside the test split; the report says what was counted
        return None


def _open_run(out: Path, mine: dict[str, Any], counts: dict[str, int]) -> None:
    """Write run.json, or check that the one that is there belongs to the same run."""
    path = out / "run.json"
    if path.is_file():
        theirs = read_run(out)["settings"]
        if different := [key for key in mine if theirs.get(key) != mine[key]]:
            raise ValueError(f"{out} holds a run with another {' and '.join(different)}; choose another folder with --out")
    elif out.is_dir() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no run; choose another folder with --out")
    else:
        write_json(path, {**result_header(), "settings": mine, "questions": counts})


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
        return None  # without pictures there is nothing to take away
    return baselines.without_pictures(questions) if variant == "no_picture" else baselines.with_shuffled_pictures(questions)


def _file(variant: str) -> str:
    return "predictions.jsonl" if variant == "model" else f"predictions-{variant}.jsonl"


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
        rows = [Row(list(question.images), render(template, question), question.system) for question in block]
        answers = _ask_block(engine, rows, settings.batch_size, settings.max_new_tokens or task.max_new_tokens)
        records = [record_of(question, row.question, answer) for question, row, answer in zip(block, rows, answers, strict=True)]
        append(costs, [block_cost(start, answers)])
        append(path, records)
    progress(label, len(questions), len(questions))


def _ask_block(engine: Asker, rows: list[Row], batch_size: int, max_new_tokens: int) -> list[Answer | str]:
    """An answer or a fault for every row; if the block fails, its rows are asked one by one, so a bad row harms no other."""
    try:
        return [*engine.ask_batch(rows, batch_size=batch_size, max_new_tokens=max_new_tokens)]
    except ValueError as error:
        if len(rows) == 1:
            return [" ".join(str(error).split())]
    return [answer for row in rows for answer in _ask_block(engine, [row], 1, max_new_tokens)]


def rescore(out: Path) -> dict[str, Any]:
    """Score the predictions of a finished run again, write scores.json and return it. Needs no model and no data."""
    settings = read_run(out)["settings"]
    scores: dict[str, Any] = {"version": 1, "tasks": {}}
    for name in settings["tasks"]:
        folder = out / folder_name(name)
        variants = [variant for variant in VARIANTS if variant == "model" or (folder / _file(variant)).is_file()]
        replies = {variant: predictions_of(out, name, variant) for variant in variants}
        majority = folder / "majority.json"
        chosen = json.loads(majority.read_text(encoding="utf-8")) if majority.is_file() else None
        find_task(name).check()
        scores["tasks"][name] = score_task(find_task(name), replies, chosen, tuple(settings["by"]))
    write_json(out / "scores.json", scores)
    return scores


def predictions_of(out: Path, task: str, variant: str = "model") -> list[dict[str, Any]]:
    """What a finished run answered. ValueError where the run is not finished."""
    path, total = out / folder_name(task) / _file(variant), read_run(out)["questions"][task]
    records = read_predictions(path)
    if len(records) != total:
        raise ValueError(f"{path} answers {len(records)} of {total} questions; finish it with `dragonfly eval`")
    return records
