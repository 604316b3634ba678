# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""More layers for a language model that has learned what its size allows: at first they change nothing that it says.

Behind each layer comes a copy of it whose two outputs, of attention and of the feed-forward part, are zero: the residual stream
passes it untouched, and training decides what it adds (LLaMA Pro, arXiv 2401.02415).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch


def with_layers(model: Any, behind: Sequence[int]) -> Any:
    """The model with a silent copy of each layer in `behind` (numbers from 0) next to it.

    ValueError where `behind` names a layer that the language model does not have, or one twice.
    """
    language, config = model.model.language_model, model.config.text_config
    number = config.num_hidden_layers
    wrong = sorted(set(behind).difference(range(number)))
    if wrong or len(set(behind)) != len(behind):
        raise ValueError(f"layers {list(behind)}: give each layer once, from 0 to {number - 1}")
    layers: list[Any] = []
    for at, layer in enumerate(language.layers):
        layers.append(layer)
        if at in behind:
            layers.append(_silent(layer))
    for at, layer in enumerate(layers):
        layer.self_attn.layer_idx = at  # its place in a cache
    language.layers = torch.nn.ModuleList(layers)
    config.num_hidden_layers = len(layers)
    return model


def _silent(layer: Any) -> Any:
    copied = deepcopy(layer)
    for output in (copied.self_attn.o_proj, copied.mlp.down_proj):
        torch.nn.init.zeros_(output.weight)
    return copied
