"""What a mix should give, before any data is there: rows per source and after each step, beside the paper's.

No number is invented: a source counts as the paper or its own page counts it, and a step takes away what its options imply (a
cap, a mixture). Where only the data can show what is taken away (duplicates, faults, leaks, excluded subsets), the count is
marked as an upper bound. Rows are counted, and beside them samples, as the paper counts: SVIT by questions, of which a row may
hold several, all others by rows. No data file is opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .mix import Mix, MixSource
from .options import Cap, Mixture
from .quotas import Supply, quotas
from .sources import SOURCES

_OURS = "ours"
_LEGEND = (
    f"<=: at most, before faults, duplicates, leaks and excluded subsets. {_OURS}: a count that the paper does not give. "
    "Samples: as the paper counts, where that is not rows (SVIT's questions, of which a row may hold several); the gap is then "
    "theirs."
)
_TAKES_UNKNOWN = {"validate", "dedupe_exact", "dedupe_images", "dedupe_text", "leak"}


@dataclass(frozen=True)
class PlannedSource:
    """`available` rows (None: not known), where the number is `published`, how many go `out`; the paper's, if it says.

    `at_most`: the counts are upper bounds. `samples`: what `available` is as the paper counts it.
    """

    name: str
    available: int | None
    published: str
    out: int | None
    at_most: bool
    paper: int | None
    samples: int | None = None


@dataclass(frozen=True)
class PlannedStep:
    """Rows after a step, with images and without (None: not known), and the paper's.

    `samples`: the rows with images as the paper counts them, None once some were drawn.
    """

    name: str
    with_images: int | None
    text: int | None
    at_most: bool
    paper: int | None
    paper_text: int | None = None
    samples: int | None = None


@dataclass(frozen=True)
class MixPlan:
    """What `plan` found; `plan_table` prints it."""

    name: str
    sources: tuple[PlannedSource, ...]
    steps: tuple[PlannedStep, ...]


def plan(mix: Mix) -> MixPlan:
    """The rows that `mix` should give per source and step."""
    available = states = [_available(source) for source in mix.sources]
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
    sources = [replace(state, samples=first.samples) for first, state in zip(available, states, strict=True)]
    return MixPlan(mix.name, tuple(sources), tuple(steps))


def _available(entry: MixSource) -> PlannedSource:
    source = None if entry.format else SOURCES[entry.name]
    if source is None:
        count, published, left_out = None, "a source with a format: count it by reading", ()
    elif source.paper_rows is not None:
        count, published, left_out = source.paper_rows, f"paper, {source.paper_place}", source.not_in_paper_rows
    else:
        count, published, left_out = source.published_rows, f"{_OURS}, {source.published_place or 'not published'}", ()
    samples = source.questions if source is not None and source.questions is not None else count
    at_most = not set(entry.exclude) <= set(left_out) or samples != count
    return PlannedSource(entry.name, count, published, count, at_most, entry.expected, samples)


def _capped(entry: MixSource, state: PlannedSource, per_image: int) -> PlannedSource:
    images = None if entry.format else SOURCES[entry.name].images
    if entry.is_text or state.out is None:
        return state
    if images is None:
        return replace(state, at_most=True, samples=None)
    return replace(state, out=min(state.out, per_image * images), at_most=True, samples=None)


def _drawn(entries: Sequence[MixSource], states: list[PlannedSource], mixture: Mixture) -> list[PlannedSource]:
    supplies = [
        Supply(state.out, entry.is_text, entry.is_general, entry.weight, entry.rows)
        for entry, state in zip(entries, states, strict=True)
        if state.out is not None
    ]
    if len(supplies) < len(states):
        return [replace(state, out=None, samples=None) for state in states]
    taken = quotas(supplies, mixture)
    return [
        replace(s, out=count, at_most=s.at_most and count == s.out, samples=s.samples if count == s.out else None)
        for s, count in zip(states, taken, strict=True)
    ]


def _after(name: str, entries: Sequence[MixSource], states: Sequence[PlannedSource]) -> PlannedStep:
    with_images = [state for entry, state in zip(entries, states, strict=True) if not entry.is_text]
    text = [state for entry, state in zip(entries, states, strict=True) if entry.is_text]
    rows, samples = _total([state.out for state in with_images]), _total([state.samples for state in with_images])
    text_rows = _total([state.out for state in text])
    return PlannedStep(name, rows, text_rows, any(state.at_most for state in states), None, samples=samples)


def _total(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else sum(count for count in counts if count is not None)


def plan_table(mix: Mix) -> str:
    """`plan(mix)` as two Markdown tables: the sources, then the steps."""
    planned = plan(mix)
    sources = [
        (
            s.name,
            number(s.available),
            _samples(s.samples, s.available),
            s.published,
            number(s.out, s.at_most),
            _count(s.paper),
            gap(s.out, s.paper),
        )
        for s in planned.sources
    ]
    steps = [
        (
            s.name,
            number(s.with_images, s.at_most),
            _samples(s.samples, s.with_images),
            number(s.text, s.at_most and s.text != 0),
            paper_count(s),
            gap(s.with_images if s.samples is None else s.samples, s.paper),
        )
        for s in planned.steps
    ]
    first = _table(("source", "rows", "samples", "counted by", "rows out", "paper", "gap"), sources)
    second = _table(("after", "rows with images", "samples", "text rows", "paper", "gap"), steps)
    return f"{planned.name}\n\n{first}\n{second}\n{_LEGEND}\n"


def number(count: int | None, at_most: bool = False, unknown: str = "not known") -> str:
    return unknown if count is None else f"{'<= ' if at_most else ''}{count:,}"


def _samples(count: int | None, rows: int | None) -> str:
    return "" if count is None or count == rows else f"{count:,}"


def _count(paper: int | None) -> str:
    return "not given" if paper is None else f"{paper:,}"


def paper_count(step: PlannedStep) -> str:
    return _count(step.paper) + (f" + {step.paper_text:,} text" if step.paper_text else "")


def gap(ours: int | None, paper: int | None) -> str:
    if ours is None or paper is None:
        return ""
    return f"{ours - paper:+,} ({(ours - paper) / paper:+.1%})" if ours != paper else "0"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in (heading, *rows)) for column in range(len(heading))]
    lines = [heading, ["-" * width for width in widths], *rows]
    return "".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |\n" for line in lines)
