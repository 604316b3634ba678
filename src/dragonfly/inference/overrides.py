"""`--set key=value`: what of a loaded model can be changed, and the change itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args, get_type_hints

from dragonfly.config import nearest, parse_overrides
from dragonfly.models import PRESETS, DragonflyConfig, DragonflyProcessor
from dragonfly.vision.spec import POOLED_REMAINDERS, EncoderSpec, SelectionSpec


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _optional(legal: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or legal(value)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


_SPEC, _RULE = get_type_hints(EncoderSpec), get_type_hints(SelectionSpec)

# For each key either the legal words, or a test and what it asks for.
OVERRIDES: dict[str, Sequence[str] | tuple[Callable[[Any], bool], str]] = {
    "model.preset": list(PRESETS),
    "model.encoder_batch": (_optional(_whole(1)), "an integer of at least 1, or null for all at once"),
    "model.fit": get_args(_SPEC["fit"]),
    "model.grid_rule": get_args(_SPEC["grid_rule"]),
    "model.max_enlargement": (_optional(_positive), "a number above 0, or null for no limit"),
    "model.position": get_args(_SPEC["position"]),
    "model.regions": get_args(_SPEC["regions"]),
    "model.selection.policy": get_args(_RULE["policy"]),
    "model.selection.scope": get_args(_RULE["scope"]),
    "model.selection.keep": (_whole(1), "an integer of at least 1"),
    "model.selection.seed": (_whole(0), "an integer of at least 0"),
    "model.selection.min_per_region": (_whole(0), "an integer of at least 0"),
    "model.selection.diversity": (_share, "a number from 0 to 1"),
    "model.selection.pooled_remainder": (
        lambda value: _whole(0)(value) and value in POOLED_REMAINDERS,
        f"one of {', '.join(map(str, POOLED_REMAINDERS))}",
    ),
}


def read_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """`["model.selection.keep=2"]` -> `{"selection": {"keep": 2}}`.

    Raises:
        ValueError: for an unknown key, with the nearest legal one, or a value of another kind.
    """
    for override in overrides:
        key = override.partition("=")[0].strip()
        if "=" in override and key not in OVERRIDES:
            raise ValueError(f"unknown override: {nearest(key, OVERRIDES)}")
    changes = parse_overrides(overrides).get("model", {})
    for key, rule in OVERRIDES.items():
        value: Any = changes
        for part in key.split(".")[1:]:
            value = value.get(part, ...) if isinstance(value, dict) else ...
        if value is not ...:
            _check(key, value, rule)
    return changes


def _check(key: str, value: Any, rule: Any) -> None:
    if callable(rule[0]):
        legal, wanted = rule
        if not legal(value):
            raise ValueError(f"{key} must be {wanted}, got {value!r}")
    elif value not in rule:
        raise ValueError(f"{key}: {nearest(str(value), rule)}")


def apply_overrides(config: DragonflyConfig, processor: DragonflyProcessor, changes: dict[str, Any]) -> None:
    """Change a model's configuration and its processor alike. `preset` is in both already, and needs its tower's geometry."""
    if "encoder_batch" in changes:
        config.encoder_batch = changes["encoder_batch"]
    if changes:
        parts = {key: value for key, value in changes.items() if key not in ("encoder_batch", "preset")}
        config.encoder = processor.image_processor.encoder = config.spec.changed(parts).to_dict()
