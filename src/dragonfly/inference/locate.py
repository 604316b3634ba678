"""Where a model's files are: the bundled model, a directory, or a name on the Hugging Face hub, which is downloaded whole."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path

WEIGHTS = (".safetensors", ".bin")
DESCRIPTIONS = ["*.json", "*.jinja", "*.model", "*.txt"]


def bundled_model() -> Path:
    """The directory of the model that is part of the package."""
    return Path(str(files("dragonfly") / "assets" / "nano"))


def locate(model: str | Path | None, *, weights: bool = True) -> Path:
    """The directory of a model, checked to hold one.

    Args:
        model: a directory or a hub name; None for the bundled model.
        weights: whether the tensors are wanted too.

    Raises:
        ValueError: one line that says what is missing.
    """
    path = bundled_model() if model is None else Path(model)
    if not os.path.isfile(path / "config.json"):  # noqa: PTH113 - Path.is_file raises on a name that is too long
        if model is None:
            raise ValueError("this installation has no bundled model; name one: --model DIRECTORY")
        if os.path.exists(path):  # noqa: PTH110
            raise ValueError(f"'{model}' is no model directory: it has no config.json")
        path = _download(str(model), weights)
    _check(path, weights)
    return path


def weight_files(path: Path) -> list[Path]:
    return [file for file in sorted(path.iterdir()) if file.suffix in WEIGHTS]


def _download(name: str, weights: bool) -> Path:
    """The local copy of a model on the hub; transformers' own search would leave files of the released format out."""
    from huggingface_hub import snapshot_download

    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ValueError(f"no model directory '{name}'; give a directory with a config.json, or a hub name such as 'owner/model'")
    try:
        return Path(snapshot_download(name, allow_patterns=[*DESCRIPTIONS, *(f"*{end}" for end in WEIGHTS if weights)]))
    except (OSError, ValueError, RuntimeError) as error:  # offline, unknown, gated, ill-formed: the hub's own classes
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"no model directory '{name}', and the Hugging Face hub does not give it ({reason:.120}); download it elsewhere "
            "and name its directory"
        ) from None


def _check(path: Path, weights: bool) -> None:
    """Refuse what transformers would take for something else, or refuse in many lines."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path / 'config.json'}' is not JSON ({error}); copy the model again") from None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "dragonfly":
        raise ValueError(f"'{path}' holds a model of type '{kind}', not 'dragonfly'; name a Dragonfly model's directory")
    if not weights:
        return
    if not weight_files(path):
        raise ValueError(f"'{path}' has no weights ({' or '.join('*' + end for end in WEIGHTS)}); copy the model again")
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise ValueError(f"'{path}' has no tokenizer.json; copy it from the language model it was made of")
