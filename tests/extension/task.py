"""A task: questions in a file of its own format, scored by a metric that is there or by one of your own."""

import csv
from collections.abc import Iterator
from pathlib import Path

from dragonfly.evaluation.metrics import short
from dragonfly.evaluation.question import Question
from dragonfly.evaluation.tasks import TASKS, TaskSpec


def read(folder: Path) -> Iterator[Question]:
    """colours.csv: image, question, answer."""
    with (folder / "colours.csv").open(encoding="utf-8", newline="") as file:
        for number, (image, question, answer) in enumerate(csv.reader(file)):
            yield Question(f"q{number}", question, (answer,), (str(folder / image),), group=image)


TASKS["colours"] = TaskSpec(
    name="colours",
    read=read,
    metrics=(short.EXACT,),
    split="all rows",
    source="colours.csv",
    citation="ours",
    licence="ours",
    parsing="exact match after normalisation",
    paper="not in it",
)
