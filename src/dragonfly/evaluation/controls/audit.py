"""A model asked again under every condition (`conditions`), and what follows (`summary`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dragonfly.files import one_line, result_header
from dragonfly.inference import Engine, Row
from dragonfly.lens.asker import LensAsker

from ..question import Question
from ..run import Progress, Settings, Work
from ..tasks import TaskSpec, render
from . import told
from .conditions import Donors, Made, Seen, conditions_of, donors_of
from .subject import EngineSubject, LensLookedAt, LensSubject, LookedAt, Reply, Subject, check_looked
from .summary import summarize

BLOCK = 32  # questions whose first answers are asked together
TOGETHER = 8  # changed images that are held at a time


@dataclass(frozen=True)
class Request:
    """What is asked: a task's questions, in the words of `prompt` (the task's own if None).

    Args:
        seed: of the random places and of who swaps with whom.
        curves: also delete and insert growing parts of the ranking; about 20 answers more for each question.
    """

    task: TaskSpec
    questions: Sequence[Question]
    prompt: str | None = None
    seed: int = 0
    curves: bool = False


def audit_model(
    engine: Engine | LensAsker,
    model: dict[str, Any],
    settings: Settings,
    work: Work,
    *,
    looked: LookedAt | LensLookedAt | None = None,
    seed: int = 0,
    curves: bool = False,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """The content of an audit file: a header, the settings, and every task's part.

    Args:
        model: `describe_model(engine)`.
        work: `load_questions(settings)`.
        looked: as `EngineSubject` takes it, or through a lens as `LensSubject` does.

    Raises:
        ValueError: where the model has no such `looked`, and as `audit`.
    """
    tasks: dict[str, Any] = {}
    for one in work:
        subject = _subject(engine, looked, settings, settings.max_new_tokens or one.task.max_new_tokens)
        found = audit(subject, Request(one.task, one.questions, settings.prompt, seed, curves), progress)
        tasks[one.task.name] = {"looked_at": subject.looked, **found, "unreadable": list(map(str, one.unreadable))}
    said = {key: value for key, value in asdict(settings).items() if key not in ("by", "with_baselines")}
    return {
        "kind": "audit",
        **result_header(),
        "model": model,
        "settings": {**said, "looked": looked, "seed": seed, "curves": curves},
        "tasks": tasks,
    }


def _subject(
    engine: Engine | LensAsker, looked: LookedAt | LensLookedAt | None, settings: Settings, length: int
) -> EngineSubject | LensSubject:
    chosen: Any = check_looked(looked, lensed=isinstance(engine, LensAsker))
    if not isinstance(engine, LensAsker):
        return EngineSubject(engine, chosen, batch_size=settings.batch_size, max_new_tokens=length)
    budget = {"max_tokens": engine.max_tokens, "max_calls": engine.max_calls, "max_new_tokens": length}
    return LensSubject(engine.lens, chosen or "close-ups", **budget)


def audit(subject: Subject, request: Request, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Ask all controls and return one task's part of an audit file.

    Questions without an image are left out and counted; one that cannot be asked is left out and named under `broken`.

    Raises:
        ValueError: where no question could be asked.
    """
    name = request.task.name
    with_image = sorted((one for one in request.questions if one.images), key=lambda one: one.id)
    seen, broken = _look(subject, request, with_image, progress)
    donors = {what: donors_of(seen, what, request.seed) for what in ("shuffled_image", *told.EVIDENCE)}
    records: list[dict[str, Any]] = []
    for number, one in enumerate(seen):
        progress(f"{name} controls", number, len(seen))
        try:
            records.append(_record(subject, one, donors, request))
        except Exception as error:  # as in an evaluation: one question's fault costs that question
            broken.append({"id": one.question.id, "error": one_line(error)})
    progress(f"{name} controls", len(seen), len(seen))
    if not records:
        first = f"; {broken[0]['id']}: {broken[0]['error']}" if broken else "; none has an image"
        raise ValueError(f"task {name!r}: none of {len(request.questions)} questions could be asked{first}")
    asked = {one.question.id: one.question for one in seen}
    return {
        "questions": len(request.questions),
        "asked": len(records),
        "without_image": len(request.questions) - len(with_image),
        "broken": broken,
        **summarize(request.task, [asked[record["id"]] for record in records], records, curves=request.curves),
        "records": records,
    }


def _look(
    subject: Subject, request: Request, questions: Sequence[Question], progress: Progress
) -> tuple[list[Seen], list[dict[str, str]]]:
    """The answers to the questions as they are."""
    seen: list[Seen] = []
    broken: list[dict[str, str]] = []
    for start in range(0, len(questions), BLOCK):
        progress(f"{request.task.name}", start, len(questions))
        block = questions[start : start + BLOCK]
        rows = [Row(list(one.images), render(request.prompt or request.task.prompt, one), one.system) for one in block]
        for question, row, reply in zip(block, rows, _each(subject, rows), strict=True):
            if isinstance(reply, str):
                broken.append({"id": question.id, "error": reply})
            else:
                seen.append(Seen(question, row.question, reply))
    progress(f"{request.task.name}", len(questions), len(questions))
    return seen, broken


def _each(subject: Subject, rows: Sequence[Row]) -> Sequence[Reply | str]:
    """A reply or an error message per row; if a block fails, its rows are asked one by one."""
    try:
        return list(subject.look(rows))
    except Exception as error:
        if len(rows) == 1:
            return [one_line(error)]
    return [reply for row in rows for reply in _each(subject, [row])]


def _record(subject: Subject, one: Seen, donors: Donors, request: Request) -> dict[str, Any]:
    """One question under every condition: where its evidence is, and the answers."""
    conditions, facts = conditions_of(subject, one, donors, seed=request.seed, curves=request.curves)
    record: dict[str, Any] = {"id": one.question.id, "group": one.question.group, "reply": one.reply.text, **facts}
    return {**record, "replies": _answers(subject, one, conditions)}


def _answers(subject: Subject, one: Seen, conditions: dict[str, Made]) -> dict[str, str]:
    names, found = list(conditions), dict[str, str]()
    for start in range(0, len(names), TOGETHER):
        part = names[start : start + TOGETHER]
        rows = [Row(list(conditions[name]()), one.text, one.question.system) for name in part]
        found |= zip(part, subject.answer(rows), strict=True)
    return found
