"""The report of runs as blocks, and those as Markdown: runs side by side, then every task of every run.

A page without images is made from scores.json and cost.json alone; `Art` adds drawings and examples for formats that hold images.
Text in a block is plain: each format escapes its own markup. The same run folders give the same page.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dragonfly import markup
from dragonfly.files import check_suffix, write_text

from . import tables
from .reported import reported_rows, sources
from .runs import Run
from .verdict import comparison_verdict, standing


@dataclass(frozen=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Items:
    items: Sequence[str]


@dataclass(frozen=True)
class Rows:
    """A table: the head, then its rows."""

    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Verdict:
    """What the scores say, in a sentence or two."""

    text: str


@dataclass(frozen=True)
class Facts:
    """What a run is, by name, and the command that made it."""

    facts: Sequence[tuple[str, str]]
    command: str


@dataclass(frozen=True)
class Aside:
    """What a reader needs once: folded, where a format can fold."""

    summary: str
    texts: Sequence[str]


@dataclass(frozen=True)
class Drawing:
    """An encoded image, for formats that hold images."""

    data: bytes
    mime: str
    alt: str


@dataclass(frozen=True)
class Example:
    """One question with its prompt, accepted answers and replies; `replies` are (run, reply, confidence or None).

    `kind` is `right`, `wrong`, or `wrong and sure`; `verdict` is what is said of it.
    """

    kind: str
    verdict: str
    id: str
    question: str
    answers: Sequence[str]
    replies: Sequence[tuple[str, str, float | None]]
    drawings: Sequence[Drawing]
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Examples of one task, in order."""

    examples: Sequence[Example]


Block = Heading | Verdict | Facts | Aside | Text | Items | Rows | Drawing | Gallery

INTERVALS = (
    "Scores in percent with 95 % bootstrap intervals over images; p of a paired permutation test. An interval without width "
    "says that every image agrees; with few images that is no certainty."
)
BASELINES = (
    "Baselines: majority is the most frequent answer, random option a letter drawn without looking, blind the model without its "
    "image, shuffled image the model with another question's image. "
    f'A score marked "{tables.NO_BASELINE}" was not compared with any.'
)


def _nothing(*_: Any) -> Sequence[Block]:
    return ()


@dataclass(frozen=True)
class Art:
    """What draws the scores of a task over runs, a breakdown, a calibration, and examples. By default nothing is drawn."""

    scores: Callable[[str, Sequence[Run]], Sequence[Block]] = _nothing
    breakdown: Callable[[str, str, Run], Sequence[Block]] = _nothing
    calibration: Callable[[str, Run], Sequence[Block]] = _nothing
    examples: Callable[[str, Sequence[Run]], Sequence[Block]] = _nothing


PLAIN = Art()


def page(
    runs: Sequence[Run], comparison: dict[str, Any] | None = None, *, with_reported: bool = False, art: Art = PLAIN
) -> list[Block]:
    """All blocks. `comparison` is that of `compare` over the same runs, where there are several."""
    blocks: list[Block] = [Heading(1, "Evaluation"), *_verdicts(runs, comparison)]
    alone = len(runs) == 1 and len(runs[0].scores) == 1
    if alone:
        blocks += art.scores(next(iter(runs[0].scores)), runs)
    for run in runs:
        known = {"model": run.model, "date": run.date, "data": _data(run), "run": run.label}
        blocks.append(Facts([(name, text) for name, text in known.items() if text], run.command))
    how = [INTERVALS, BASELINES]
    if with_reported:
        how.append("Reported figures are what the papers print; they come without intervals, and their protocols differ.")
        how += [f"{version}: {title}" for version, title in sources().items()]
    blocks.append(Aside("How to read this", how))
    if comparison is not None:
        blocks += _side_by_side(runs, comparison, art)
    for run in runs:
        blocks += [Heading(2, f"Run {run.label}")] if len(runs) > 1 else []
        blocks += _modalities(run)
        for name in run.scores:
            side_by_side = comparison is not None and name in comparison["tasks"]
            used = replace(art, scores=_nothing) if side_by_side or alone else art
            blocks += _task(run, name, with_reported, replace(used, examples=_nothing) if side_by_side else used)
    return blocks


def _verdicts(runs: Sequence[Run], comparison: dict[str, Any] | None) -> list[Block]:
    if comparison is not None:
        labels = [run.label for run in runs]
        told = [Verdict(comparison_verdict(task, columns, labels)) for task, columns in comparison["tasks"].items()]
        named = [(run, name, run.audit_line(name)) for run in runs for name in comparison["tasks"]]
        lines = [f"{run.label}, {name}: {line}" for run, name, line in named if line]
        return [*told, *([Items(lines)] if lines else [])]
    run, scores = runs[0], runs[0].scores
    if len(scores) == 1:
        return [Verdict(run.verdict(name)) for name in scores]
    counts = Counter(standing(task) for task in scores.values())
    told = ", ".join(f"{count} {standing} their baselines" for standing, count in counts.items())
    return [Verdict(f"{len(scores)} tasks: {told}."), Items([f"{name}: {run.verdict(name)}" for name in scores])]


def _data(run: Run) -> str:
    asked = [f"{name} ({task['questions']} questions, {tables.image_count(task)})" for name, task in run.scores.items()]
    return ", ".join(asked)


def _side_by_side(runs: Sequence[Run], comparison: dict[str, Any], art: Art) -> list[Block]:
    blocks: list[Block] = [Heading(2, "Side by side"), Text("p tests each run against the first, on the same questions.")]
    for task in comparison["tasks"]:
        scores = [{"tasks": run.scores} for run in runs]
        blocks += [Heading(3, task), *art.scores(task, runs), Rows(tables.comparison_rows(comparison, task, scores))]
        if any(run.costs for run in runs):
            costs = [run.costs.get(task, {}) for run in runs]
            blocks.append(Rows(tables.comparison_cost_rows([run.label for run in runs], costs)))
        blocks += art.examples(task, runs)
    if comparison["left_out"]:
        blocks.append(Text(f"Not in every run, so left out: {', '.join(comparison['left_out'])}."))
    return blocks


def _modalities(run: Run) -> list[Block]:
    rows = tables.modality_rows(run.scores)
    return [Heading(2, "By modality"), Rows(rows)] if len(rows) > 1 else []


def _task(run: Run, name: str, with_reported: bool, art: Art) -> list[Block]:
    task = run.scores[name]
    blocks: list[Block] = [Heading(2, name), Text(f"{tables.headline(name, task)}; split: {task['split']}.")]
    blocks += [*art.scores(name, [run]), Rows(tables.rows(task))]
    if "majority" in task["baselines"]:
        majority = task["baselines"]["majority"]
        blocks.append(Text(f'Majority answer: "{majority["answer"]}", counted in the {majority["origin"]}.'))
    if rows := task.get("unreadable"):
        blocks += [Text(f"{len(rows)} rows are no question and are left out:"), Items(rows)]
    if task["broken"]:
        blocks.append(Text(f"{len(task['broken'])} questions could not be asked and count as wrong:"))
        blocks.append(Items([f"{row['id']}: {row['error']}" for row in task["broken"]]))
    for key in tables.breakdown_keys(task):
        blocks += [Heading(3, f"By {key}"), *art.breakdown(name, key, run), Rows(tables.breakdown_rows(task, key))]
    if task.get("hallucination"):
        blocks += [Heading(3, "Hallucination"), Rows(tables.hallucination_rows(task))]
        blocks += [Rows(tables.set_rows(task))] if task["hallucination"]["sets"] else []
    if task.get("calibration"):
        error = f"Expected calibration error {100 * task['calibration']['error']:.1f} % over {task['calibration']['n']} replies."
        blocks += [Heading(3, "Calibration"), Text(error), *art.calibration(name, run), Rows(tables.calibration_rows(task))]
    if run.costs.get(name):
        blocks += [Heading(3, "Cost, mean per question"), Rows(tables.cost_rows(run.costs[name]))]
    if with_reported:
        rows = reported_rows(name, task)
        blocks += [Heading(3, "Reported"), Rows(rows)] if len(rows) > 1 else []
    return [*blocks, *art.examples(name, [run])]


def write_markdown(blocks: Sequence[Block], path: Path) -> None:
    check_suffix(path, (".md", ".markdown", ".txt"))
    write_text(path, markdown(blocks))


def markdown(blocks: Sequence[Block]) -> str:
    """The blocks as Markdown, without images and examples."""
    return "\n\n".join(part for block in blocks if (part := _markdown(block))) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {markup.markdown(text)}"
        case Text(text):
            return markup.markdown(text)
        case Verdict(text):
            return f"**{markup.markdown(text)}**"
        case Facts(facts, command):
            lines = [f"- {name}: {markup.markdown(text)}" for name, text in facts]
            return "\n".join([*lines, f"- command: {markup.markdown(command)}"])
        case Aside(_, texts):
            return "\n\n".join(markup.markdown(text) for text in texts)
        case Items(items):
            return "\n".join(f"- {markup.markdown(item)}" for item in items)
        case Rows(rows):
            return tables.as_table([[markup.markdown(cell) for cell in row] for row in rows])
        case _:
            return ""
