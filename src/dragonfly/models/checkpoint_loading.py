"""What is looked at when a checkpoint is read (that every tensor is there and fits, where an answer ends), and a given choice."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor

from dragonfly.models import conversion
from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.connector import OPTIONAL, optional_modules

HUB = ("cache_dir", "local_files_only", "revision", "subfolder", "token")  # where else a checkpoint may lie
_promised: ContextVar[Collection[str]] = ContextVar("promised", default=())


def end_at_turns(model: Any, name: str) -> None:
    """Released generation configurations stop at the end of the text only, which a chat answer never reaches."""
    released = conversion.read_released(name)
    if released is not None:
        end_of_text = released.get("eos_token_id")
        model.generation_config.eos_token_id = conversion.end_ids(name, end_of_text) or None
        model.generation_config.pad_token_id = end_of_text


@contextmanager
def held_to_its_config(name: str, options: Mapping[str, Any]) -> Generator[None]:
    """While the checkpoint `name` is read: the optional modules that its own config.json asks for may not be missing.

    Those that only a configuration given at load asks for may; they are new. A released checkpoint has none.
    """
    own = conversion.read_config(name, **{key: options[key] for key in HUB if key in options})
    ours = own.get("model_type") == DragonflyConfig.model_type and not conversion.is_released(own)
    token = _promised.set(optional_modules(DragonflyConfig.from_dict(own).spec, 1) if ours else ())
    try:
        yield
    finally:
        _promised.reset(token)


def keys_that_may_be_new() -> list[str]:
    """Patterns of the tensors that the checkpoint being read need not hold."""
    return optional_keys(name for name in OPTIONAL if name not in _promised.get())


def optional_keys(names: Iterable[str] = OPTIONAL) -> list[str]:
    """Patterns of the tensors of optional modules."""
    return [rf"(^|\.){name}\." for name in names]


def refuse_faults(name: str, info: dict[str, Any]) -> None:
    """Raise one line that names every tensor that is missing, unexpected or of another shape."""
    faults = [
        f"{kind} {', '.join(sorted(str(key[0]) if isinstance(key, tuple) else str(key) for key in keys)[:5])}"
        + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        for kind, keys in (
            ("missing", info["missing_keys"]),
            ("unexpected", info["unexpected_keys"]),
            ("mis-shaped", info["mismatched_keys"]),
        )
        if keys
    ]
    if faults:
        raise ValueError(f"checkpoint '{name}' does not fit the model: {'; '.join(faults)}")


def check_selected(selected_high: Tensor, expected: tuple[int, int]) -> None:
    """The number kept is part of the encoder configuration (placeholders are counted from it), so no caller may change it."""
    if selected_high.shape != expected:
        raise ValueError(
            f"selected_high has shape {tuple(selected_high.shape)}, this encoder keeps {expected[1]} high sub-images of each of "
            f"{expected[0]} images: give {expected}"
        )
