"""A variant's encoder: the shared checkpoint's own with the variant's changes. Runs nothing."""

from __future__ import annotations

from typing import Any

from dragonfly.vision.presets import get_preset
from dragonfly.vision.spec import GEOMETRY, LEVELS, EncoderSpec

from .study import Study


def variant_encoder(base: EncoderSpec, changes: dict[str, Any]) -> EncoderSpec:
    """The encoder `base` with a variant's changes.

    Args:
        base: the checkpoint's encoder.
        changes: fields of `EncoderSpec`; a level or `selection` may name a part of it. `preset` takes a preset's levels and
            selection policy; sub-images keep the checkpoint's size, and levels its pooling where the variant names none,
            because that is what the checkpoint was trained to read.

    Raises:
        ValueError: for what no encoder can be.
    """
    values, changes = base.to_dict(), dict(changes)
    if (name := changes.pop("preset", None)) is not None:
        chosen = get_preset(name).spec.to_dict()
        for level in LEVELS:
            if chosen[level]:
                chosen[level]["pool"] = (values[level] or values["high"] or values["mid"] or {"pool": 1})["pool"]
        values = {**chosen, **{key: values[key] for key in GEOMETRY}}
    for key, change in changes.items():
        below = values.get(key)
        values[key] = {**below, **change} if isinstance(below, dict) and isinstance(change, dict) else change
    return EncoderSpec.from_dict(values)


def encoders(study: Study, base: EncoderSpec) -> dict[str, EncoderSpec]:
    """Every variant's encoder; all faults at once, each with its variant's name."""
    found: dict[str, EncoderSpec] = {}
    faults: list[str] = []
    for name, variant in study.variants.items():
        try:
            found[name] = variant_encoder(base, variant.encoder)
        except (ValueError, TypeError) as error:
            faults.append(f"variant {name!r}: {error}")
    if faults:
        raise ValueError("; ".join(faults))
    return found


def difference(spec: EncoderSpec, base: EncoderSpec) -> dict[str, Any]:
    """The fields in which a variant's encoder departs from the checkpoint's, for a report."""
    ours, theirs = spec.to_dict(), base.to_dict()
    return {key: value for key, value in ours.items() if value != theirs[key]}
