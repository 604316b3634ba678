"""What a mix should give, before any data is there: rows per source and after each step, beside the paper's.

No number is invented: a source counts as the paper or its own page counts it, and a step takes away what its options imply (a
cap, a mixture). Where only the data can show what is taken away (duplicates, faults, leaks, excluded subsets), the count is
marked as an upper bound. No data file is opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .mix import Mix, MixSource
from .options import Cap, Mixture
from .quotas import Supply, quotas
from .sources import SOURCES

_OURS = "ours"
_LEGEND = f"<=: at most, before faults, duplicates, leaks and excluded subsets. {_OURS}: a count that the paper does not give."
_TAKES_UNKNOWN = {"validate", "dedupe_exact", "dedupe_images", "dedupe_text", "leak"}


@dataclass(frozen=True)
class PlannedSource:
    """`available` rows (None: not known), where the number is `published`, how many go `out`; the paper's, if it says.

    `at_most`: the counts are upper bounds.
    """

    name: str
    available: int | None
    published: str
    out: int | None
    at_most: bool
    paper: int | None


@dataclass(frozen=True)
class PlannedStep:
    """Rows after a step, with images and without (None: not known), and the paper's."""

    name: str
    with_images: int | None
    text: int | None
    at_most: bool
    paper: int | None
    paper_text: int | None = None


@dataclass(frozen=True)
class MixPlan:
    """What `plan` found; `plan_table` prints it."""

    name: str
    sources: tuple[PlannedSource, ...]
    steps: tuple[PlannedStep, ...]


def plan(mix: Mix) -> MixPlan:
    """The rows that `mix` should give per source and step."""
    states = [_available(source) for source in mix.sources]
    steps = [_after("read", mix.sources, states)]
    for step in mix.steps:
        if isinstance(step, Cap):
            states = [_capped(source, state, step.per_image) for source, state in zip(mix.sources, states, strict=True)]
        elif isinstance(step, Mixture):
            states = _drawn(mix.sources, states, step)
        elif step.step in _TAKES_UNKNOWN:
            states = [replace(state, at_most=True) for state in states]
        paper_text = step.expected_text if isinstance(step, Mixture) else None
        steps.append(replace(_after(step.step, mix.sources, states), paper=step.expected, paper_text=paper_text))
    return MixPlan(mix.name, tuple(states), tuple(steps))


def _available(entry: MixSource) -> PlannedSource:
    source = None if entry.format else SOURCES[entry.name]
    if source is None:
        count, published, left_out = None, "a source with a format: count it by reading", ()
    elif source.paper_rows is not None:
        count, published, left_out = source.paper_rows, f"paper, {source.paper_place}", source.not_in_paper_rows
    else:
        count, published, left_out = source.published_rows, f"{_OURS}, {source.published_place or 'not published'}", ()
    at_most = not set(entry.exclude) <= set(left_out)
    return PlannedSource(entry.name, count, published, count, at_most, entry.expected)


def _capped(entry: MixSource, state: PlannedSource, per_image: int) -> PlannedSource:
    images = None if entry.format else SOURCES[entry.name].images
    if entry.is_text or state.out is None:
        return state
    if images is None:
        return replace(state, at_most=True)
    return replace(state, out=min(state.out, per_image * images), at_most=True)


def _drawn(entries: Sequence[MixSource], states: list[PlannedSource], mixture: Mixture) -> list[PlannedSource]:
    supplies = [
        Supply(state.out, entry.is_text, entry.is_general, entry.weight, entry.rows)
        for entry, state in zip(entries, states, strict=True)
        if state.out is not None
    ]
    if len(supplies) < len(states):
        return [replace(state, out=None) for state in states]
    taken = quotas(supplies, mixture)
    return [replace(s, out=count, at_most=s.at_most and count == s.out) for s, count in zip(states, taken, strict=True)]


def _after(name: str, entries: Sequence[MixSource], states: Sequence[PlannedSource]) -> PlannedStep:
    with_images = [state for entry, state in zip(entries, states, strict=True) if not entry.is_text]
    text = [state for entry, state in zip(entries, states, strict=True) if entry.is_text]
    return PlannedStep(name, _total(with_images), _total(text), any(state.at_most for state in states), None)


def _total(states: Sequence[PlannedSource]) -> int | None:
    counts = [state.out for state in states]
    return None if None in counts else sum(count for count in counts if count is not None)


def plan_table(mix: Mix) -> str:
    """`plan(mix)` as two Markdown tables: the sources, then the steps."""
    planned = plan(mix)
    sources = [
        (s.name, _number(s.available), s.published, _number(s.out, s.at_most), _count(s.paper), _gap(s.out, s.paper))
        for s in planned.sources
    ]
    steps = [
        (
            s.name,
            _number(s.with_images, s.at_most),
            _number(s.text, s.at_most and s.text != 0),
            _paper(s),
            _gap(s.with_images, s.paper),
        )
        for s in planned.steps
    ]
    first = _table(("source", "rows", "counted by", "rows out", "paper", "gap"), sources)
    second = _table(("after", "rows with images", "text rows", "paper", "gap"), steps)
    return f"{planned.name}\n\n{first}\n{second}\n{_LEGEND}\n"


def _number(count: int | None, at_most: bool = False) -> str:
    return "not known" if count is None else f"{'<= ' if at_most else ''}{count:,}"


def _count(paper: int | None) -> str:
    return "not given" if paper is None else f"{paper:,}"


def _paper(step: PlannedStep) -> str:
    return _count(step.paper) + (f" + {step.paper_text:,} text" if step.paper_text else "")


def _gap(ours: int | None, paper: int | None) -> str:
    if ours is None or paper is None:
        return ""
    return f"{ours - paper:+,} ({(ours - paper) / paper:+.1%})" if ours != paper else "0"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in (heading, *rows)) for column in range(len(heading))]
    lines = [heading, ["-" * width for width in widths], *rows]
    return "".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |\n" for line in lines)
