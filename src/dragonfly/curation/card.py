"""The data card: what is in the set, where it came from, on which terms, and what every step did, as Markdown.

Promises that every number is the manifest's or a step's own, and that no text of the data can break the page.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from dragonfly.data import Manifest, Sample

_EXAMPLES, _EXAMPLE_LETTERS = 6, 300
_COMMON = ("step", "in", "out", "dropped", "with_images", "by_source")


def data_card(name: str, records: Sequence[dict[str, Any]], folder: Path) -> str:
    """The card of the set in `folder`, from its manifests and the steps' records."""
    train = Manifest.open(folder)
    aside = Manifest.open(folder / "eval") if (folder / "eval").is_dir() else None
    counts = train.counts
    held = f", and {len(aside):,} rows set aside in `eval/`" if aside else ""
    lines = [
        f"# {_plain(name)}",
        "",
        f"{len(train):,} rows, {counts['images']:,} images in them, {counts['answers']:,} answers{held}.",
        f"Manifest sha256 `{train.sha256}`.",
        "",
        "## Sources",
        "",
        *_table(("source", "rows"), counts["by_source"].items()),
        "",
        "## Licences",
        "",
        "As the sources state them; whoever uses the set must keep them all.",
        "",
        *_table(("licence", "rows"), train.licences.items()),
        "",
        "## Steps",
        "",
        *_table(("step", "rows in", "rows out", "of these with images", "dropped"), map(_step, records)),
        "",
        *[line for record in records for line in _details(record)],
        "## Examples",
        "",
        *[line for sample in _spread(train) for line in _example(sample)],
    ]
    return "\n".join(lines).rstrip() + "\n"


def _step(record: dict[str, Any]) -> tuple[Any, ...]:
    dropped = "; ".join(f"{reason}: {number:,}" for reason, number in record["dropped"].items()) or "none"
    return record["step"], record["in"], record["out"], record["with_images"], dropped


def _details(record: dict[str, Any]) -> list[str]:
    """What a step reports beside its counts."""
    more = {key: value for key, value in record.items() if key not in _COMMON}
    if "taken_of" in more:
        taken = more.pop("taken_of")
        rows = ((name, asked, available) for name, (asked, available) in taken.items())
        return ["What the mixture took:", "", *_table(("kind: source", "taken", "of"), rows), "", *_told(record, more)]
    return _told(record, more)


def _told(record: dict[str, Any], more: dict[str, Any]) -> list[str]:
    return [f"{record['step']}: {', '.join(f'{key} {value}' for key, value in more.items())}.", ""] if more else []


def _table(heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    cells = [[f"{cell:,}" if isinstance(cell, int) else _plain(str(cell)) for cell in row] for row in rows]
    return [_row(heading), _row(["---"] * len(heading)), *map(_row, cells)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(manifest: Manifest) -> Iterable[Sample]:
    step = max(1, len(manifest) // _EXAMPLES)
    return islice((manifest[index] for index in range(0, len(manifest), step)), _EXAMPLES)


def _example(sample: Sample) -> list[str]:
    said = [f"- {message.role}: {_plain(message.text[:_EXAMPLE_LETTERS])}" for message in sample.messages]
    return [f"{_plain(sample.id)} ({len(sample.images)} images)", "", *said, ""]


def _plain(text: str) -> str:
    """One line that Markdown and HTML take as text."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]|#" else letter for letter in line)
