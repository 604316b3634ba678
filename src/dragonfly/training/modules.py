"""The modules of a model by the names that recipes use: which are trained, and how many parameters that is.

Promises that a stage trains exactly the modules that it names.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from dragonfly.config import nearest

MODULES = ("vision_tower", "multi_modal_projector", "sub_image_position", "query_projection", "language_model", "lm_head")
"""What a stage may train; a part of one is named with dots (`language_model.layers.31`)."""


@dataclass(frozen=True)
class ModuleCount:
    """A module's parameters, and how many of them are trained."""

    name: str
    parameters: int
    trained: int

    def __str__(self) -> str:
        state = "frozen" if not self.trained else "trainable" if self.trained == self.parameters else "partly trainable"
        return f"{self.name:<22} {self.parameters:>16,} parameters, {self.trained:>16,} trained ({state})"


def freeze(model: nn.Module, trainable: list[str]) -> None:
    """Let exactly the named modules be trained. ValueError for a name that the model does not have."""
    modules = [named_module(model, name) for name in trainable]
    tied = getattr(getattr(model, "config", None), "tie_word_embeddings", False)
    if tied and "lm_head" in trainable and "language_model" not in trainable:
        raise ValueError("trainable: lm_head is the same matrix as language_model's embeddings here; name both or neither")
    model.requires_grad_(False)
    for module in modules:
        module.requires_grad_(True)


def named_module(model: nn.Module, name: str) -> nn.Module:
    """A module by the name that recipes use: `lm_head`, `vision_tower`, `language_model.layers.1`."""
    place = name if name.partition(".")[0] == "lm_head" else f"model.{name}"
    try:
        return model.get_submodule(place)
    except AttributeError:
        first, _, last = name.rpartition(".")
        owner = named_module(model, first) if first else None
        legal = [child for child, _ in owner.named_children()] if owner is not None else list(MODULES)
        where = f" in {first}" if first else ""
        raise ValueError(f"trainable: no module {name!r}{where}: {nearest(last, legal)}") from None


def module_of(parameter: str) -> str:
    """The module of `MODULES`, with what follows, that a parameter's full name lies in (PEFT's prefix or not)."""
    parts = parameter.split(".")
    start = next((index for index, part in enumerate(parts) if part in MODULES), None)
    return ".".join(parts[start:]) if start is not None else parameter


def count_modules(model: nn.Module) -> list[ModuleCount]:
    """Parameters and trained parameters of each of `MODULES`; what lies in none of them is `other`."""
    counts = {name: [0, 0] for name in (*MODULES, "other")}
    for name, parameter in model.named_parameters():
        module = module_of(name).partition(".")[0]
        count = counts[module if module in counts else "other"]
        count[0] += parameter.numel()
        count[1] += parameter.numel() if parameter.requires_grad else 0
    return [ModuleCount(name, *count) for name, count in counts.items() if count[0]]
