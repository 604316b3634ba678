"""The objective `patch_ocr`: the tower learns to say what stands in each of its patches, before any language model is there."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from dragonfly.config import Config
from dragonfly.data import Mixture, Sample
from dragonfly.imaging import load_image
from dragonfly.models import ConvTowerConfig
from dragonfly.training import Objective, Recipe, TrainingSetup
from dragonfly.training.sources import load_rows
from dragonfly.vision.spec import EncoderSpec

from .metric_thresholds import MetricThreshold, MetricThresholds, threshold_faults
from .patch_labels import patch_labels
from .patch_ocr_head import PatchOcrModel, save_head
from .text_annotations import NOTHING, Classes, find_classes, text_annotations_of

SEEN = 400
"""Images at most from which an OCR head's moments are taken."""


class PatchOcr(Config):
    """A patch says `near` characters that lie in it and `slots` of its word at most; without slots, characters alone.

    Args:
        bound: whether it also says what its word or shape belongs to (`TextAnnotation.other`), so that one token holds a key and
            its value.
        smallest: height in pixels of its sub-image below which a word is not asked for.
        empty_share: of the sub-images without an annotation that are learned from.
        sub_images: the most of an image that are learned from at a time, drawn anew each time, the likelier the more patches say
            something; None for all.
        window: images among whose sub-images those of one are exchanged, in training: a tower with batch norms must not see one
            page's alone, or it learns to read pages by their own moments.
        keep_patches: patches of a sub-image that go through the tower's layers in training, those that say something first; None
            for all. Needs a tower of type `dragonfly_conv_tower`.
        nothing: weight of the class of empty patches; the others' is 1.
        thresholds: what the run must have reached.
    """

    name: Literal["patch_ocr"] = "patch_ocr"
    near: int = Field(default=3, gt=0)
    bound: bool = False
    slots: int = Field(default=8, ge=0)
    smallest: float = Field(default=0.0, ge=0.0)
    empty_share: float = Field(default=1.0, ge=0.0, le=1.0)
    sub_images: int | None = Field(default=None, gt=0)
    window: int = Field(default=1, gt=0)
    keep_patches: int | None = Field(default=None, gt=0)
    nothing: float = Field(default=1.0, gt=0.0)
    thresholds: list[MetricThreshold] = Field(default_factory=list[MetricThreshold])


class PatchDataset(Dataset[dict[str, Tensor]]):
    """Samples as sub-images with classes for each token; everything is encoded, nothing is selected."""

    def __init__(self, samples: Sequence[Sample] | Mixture, processor: Any, classes: Classes, options: PatchOcr) -> None:
        self.samples, self.classes, self.options = samples, classes, options
        self.image_processor = processor.image_processor
        self.encoder = {**self.image_processor.encoder, "selection": {"policy": "all"}}
        self.spec = EncoderSpec.from_dict(self.encoder)
        self.cache: dict[int, dict[str, Tensor]] = {}  # of the window; an example is the same with it or without

    def __len__(self) -> int:
        return len(self.samples)

    def length(self, index: int) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The sub-images of an image, or as many from those of the last `window` images."""
        if self.options.window == 1:
            return self._page(index)
        draw = random.Random(f"window {index}")
        window = range(max(0, index - self.options.window + 1), index + 1)
        self.cache = {at: self.cache[at] if at in self.cache else self._page(at) for at in window}
        pages = list(self.cache.values())
        places = [(page, at) for page in pages for at in range(len(page["labels"]))]
        chosen = draw.sample(places, len(pages[-1]["labels"]))
        return {name: torch.stack([page[name][at] for page, at in chosen]) for name in ("pixel_values", "labels")}

    def _page(self, index: int) -> dict[str, Tensor]:
        sample = self.samples[index]
        if len(sample.images) != 1:
            raise ValueError(f"objective 'patch_ocr': sample {sample.id!r} has {len(sample.images)} images; it takes one")
        image = load_image(sample.images[0].source, self.image_processor.image_policy).image
        inputs = self.image_processor(images=[image], encoder=self.encoder, return_tensors="pt")
        labels = patch_labels(inputs["layouts"][0], self.spec, text_annotations_of(sample), self.classes, self.options.smallest)
        kept = self._kept(labels, index)
        return {"pixel_values": inputs["pixel_values"][0][kept], "labels": labels[kept]}

    def _kept(self, labels: Tensor, index: int) -> Tensor:
        """The sub-images to learn from: those that say something, and a drawn share of the empty ones; indices, ascending."""
        annotated = (labels > NOTHING).flatten(1).any(dim=1)
        draw = random.Random(f"{index}")
        kept = [at for at, any_there in enumerate(annotated) if bool(any_there) or draw.random() < self.options.empty_share]
        kept = kept or list(range(len(labels)))
        if self.options.sub_images is not None and len(kept) > self.options.sub_images:
            saying = (labels > NOTHING).any(dim=-1).sum(dim=1).tolist()
            # Without replacement, in proportion to weights: the largest of u ** (1 / weight) (Efraimidis and Spirakis 2006).
            keys = {at: draw.random() ** (1 / (1 + saying[at])) for at in kept}
            kept = sorted(sorted(kept, key=keys.__getitem__)[-self.options.sub_images :])
        return torch.tensor(kept)


def collate(examples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sub-images of all examples one after another, and their classes."""
    return {key: torch.cat([example[key] for example in examples]) for key in ("pixel_values", "labels")}


def _options(recipe: Recipe) -> PatchOcr:
    return cast(PatchOcr, recipe.objective)


def _faults(recipe: Recipe) -> list[str]:
    faults = threshold_faults(recipe, _options(recipe).thresholds)
    return (
        faults if recipe.lora is None else [*faults, "lora adapts the language model, which objective 'patch_ocr' does not train"]
    )


def _build(recipe: Recipe, model: Any, processor: Any, rows: Any) -> TrainingSetup:
    options, data = _options(recipe), recipe.data
    evaluation = load_rows(data.eval, data.max_bad_share) if data.eval else None
    samples = (sample for source in rows.sources.values() for sample in source)
    classes = find_classes(samples, options.near, options.slots, options.bound)
    torch.manual_seed(recipe.seed)
    tower = model.config.vision_config
    if options.keep_patches is not None and tower.model_type != ConvTowerConfig.model_type:
        raise ValueError(
            f"objective.keep_patches needs a tower that can leave patches out, '{ConvTowerConfig.model_type}'; this one is "
            f"'{tower.model_type}'; leave keep_patches out"
        )
    patch_ocr = PatchOcrModel(model.model.vision_tower, tower.hidden_size, classes, options.nothing, options.keep_patches)
    patch_ocr.begin_from(recipe.init_from.checkpoint)
    train = PatchDataset(rows, processor, classes, options)
    alone = options.model_copy(update={"window": 1})
    return TrainingSetup(
        module=patch_ocr,
        train=train,
        evaluation=PatchDataset(evaluation, processor, classes, alone) if evaluation else None,
        collate=collate,
        predictions=lambda outputs, _: patch_ocr.predictions(outputs[0] if isinstance(outputs, tuple) else outputs),
        metrics=patch_ocr.metrics,
        callbacks=(MetricThresholds(options.thresholds),),
        save=partial(_save, patch_ocr, train),
    )


def _save(patch_ocr: PatchOcrModel, train: PatchDataset, folder: Path) -> None:
    save_head(patch_ocr, folder, (train[at] for at in range(min(SEEN, len(train)))))


PATCH_OCR = Objective(PatchOcr, frozenset({"vision_tower"}), _build, _faults, examples=None, may_change=frozenset({"thresholds"}))
