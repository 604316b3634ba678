"""What a variant is made of: its encoder, its training rows and its cost. Trains nothing and runs no model."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dragonfly.data import ImageRef, Manifest, Sample, image_size, write_manifest
from dragonfly.evaluation import Question
from dragonfly.files import sha256
from dragonfly.models import DragonflyConfig
from dragonfly.planning import Cost, plan
from dragonfly.vision.layout import Size
from dragonfly.vision.presets import get_preset
from dragonfly.vision.selection_spec import SelectionSpec
from dragonfly.vision.spec import GEOMETRY, LEVELS, EncoderSpec

from .study import Study, Subset, agrees

TYPICAL: Size = (768, 1024)  # (height, width) of the image by which training costs are compared


def variant_encoder(base: EncoderSpec, changes: dict[str, Any]) -> EncoderSpec:
    """The checkpoint's encoder with a variant's changes.

    Args:
        base: the checkpoint's encoder.
        changes: fields of `EncoderSpec`; a level or `selection` may be given in part. `preset` takes a preset's levels and
            selection policy. The size of sub-images stays the checkpoint's, and so does the pooling of a level that the variant
            names none for, because the checkpoint was trained with them.

    Raises:
        ValueError: if the changes give no valid encoder.
    """
    values, changes = base.to_dict(), dict(changes)
    if (name := changes.pop("preset", None)) is not None:
        chosen = get_preset(name).spec.to_dict()
        for level in LEVELS:
            if chosen[level]:
                chosen[level]["pool"] = (values[level] or values["high"] or values["mid"] or {"pool": 1})["pool"]
        values = {**chosen, **{key: values[key] for key in GEOMETRY}}
    if isinstance(selection := changes.get("selection"), dict):
        changes["selection"] = dict(SelectionSpec(**values["selection"]).with_changes(**selection))
    for key, change in changes.items():
        below = values.get(key)
        values[key] = {**below, **change} if isinstance(below, dict) and isinstance(change, dict) else change
    return EncoderSpec.from_dict(values)


def encoders(study: Study, base: EncoderSpec) -> dict[str, EncoderSpec]:
    """Every variant's encoder. ValueError with all invalid ones at once, each under its variant's name."""
    specs: dict[str, EncoderSpec] = {}
    faults: list[str] = []
    for name, variant in study.variants.items():
        try:
            specs[name] = variant_encoder(base, variant.encoder)
        except (ValueError, TypeError) as error:
            faults.append(f"variant {name!r}: {error}")
    if faults:
        raise ValueError("; ".join(faults))
    return specs


def difference(spec: EncoderSpec, base: EncoderSpec) -> dict[str, Any]:
    """The fields of a variant's encoder that differ from the checkpoint's."""
    ours, theirs = spec.to_dict(), base.to_dict()
    return {key: value for key, value in ours.items() if value != theirs[key]}


def sources(subsets: Sequence[Subset], folder: Path) -> list[dict[str, Any]]:
    """The subsets as a recipe's sources. A subset that is not a whole manifest is written as one below `folder`, once."""
    return [
        {"name": f"subset-{number}", "path": str(_manifest(one, folder)), "group_questions": one.group_questions}
        for number, one in enumerate(subsets)
    ]


def _manifest(subset: Subset, folder: Path) -> Path:
    whole = not subset.where and subset.images is None and subset.copies == 1
    if whole and not Path(subset.path).exists():
        return Path(subset.path)  # where it will be trained; here `Manifest.open` says what is missing
    manifest = Manifest.open(subset.path)
    if whole:
        return manifest.path.parent
    about = {**subset.model_dump(exclude={"path", "group_questions"}), "manifest": sha256(manifest.path)}
    target = folder / sha256(json.dumps(about, sort_keys=True).encode())[:16]
    if target.is_dir():
        return target
    rows = list(_rows(manifest, subset))
    if not rows:
        raise ValueError(f"no row of {subset.path} agrees with {subset.where}; see the meta of its rows")
    stored = "bytes" if any(image.bytes is not None for image in rows[0].images) else "path"
    try:
        write_manifest(rows, target, store_images=stored)
    except (OSError, ValueError):
        if not target.is_dir():  # otherwise another worker was first, with the same rows
            raise
    return target


def _rows(manifest: Manifest, subset: Subset) -> Iterator[Sample]:
    """The subset's rows in the manifest's order; copies follow their row, numbered after its id."""
    seen: dict[object, None] = {}
    for row in manifest:
        if not agrees(row.meta, subset.where):
            continue
        seen.setdefault(row.images or row.id)
        if subset.images is not None and len(seen) > subset.images:
            return
        yield row
        for number in range(1, subset.copies):
            yield replace(row, id=f"{row.id}+{number}")


def image_sizes(questions: Iterable[Question]) -> list[Size]:
    """(height, width) of every distinct image."""
    seen = dict.fromkeys(image for question in questions for image in question.images)
    return [image_size(ImageRef(path=one) if isinstance(one, str) else ImageRef(bytes=one)) for one in seen]


def per_question(config: DragonflyConfig, spec: EncoderSpec, sizes: Collection[Size], text_tokens: int) -> dict[str, float]:
    """The cost of one question, as means over images.

    Returns:
        `encoded` (sub-images through the tower), `image_tokens` (separators included) and `gflops` (tower, projector and the
        language model over the prompt).
    """
    plans = [_plan(config, spec, size, text_tokens) for size in sizes]
    flops = [(p.tower_flops or 0) + (p.projector_flops or 0) + (p.prefill_flops or 0) for p in plans]
    return {
        "encoded": round(sum(p.num_encoded for p in plans) / len(plans), 3),
        "image_tokens": round(sum(p.num_image_tokens for p in plans) / len(plans), 3),
        "gflops": round(sum(flops) / len(plans) / 1e9, 6),
    }


@dataclass(frozen=True)
class Training:
    """What a variant's training FLOPs follow from: its encoder, the values of its recipe, a row's tokens besides the image."""

    spec: EncoderSpec
    recipe: dict[str, Any]
    row_tokens: int

    def flops_of_a_step(self, config: DragonflyConfig) -> float:
        """Forward and backward, of a batch of typical images."""
        return self.recipe["batch"]["global_size"] * _training_flops(config, self.spec, self.recipe, self.row_tokens)


def steps_for(config: DragonflyConfig, reference: Training, own: Training, share: float = 1.0) -> int:
    """Optimiser steps, at least 1, in which a variant spends this share of the reference's training FLOPs."""
    if not reference.recipe.get("steps"):
        raise ValueError("same: flops scales recipe.steps, and the recipe has none; give steps, not epochs")
    budget = share * int(reference.recipe["steps"]) * reference.flops_of_a_step(config)
    return max(1, round(budget / own.flops_of_a_step(config)))


def _training_flops(config: DragonflyConfig, spec: EncoderSpec, recipe: dict[str, Any], text_tokens: int) -> float:
    """FLOPs of one image, forward and backward: a trained module counts three times, a frozen language model twice, because
    gradients pass through it.
    """
    trained = {name.partition(".")[0] for name in recipe.get("trainable", ())}
    cost = _plan(config, spec, TYPICAL, text_tokens)
    tower = (3 if "vision_tower" in trained else 1) * (cost.tower_flops or 0)
    projector = (3 if "multi_modal_projector" in trained else 1) * (cost.projector_flops or 0)
    return tower + projector + (3 if trained & {"language_model", "lm_head"} else 2) * (cost.prefill_flops or 0)


def _plan(config: DragonflyConfig, spec: EncoderSpec, size: Size, text_tokens: int) -> Cost:
    return plan(spec, size, config.vision_config, config, text_tokens, config.num_tower_layers)
