"""Calibration: what a selection policy needs to know of the data, for a model that was not trained with it.

`calibrate` makes the mean embedding of policy `centred`, from images alone. `calibrate_model` does so for a model directory, or
learns the query projection of policy `question` from evidence (`query_calibration`), and writes a new one; `mean_embedding_of`
lends a mean to a model that has none, while a study asks it.
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
from dragonfly.files import atomic_directory, result_header
from dragonfly.imaging import load_image
from dragonfly.inference import Engine, load
from dragonfly.inference.loading import apply_overrides, locate, read_overrides
from dragonfly.models.mean_embedding import MeanEmbedding
from dragonfly.models.origin import read_origin, write_origin
from dragonfly.models.query_projection import query_module

from .query_calibration import Learned, learn_query_projection, read_located

LENT_IMAGES = 64


@dataclass(frozen=True)
class Calibration:
    """What the mean embedding was made of, and its length beside that of a sub-image embedding without it (root mean square)."""

    images: int
    sub_images: int
    mean_norm: float
    residual_norm: float

    def summary(self) -> str:
        return (
            f"mean embedding of {self.sub_images} sub-images of {self.images} images: length {self.mean_norm:.3g}, "
            f"what is left of a sub-image embedding {self.residual_norm:.3g}"
        )


def calibrate(engine: Engine, loaded_images: Iterable[Any]) -> Calibration:
    """Set the mean embedding of a loaded model to the mean sub-image embedding of all mid and high sub-images of `images`.

    One image at a time, sums in float64: the result does not depend on their order beyond rounding.

    Args:
        engine: a model that has a place for a mean embedding: its selection policy is `centred`.
        loaded_images: anything that `imaging.load_image` takes.

    Raises:
        ValueError: if the model has another selection policy, or there is no image with mid or high sub-images.
    """
    images = engine.processor.image_processor
    model: Any = engine.model.model  # what a module holds besides tensors is not known to its type
    if not hasattr(model, "mean_embedding"):
        raise ValueError(
            f"'{engine.name}' has the policy '{images.spec.selection.policy}' and no mean embedding; "
            "load it with model.selection.policy=centred"
        )
    everything = {**images.encoder, "selection": {"policy": "all"}}  # pyright: ignore[reportGeneralTypeIssues]
    total, squares, seen, number = 0.0, 0.0, 0, 0
    for loaded in loaded_images:
        number += 1
        image = load_image(loaded, images.image_policy).image
        batch = images([image], encoder=everything, return_tensors="pt")
        finer = batch["pixel_values"][0, batch["layouts"][0].count("low") :]
        if len(finer):  # a small image may have the low level alone
            with torch.inference_mode():
                rows = model.embed_sub_images(finer.to(engine.device)).double().cpu()
            total, squares, seen = total + rows.sum(dim=0), squares + float(rows.square().sum()), seen + len(rows)
    if not seen:
        raise ValueError(f"{number} images and none with mid or high sub-images: nothing to calibrate on; give others")
    mean = torch.as_tensor(total) / seen
    model.mean_embedding.set(mean.float(), seen)
    norm = float(mean.norm())
    return Calibration(number, seen, norm, max(squares / seen - norm**2, 0.0) ** 0.5)


@contextmanager
def mean_embedding_of(engine: Engine, images: Iterable[str | bytes], wanted: bool) -> Generator[str | None]:
    """Lend a model that has no mean embedding that of the first of these images, for a while. Yields where it is from."""
    base: Any = engine.model.model
    own = getattr(base, "mean_embedding", None)
    if not wanted:
        yield None
    elif own is not None and own.value() is not None:
        yield "checkpoint"
    else:
        some = list(dict.fromkeys(images))[:LENT_IMAGES]
        base.mean_embedding = MeanEmbedding(engine.model.config.get_text_config().hidden_size).to(engine.device)
        try:
            calibrate(engine, some)
            yield f"{len(some)} of these images"
        finally:
            del base.mean_embedding
            if own is not None:
                base.mean_embedding = own


def calibrate_model(
    model: str | None,
    data: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    limit: int = 500,
    overrides: Sequence[str] = (),
    device: str = "auto",
) -> Calibration | Learned:
    """A model directory with policy `centred` and its mean embedding, from the first `limit` images of each of `data`.

    With the override `model.selection.policy=question`, one with that policy and a map learned from the evidence of `data`; it
    may be in another `model.selection.context` than the model's, whose own map is then left behind.

    Args:
        model: directory or hub name; None for the bundled model.
        data: each what `dragonfly train` reads: a manifest, or a file or folder of rows; for policy `question` a manifest.
        output: the new directory.

    Raises:
        ValueError: if `data` holds no image (or no evidence), `output` exists, or the model cannot take the policy.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    places = [data] if isinstance(data, str | Path) else list(data)
    sources = {one: list(islice(distinct_images(read(str(one))), limit)) for one in places}
    for one, images in sources.items():
        if not images:
            raise ValueError(f"{one} holds no images; give rows that name some")
    wanted = {image.source: None for images in sources.values() for image in images}
    with atomic_directory(output) as folder:
        named = any(override.startswith("model.selection.policy=") for override in overrides)
        policy = [] if named else ["model.selection.policy=centred"]
        engine = _loaded(model, device, [*policy, *overrides])
        if hasattr(engine.model.model, "query_projection"):
            located = (question for one in places for question in read_located(one))
            done = learn_query_projection(engine, [question for question in located if question.image in wanted])
        else:
            done = calibrate(engine, wanted)
        engine.model.save_pretrained(folder)
        engine.processor.save_pretrained(folder)
        write_origin(folder, _origin(model, done))
    return done


def _loaded(model: str | None, device: str, overrides: Sequence[str]) -> Engine:
    """The model with a new map where it is to see sub-images otherwise than its own has learned to."""
    changes = read_overrides(overrides)
    context = changes.get("selection", {}).pop("context", None)
    engine = load(model, device=device, overrides=[f"model.{key}={json.dumps(value)}" for key, value in changes.items()])
    if context is not None:
        config: Any = engine.model.config
        before = config.spec.selection
        apply_overrides(config, engine.processor, {"selection": {"context": context}})
        if config.spec.selection != before and hasattr(engine.model.model, "query_projection"):
            new = query_module(config.spec.selection, config.get_text_config().hidden_size)
            engine.model.model.query_projection = new.to(engine.device, engine.model.dtype)
    return engine


def distinct_images(rows: Iterable[Any]) -> Iterator[ImageRef]:
    """Every image of the usable rows once, in their order."""
    seen: set[Any] = set()
    for row in rows:
        for image in row.images if isinstance(row, Sample) else ():
            if image.source not in seen:
                seen.add(image.source)
                yield image


def _origin(model: str | None, done: Calibration | Learned) -> dict[str, Any]:
    """The origin of the model, and what was done to it."""
    before = read_origin(locate(model, weights=False)) or {}
    header = result_header()
    what = {"model": model, **vars(done), **{key: header[key] for key in ("date", "commit", "versions")}}
    return {**before, "calibration": what}
