"""A second engine on the weights of a first: another selection policy or preset beside it, for hardly any memory."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from dragonfly.inference.engine import Engine
from dragonfly.inference.loading import read_overrides
from dragonfly.models.configuration_dragonfly import fit_to_tower
from dragonfly.models.connector import OPTIONAL, optional_modules
from dragonfly.vision.presets import get_preset
from dragonfly.vision.spec import EncoderSpec, spec_of


def with_same_weights(engine: Engine, overrides: Sequence[str]) -> Engine:
    """An engine under another encoder configuration that shares every tensor, and the cache of images, with the first.

    Args:
        engine: all of it on one device.
        overrides: `key=value` strings as of `load`: `model.selection.policy=detail`, `model.preset=v1`.

    Raises:
        ValueError: for an override that is not legal, one that changes nothing, or that needs parameters the model lacks.
    """
    spec = _changed(engine, read_overrides(overrides))
    first = engine.model.model
    if spec == first.spec:
        raise ValueError(f"{' '.join(overrides)} is what the model has already; name another policy or preset")
    if spec.selects and spec.selection.policy == "oracle":
        raise ValueError("policy 'oracle' keeps what holds the answer, which nobody tells a model that is asked")
    wanted = optional_modules(spec, 1)
    if lacking := [name for name in wanted if not hasattr(first, name)]:
        raise ValueError(f"{' '.join(overrides)} needs a learned {lacking[0]}, which '{engine.name}' does not have")
    if "sub_image_position" in wanted and spec.largest_grid != first.spec.largest_grid:
        raise ValueError(f"{' '.join(overrides)} has other grids than those whose positions '{engine.name}' has learned")
    if "query_projection" in wanted and spec.selection.context != first.spec.selection.context:
        raise ValueError(f"{' '.join(overrides)} sees sub-images otherwise than '{engine.name}' has learned to choose them")
    model = _sharing(engine.model)
    for name in OPTIONAL:
        if hasattr(model.model, name) and name not in wanted:
            delattr(model.model, name)
    processor = copy.copy(engine.processor)
    processor.image_processor = copy.copy(processor.image_processor)
    model.config.encoder = processor.image_processor.encoder = spec.to_dict()
    model.model.spec = spec
    other = Engine(model, processor, engine.name)
    other.cache, other.image_options = engine.cache, engine.image_options
    return other


def _changed(engine: Engine, changes: dict[str, Any]) -> EncoderSpec:
    config = engine.model.config
    parts = {key: value for key, value in changes.items() if key not in ("encoder_batch", "preset")}
    spec = engine.model.model.spec
    if "preset" in changes:
        spec = spec_of(fit_to_tower(get_preset(changes["preset"]).spec.to_dict(), config.vision_config))
    return spec.changed(parts) if parts else spec


def _sharing(model: Any) -> Any:
    """A copy of a module with its own configuration and the same parameters and buffers."""
    module: nn.Module = model
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(model, shared)
