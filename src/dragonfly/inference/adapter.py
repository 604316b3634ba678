# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A LoRA adapter that `dragonfly train` wrote, with the model that it belongs to.

Promises that an adapter meets only the very weights that it was trained on.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from dragonfly.files import sha256
from dragonfly.installation import install_advice
from dragonfly.models.origin import read_origin

ADAPTER = "adapter_config.json"


def is_adapter(directory: Path) -> bool:
    """Whether a directory holds an adapter and no model."""
    return (directory / ADAPTER).is_file() and not (directory / "config.json").is_file()


def base_of(adapter: Path) -> dict[str, str]:
    """The `path` of the base in training, and the `sha256` of its weights. ValueError for an adapter of another program."""
    base: Any = (read_origin(adapter) or {}).get("base", {})
    if not {"path", "sha256"} <= base.keys():
        raise ValueError(f"'{adapter}' is no adapter of `dragonfly train`: its dragonfly.json names no base")
    return base


def weights_hash(directory: Path) -> str:
    """One hash of all weights of a model directory: of its weight files' names and hashes, in order."""
    files = sorted(file for file in directory.iterdir() if file.suffix in (".safetensors", ".bin"))
    if not files:
        raise ValueError(f"no weights (.safetensors, .bin) in {directory}; give a model directory")
    return sha256("".join(f"{file.name} {sha256(file)}\n" for file in files).encode())


def base_places(adapter: Path) -> list[str]:
    """Where the base may lie: where it was in training, and, for a path that was relative then, near the adapter."""
    path = base_of(adapter)["path"]
    return [path] if Path(path).is_absolute() else [path, *(str(parent / path) for parent in adapter.resolve().parents)]


def check_base(adapter: Path, base: Path) -> None:
    """ValueError where a base has other weights than the adapter was trained on."""
    expected, actual = base_of(adapter)["sha256"], weights_hash(base)
    if actual != expected:
        raise ValueError(
            f"adapter '{adapter}' belongs to a base with hash {expected[:12]}, '{base}' has {actual[:12]}; merge it with the "
            f"model it was trained on: dragonfly merge {adapter} DIRECTORY --base DIRECTORY"
        )


def with_adapter(model: Any, adapter: Path) -> Any:
    """The base with the adapter's weights added into its own."""
    try:
        from peft import PeftModel
    except ImportError:
        raise ValueError(
            f"'{adapter}' is an adapter, which needs peft, and it is not installed: {install_advice('train')}"
        ) from None
    dtype = model.config.dtype
    with warnings.catch_warnings():  # peft asks transformers 5.23 by a name that it is retiring
        warnings.simplefilter("ignore", FutureWarning)
        merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    for parameter in merged.parameters():
        parameter.data = parameter.data.to(dtype)  # adapters are float32, whatever the base is
    return merged
