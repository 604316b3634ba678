"""What a keep rule needs to know of the data, for a model that was not trained with it.

`calibrate` makes the shared mean of policy `centred`, from pictures alone. `calibrate_model` does so for a model directory, or
learns the map of policy `question` from evidence (`question_map`), and writes a new one; `shared_mean_of` lends a mean to a model
that has none, while a study asks it.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from dragonfly.data import ImageRef, Sample, read
from dragonfly.files import ORIGIN, atomic_directory, result_header, write_json
from dragonfly.imaging import load_picture
from dragonfly.inference import Engine, load
from dragonfly.inference.locate import locate
from dragonfly.models.shared_mean import SharedMean

from .evidence import read_located
from .question_map import Learned, learn_question_map

LENT_PICTURES = 64


@dataclass(frozen=True)
class Calibration:
    """What the shared mean was made of, and its length beside that of a summary without it (root mean square)."""

    pictures: int
    sub_images: int
    mean_norm: float
    residual_norm: float

    def summary(self) -> str:
        return (
            f"shared mean of {self.sub_images} sub-images of {self.pictures} pictures: length {self.mean_norm:.3g}, "
            f"what is left of a summary {self.residual_norm:.3g}"
        )


def calibrate(engine: Engine, pictures: Iterable[Any]) -> Calibration:
    """Set the shared mean of a loaded model to the mean summary of all mid and high sub-images of `pictures`.

    One picture at a time, sums in float64: the result does not depend on their order beyond rounding.

    Args:
        engine: a model that has a place for a shared mean: its keep rule is `centred`.
        pictures: anything that `imaging.load_picture` takes.

    Raises:
        ValueError: if the model has another keep rule, or there is no picture with mid or high sub-images.
    """
    images = engine.processor.image_processor
    model: Any = engine.model.model  # what a module holds besides tensors is not known to its type
    if not hasattr(model, "shared_mean"):
        raise ValueError(
            f"'{engine.name}' has the policy '{images.spec.selection.policy}' and no shared mean; "
            "load it with model.selection.policy=centred"
        )
    everything = {**images.encoder, "selection": {"policy": "all"}}  # pyright: ignore[reportGeneralTypeIssues]
    total, squares, seen, number = 0.0, 0.0, 0, 0
    for picture in pictures:
        number += 1
        image = load_picture(picture, images.picture_policy).image
        batch = images([image], encoder=everything, return_tensors="pt")
        finer = batch["pixel_values"][0, batch["layouts"][0].count("low") :]
        if len(finer):  # a small picture may have the low level alone
            with torch.inference_mode():
                rows = model.summarise(finer.to(engine.device)).double().cpu()
            total, squares, seen = total + rows.sum(dim=0), squares + float(rows.square().sum()), seen + len(rows)
    if not seen:
        raise ValueError(f"{number} pictures and none with mid or high sub-images: nothing to calibrate on; give others")
    mean = torch.as_tensor(total) / seen
    model.shared_mean.set(mean.float(), seen)
    norm = float(mean.norm())
    return Calibration(number, seen, norm, max(squares / seen - norm**2, 0.0) ** 0.5)


@contextmanager
def shared_mean_of(engine: Engine, pictures: Iterable[str | bytes], wanted: bool) -> Generator[str | None]:
    """Lend a model that has no shared mean that of the first of these pictures, for a while. Yields where it is from."""
    base: Any = engine.model.model
    own = getattr(base, "shared_mean", None)
    if not wanted:
        yield None
    elif own is not None and own.value() is not None:
        yield "checkpoint"
    else:
        some = list(dict.fromkeys(pictures))[:LENT_PICTURES]
        base.shared_mean = SharedMean(engine.model.config.get_text_config().hidden_size).to(engine.device)
        try:
            calibrate(engine, some)
            yield f"{len(some)} of these pictures"
        finally:
            del base.shared_mean
            if own is not None:
                base.shared_mean = own


def calibrate_model(
    model: str | None,
    data: str | Path,
    output: str | Path,
    *,
    limit: int = 500,
    overrides: Sequence[str] = (),
    device: str = "auto",
) -> Calibration | Learned:
    """A model directory with policy `centred` and its shared mean, from the first `limit` pictures of `data`.

    With the override `model.selection.policy=question`, one with that policy and a map learned from the evidence of `data`.

    Args:
        model: directory or hub name; None for the bundled model.
        data: what `dragonfly train` reads: a manifest, or a file or folder of rows; for policy `question` a manifest.
        output: the new directory.

    Raises:
        ValueError: if `data` holds no picture (or no evidence), `output` exists, or the model cannot take the policy.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    sources = list(islice(distinct_pictures(read(str(data))), limit))
    if not sources:
        raise ValueError(f"{data} holds no pictures; give rows that name some")
    with atomic_directory(output) as folder:
        engine = load(model, device=device, overrides=["model.selection.policy=centred", *overrides])
        if hasattr(engine.model.model, "question_map"):
            wanted = {image.source for image in sources}
            done = learn_question_map(engine, [one for one in read_located(data) if one.picture in wanted])
        else:
            done = calibrate(engine, (image.source for image in sources))
        engine.model.save_pretrained(folder)
        engine.processor.save_pretrained(folder)
        write_json(folder / ORIGIN, _origin(model, done))
    return done


def distinct_pictures(rows: Iterable[Any]) -> Iterator[ImageRef]:
    """Every picture of the usable rows once, in their order."""
    seen: set[Any] = set()
    for row in rows:
        for image in row.images if isinstance(row, Sample) else ():
            if image.source not in seen:
                seen.add(image.source)
                yield image


def _origin(model: str | None, done: Calibration | Learned) -> dict[str, Any]:
    """The origin of the model, and what was done to it."""
    file = locate(model, weights=False) / ORIGIN
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    header = result_header()
    what = {"model": model, **vars(done), **{key: header[key] for key in ("date", "commit", "versions")}}
    return {**before, "calibration": what}
