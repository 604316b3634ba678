"""The last table becomes the set: manifests for training and evaluation, images that came inside files, and the data card.

The same rows give the same bytes. Rows keep the order in which they were read, and image files of the sources stay where they
are. The card names contents, origins, terms and what every step did, as Markdown; its numbers are the manifest's or a step's own,
and text of the data cannot break the page.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from dragonfly.data import ImageRef, Manifest, Sample, write_manifest
from dragonfly.markup import markdown

from .expected import SOURCES_HEAD, STEPS_HEAD, expected_tables
from .mix import Mix
from .table import Table, samples_of

IMAGES = "images"
EVAL = "eval"

_EXAMPLES, _EXAMPLE_LETTERS = 6, 300
_COMMON = ("step", "in", "out", "dropped", "with_images", "by_source", "questions")


def write_set(table: Table, folder: Path, store: Path) -> Path:
    """Write the rows of `split` train into the empty `folder`, those of eval below it; return the train manifest's path.

    Images of `store` are linked (or copied, on another disk) into `folder`/images where a row has them.
    """
    stored: dict[Path, Path] = {}

    def located(sample: Sample) -> Sample:
        return replace(sample, images=tuple(_located(image, folder, store, stored) for image in sample.images))

    manifest = write_manifest(map(located, _samples(table, "train")), folder)
    if "eval" in table.read("split")["split"].unique().to_pylist():
        write_manifest(map(located, _samples(table, "eval")), folder / EVAL)
    for source, target in stored.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    return manifest


def _samples(table: Table, split: str) -> Iterator[Sample]:
    for part in table.batches():
        sides = part["split"].to_pylist()
        yield from (sample for sample, side in zip(samples_of(part), sides, strict=True) if side == split)


def _located(image: ImageRef, folder: Path, store: Path, stored: dict[Path, Path]) -> ImageRef:
    """The image at its final path: below `folder` if it is now below `store`, else unchanged."""
    path = Path(image.path or "")
    if not path.is_relative_to(store):
        return image
    target = folder / IMAGES / path.relative_to(store)
    stored[path] = target
    return replace(image, path=str(target))


def data_card(mix: Mix, records: Sequence[dict[str, Any]], folder: Path) -> str:
    """The card of the set in `folder`, from its manifests and the steps' records."""
    sources, steps = expected_tables(mix, records)
    train = Manifest.open(folder)
    aside = Manifest.open(folder / "eval") if (folder / "eval").is_dir() else None
    counts = train.counts
    held = f", and {len(aside):,} rows set aside in `eval/`" if aside else ""
    lines = [
        f"# {markdown(mix.name)}",
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
        "## Expected beside actual",
        "",
        "Expected: what `--plan` said. Samples: as the paper counts, SVIT by questions and all others by rows.",
        "",
        *_table(SOURCES_HEAD, sources),
        "",
        *_table(STEPS_HEAD, steps),
        "",
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
        return ["What the mixture took:", "", *_table(("kind: source", "taken", "of"), rows), "", *_other_counts(record, more)]
    return _other_counts(record, more)


def _other_counts(record: dict[str, Any], more: dict[str, Any]) -> list[str]:
    return [f"{record['step']}: {', '.join(f'{key} {value}' for key, value in more.items())}.", ""] if more else []


def _table(heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    cells = [[f"{cell:,}" if isinstance(cell, int) else markdown(str(cell)).replace("|", "\\|") for cell in row] for row in rows]
    return [_row(heading), _row(["---"] * len(heading)), *map(_row, cells)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(manifest: Manifest) -> Iterable[Sample]:
    step = max(1, len(manifest) // _EXAMPLES)
    return islice((manifest[index] for index in range(0, len(manifest), step)), _EXAMPLES)


def _example(sample: Sample) -> list[str]:
    turns = [f"- {message.role}: {markdown(message.text[:_EXAMPLE_LETTERS])}" for message in sample.messages]
    return [f"{markdown(sample.id)} ({len(sample.images)} images)", "", *turns, ""]
