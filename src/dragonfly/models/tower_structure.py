# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What a vision tower of any family does when it runs: its geometry, its layers, what stands above them, its tokens.

What a family calls its layers, norms and heads, and how many tokens it puts before its patches, is not listed here. A tower
without storage (meta device) is run and watched (`structure_of`); one that does not fit is refused.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx.experimental import _config as fx_config
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from dragonfly.vision.towers import MORE_PREFIX_TOKENS, NOT_A_GRID, square_side

FITS = (
    "a tower takes pixel_values (n, 3, R, R) and gives last_hidden_state (n, prefix tokens + patches, hidden), "
    "patches in raster order"
)


def tower_geometry(config: PreTrainedConfig) -> tuple[int, int]:
    """(resolution, patch size) in pixels, which configurations give as a number or as one per axis.

    Raises:
        ValueError: if there is none, or sub-images or patches are no squares.
    """
    if config.model_type in NOT_A_GRID:
        raise ValueError(_refusal(config, NOT_A_GRID[config.model_type]))
    sides: list[int] = []
    for name in ("image_size", "patch_size"):
        value = getattr(config, name, None)
        side = square_side(value)
        if side is None:
            raise ValueError(_refusal(config, f"its {name} is {value!r}, and one square side is needed"))
        sides.append(side)
    return sides[0], sides[1]


@dataclass(frozen=True)
class TowerStructure:
    """What a tower of one configuration does when it runs.

    Args:
        layers: the name of the list of its layers; None where it has none that could be cut.
        above: modules that run after the last layer: norms, poolers, heads.
        unused: parameters that never reach the output once `above` is gone (a mask token).
        num_tokens: of one sub-image.
    """

    layers: str | None
    above: tuple[str, ...]
    unused: tuple[str, ...]
    num_tokens: int


def structure_of(config: PreTrainedConfig) -> TowerStructure:
    """The structure of the tower of a configuration, which stays as it is.

    Raises:
        ValueError: in one line, if the tower does not fit.
    """
    values = {key: value for key, value in config.to_dict().items() if key not in ("dtype", "_name_or_path", "name_or_path")}
    # Which parameters get a gradient is looked at, whatever the caller has turned off.
    with torch.inference_mode(False), torch.enable_grad():
        return _structure_of(type(config), json.dumps(values, sort_keys=True, default=str))


class PassOn(nn.Module):
    """Stands where a norm, pooler or head was, and hands on the first of what it is given, however it is given."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if args else next(iter(kwargs.values()))


class _FullGrid(TorchDispatchMode):
    """Answers True where a tower asks a tensor without storage for a truth: whether its mask, all ones, has no holes.

    For the same reason the run assumes that all of a mask is chosen where a tower indexes by it (Idefics3 before 5.23).
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta and args[0].dtype == torch.bool:
            return True
        return func(*args, **(kwargs or {}))


@lru_cache(maxsize=64)
def _structure_of(kind: type[PreTrainedConfig], text: str) -> TowerStructure:
    config = kind.from_dict(json.loads(text))
    resolution, patch_size = tower_geometry(config)
    for name in ("num_hidden_layers", "hidden_size"):
        if not isinstance(getattr(config, name, None), int):
            raise ValueError(_refusal(config, f"its configuration has no {name}"))
    _register(kind)
    with torch.device("meta"), no_init_weights():
        tower = AutoModel.from_config(config).eval()
    if others := _other_inputs(tower):
        raise ValueError(_refusal(config, f"it also needs {', '.join(others)} beside pixel_values"))
    pixels = torch.zeros(2, 3, resolution, resolution, device="meta")
    layers = _layers_of(tower, config.num_hidden_layers)
    cut_layers(tower, layers, 1)  # the others are like it
    try:
        with _FullGrid(), fx_config.patch(meta_nonzero_assume_all_nonzero=True):  # pyright: ignore[reportAttributeAccessIssue]
            above = _modules_above(tower, layers, pixels)
            take_off(tower, above)
            output, last = _run(tower, layers, pixels)
            names = [name for name, _ in tower.named_parameters()]
            gradients = torch.autograd.grad(output.sum(), list(tower.parameters()), allow_unused=True)
    except Exception as error:  # whatever a tower that does not fit stumbles over
        raise ValueError(_refusal(config, f"{type(error).__name__}: {' '.join(str(error).split()):.160}")) from error
    shape, patches = tuple(output.shape), (resolution // patch_size) ** 2
    if len(shape) != 3 or shape[0] != 2 or shape[2] != config.hidden_size or shape[1] < patches:
        wanted = f"(2, {patches} or more, {config.hidden_size})"
        raise ValueError(_refusal(config, f"it gives {shape} for 2 sub-images where {wanted} is expected"))
    if layers is not None and last is not output:
        raise ValueError(_refusal(config, "its output is not the plain hidden state of its last layer"))
    _check_prefix(config, shape[1] - patches)
    unused = tuple(name for name, gradient in zip(names, cast(Any, gradients), strict=True) if gradient is None)
    return TowerStructure(layers, above, unused, shape[1])


def _other_inputs(tower: nn.Module) -> list[str]:
    """What its forward needs beside the pixels."""
    parameters = inspect.signature(tower.forward).parameters.items()
    ignored = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [name for name, one in parameters if one.default is one.empty and one.kind not in ignored]
    return [name for name in needed if name != "pixel_values"]


def _run(tower: nn.Module, layers: str | None, pixels: Tensor) -> tuple[Tensor, Any]:
    """The tower's output, and that of its last layer."""
    seen: list[Any] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    hooks = [] if layers is None else [_last(tower, layers).register_forward_hook(keep)]
    output = tower(pixel_values=pixels).last_hidden_state
    for hook in hooks:
        hook.remove()
    return output, seen[-1] if seen else None


def _check_prefix(config: PreTrainedConfig, extra: int) -> None:
    """Where the tokens beyond the patches stand is known for CLS and registers; other families were looked at one by one."""
    registers = getattr(config, "num_register_tokens", None) or 0
    if extra not in (0, 1, registers, 1 + registers) and config.model_type not in MORE_PREFIX_TOKENS:
        raise ValueError(
            _refusal(config, f"it gives {extra} tokens beyond its patches, and whether all stand before them is not known here")
        )


def _register(kind: type[PreTrainedConfig]) -> None:
    """Make a tower known to AutoModel that transformers has only as a part of a whole model (MetaCLIP2, BLIP, Idefics2)."""
    if kind in MODEL_MAPPING:
        return
    module = import_module(kind.__module__.replace(".configuration_", ".modeling_"))
    found = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, PreTrainedModel)
        and "pixel_values" in inspect.signature(value.forward).parameters
        and (value.config_class is kind or value.__annotations__.get("config") in (kind, kind.__name__))
        and "With" not in name
        and "For" not in name
    ]
    if not found:
        raise ValueError(
            f"transformers has no model of pixel_values for configurations of type '{kind.model_type}'; name another tower"
        )
    AutoModel.register(kind, min(found, key=lambda value: len(value.__name__)), exist_ok=True)


def _layers_of(tower: nn.Module, number: int) -> str | None:
    """The outermost list of `number` modules of one class."""
    for name, module in tower.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == number and len({type(one) for one in module}) == 1:
            return name
    return None


def _modules_above(tower: nn.Module, layers: str | None, pixels: Tensor) -> tuple[str, ...]:
    """The outermost modules that run after the last layer."""
    if layers is None:
        return ()
    entered: list[str] = []

    def enter(name: str, module: nn.Module, args: Any) -> None:
        entered.append(name)

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        entered.clear()

    hooks = [module.register_forward_pre_hook(partial(enter, name)) for name, module in tower.named_modules()]
    hooks.append(_last(tower, layers).register_forward_hook(leave))
    with torch.no_grad():
        tower(pixel_values=pixels)
    for hook in hooks:
        hook.remove()
    above: list[str] = []
    for name in entered:
        if not any(name == other or name.startswith(f"{other}.") for other in above):
            above.append(name)
    return tuple(above)


def _last(tower: nn.Module, layers: str) -> nn.Module:
    return cast(nn.ModuleList, tower.get_submodule(layers))[-1]


def cut_layers(tower: nn.Module, layers: str | None, number: int) -> None:
    if layers is not None:
        del cast(nn.ModuleList, tower.get_submodule(layers))[number:]


def take_off(tower: nn.Module, names: Sequence[str]) -> None:
    for name in names:
        owner, key = owner_of(tower, name)
        setattr(owner, key, PassOn())


def owner_of(tower: nn.Module, name: str) -> tuple[nn.Module, str]:
    parent, _, key = name.rpartition(".")
    return tower.get_submodule(parent), key


def _refusal(config: PreTrainedConfig, why: str) -> str:
    return f"vision tower of type '{config.model_type}' does not fit: {why}; {FITS}"
