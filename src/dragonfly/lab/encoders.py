"""An arm's encoder: the shared checkpoint's own with the arm's changes. Runs nothing."""

from __future__ import annotations

from typing import Any

from dragonfly.models.presets import get_preset
from dragonfly.vision.spec import GEOMETRY, LEVELS, EncoderSpec

from .study import Study


def arm_encoder(base: EncoderSpec, changes: dict[str, Any]) -> EncoderSpec:
    """The encoder `base` with an arm's changes.

    Args:
        base: the checkpoint's encoder.
        changes: fields of `EncoderSpec`; a level or `selection` may name a part of it. `preset` takes a preset's levels and
            keep rule; sub-images keep the checkpoint's size, and levels its pooling where the arm names none, because that is
            what the checkpoint was trained to read.

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
    """Every arm's encoder; all faults at once, each with its arm's name."""
    found: dict[str, EncoderSpec] = {}
    faults: list[str] = []
    for name, arm in study.arms.items():
        try:
            found[name] = arm_encoder(base, arm.encoder)
        except (ValueError, TypeError) as error:
            faults.append(f"arm {name!r}: {error}")
    if faults:
        raise ValueError("; ".join(faults))
    return found


def difference(spec: EncoderSpec, base: EncoderSpec) -> dict[str, Any]:
    """The fields in which an arm's encoder departs from the checkpoint's, for a report."""
    ours, theirs = spec.to_dict(), base.to_dict()
    return {key: value for key, value in ours.items() if value != theirs[key]}
