"""What a finished run gave, beside what its plan and the paper expected: two Markdown tables for the data card."""

from collections.abc import Mapping, Sequence
from typing import Any

from .mix import Mix, MixSource
from .plan import gap, number, paper_count, plan
from .sources import SOURCES

SOURCES_HEAD = ("source", "rows expected", "rows read", "samples expected", "samples read", "rows out", "paper")
STEPS_HEAD = ("after", "with images expected", "with images", "text expected", "text", "paper", "gap to the paper")

Tables = tuple[list[tuple[str, ...]], list[tuple[str, ...]]]


def expected_tables(mix: Mix, records: Sequence[Mapping[str, Any]]) -> Tables:
    """(lines by source, lines by step) of a run whose steps left these records; heads are `SOURCES_HEAD` and `STEPS_HEAD`.

    Samples are as the paper counts: questions of SVIT, rows of all others. The gap is theirs until some are drawn.
    """
    planned, read, last = plan(mix), records[0], records[-1]
    samples = {source.name: _samples(source, read) for source in mix.sources}
    sources = [
        (
            source.name,
            number(source.available),
            number(read["by_source"].get(source.name, 0)),
            number(source.samples),
            number(samples[source.name]),
            number(last["by_source"].get(source.name, 0)),
            number(source.paper, unknown=""),
        )
        for source in planned.sources
    ]
    counted = sum(samples[source.name] for source in mix.sources if not source.is_text)
    steps = [
        (
            step.name,
            _planned(step.with_images, step.at_most),
            number(record["with_images"]),
            _planned(step.text, step.at_most and step.text != 0),
            number(record["out"] - record["with_images"]),
            paper_count(step),
            gap(counted if step.samples not in (None, step.with_images) else record["with_images"], step.paper),
        )
        for step, record in zip(planned.steps, records, strict=True)
    ]
    return sources, steps


def _planned(count: int | None, at_most: bool) -> str:
    return number(count, at_most).replace("<= ", "at most ")  # the sign would be escaped in Markdown


def _samples(source: MixSource, read: Mapping[str, Any]) -> int:
    questions = source.format is None and SOURCES[source.name].questions is not None
    return read["questions" if questions else "by_source"].get(source.name, 0)
