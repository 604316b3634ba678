"""The last table becomes the set: a manifest that training reads, one for evaluation, the images that came inside files.

Promises that the same rows give the same bytes, and that image files of the sources stay where they are. Rows keep the order in
which they were read. Knows nothing of how the rows were chosen.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dragonfly.data import ImageRef, Sample, write_manifest

from .table import Table, samples_of

IMAGES = "images"
EVAL = "eval"


def write_set(table: Table, folder: Path, store: Path) -> Path:
    """Write the rows of `split` train into the empty `folder`, those of eval below it, and give the train manifest's path.

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
    """The image where it will be: below `folder` if it is now below `store`, else where it is."""
    path = Path(image.path or "")
    if not path.is_relative_to(store):
        return image
    target = folder / IMAGES / path.relative_to(store)
    stored[path] = target
    return replace(image, path=str(target))
